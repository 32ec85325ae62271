//! For processors without AVX2; written so that a compiler can use whatever vectors there are.

use super::super::GROUP;
use super::{Int4Panel, NARROW_GROUP, NIBBLES, PANEL};

pub fn f32(weights: &[f32], x: &[f32], sums: &mut [f32]) {
    let rows = sums.len() / PANEL;
    for (weights, x) in weights.chunks_exact(PANEL).zip(x.chunks_exact(rows)) {
        for (sums, x) in sums.chunks_exact_mut(PANEL).zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
    }
}

pub fn int8(weights: &[i16], scales: &[f32], x: &[[i16; 2]], sums: &mut [f32]) {
    let rows = sums.len() / PANEL;
    let groups = weights.chunks_exact(GROUP * PANEL).zip(x.chunks_exact(GROUP / 2 * rows));
    for ((weights, x), scales) in groups.zip(scales.chunks_exact(PANEL)) {
        for (row, sums) in sums.chunks_exact_mut(PANEL).enumerate() {
            let mut whole = [0i32; PANEL];
            for (weights, x) in weights.chunks_exact(2 * PANEL).zip(x[row..].iter().step_by(rows)) {
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

pub fn int4(weights: Int4Panel, x: &[[i8; 4]], groups: &[[f32; 2]], sums: &mut [f32]) {
    let rows = sums.len() / PANEL;
    let about = weights.scales.chunks_exact(PANEL).zip(weights.lows.chunks_exact(PANEL));
    let x = x.chunks_exact(NARROW_GROUP / 4 * rows).zip(groups.chunks_exact(rows));
    for ((weights, (x, groups)), (scales, lows)) in
        weights.numbers.chunks_exact(NARROW_GROUP * PANEL).zip(x).zip(about)
    {
        for ((row, sums), [x_scale, x_sum]) in sums.chunks_exact_mut(PANEL).enumerate().zip(groups) {
            let mut whole = [0i32; PANEL];
            for (quad, x) in weights.chunks_exact(NIBBLES).zip(x[row..].iter().step_by(rows)) {
                for (whole, weights) in whole.iter_mut().zip(quad.chunks_exact(4)) {
                    *whole += weights.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                }
            }
            for (((sum, whole), scale), low) in sums.iter_mut().zip(whole).zip(scales).zip(lows) {
                *sum += whole as f32 * x_scale * scale + low * x_sum;
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
