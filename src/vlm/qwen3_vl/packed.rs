//! Weight matrices laid out for products with few rows: `y = x · Wᵀ`.
//!
//! A prefix grows by a few dozen tokens at a time. A general matrix product then spends much of its time rearranging the
//! weights, and reads four bytes for each. Here they are arranged once, when the model is loaded, in panels of
//! [`PANEL`] outputs, either as f32 or as 8-bit numbers with a scale for every [`GROUP`] inputs. Activations of an 8-bit
//! product are rounded to 16 bits of their row's largest value, so what is lost is the weights' rounding alone.
//!
//! A row of the result depends on that row of `x` alone, to the last bit: a prefix gets the same score whether it is
//! computed at once or piece by piece.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::super::Dtype;

mod activations;
mod tiles;

use activations::{GroupedRows, QuantisedRows};
use tiles::{Int4Panel, Int8Rows, NARROW_GROUP, NIBBLES, PANEL, Tiles};

/// Inputs that share an output's scale.
const GROUP: usize = 64;
/// Inputs of a panel that are worked on together: with the rows' share of them they fit the first-level cache.
const DEPTH: usize = 256;
/// The same where weights are unfolded to bytes.
const NARROW_DEPTH: usize = 512;
/// The largest 4-bit number.
const MOST: f32 = 15.0;
/// Panels that share a pass over the activations.
const STRIP: usize = 2;
/// Products of two numbers that are worth a thread's waking.
const WORTH_A_TASK: usize = 1 << 19;
/// The largest 8-bit weight; -128 is not used.
const LARGEST: f32 = 127.0;

/// A matrix (outputs, inputs), packed.
pub(super) struct PackedMatrix {
    outputs: usize,
    inputs: usize,
    panels: Panels,
}

enum Panels {
    /// (panel, input, output in the panel)
    F32(Vec<f32>),
    Int8 {
        /// (panel, pair of inputs, output in the panel, input of the pair); inputs padded to whole groups.
        weights: Vec<i8>,
        /// (panel, group, output in the panel)
        scales: Vec<f32>,
    },
    Int4 {
        /// (panel, two quads of inputs, output in the panel, input of the quad), the first quad in the low halves; inputs
        /// padded to whole groups of [`NARROW_GROUP`].
        weights: Vec<u8>,
        /// What a step is worth and what 0 stands for, (panel, group, output in the panel) each.
        scales: Vec<f16>,
        lows: Vec<f16>,
    },
}

impl Panels {
    /// Writes the panels from `first` on, whose rows are these.
    fn set(&mut self, first: usize, rows: &[f32], inputs: usize) {
        let of_panel = rows.par_chunks((PANEL * inputs).max(1));
        match self {
            Self::F32(weights) => {
                let panels = weights[first * PANEL * inputs..].par_chunks_mut((PANEL * inputs).max(1));
                panels.zip(of_panel).for_each(|(panel, rows)| pack_f32(rows, inputs, panel));
            }
            Self::Int8 { weights, scales } => {
                let groups = inputs.div_ceil(GROUP);
                let (size, steps) = (PANEL * groups * GROUP, PANEL * groups);
                let weights = weights[first * size..].par_chunks_mut(size.max(1));
                let panels = weights.zip(scales[first * steps..].par_chunks_mut(steps.max(1)));
                panels
                    .zip(of_panel)
                    .for_each(|((panel, scales), rows)| pack_int8(rows, inputs, panel, scales));
            }
            Self::Int4 { weights, scales, lows } => {
                let groups = inputs.div_ceil(NARROW_GROUP);
                let (size, steps) = (PANEL * groups * NARROW_GROUP / 2, PANEL * groups);
                let about = scales[first * steps..].par_chunks_mut(steps.max(1));
                let about = about.zip(lows[first * steps..].par_chunks_mut(steps.max(1)));
                let panels = weights[first * size..].par_chunks_mut(size.max(1)).zip(about);
                panels.zip(of_panel).for_each(|((panel, (scales, lows)), rows)| {
                    pack_int4(rows, inputs, panel, scales, lows);
                });
            }
        }
    }
}

fn pack_f32(rows: &[f32], inputs: usize, panel: &mut [f32]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (input, &weight) in row.iter().enumerate() {
            panel[input * PANEL + lane] = weight;
        }
    }
}

