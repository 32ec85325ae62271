//! Elementwise kernels that work in place, and copies of heads, on all cores.
//!
//! candle's own activations, broadcast sums and copies allocate their result and run on one thread, beside matrix products
//! that use every core. All kernels are for contiguous f32 tensors on the CPU.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Below this many numbers a second thread costs more than it saves.
const PARALLEL_CHUNK: usize = 1 << 13;

/// 1.5 · 2²³: behind a sum with it the lowest bits are the other number, rounded. Unlike `round` this needs no instruction
/// that an old processor lacks, and unlike `as` it becomes vector code.
pub(super) const ROUNDING: f32 = 12_582_912.0;

/// `e^x` to within 2 units in the last place, in a form the compiler turns into vector instructions.
///
/// The argument is split into `n · ln 2 + r`; `e^r` is a polynomial and `2^n` an exponent. A NaN stays a NaN;
/// results below f32's normal range become about 1e-38.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.0;
    const HIGHEST: f32 = 88.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Written as comparisons because `f32::clamp` and `f32::max` may drop a NaN.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let n = shifted - ROUNDING;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let tail =
        ((((1.0 / 5040.0 * r + 1.0 / 720.0) * r + 1.0 / 120.0) * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5;
    let mantissa = tail * r * r + r + 1.0;
    let exponent = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * exponent
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // x · (1 + tanh u) / 2 with u = √(2/π) · (x + 0.044715 x³), and (1 + tanh u) / 2 = 1 / (1 + e^(−2u)).
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x / (1.0 + exp(-TWICE_SQRT_2_OVER_PI * x * (1.0 + 0.044_715 * x * x)))
}

fn gelu_erf(x: f32) -> f32 {
    let phi = 0.5 * (1.0 + candle_core::cpu::erf::erf_f32(x * std::f32::consts::FRAC_1_SQRT_2));
    x * phi
}

#[inline(always)]
fn swiglu(gate: f32, up: f32) -> f32 {
    gate / (1.0 + exp(-gate)) * up
}

#[inline(always)]
fn add(x: f32, y: f32) -> f32 {
    x + y
}

/// `x ← gelu(x)` in the tanh approximation of the vision blocks.
pub(super) fn gelu_tanh_in_place(x: &Tensor) -> Result<()> {
    x.inplace_op1(&Map { name: "gelu-tanh", function: gelu_tanh })
}

/// `x ← gelu(x)`, exact.
pub(super) fn gelu_erf_in_place(x: &Tensor) -> Result<()> {
    x.inplace_op1(&Map { name: "gelu-erf", function: gelu_erf })
}

/// `gate ← silu(gate) · up`.
pub(super) fn swiglu_in_place(gate: &Tensor, up: &Tensor) -> Result<()> {
    gate.inplace_op2(up, &Zip { name: "swiglu", function: swiglu })
}

/// `x ← x + y`, both of one shape.
pub(super) fn add_in_place(x: &Tensor, y: &Tensor) -> Result<()> {
    x.inplace_op2(y, &Zip { name: "add", function: add })
}

/// The heads that stand side by side in some columns of `x`, (rows, width): (heads, rows, head_dim).
pub(super) fn heads(x: &Tensor, columns: Range<usize>, head_dim: usize) -> Result<Tensor> {
    x.apply_op1_no_bwd(&SplitHeads { columns, head_dim })
}

struct SplitHeads {
    columns: Range<usize>,
    head_dim: usize,
}

impl CustomOp1 for SplitHeads {
    fn name(&self) -> &'static str {
        "split-heads"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let (x, Self { columns, head_dim }) = (read(storage, layout)?, self);
        if columns.end > width || !columns.len().is_multiple_of(*head_dim) {
            bail!("heads of {head_dim} numbers in columns {columns:?} of {width}");
        }
        let heads = columns.len() / head_dim;
        let mut split = vec![0.0; heads * rows * head_dim];
        split.par_chunks_mut((rows * head_dim).max(1)).enumerate().for_each(|(head, split)| {
            let first = columns.start + head * head_dim;
            for (row, x) in split.chunks_exact_mut(*head_dim).zip(x.chunks_exact(width)) {
                row.copy_from_slice(&x[first..first + head_dim]);
            }
        });
        Ok((CpuStorage::F32(split), Shape::from((heads, rows, *head_dim))))
    }
}

