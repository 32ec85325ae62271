//! How a matrix lies in memory, and how its numbers are rounded.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::super::super::Dtype;
use super::super::ops::{ROUNDING, lanes, vectorised};
use super::GROUP;
use super::numbers::Numbers;
use super::tiles::{NARROW_GROUP, NIBBLES, PANEL, SIXES, SIXES_INPUTS, signed};

/// The largest 8-bit weight; -128 is not used.
const LARGEST: f32 = 127.0;
/// The largest 6-bit weight; -32 is not used.
const LARGEST_SIX: f32 = 31.0;
/// The largest 4-bit number.
const MOST: f32 = 15.0;

/// Names of the parts of a matrix on disk.
const NUMBERS: &str = "numbers";
const SCALES: &str = "scales";
const LOWS: &str = "lows";

/// The numbers of a matrix, [`PANEL`] outputs at a time.
pub enum Panels {
    /// (panel, input, output in the panel)
    F32(Vec<f32>),
    Int8 {
        /// (panel, pair of inputs, output in the panel, input of the pair); inputs padded to whole groups.
        weights: Numbers,
        /// (panel, group, output in the panel)
        scales: Vec<f32>,
    },
    Int6 {
        /// (panel, four quads of inputs, [`SIXES`] bytes): the low halves of the first two and of the last two quads as in
        /// `Int4`, then the two high bits of all, from the first quad's lowest on; inputs padded to whole groups.
        weights: Numbers,
        /// (panel, group, output in the panel)
        scales: Vec<f32>,
    },
    Int4 {
        /// (panel, two quads of inputs, output in the panel, input of the quad), the first quad in the low halves; inputs
        /// padded to whole groups of [`NARROW_GROUP`].
        weights: Numbers,
        /// What a step is worth and what 0 stands for, (panel, group, output in the panel) each.
        scales: Vec<f16>,
        lows: Vec<f16>,
    },
}

impl Panels {
    /// All zeros.
    pub fn empty(dtype: Dtype, outputs: usize, inputs: usize) -> Self {
        let (panels, groups) = (outputs.div_ceil(PANEL), inputs.div_ceil(GROUP));
        match dtype {
            Dtype::F32 | Dtype::Bf16 | Dtype::F16 => Self::F32(vec![0.0; panels * PANEL * inputs]),
            Dtype::Q8 => Self::Int8 {
                weights: Numbers::zeros(panels * PANEL * groups * GROUP),
                scales: vec![0.0; panels * PANEL * groups],
            },
            Dtype::Q6 => Self::Int6 {
                weights: Numbers::zeros(panels * PANEL * groups * GROUP * 3 / 4),
                scales: vec![0.0; panels * PANEL * groups],
            },
            Dtype::Q4 => {
                let groups = inputs.div_ceil(NARROW_GROUP);
                Self::Int4 {
                    weights: Numbers::zeros(panels * PANEL * groups * NARROW_GROUP / 2),
                    scales: vec![f16::ZERO; panels * PANEL * groups],
                    lows: vec![f16::ZERO; panels * PANEL * groups],
                }
            }
        }
    }

    /// Writes the panels from `first` on, whose rows are these.
    pub fn set(&mut self, first: usize, rows: &[f32], inputs: usize) {
        let of_panel = rows.par_chunks((PANEL * inputs).max(1));
        match self {
            Self::F32(weights) => {
                let panels = weights[first * PANEL * inputs..].par_chunks_mut((PANEL * inputs).max(1));
                panels.zip(of_panel).for_each(|(panel, rows)| pack_f32(rows, inputs, panel));
            }
            Self::Int8 { weights, scales } => {
                let groups = inputs.div_ceil(GROUP);
                let (size, steps) = (PANEL * groups * GROUP, PANEL * groups);
                let weights =
                    bytemuck::cast_slice_mut(weights.to_mut())[first * size..].par_chunks_mut(size.max(1));
                let panels = weights.zip(scales[first * steps..].par_chunks_mut(steps.max(1)));
                panels.zip(of_panel).for_each(|((panel, scales), rows)| {
                    vectorised(
                        #[inline(always)]
                        || pack_int8(rows, inputs, panel, scales),
                    );
                });
            }
            Self::Int6 { weights, scales } => {
                let groups = inputs.div_ceil(GROUP);
                let (size, steps) = (PANEL * groups * GROUP * 3 / 4, PANEL * groups);
                let scales = scales[first * steps..].par_chunks_mut(steps.max(1));
                let panels = weights.to_mut()[first * size..].par_chunks_mut(size.max(1)).zip(scales);
                panels.zip(of_panel).for_each(|((panel, scales), rows)| {
                    vectorised(
                        #[inline(always)]
                        || pack_int6(rows, inputs, panel, scales),
                    );
                });
            }
            Self::Int4 { weights, scales, lows } => {
                let groups = inputs.div_ceil(NARROW_GROUP);
                let (size, steps) = (PANEL * groups * NARROW_GROUP / 2, PANEL * groups);
                let about = scales[first * steps..].par_chunks_mut(steps.max(1));
                let about = about.zip(lows[first * steps..].par_chunks_mut(steps.max(1)));
                let panels = weights.to_mut()[first * size..].par_chunks_mut(size.max(1)).zip(about);
                panels.zip(of_panel).for_each(|((panel, (scales, lows)), rows)| {
                    vectorised(
                        #[inline(always)]
                        || pack_int4(rows, inputs, panel, scales, lows),
                    );
                });
            }
        }
    }

