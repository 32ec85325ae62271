//! For processors without AVX2; written so that a compiler can use whatever vectors there are.

use super::super::GROUP;
use super::super::activations::MIDDLE;
use super::{Int4Panel, Int6Panel, NARROW_GROUP, NIBBLES, PANEL, SIXES, SIXES_INPUTS};

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

pub fn int6(weights: Int6Panel, x: &[[u8; 4]], groups: &[f32], sums: &mut [f32]) {
    let rows = sums.len() / PANEL;
    let about = weights.scales.chunks_exact(PANEL).zip(weights.offsets.chunks_exact(PANEL));
    let x = x.chunks_exact(GROUP / 4 * rows).zip(groups.chunks_exact(rows));
    for ((weights, (x, groups)), (scales, offsets)) in
        weights.numbers.chunks_exact(GROUP * PANEL).zip(x).zip(about)
    {
        for ((row, sums), x_scale) in sums.chunks_exact_mut(PANEL).enumerate().zip(groups) {
            let mut whole: [i32; PANEL] = std::array::from_fn(|lane| offsets[lane]);
            for (quad, x) in weights.chunks_exact(NIBBLES).zip(x[row..].iter().step_by(rows)) {
                for (whole, weights) in whole.iter_mut().zip(quad.chunks_exact(4)) {
                    *whole += weights.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                }
            }
            for ((sum, whole), scale) in sums.iter_mut().zip(whole).zip(scales) {
                *sum += whole as f32 * x_scale * scale;
            }
        }
    }
}

#[inline(always)]
pub fn offsets(numbers: &[i8], offsets: &mut [i32]) {
    for (numbers, offsets) in numbers.chunks_exact(GROUP * PANEL).zip(offsets.chunks_exact_mut(PANEL)) {
        // In 16 bits: 64 numbers of 6 bits.
        let mut sums = [0i16; NIBBLES];
        for quad in numbers.chunks_exact(NIBBLES) {
            sums.iter_mut().zip(quad).for_each(|(sum, number)| *sum += i16::from(*number));
        }
        for (offset, sums) in offsets.iter_mut().zip(sums.chunks_exact(4)) {
            *offset = -i32::from(MIDDLE) * sums.iter().map(|sum| i32::from(*sum)).sum::<i32>();
        }
    }
}

#[inline(always)]
pub fn unfold_sixes(folded: &[u8], numbers: &mut [i8]) {
    for (folded, numbers) in folded.chunks_exact(SIXES).zip(numbers.chunks_exact_mut(SIXES_INPUTS * PANEL)) {
        let (low, high) = folded.split_at(2 * NIBBLES);
        for (quad, numbers) in numbers.chunks_exact_mut(NIBBLES).enumerate() {
            let low = low[quad / 2 * NIBBLES..].iter().map(|low| low >> (quad % 2 * 4) & 15);
            let high = high.iter().map(|high| (high >> (quad * 2) & 3) << 4);
            for ((number, low), high) in numbers.iter_mut().zip(low).zip(high) {
                *number = signed(low | high);
            }
        }
    }
}

/// A number of 6 bits, the highest of them its sign.
#[inline(always)]
pub fn signed(six: u8) -> i8 {
    ((six << 2).cast_signed()) >> 2
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
