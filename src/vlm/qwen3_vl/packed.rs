//! Weight matrices laid out for products with few rows: `y = x · Wᵀ`.
//!
//! A prefix grows by a few dozen tokens at a time. A general matrix product then spends much of its time rearranging the
//! weights, and reads four bytes for each. Here they are arranged once, when the model is loaded, in panels of
//! [`PANEL`] outputs:
//! - as f32;
//! - as 8-bit numbers with a scale for every [`GROUP`] inputs, times activations of 16 bits of their row's largest value:
//!   what is lost is the weights' rounding alone;
//! - as 4-bit numbers with a scale and a lowest value for every [`NARROW_GROUP`] inputs, times activations of 8 bits of
//!   their group's largest value: both roundings are felt, and most products are done at once.
//!
//! A row of the result depends on that row of `x` alone, to the last bit: a prefix gets the same score whether it is
//! computed at once or piece by piece.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::super::Dtype;

mod activations;
mod numbers;
mod panels;
mod tiles;

use activations::{GroupedRows, QuantisedRows};
pub(super) use numbers::Numbers;
pub(super) use panels::Panels;
use tiles::{Int4Panel, Int8Rows, NARROW_GROUP, PANEL, Tiles};

/// Inputs that share an output's scale.
const GROUP: usize = 64;
/// Inputs of a panel that are worked on together: with the rows' share of them they fit the first-level cache.
const DEPTH: usize = 256;
/// The same where weights are unfolded to bytes.
const NARROW_DEPTH: usize = 512;
/// Panels that share a pass over the activations.
const STRIP: usize = 2;
/// Products of two numbers that are worth a thread's waking.
const WORTH_A_TASK: usize = 1 << 19;

/// A matrix (outputs, inputs), packed.
pub(super) struct PackedMatrix {
    outputs: usize,
    inputs: usize,
    panels: Arc<Panels>,
}

impl PackedMatrix {
    /// Of panels that were packed before.
    pub fn new(outputs: usize, inputs: usize, panels: Panels) -> Self {
        Self { outputs, inputs, panels: Arc::new(panels) }
    }

    /// What it is made of.
    pub fn panels(&self) -> &Arc<Panels> {
        &self.panels
    }

    /// Packs a matrix that comes in pieces: `rows` is asked for one run of rows after the other, of about `piece` numbers.
    ///
    /// # Errors
    /// What `rows` fails with.
    pub fn pack<E>(
        dtype: Dtype,
        outputs: usize,
        inputs: usize,
        piece: usize,
        rows: impl Fn(Range<usize>) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        let mut panels = Panels::empty(dtype, outputs, inputs);
        let at_once = (piece / inputs.max(1)).next_multiple_of(PANEL).max(PANEL);
        for first in (0..outputs).step_by(at_once) {
            let run = rows(first..outputs.min(first + at_once))?;
            panels.set(first / PANEL, &run, inputs);
        }
        Ok(Self::new(outputs, inputs, panels))
    }

    /// Rows of the matrix, one output each, behind one another, and their width.
    ///
    /// # Errors
    /// An output that the matrix does not have.
    pub fn rows(&self, outputs: &[u32]) -> Result<(Vec<f32>, usize)> {
        let mut values = Vec::with_capacity(outputs.len() * self.inputs);
        for &output in outputs {
            let output = output as usize;
            if output >= self.outputs {
                bail!("row {output} of a matrix with {} rows", self.outputs);
            }
            let (panel, lane) = (output / PANEL, output % PANEL);
            values.extend((0..self.inputs).map(|input| self.panels.number(self.inputs, panel, lane, input)));
        }
        Ok((values, self.inputs))
    }

