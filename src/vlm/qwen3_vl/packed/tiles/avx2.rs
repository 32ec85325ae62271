//! Tiles of up to six rows: twelve sums, two registers of weights and one broadcast activation fill the sixteen there are.

use std::arch::x86_64::*;

use super::super::GROUP;
use super::{Int4Panel, Int8Rows, NARROW_GROUP, NIBBLES, PANEL, portable};

/// Runs `$tile::<rows>` for the number of rows at hand.
macro_rules! by_rows {
    ($rows:expr, $tile:ident, $arguments:tt) => {
        match $rows {
            1 => $tile::<1> $arguments,
            2 => $tile::<2> $arguments,
            3 => $tile::<3> $arguments,
            4 => $tile::<4> $arguments,
            5 => $tile::<5> $arguments,
            _ => $tile::<6> $arguments,
        }
    };
}

/// # Safety
/// Needs AVX2 and FMA, and rows of `x` that hold as many numbers as `weights` has inputs.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn f32(weights: &[f32], x: &[f32], stride: usize, sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_f32, (weights, x, stride, sums)) }
}

/// # Safety
/// As [`f32`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int8(weights: &[i16], scales: &[f32], x: &[i16], stride: usize, sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_int8, (weights, scales, x, stride, sums)) }
}

/// # Safety
/// As [`f32`]; the rows' scales and sums too.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int4(weights: Int4Panel, x: Int8Rows, sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_int4, (weights, x, sums)) }
}

/// # Safety
/// Needs AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn unfold(folded: &[u8], bytes: &mut [u8]) {
    // The same loop, compiled for wider registers.
    portable::unfold(folded, bytes);
}

/// # Safety
/// Needs AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn widen(narrow: &[i8], wide: &mut [i16]) {
    // The same loop, compiled for wider registers.
    portable::widen(narrow, wide);
}

/// # Safety
/// As [`f32`], and `sums` has `ROWS` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_f32<const ROWS: usize>(weights: &[f32], x: &[f32], stride: usize, sums: &mut [f32]) {
    let (x, out) = (x.as_ptr(), sums.as_mut_ptr());
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    // SAFETY: `weights` is read in whole chunks of PANEL numbers, `x` at its `ROWS` rows, `sums` at its `ROWS` rows of PANEL.
    unsafe {
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = [_mm256_loadu_ps(out.add(row * PANEL)), _mm256_loadu_ps(out.add(row * PANEL + 8))];
        }
        for (input, weights) in weights.chunks_exact(PANEL).enumerate() {
            let left = _mm256_loadu_ps(weights.as_ptr());
            let right = _mm256_loadu_ps(weights.as_ptr().add(8));
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*x.add(row * stride + input));
                sums[0] = _mm256_fmadd_ps(x, left, sums[0]);
                sums[1] = _mm256_fmadd_ps(x, right, sums[1]);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            _mm256_storeu_ps(out.add(row * PANEL), sums[0]);
            _mm256_storeu_ps(out.add(row * PANEL + 8), sums[1]);
        }
    }
}

/// # Safety
/// As [`int8`], and `sums` has `ROWS` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_int8<const ROWS: usize>(
    weights: &[i16],
    scales: &[f32],
    x: &[i16],
    stride: usize,
    sums: &mut [f32],
) {
    let (x, out) = (x.as_ptr(), sums.as_mut_ptr());
    let groups = weights.chunks_exact(GROUP * PANEL).zip(scales.chunks_exact(PANEL)).enumerate();
    for (group, (weights, scales)) in groups {
        let mut whole = [[_mm256_setzero_si256(); 2]; ROWS];
        // SAFETY: `weights` is read in whole chunks, `x` at its `ROWS` rows, `sums` at its `ROWS` rows of PANEL.
        unsafe {
            for (pair, weights) in weights.chunks_exact(2 * PANEL).enumerate() {
                let left = _mm256_loadu_si256(weights.as_ptr().cast());
                let right = _mm256_loadu_si256(weights.as_ptr().add(PANEL).cast());
                for (row, whole) in whole.iter_mut().enumerate() {
                    let pair = x.add(row * stride + group * GROUP + 2 * pair);
                    let pair = _mm256_set1_epi32(pair.cast::<i32>().read_unaligned());
                    whole[0] = _mm256_add_epi32(whole[0], _mm256_madd_epi16(pair, left));
                    whole[1] = _mm256_add_epi32(whole[1], _mm256_madd_epi16(pair, right));
                }
            }
            let left = _mm256_loadu_ps(scales.as_ptr());
            let right = _mm256_loadu_ps(scales.as_ptr().add(8));
            for (row, whole) in whole.iter().enumerate() {
                let out = out.add(row * PANEL);
                let sums = [_mm256_loadu_ps(out), _mm256_loadu_ps(out.add(8))];
                _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[0]), left, sums[0]));
                _mm256_storeu_ps(out.add(8), _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[1]), right, sums[1]));
            }
        }
    }
}

/// Products of an unsigned 4-bit and a signed 8-bit number are summed up in 16 bits within a group: half as many
/// multiplications as [`tile_int8`] needs.
///
/// # Safety
/// As [`int4`], and `sums` has `ROWS` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_int4<const ROWS: usize>(weights: Int4Panel, x: Int8Rows, sums: &mut [f32]) {
    let out = sums.as_mut_ptr();
    let (numbers, x_scales, x_sums) = (x.numbers.as_ptr(), x.scales.as_ptr(), x.sums.as_ptr());
    let groups_apart = x.stride / NARROW_GROUP;
    let scales = weights.scales.chunks_exact(PANEL).zip(weights.lows.chunks_exact(PANEL));
    let groups = weights.numbers.chunks_exact(NARROW_GROUP * PANEL).zip(scales).enumerate();
    for (group, (weights, (scales, lows))) in groups {
        let mut whole = [[_mm256_setzero_si256(); 2]; ROWS];
        // SAFETY: `weights`, `scales` and `lows` are read in whole chunks, `x` at its `ROWS` rows, `sums` at its `ROWS` rows
        // of PANEL.
        unsafe {
            for (quad, weights) in weights.chunks_exact(NIBBLES).enumerate() {
                let left = _mm256_loadu_si256(weights.as_ptr().cast());
                let right = _mm256_loadu_si256(weights.as_ptr().add(NIBBLES / 2).cast());
                for (row, whole) in whole.iter_mut().enumerate() {
                    let quad = numbers.add(row * x.stride + group * NARROW_GROUP + 4 * quad);
                    let quad = _mm256_set1_epi32(quad.cast::<i32>().read_unaligned());
                    whole[0] = _mm256_add_epi16(whole[0], _mm256_maddubs_epi16(left, quad));
                    whole[1] = _mm256_add_epi16(whole[1], _mm256_maddubs_epi16(right, quad));
                }
            }
            let ones = _mm256_set1_epi16(1);
            for (half, start) in [0, 8].into_iter().enumerate() {
                let scale = _mm256_loadu_ps(scales.as_ptr().add(start));
                let low = _mm256_loadu_ps(lows.as_ptr().add(start));
                for (row, whole) in whole.iter().enumerate() {
                    let out = out.add(row * PANEL + start);
                    let x_scale = _mm256_broadcast_ss(&*x_scales.add(row * groups_apart + group));
                    let x_sum = _mm256_broadcast_ss(&*x_sums.add(row * groups_apart + group));
                    let dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(whole[half], ones));
                    let sum = _mm256_fmadd_ps(low, x_sum, _mm256_loadu_ps(out));
                    _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_mul_ps(dot, x_scale), scale, sum));
                }
            }
        }
    }
}