    /// All that there is of rounded numbers, each part by its name. Nothing of those that are not rounded.
    pub fn parts(&self) -> Vec<(&'static str, &[u8])> {
        match self {
            Self::F32(_) => Vec::new(),
            Self::Int8 { weights, scales } | Self::Int6 { weights, scales } => {
                vec![(NUMBERS, weights), (SCALES, bytemuck::cast_slice(scales))]
            }
            Self::Int4 { weights, scales, lows } => {
                vec![(NUMBERS, weights), (SCALES, bytes_of(scales)), (LOWS, bytes_of(lows))]
            }
        }
    }

    /// From what [`Panels::parts`] gave; none if a part is missing or of another size.
    pub fn from_parts(
        dtype: Dtype,
        outputs: usize,
        inputs: usize,
        part: impl Fn(&str) -> Option<Numbers>,
    ) -> Option<Self> {
        let panels = outputs.div_ceil(PANEL);
        let sized = |name: &str, size: usize| part(name).filter(|part| part.len() == size);
        let scales = |count: usize| {
            Some(bytemuck::pod_collect_to_vec::<u8, f32>(&sized(SCALES, count * size_of::<f32>())?))
        };
        match dtype {
            Dtype::F32 | Dtype::Bf16 | Dtype::F16 => None,
            Dtype::Q8 => {
                let count = panels * PANEL * inputs.div_ceil(GROUP);
                Some(Self::Int8 { weights: sized(NUMBERS, count * GROUP)?, scales: scales(count)? })
            }
            Dtype::Q6 => {
                let count = panels * PANEL * inputs.div_ceil(GROUP);
                Some(Self::Int6 { weights: sized(NUMBERS, count * GROUP * 3 / 4)?, scales: scales(count)? })
            }
            Dtype::Q4 => {
                let count = panels * PANEL * inputs.div_ceil(NARROW_GROUP);
                let halves = |name: &str| {
                    let bits: Vec<u16> =
                        bytemuck::pod_collect_to_vec(&sized(name, count * size_of::<u16>())?);
                    Some(bits.into_iter().map(f16::from_bits).collect())
                };
                let weights = sized(NUMBERS, count * NARROW_GROUP / 2)?;
                Some(Self::Int4 { weights, scales: halves(SCALES)?, lows: halves(LOWS)? })
            }
        }
    }

    /// One number of a matrix with so many inputs.
    pub fn number(&self, inputs: usize, panel: usize, lane: usize, input: usize) -> f32 {
        match self {
            Self::F32(weights) => weights[(panel * inputs + input) * PANEL + lane],
            Self::Int8 { weights, scales } => {
                let groups = inputs.div_ceil(GROUP);
                let pair = panel * groups * GROUP / 2 + input / 2;
                let scale = scales[(panel * groups + input / GROUP) * PANEL + lane];
                f32::from(weights[(pair * PANEL + lane) * 2 + input % 2].cast_signed()) * scale
            }
            Self::Int6 { weights, scales } => {
                let groups = inputs.div_ceil(GROUP);
                let panel_bytes = groups * GROUP * 3 / 4 * PANEL;
                let [low, high] = six_places(lane, input);
                let bits = |(byte, bit)| weights[panel * panel_bytes + byte] >> bit;
                let number = signed(bits(low) & 15 | (bits(high) & 3) << 4);
                f32::from(number) * scales[(panel * groups + input / GROUP) * PANEL + lane]
            }
            Self::Int4 { weights, scales, lows } => {
                let groups = inputs.div_ceil(NARROW_GROUP);
                let about = (panel * groups + input / NARROW_GROUP) * PANEL + lane;
                let place =
                    panel * groups * NARROW_GROUP / 2 * PANEL + input / 8 * NIBBLES + lane * 4 + input % 4;
                let number = weights[place] >> (input % 8 / 4 * 4) & 15;
                lows[about].to_f32() + f32::from(number) * scales[about].to_f32()
            }
        }
    }
}

fn bytes_of(halves: &[f16]) -> &[u8] {
    bytemuck::cast_slice::<u16, u8>(halves.reinterpret_cast())
}

fn pack_f32(rows: &[f32], inputs: usize, panel: &mut [f32]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (input, &weight) in row.iter().enumerate() {
            panel[input * PANEL + lane] = weight;
        }
    }
}