/// Runs `work` compiled for the vector instructions that this processor has; its results are the same with any.
pub(super) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

struct Map<F> {
    name: &'static str,
    function: F,
}

impl<F: Fn(f32) -> f32 + Sync> InplaceOp1 for Map<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        written(storage, layout)?.par_chunks_mut(PARALLEL_CHUNK).for_each(|values| {
            vectorised(
                #[inline(always)]
                || values.iter_mut().for_each(|v| *v = (self.function)(*v)),
            );
        });
        Ok(())
    }
}

struct Zip<F> {
    name: &'static str,
    function: F,
}

impl<F: Fn(f32, f32) -> f32 + Sync> InplaceOp2 for Zip<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (x, y) = (written(x, x_layout)?, read(y, y_layout)?);
        if x.len() != y.len() {
            bail!("{}: {} numbers and {}", self.name, x.len(), y.len());
        }
        x.par_chunks_mut(PARALLEL_CHUNK).zip(y.par_chunks(PARALLEL_CHUNK)).for_each(|(x, y)| {
            vectorised(
                #[inline(always)]
                || x.iter_mut().zip(y).for_each(|(x, y)| *x = (self.function)(*x, *y)),
            );
        });
        Ok(())
    }
}

/// A reduction in eight independent lanes, which the compiler can keep in vector registers.
#[inline(always)]
pub(super) fn lanes(values: &[f32], start: f32, step: impl Fn(f32, f32) -> f32) -> [f32; 8] {
    let mut accumulators = [start; 8];
    let chunks = values.chunks_exact(8);
    for (accumulator, &v) in accumulators.iter_mut().zip(chunks.remainder()) {
        *accumulator = step(*accumulator, v);
    }
    for chunk in chunks {
        for (accumulator, &v) in accumulators.iter_mut().zip(chunk) {
            *accumulator = step(*accumulator, v);
        }
    }
    accumulators
}

fn written<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("an in-place kernel needs a contiguous f32 tensor"),
    }
}

fn read<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("an in-place kernel needs a contiguous f32 operand"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f32], shape: (usize, usize)) -> Tensor {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    }

    fn close(got: &Tensor, expected: &[f64], tolerance: f64) {
        let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.into_iter().zip(expected) {
            assert!(
                (f64::from(got) - expected).abs() <= tolerance * expected.abs().max(1.0),
                "{got} {expected}"
            );
        }
    }

    #[test]
    fn exp_is_right_to_two_units_in_the_last_place() {
        for step in -87_000..88_000 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(relative <= 2.5e-7, "e^{x}: off by {relative}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn activations_follow_their_formulas() {
        let values: Vec<f32> = (-60..=60).map(|step| step as f32 / 10.0).collect();
        let count = values.len();
        let exact = |x: f64, tanh: bool| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            if tanh {
                0.5 * x * (1.0 + u.tanh())
            } else {
                x * 0.5 * candle_core::cpu::erf::erfc_f64(-x / 2f64.sqrt())
            }
        };
        let tanh = tensor(&values, (1, count));
        gelu_tanh_in_place(&tanh).unwrap();
        close(&tanh, &values.iter().map(|&x| exact(x.into(), true)).collect::<Vec<_>>(), 1e-6);
        let erf = tensor(&values, (1, count));
        gelu_erf_in_place(&erf).unwrap();
        close(&erf, &values.iter().map(|&x| exact(x.into(), false)).collect::<Vec<_>>(), 1e-6);
        let gate = tensor(&values, (1, count));
        swiglu_in_place(&gate, &tensor(&vec![3.0; count], (1, count))).unwrap();
        let expected: Vec<f64> =
            values.iter().map(|&x| 3.0 * f64::from(x) / (1.0 + (-f64::from(x)).exp())).collect();
        close(&gate, &expected, 1e-6);
    }

    #[test]
    fn sums_reach_a_part_of_a_tensor() {
        let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2));
        add_in_place(&x.narrow(0, 1, 1).unwrap(), &tensor(&[10.0, 20.0], (1, 2))).unwrap();
        close(&x, &[1.0, 2.0, 13.0, 24.0, 5.0, 6.0], 0.0);
        assert!(add_in_place(&x, &tensor(&[1.0, 2.0], (1, 2))).is_err());
    }
}
