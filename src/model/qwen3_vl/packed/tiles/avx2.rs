//! Tiles of up to six rows: twelve sums, two registers of weights and one broadcast activation fill the sixteen there are.

use std::arch::x86_64::*;

use super::super::GROUP;
use super::{Int4Panel, Int6Panel, NARROW_GROUP, NIBBLES, PANEL, portable};

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
/// Needs AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn f32(weights: &[f32], x: &[f32], sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_f32, (weights, x, sums)) }
}

/// # Safety
/// As [`f32`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int8(weights: &[i16], scales: &[f32], x: &[[i16; 2]], sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_int8, (weights, scales, x, sums)) }
}

/// # Safety
/// As [`f32`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int4(weights: Int4Panel, x: &[[i8; 4]], groups: &[[f32; 2]], sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_int4, (weights, x, groups, sums)) }
}

/// # Safety
/// As [`f32`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int6(weights: Int6Panel, x: &[[u8; 4]], groups: &[f32], sums: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { by_rows!(sums.len() / PANEL, tile_int6, (weights, x, groups, sums)) }
}

/// # Safety
/// Needs AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn offsets(numbers: &[i8], offsets: &mut [i32]) {
    // The same loop, compiled for wider registers.
    portable::offsets(numbers, offsets);
}

/// # Safety
/// Needs AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn unfold_sixes(folded: &[u8], numbers: &mut [i8]) {
    // The same loop, compiled for wider registers.
    portable::unfold_sixes(folded, numbers);
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
unsafe fn tile_f32<const ROWS: usize>(weights: &[f32], x: &[f32], out: &mut [f32]) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    // SAFETY: all is read and written in whole chunks of PANEL numbers.
    unsafe {
        for (out, sums) in out.chunks_exact(PANEL).zip(&mut sums) {
            *sums = [_mm256_loadu_ps(out.as_ptr()), _mm256_loadu_ps(out.as_ptr().add(8))];
        }
        for (weights, x) in weights.chunks_exact(PANEL).zip(x.chunks_exact(ROWS)) {
            let left = _mm256_loadu_ps(weights.as_ptr());
            let right = _mm256_loadu_ps(weights.as_ptr().add(8));
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = _mm256_broadcast_ss(x);
                sums[0] = _mm256_fmadd_ps(x, left, sums[0]);
                sums[1] = _mm256_fmadd_ps(x, right, sums[1]);
            }
        }
        for (out, sums) in out.chunks_exact_mut(PANEL).zip(&sums) {
            _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
        }
    }
}

/// # Safety
/// As [`int8`], and `sums` has `ROWS` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_int8<const ROWS: usize>(weights: &[i16], scales: &[f32], x: &[[i16; 2]], sums: &mut [f32]) {
    let groups = weights.chunks_exact(GROUP * PANEL).zip(x.chunks_exact(GROUP / 2 * ROWS));
    for ((weights, x), scales) in groups.zip(scales.chunks_exact(PANEL)) {
        let mut whole = [[_mm256_setzero_si256(); 2]; ROWS];
        // SAFETY: all is read and written in whole chunks of PANEL numbers or pairs.
        unsafe {
            for (weights, x) in weights.chunks_exact(2 * PANEL).zip(x.chunks_exact(ROWS)) {
                let left = _mm256_loadu_si256(weights.as_ptr().cast());
                let right = _mm256_loadu_si256(weights.as_ptr().add(PANEL).cast());
                for (pair, whole) in x.iter().zip(&mut whole) {
                    let pair = _mm256_set1_epi32(bytemuck::cast(*pair));
                    whole[0] = _mm256_add_epi32(whole[0], _mm256_madd_epi16(pair, left));
                    whole[1] = _mm256_add_epi32(whole[1], _mm256_madd_epi16(pair, right));
                }
            }
            let left = _mm256_loadu_ps(scales.as_ptr());
            let right = _mm256_loadu_ps(scales.as_ptr().add(8));
            for (sums, whole) in sums.chunks_exact_mut(PANEL).zip(&whole) {
                let out = sums.as_mut_ptr();
                let sums = [_mm256_loadu_ps(out), _mm256_loadu_ps(out.add(8))];
                _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[0]), left, sums[0]));
                _mm256_storeu_ps(out.add(8), _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[1]), right, sums[1]));
            }
        }
    }
}