/// Each number becomes the nearest of 255 steps of its group.
#[inline(always)]
fn pack_int8(rows: &[f32], inputs: usize, panel: &mut [i8], scales: &mut [f32]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (group, values) in row.chunks(GROUP).enumerate() {
            let scale = largest(values) / LARGEST;
            scales[group * PANEL + lane] = scale;
            let inverse = inverse(scale);
            for (offset, value) in values.iter().enumerate() {
                let input = group * GROUP + offset;
                panel[(input / 2 * PANEL + lane) * 2 + input % 2] = (value * inverse).round_ties_even() as i8;
            }
        }
    }
}

/// Byte and bit of a panel where the low four and the high two bits of a 6-bit number begin.
#[inline(always)]
fn six_places(lane: usize, input: usize) -> [(usize, usize); 2] {
    let (first, quad) = (input / SIXES_INPUTS * SIXES, input % SIXES_INPUTS / 4);
    let of_quad = lane * 4 + input % 4;
    [(first + quad / 2 * NIBBLES + of_quad, quad % 2 * 4), (first + 2 * NIBBLES + of_quad, quad * 2)]
}

/// Each number becomes the nearest of 63 steps of its group.
#[inline(always)]
fn pack_int6(rows: &[f32], inputs: usize, panel: &mut [u8], scales: &mut [f32]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (group, values) in row.chunks(GROUP).enumerate() {
            let scale = largest(values) / LARGEST_SIX;
            scales[group * PANEL + lane] = scale;
            let inverse = inverse(scale);
            for (offset, value) in values.iter().enumerate() {
                let six = (value * inverse + ROUNDING).to_bits() as u8 & 63;
                let [(low, low_bit), (high, high_bit)] = six_places(lane, group * GROUP + offset);
                panel[low] |= (six & 15) << low_bit;
                panel[high] |= (six >> 4) << high_bit;
            }
        }
    }
}

#[inline(always)]
fn pack_int4(rows: &[f32], inputs: usize, panel: &mut [u8], scales: &mut [f16], lows: &mut [f16]) {
    for (lane, row) in rows.chunks_exact(inputs).enumerate() {
        for (group, values) in row.chunks(NARROW_GROUP).enumerate() {
            let (scale, low) = steps_of(values);
            (scales[group * PANEL + lane], lows[group * PANEL + lane]) = (scale, low);
            let (inverse, low) = (inverse(scale.to_f32()), low.to_f32());
            let mut numbers = [0u8; NARROW_GROUP];
            for (number, value) in numbers.iter_mut().zip(values) {
                *number = (((value - low) * inverse).clamp(0.0, MOST) + ROUNDING).to_bits() as u8;
            }
            for (offset, number) in numbers.into_iter().enumerate().take(values.len()) {
                let input = group * NARROW_GROUP + offset;
                panel[input / 8 * NIBBLES + lane * 4 + input % 4] |= number << (input % 8 / 4 * 4);
            }
        }
    }
}

/// The step and the lowest of 16 values that lose least of a group, in squares: its range, or a little less of it, as
/// its ends are rare.
#[inline(always)]
fn steps_of(values: &[f32]) -> (f16, f16) {
    if largest(values).is_nan() {
        return (f16::NAN, f16::NAN);
    }
    let least = |a: f32, b: f32| if b < a { b } else { a };
    let lowest = lanes(values, 0.0, least).into_iter().fold(0.0, least);
    let highest = -lanes(values, 0.0, |a, b| least(a, -b)).into_iter().fold(0.0, least);
    // What no step can hold becomes NaN, as a NaN does.
    let mut best = (f32::INFINITY, f16::NAN, f16::NAN);
    // A loop and not `map`: the compiler takes the latter's closure out of the code for the vector instructions at hand.
    for share in [1.0, 0.95, 0.9, 0.85, 0.8] {
        let low = f16::from_f32(lowest * share);
        let scale = f16::from_f32((highest * share - low.to_f32()) / MOST);
        let lost = lost(values, scale.to_f32(), low.to_f32());
        if lost < best.0 {
            best = (lost, scale, low);
        }
    }
    (best.1, best.2)
}

/// What rounding to 16 steps from the lowest one on takes from a group, in squares.
#[inline(always)]
fn lost(values: &[f32], step: f32, low: f32) -> f32 {
    let inverse = inverse(step);
    let lost = lanes(values, 0.0, |lost, v| {
        let number = ((v - low) * inverse).round_ties_even().clamp(0.0, MOST);
        let off = v - (low + number * step);
        lost + off * off
    });
    lost.into_iter().sum()
}

#[inline(always)]
fn inverse(step: f32) -> f32 {
    if step > 0.0 { 1.0 / step } else { 0.0 }
}

/// The largest size of a number; none if one of them is none.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let most = |a: f32, b: f32| if b.abs() > a { b.abs() } else { a };
    let sum: f32 = lanes(values, 0.0, |sum, v| sum + v.abs()).into_iter().sum();
    if sum.is_finite() { lanes(values, 0.0, most).into_iter().fold(0.0, most) } else { f32::NAN }
}