/// Each number becomes the nearest of 255 steps of its group.
fn pack_int8(rows: &[f32], inputs: usize, panel: &mut [i8], scales: &mut [f32]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (group, values) in row.chunks(GROUP).enumerate() {
            let scale = largest(values) / LARGEST;
            scales[group * PANEL + lane] = scale;
            let inverse = inverse(scale);
            for (offset, value) in values.iter().enumerate() {
                let input = group * GROUP + offset;
                panel[(input / 2 * PANEL + lane) * 2 + input % 2] = (value * inverse).round() as i8;
            }
        }
    }
}

fn pack_int4(rows: &[f32], inputs: usize, panel: &mut [u8], scales: &mut [f16], lows: &mut [f16]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (group, values) in row.chunks(NARROW_GROUP).enumerate() {
            let (scale, low) = steps_of(values);
            (scales[group * PANEL + lane], lows[group * PANEL + lane]) = (scale, low);
            let (inverse, low) = (inverse(scale.to_f32()), low.to_f32());
            for (offset, value) in values.iter().enumerate() {
                let input = group * NARROW_GROUP + offset;
                let number = ((value - low) * inverse).round().clamp(0.0, MOST) as u8;
                panel[input / 8 * NIBBLES + lane * 4 + input % 4] |= number << (input % 8 / 4 * 4);
            }
        }
    }
}

/// The step and the lowest of 16 values that lose least of a group, in squares: its range, or a little less of it, as
/// its ends are rare.
fn steps_of(values: &[f32]) -> (f16, f16) {
    if largest(values).is_nan() {
        return (f16::NAN, f16::NAN);
    }
    let (lowest, highest) = values.iter().fold((0f32, 0f32), |(low, high), &v| (v.min(low), v.max(high)));
    let candidates = [1.0, 0.95, 0.9, 0.85, 0.8].map(|share| {
        let low = f16::from_f32(lowest * share);
        let scale = f16::from_f32((highest * share - low.to_f32()) / MOST);
        let (step, inverse, low_f32) = (scale.to_f32(), inverse(scale.to_f32()), low.to_f32());
        let lost = values.iter().map(|v| {
            let number = ((v - low_f32) * inverse).round().clamp(0.0, MOST);
            (v - (low_f32 + number * step)).powi(2)
        });
        (lost.sum::<f32>(), scale, low)
    });
    let best = candidates.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or((f16::ZERO, f16::ZERO), |(_, scale, low)| (scale, low))
}

fn inverse(step: f32) -> f32 {
    if step > 0.0 { 1.0 / step } else { 0.0 }
}