    /// `x · Wᵀ + bias`: `x` is (rows, inputs), `bias` has one number per output, the result is (rows, outputs).
    pub fn product(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rows = x.len() / self.inputs.max(1);
        assert_eq!(x.len(), rows * self.inputs, "rows of {} numbers", self.inputs);
        let tiles = Tiles::detect();
        let mut strips = vec![0.0; self.outputs.div_ceil(PANEL) * rows * PANEL];
        let mut scales = Vec::new();
        match &*self.panels {
            Panels::F32(weights) => self.product_f32(tiles, weights, x, rows, &mut strips),
            Panels::Int8 { weights, scales: steps } => {
                let x = QuantisedRows::new(x, self.inputs, self.inputs.next_multiple_of(GROUP));
                self.product_int8(tiles, bytemuck::cast_slice(weights), steps, &x, &mut strips);
                scales = x.scales;
            }
            Panels::Int4 { weights, scales, lows } => {
                let width = self.inputs.next_multiple_of(NARROW_GROUP);
                let x = GroupedRows::new(x, self.inputs, width, NARROW_GROUP);
                self.product_int4(tiles, (weights, scales, lows), &x, rows, &mut strips);
            }
        }
        self.gather(&strips, rows, &scales, bias)
    }

    fn product_f32(&self, tiles: Tiles, weights: &[f32], x: &[f32], rows: usize, strips: &mut [f32]) {
        let panel_size = self.inputs * PANEL;
        strips
            .par_chunks_mut((STRIP * rows * PANEL).max(1))
            .zip(weights.par_chunks((STRIP * panel_size).max(1)))
            .with_min_len(strips_of_a_task(rows, self.inputs))
            .for_each(|(strip, weights)| {
                for start in (0..self.inputs).step_by(DEPTH) {
                    let end = self.inputs.min(start + DEPTH);
                    for first_row in (0..rows).step_by(tiles::ROWS) {
                        let count = tiles::ROWS.min(rows - first_row);
                        for (sums, weights) in strip.chunks_mut(rows * PANEL).zip(weights.chunks(panel_size))
                        {
                            let x = &x[first_row * self.inputs + start..];
                            let sums = &mut sums[first_row * PANEL..][..count * PANEL];
                            tiles.f32(&weights[start * PANEL..end * PANEL], x, self.inputs, sums);
                        }
                    }
                }
            });
    }

    fn product_int8(
        &self,
        tiles: Tiles,
        weights: &[i8],
        scales: &[f32],
        x: &QuantisedRows,
        strips: &mut [f32],
    ) {
        let (rows, width) = (x.scales.len(), x.width);
        let (panel_size, panel_scales) = (width * PANEL, width / GROUP * PANEL);
        strips
            .par_chunks_mut((STRIP * rows * PANEL).max(1))
            .zip(weights.par_chunks((STRIP * panel_size).max(1)))
            .zip(scales.par_chunks((STRIP * panel_scales).max(1)))
            .with_min_len(strips_of_a_task(rows, width))
            .for_each(|((strip, weights), scales)| {
                let mut wide = [[0i16; DEPTH * PANEL]; STRIP];
                for start in (0..width).step_by(DEPTH) {
                    let end = width.min(start + DEPTH);
                    for (wide, weights) in wide.iter_mut().zip(weights.chunks(panel_size)) {
                        tiles.widen(&weights[start * PANEL..end * PANEL], wide);
                    }
                    let groups = start / GROUP * PANEL..end / GROUP * PANEL;
                    for first_row in (0..rows).step_by(tiles::ROWS) {
                        let count = tiles::ROWS.min(rows - first_row);
                        let panels =
                            strip.chunks_mut(rows * PANEL).zip(scales.chunks(panel_scales)).zip(&wide);
                        for ((sums, scales), wide) in panels {
                            let x = &x.values[first_row * width + start..];
                            let sums = &mut sums[first_row * PANEL..][..count * PANEL];
                            tiles.int8(
                                &wide[..(end - start) * PANEL],
                                &scales[groups.clone()],
                                x,
                                width,
                                sums,
                            );
                        }
                    }
                }
            });
    }