/// Two products of a signed 6-bit and an unsigned 8-bit number each, and the sum of two such sums, fit 16 bits. One half of the
/// panel after the other, as there are no registers for the weights beside the sums of both.
///
/// # Safety
/// As [`int6`], and `sums` has `ROWS` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_int6<const ROWS: usize>(weights: Int6Panel, x: &[[u8; 4]], groups: &[f32], sums: &mut [f32]) {
    let ones = _mm256_set1_epi16(1);
    let about = weights.scales.chunks_exact(PANEL).zip(weights.offsets.chunks_exact(PANEL));
    let x = x.chunks_exact(GROUP / 4 * ROWS).zip(groups.chunks_exact(ROWS));
    let groups = weights.numbers.chunks_exact(GROUP * PANEL).zip(x).zip(about);
    for ((weights, (x, groups)), (scales, offsets)) in groups {
        for start in [0, 8] {
            // SAFETY: all is read and written in whole chunks of PANEL numbers or quads, a half of them at a time.
            unsafe {
                let mut whole = [_mm256_loadu_si256(offsets.as_ptr().add(start).cast()); ROWS];
                for (weights, x) in weights.chunks_exact(2 * NIBBLES).zip(x.chunks_exact(2 * ROWS)) {
                    let of_first = _mm256_loadu_si256(weights.as_ptr().add(4 * start).cast());
                    let of_second = _mm256_loadu_si256(weights.as_ptr().add(NIBBLES + 4 * start).cast());
                    let (first, second) = x.split_at(ROWS);
                    for ((first, second), whole) in first.iter().zip(second).zip(&mut whole) {
                        let first = _mm256_set1_epi32(bytemuck::cast(*first));
                        let second = _mm256_set1_epi32(bytemuck::cast(*second));
                        let sum = _mm256_add_epi16(
                            _mm256_maddubs_epi16(first, of_first),
                            _mm256_maddubs_epi16(second, of_second),
                        );
                        *whole = _mm256_add_epi32(*whole, _mm256_madd_epi16(sum, ones));
                    }
                }
                let scale = _mm256_loadu_ps(scales.as_ptr().add(start));
                for ((sums, whole), x_scale) in sums.chunks_exact_mut(PANEL).zip(whole).zip(groups) {
                    let out = sums.as_mut_ptr().add(start);
                    let dot = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), _mm256_broadcast_ss(x_scale));
                    _mm256_storeu_ps(out, _mm256_fmadd_ps(dot, scale, _mm256_loadu_ps(out)));
                }
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
unsafe fn tile_int4<const ROWS: usize>(
    weights: Int4Panel,
    x: &[[i8; 4]],
    groups: &[[f32; 2]],
    sums: &mut [f32],
) {
    let ones = _mm256_set1_epi16(1);
    let about = weights.scales.chunks_exact(PANEL).zip(weights.lows.chunks_exact(PANEL));
    let x = x.chunks_exact(NARROW_GROUP / 4 * ROWS).zip(groups.chunks_exact(ROWS));
    let groups = weights.numbers.chunks_exact(NARROW_GROUP * PANEL).zip(x).zip(about);
    for ((weights, (x, groups)), (scales, lows)) in groups {
        let mut whole = [[_mm256_setzero_si256(); 2]; ROWS];
        // SAFETY: all is read and written in whole chunks of PANEL numbers or quads.
        unsafe {
            for (weights, x) in weights.chunks_exact(NIBBLES).zip(x.chunks_exact(ROWS)) {
                let left = _mm256_loadu_si256(weights.as_ptr().cast());
                let right = _mm256_loadu_si256(weights.as_ptr().add(NIBBLES / 2).cast());
                for (quad, whole) in x.iter().zip(&mut whole) {
                    let quad = _mm256_set1_epi32(bytemuck::cast(*quad));
                    whole[0] = _mm256_add_epi16(whole[0], _mm256_maddubs_epi16(left, quad));
                    whole[1] = _mm256_add_epi16(whole[1], _mm256_maddubs_epi16(right, quad));
                }
            }
            for (half, start) in [0, 8].into_iter().enumerate() {
                let scale = _mm256_loadu_ps(scales.as_ptr().add(start));
                let low = _mm256_loadu_ps(lows.as_ptr().add(start));
                for ((sums, whole), [x_scale, x_sum]) in sums.chunks_exact_mut(PANEL).zip(&whole).zip(groups)
                {
                    let out = sums.as_mut_ptr().add(start);
                    let dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(whole[half], ones));
                    let sum = _mm256_fmadd_ps(low, _mm256_broadcast_ss(x_sum), _mm256_loadu_ps(out));
                    let dot = _mm256_mul_ps(dot, _mm256_broadcast_ss(x_scale));
                    _mm256_storeu_ps(out, _mm256_fmadd_ps(dot, scale, sum));
                }
            }
        }
    }
}