impl PackedMatrix {
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
        let (panels, groups) = (outputs.div_ceil(PANEL), inputs.div_ceil(GROUP));
        let mut panels = match dtype {
            Dtype::F32 => Panels::F32(vec![0.0; panels * PANEL * inputs]),
            Dtype::Q8 => Panels::Int8 {
                weights: vec![0; panels * PANEL * groups * GROUP],
                scales: vec![0.0; panels * PANEL * groups],
            },
            Dtype::Q4 => {
                let groups = inputs.div_ceil(NARROW_GROUP);
                Panels::Int4 {
                    weights: vec![0; panels * PANEL * groups * NARROW_GROUP / 2],
                    scales: vec![f16::ZERO; panels * PANEL * groups],
                    lows: vec![f16::ZERO; panels * PANEL * groups],
                }
            }
        };
        let at_once = (piece / inputs.max(1)).next_multiple_of(PANEL).max(PANEL);
        for first in (0..outputs).step_by(at_once) {
            let run = rows(first..outputs.min(first + at_once))?;
            panels.set(first / PANEL, &run, inputs);
        }
        Ok(Self { outputs, inputs, panels })
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
            values.extend((0..self.inputs).map(|input| self.weight(panel, lane, input)));
        }
        Ok((values, self.inputs))
    }

    fn weight(&self, panel: usize, lane: usize, input: usize) -> f32 {
        match &self.panels {
            Panels::F32(weights) => weights[(panel * self.inputs + input) * PANEL + lane],
            Panels::Int8 { weights, scales } => {
                let groups = self.inputs.div_ceil(GROUP);
                let pair = panel * groups * GROUP / 2 + input / 2;
                let scale = scales[(panel * groups + input / GROUP) * PANEL + lane];
                f32::from(weights[(pair * PANEL + lane) * 2 + input % 2]) * scale
            }
            Panels::Int4 { weights, scales, lows } => {
                let groups = self.inputs.div_ceil(NARROW_GROUP);
                let about = (panel * groups + input / NARROW_GROUP) * PANEL + lane;
                let place =
                    panel * groups * NARROW_GROUP / 2 * PANEL + input / 8 * NIBBLES + lane * 4 + input % 4;
                let number = weights[place] >> (input % 8 / 4 * 4) & 15;
                lows[about].to_f32() + f32::from(number) * scales[about].to_f32()
            }
        }
    }

    /// `x · Wᵀ + bias`: `x` is (rows, inputs), `bias` has one number per output, the result is (rows, outputs).
    pub fn product(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rows = x.len() / self.inputs.max(1);
        assert_eq!(x.len(), rows * self.inputs, "rows of {} numbers", self.inputs);
        let tiles = Tiles::detect();
        let mut strips = vec![0.0; self.outputs.div_ceil(PANEL) * rows * PANEL];
        let mut scales = Vec::new();
        match &self.panels {
            Panels::F32(weights) => self.product_f32(tiles, weights, x, rows, &mut strips),
            Panels::Int8 { weights, scales: steps } => {
                let x = QuantisedRows::new(x, self.inputs, self.inputs.next_multiple_of(GROUP));
                self.product_int8(tiles, weights, steps, &x, &mut strips);
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

/// The largest size of a number; none if one of them is none.
fn largest(values: &[f32]) -> f32 {
    let (largest, sum) = values.iter().fold((0f32, 0.0), |(most, sum), v| (v.abs().max(most), sum + v.abs()));
    if f32::is_finite(sum) { largest } else { f32::NAN }
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
mod tests {
    use super::*;

    const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::Q8, Dtype::Q4];

    /// Numbers between -1 and 1.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// In two pieces or more, where there are rows for it.
    fn packed(dtype: Dtype, weights: &[f32], outputs: usize, inputs: usize) -> PackedMatrix {
        assert_eq!(weights.len(), outputs * inputs);
        let rows = |rows: Range<usize>| Ok::<_, ()>(weights[rows.start * inputs..rows.end * inputs].to_vec());
        PackedMatrix::pack(dtype, outputs, inputs, 20 * inputs, rows).unwrap()
    }

    /// In f64, with the bias.
    fn exact(x: &[f32], weights: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let row = |x| weights.chunks(inputs).zip(bias).map(move |(w, b)| dot(x, w) + f64::from(*b));
        x.chunks(inputs).flat_map(row).collect()
    }

    fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
        assert_eq!(got.len(), expected.len());
        let off: f64 = got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).powi(2)).sum();
        (off / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
    }

    /// Rows on both sides of a tile's, outputs and inputs that fill no panel, group or pass.
    const SHAPES: [(usize, usize, usize); 6] =
        [(1, 16, 64), (6, 32, 256), (7, 33, 100), (13, 70, 333), (57, 40, 1000), (2, 1, 1)];

    #[test]
    fn products_are_those_of_the_matrix() {
        for (rows, outputs, inputs) in SHAPES {
            let (x, weights, bias) =
                (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
            let expected = exact(&x, &weights, &bias, inputs);
            let f32 = packed(Dtype::F32, &weights, outputs, inputs).product(&x, Some(&bias));
            assert!(relative_error(&f32, &expected) < 1e-6, "{rows} {outputs} {inputs}");
            // Evenly spread weights are off by a 127th of the largest, divided by √12: 0.4 % of their own size.
            let int8 = packed(Dtype::Q8, &weights, outputs, inputs).product(&x, Some(&bias));
            assert!(relative_error(&int8, &expected) < 6e-3, "{rows} {outputs} {inputs}");
            // Sixteen steps: a 15th of the range, divided by √12, and the activations' 8 bits.
            let int4 = packed(Dtype::Q4, &weights, outputs, inputs).product(&x, Some(&bias));
            assert!(relative_error(&int4, &expected) < 0.08, "{rows} {outputs} {inputs}");
        }
    }

    #[test]
    fn weights_on_the_steps_lose_only_the_activations_rounding() {
        let (rows, outputs, inputs) = (9, 20, 192);
        let mut weights: Vec<f32> =
            numbers(outputs * inputs, 5).iter().map(|w| (w * 126.0).round()).collect();
        weights.iter_mut().step_by(GROUP).for_each(|w| *w = 127.0);
        let (x, bias) = (numbers(rows * inputs, 6), vec![0.0; outputs]);
        let packed = packed(Dtype::Q8, &weights, outputs, inputs);
        let off = relative_error(&packed.product(&x, None), &exact(&x, &weights, &bias, inputs));
        assert!(off < 5e-5, "{off}");
    }

    #[test]
    fn rows_come_back() {
        let (outputs, inputs) = (37, 100);
        let weights = numbers(outputs * inputs, 4);
        let row = |index: usize| &weights[index * inputs..][..inputs];
        let wanted: Vec<f64> = [row(36), row(0), row(17)].concat().into_iter().map(f64::from).collect();
        let (f32, width) = packed(Dtype::F32, &weights, outputs, inputs).rows(&[36, 0, 17]).unwrap();
        assert_eq!((relative_error(&f32, &wanted), width), (0.0, inputs));
        let int4 = packed(Dtype::Q4, &weights, outputs, inputs);
        assert!(relative_error(&int4.rows(&[36, 0, 17]).unwrap().0, &wanted) < 0.08);
        let int8 = packed(Dtype::Q8, &weights, outputs, inputs);
        assert!(relative_error(&int8.rows(&[36, 0, 17]).unwrap().0, &wanted) < 6e-3);
        assert!(int8.rows(&[37]).unwrap_err().to_string().contains("row 37"));
    }

    #[test]
    fn a_row_is_the_same_in_any_company() {
        let (rows, outputs, inputs) = (23, 50, 300);
        let (x, weights) = (numbers(rows * inputs, 7), numbers(outputs * inputs, 8));
        for dtype in DTYPES {
            let matrix = packed(dtype, &weights, outputs, inputs);
            let together = matrix.product(&x, None);
            let alone: Vec<f32> = x.chunks(inputs).flat_map(|row| matrix.product(row, None)).collect();
            assert_eq!(together, alone);
        }
    }

    #[test]
    fn instructions_make_no_difference() {
        let (inputs, stride) = (2 * GROUP, 2 * GROUP + 6);
        for rows in 1..=tiles::ROWS {
            let (x, weights) = (numbers(rows * stride, 9), numbers(inputs * PANEL, 10));
            let whole =
                |values: &[f32], most: f32| values.iter().map(|v| (v * most) as i16).collect::<Vec<_>>();
            let (x_whole, weights_whole) = (whole(&x, 32_767.0), whole(&weights, 127.0));
            let (scales, lows) =
                (numbers(inputs / NARROW_GROUP * PANEL, 11), numbers(inputs / NARROW_GROUP * PANEL, 14));
            let x_scales = numbers(rows * inputs / NARROW_GROUP, 12);
            let narrow: Vec<i8> =
                x_whole[..rows * inputs].iter().map(|v| ((v >> 8) as i8).max(-127)).collect();
            let folded: Vec<u8> = weights_whole[..inputs * PANEL / 2].iter().map(|v| *v as u8).collect();
            let mut unfolded = vec![0; inputs * PANEL];
            let mut run = |tiles: Tiles| {
                let mut sums = [(); 3].map(|()| vec![0.5; rows * PANEL]);
                tiles.f32(&weights, &x, stride, &mut sums[0]);
                tiles.int8(&weights_whole, &scales[..2 * PANEL], &x_whole, stride, &mut sums[1]);
                tiles.unfold(&folded, &mut unfolded);
                let weights = Int4Panel { numbers: &unfolded, scales: &scales, lows: &lows };
                let x = Int8Rows { numbers: &narrow, scales: &x_scales, sums: &x_scales, stride: inputs };
                tiles.int4(weights, x, &mut sums[2]);
                sums.map(|sums| sums.into_iter().map(f64::from).collect::<Vec<_>>())
            };
            let (found, plain) = (run(Tiles::detect()), run(Tiles::Portable));
            for (found, plain) in found.iter().zip(&plain) {
                let found: Vec<f32> = found.iter().map(|v| *v as f32).collect();
                assert!(relative_error(&found, plain) < 1e-6);
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let inputs = 4 * GROUP;
        let matrix = packed(Dtype::Q8, &vec![-3.0; inputs], 1, inputs);
        let off = relative_error(&matrix.product(&vec![1e6; inputs], None), &[-3e6 * inputs as f64]);
        assert!(off < 1e-6, "{off}");
    }

    #[test]
    fn no_number_stays_none_and_nothing_stays_nothing() {
        let weights = numbers(16 * 64, 12);
        for matrix in DTYPES.map(|dtype| packed(dtype, &weights, 16, 64)) {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut x = vec![0.0; 2 * 64];
                x[70] = bad;
                let y = matrix.product(&x, None);
                assert!(y[..16].iter().all(|v| *v == 0.0) && y[16..].iter().all(|v| !v.is_finite()));
            }
            assert!(matrix.product(&[], None).is_empty());
        }
        for dtype in DTYPES {
            assert_eq!(packed(dtype, &[0.0; 64], 1, 64).product(&[1.0; 64], None), [0.0]);
            let mut damaged = [0.5; 64];
            damaged[33] = f32::NAN;
            assert!(packed(dtype, &damaged, 1, 64).product(&[1.0; 64], None)[0].is_nan());
        }
    }
}