    fn product_int4(
        &self,
        tiles: Tiles,
        (weights, scales, lows): (&[u8], &[f16], &[f16]),
        x: &GroupedRows,
        rows: usize,
        strips: &mut [f32],
    ) {
        let (width, groups) = (x.width, x.width / NARROW_GROUP);
        let (panel_size, panel_scales) = (width / 2 * PANEL, groups * PANEL);
        let about = scales.par_chunks((STRIP * panel_scales).max(1));
        let about = about.zip(lows.par_chunks((STRIP * panel_scales).max(1)));
        strips
            .par_chunks_mut((STRIP * rows * PANEL).max(1))
            .zip(weights.par_chunks((STRIP * panel_size).max(1)))
            .zip(about)
            .with_min_len(strips_of_a_task(rows, width))
            .for_each(|((strip, weights), (scales, lows))| {
                let mut bytes = [[0u8; NARROW_DEPTH * PANEL]; STRIP];
                let mut about = [[[0f32; NARROW_DEPTH / NARROW_GROUP * PANEL]; 2]; STRIP];
                for start in (0..width).step_by(NARROW_DEPTH) {
                    let end = width.min(start + NARROW_DEPTH);
                    let steps = start / NARROW_GROUP * PANEL..end / NARROW_GROUP * PANEL;
                    let panels = weights
                        .chunks(panel_size)
                        .zip(scales.chunks(panel_scales))
                        .zip(lows.chunks(panel_scales));
                    for ((bytes, about), ((weights, scales), lows)) in
                        bytes.iter_mut().zip(&mut about).zip(panels)
                    {
                        tiles.unfold(&weights[start / 2 * PANEL..end / 2 * PANEL], bytes);
                        scales[steps.clone()].convert_to_f32_slice(&mut about[0][..steps.len()]);
                        lows[steps.clone()].convert_to_f32_slice(&mut about[1][..steps.len()]);
                    }
                    for first_row in (0..rows).step_by(tiles::ROWS) {
                        let count = tiles::ROWS.min(rows - first_row);
                        let group = first_row * groups + start / NARROW_GROUP;
                        let x = Int8Rows {
                            numbers: &x.values[first_row * width + start..],
                            scales: &x.scales[group..],
                            sums: &x.sums[group..],
                            stride: width,
                        };
                        for ((sums, bytes), [scales, lows]) in
                            strip.chunks_mut(rows * PANEL).zip(&bytes).zip(&about)
                        {
                            let numbers = &bytes[..(end - start) * PANEL];
                            let sums = &mut sums[first_row * PANEL..][..count * PANEL];
                            tiles.int4(Int4Panel { numbers, scales, lows }, x, sums);
                        }
                    }
                }
            });
    }

    /// From (panel, row, output in the panel) to (row, output), with the rows' scales and the bias.
    fn gather(&self, strips: &[f32], rows: usize, scales: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0.0; rows * self.outputs];
        let rows_of_a_task = (WORTH_A_TASK / 8).div_ceil(self.outputs.max(1));
        let all = y.par_chunks_mut(self.outputs.max(1)).with_min_len(rows_of_a_task).enumerate();
        all.for_each(|(row, y)| {
            let scale = scales.get(row).copied().unwrap_or(1.0);
            for (panel, y) in y.chunks_mut(PANEL).enumerate() {
                let sums = &strips[(panel * rows + row) * PANEL..][..y.len()];
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum * scale);
            }
            if let Some(bias) = bias {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        });
        y
    }
}

fn strips_of_a_task(rows: usize, inputs: usize) -> usize {
    WORTH_A_TASK.div_ceil((STRIP * PANEL * rows * inputs).max(1))
}

/// A product as candle's operation, on (rows, inputs).
pub(super) struct Product<'a> {
    pub matrix: &'a PackedMatrix,
    pub bias: Option<&'a [f32]>,
}

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "packed-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = layout.shape().dims2()?;
        let (CpuStorage::F32(x), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("a packed product needs contiguous f32 rows");
        };
        if inputs != self.matrix.inputs {
            bail!("rows of {inputs} numbers, and a matrix for {}", self.matrix.inputs);
        }
        let y = self.matrix.product(&x[start..end], self.bias);
        Ok((CpuStorage::F32(y), Shape::from((rows, self.matrix.outputs))))
    }
}

#[cfg(test)]
mod tests;
