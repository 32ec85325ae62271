//! Rows of activations as whole numbers: 16 bits of the row's largest value, or 8 bits of each group's.

use rayon::prelude::*;

use super::super::ops::vectorised;

/// The largest 16-bit activation. A group of 64 products with 8-bit weights then stays far below 2³¹.
const LARGEST: f32 = 32_767.0;

/// 1.5 · 2²³: behind a sum with it the lowest bits are the other number, rounded. Unlike `round` this needs no instruction
/// that an old processor lacks, and becomes vector code.
const ROUNDING: f32 = 12_582_912.0;

/// Rows rounded to 16 bits of their largest value, each padded with zeros to `width`.
pub struct QuantisedRows {
    pub values: Vec<i16>,
    /// What one step is worth, row by row. A row that holds a value which is no number has a scale that is none either.
    pub scales: Vec<f32>,
    pub width: usize,
}

impl QuantisedRows {
    /// `x` is (rows, inputs).
    pub fn new(x: &[f32], inputs: usize, width: usize) -> Self {
        let rows = x.len() / inputs.max(1);
        let mut values = vec![0; rows * width];
        let mut scales = vec![0.0; rows];
        let rows = values.par_chunks_mut(width.max(1)).zip(x.par_chunks(inputs.max(1))).zip(&mut scales);
        rows.for_each(|((values, x), scale)| {
            *scale = vectorised(
                #[inline(always)]
                || quantise(x, LARGEST, values, |step| step.to_bits() as i16),
            );
        });
        Self { values, scales, width }
    }
}

/// The largest 8-bit activation.
const LARGEST_NARROW: f32 = 127.0;

/// Rows rounded to 8 bits of the largest value of each group, padded with zeros to `width`.
pub struct GroupedRows {
    pub values: Vec<i8>,
    /// What one step is worth, (rows, groups).
    pub scales: Vec<f32>,
    /// The sum of each group's rounded values, (rows, groups).
    pub sums: Vec<f32>,
    pub width: usize,
}

impl GroupedRows {
    /// `x` is (rows, inputs); `width` is a whole number of groups.
    pub fn new(x: &[f32], inputs: usize, width: usize, group: usize) -> Self {
        let (rows, groups) = (x.len() / inputs.max(1), width / group);
        let mut values = vec![0; rows * width];
        let (mut scales, mut sums) = (vec![0.0; rows * groups], vec![0.0; rows * groups]);
        let out = scales.par_chunks_mut(groups.max(1)).zip(sums.par_chunks_mut(groups.max(1)));
        let rows = values.par_chunks_mut(width.max(1)).zip(x.par_chunks(inputs.max(1))).zip(out);
        rows.for_each(|((values, x), (scales, sums))| {
            let groups = values.chunks_mut(group).zip(x.chunks(group)).zip(scales.iter_mut().zip(sums));
            for ((values, x), (scale, sum)) in groups {
                *scale = vectorised(
                    #[inline(always)]
                    || quantise(x, LARGEST_NARROW, values, |step| step.to_bits() as i8),
                );
                *sum = values.iter().map(|v| i32::from(*v)).sum::<i32>() as f32 * *scale;
            }
        });
        Self { values, scales, sums, width }
    }
}

#[inline(always)]
fn quantise<T>(x: &[f32], most: f32, values: &mut [T], whole: impl Fn(f32) -> T) -> f32 {
    let (largest, sum) = x.iter().fold((0f32, 0f32), |(largest, sum), v| {
        let size = v.abs();
        (if size > largest { size } else { largest }, sum + size)
    });
    // A NaN is never the largest, but it is in the sum.
    if !sum.is_finite() {
        return f32::NAN;
    }
    let inverse = if largest > 0.0 { most / largest } else { 0.0 };
    for (value, x) in values.iter_mut().zip(x) {
        *value = whole(x * inverse + ROUNDING);
    }
    largest / most
}
