//! For processors without AVX2; written so that a compiler can use whatever vectors there are.

use super::super::GROUP;
use super::{Int4Panel, Int8Rows, NARROW_GROUP, NIBBLES, PANEL};

pub fn f32(weights: &[f32], x: &[f32], stride: usize, sums: &mut [f32]) {
    for (sums, x) in sums.chunks_exact_mut(PANEL).zip(x.chunks(stride)) {
        for (weights, x) in weights.chunks_exact(PANEL).zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
    }
}

pub fn int8(weights: &[i16], scales: &[f32], x: &[i16], stride: usize, sums: &mut [f32]) {
    for (sums, x) in sums.chunks_exact_mut(PANEL).zip(x.chunks(stride)) {
        let groups = weights.chunks_exact(GROUP * PANEL).zip(x.chunks_exact(GROUP));
        for ((weights, x), scales) in groups.zip(scales.chunks_exact(PANEL)) {
            let mut whole = [0i32; PANEL];
            for (weights, x) in weights.chunks_exact(2 * PANEL).zip(x.chunks_exact(2)) {
                for (sum, weights) in whole.iter_mut().zip(weights.chunks_exact(2)) {
                    *sum += i32::from(x[0]) * i32::from(weights[0]) + i32::from(x[1]) * i32::from(weights[1]);
                }
            }
            for ((sum, whole), scale) in sums.iter_mut().zip(whole).zip(scales) {
                *sum += whole as f32 * scale;
            }
        }
    }
}

pub fn int4(weights: Int4Panel, x: Int8Rows, sums: &mut [f32]) {
    let groups_apart = x.stride / NARROW_GROUP;
    for (row, sums) in sums.chunks_exact_mut(PANEL).enumerate() {
        let numbers = x.numbers[row * x.stride..].chunks_exact(NARROW_GROUP);
        let about = x.scales[row * groups_apart..].iter().zip(&x.sums[row * groups_apart..]);
        let groups = weights.numbers.chunks_exact(NARROW_GROUP * PANEL).zip(numbers.zip(about));
        for (group, (weights_of_group, (numbers, (scale, sum_of_x)))) in groups.enumerate() {
            let mut whole = [0i32; PANEL];
            for (quad, x) in weights_of_group.chunks_exact(NIBBLES).zip(numbers.chunks_exact(4)) {
                for (whole, weights) in whole.iter_mut().zip(quad.chunks_exact(4)) {
                    *whole += weights.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                }
            }
            let lanes = weights.scales[group * PANEL..].iter().zip(&weights.lows[group * PANEL..]);
            for ((sum, whole), (step, low)) in sums.iter_mut().zip(whole).zip(lanes) {
                *sum += whole as f32 * scale * step + low * sum_of_x;
            }
        }
    }
}

#[inline(always)]
pub fn unfold(folded: &[u8], bytes: &mut [u8]) {
    for (folded, bytes) in folded.chunks_exact(NIBBLES).zip(bytes.chunks_exact_mut(2 * NIBBLES)) {
        let (low, high) = bytes.split_at_mut(NIBBLES);
        for ((folded, low), high) in folded.iter().zip(low).zip(high) {
            (*low, *high) = (folded & 15, folded >> 4);
        }
    }
}

#[inline(always)]
pub fn widen(narrow: &[i8], wide: &mut [i16]) {
    for (wide, &narrow) in wide.iter_mut().zip(narrow) {
        *wide = i16::from(narrow);
    }
}
