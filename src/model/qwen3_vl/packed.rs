//! Weight matrices laid out for products with few rows: `y = x · Wᵀ`.
//!
//! A prefix grows by a few dozen tokens at a time. A general matrix product then spends much of its time rearranging the
//! weights, and reads four bytes for each. Here they are arranged once, when the model is loaded, in panels of
//! [`PANEL`] outputs:
//! - as f32;
//! - as 8-bit numbers with a scale for every [`GROUP`] inputs, times activations of 16 bits of their row's largest value:
//!   what is lost is the weights' rounding alone;
//! - as 6-bit numbers with a scale for every [`GROUP`] inputs, times activations of 8 bits of their group's largest value;
//! - as 4-bit numbers with a scale and a lowest value for every [`NARROW_GROUP`] inputs, times activations of 8 bits of
//!   their group's largest value: both roundings are felt, and most products are done at once.
//!
//! The fewer bits, the more products fit into 16 bits together before they have to be widened.
//!
//! A row of the result depends on that row of `x` alone, to the last bit: a prefix gets the same score whether it is
//! computed at once or piece by piece.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};

use super::super::Dtype;

mod activations;
mod blocking;
mod factors;
mod numbers;
mod panels;
mod tiles;

use activations::{GroupedRows, QuantisedRows};
use blocking::walk;
use factors::{F32Factors, Int4Factors, Int6Factors, Int8Factors};
pub(super) use numbers::Numbers;
pub(super) use panels::Panels;
use tiles::NARROW_GROUP;
pub(super) use tiles::{PANEL, ROWS, Tiles};

/// Inputs that share an output's scale.
const GROUP: usize = 64;

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
        match &*self.panels {
            Panels::F32(weights) => {
                let (width, x) = (self.inputs, activations::tiled(x, self.inputs));
                walk(&F32Factors { tiles, weights, width, x }, [rows, width, self.outputs], bias)
            }
            Panels::Int8 { weights, scales } => {
                let width = self.inputs.next_multiple_of(GROUP);
                let x = QuantisedRows::new(x, self.inputs, width);
                let weights = bytemuck::cast_slice(weights);
                let factors = Int8Factors { tiles, weights, scales, width, x };
                walk(&factors, [rows, width, self.outputs], bias)
            }
            Panels::Int6 { weights, scales } => {
                let width = self.inputs.next_multiple_of(GROUP);
                let x = GroupedRows::unsigned(x, self.inputs, width, GROUP);
                let factors = Int6Factors { tiles, weights, scales, width, x };
                walk(&factors, [rows, width, self.outputs], bias)
            }
            Panels::Int4 { weights, scales, lows } => {
                let width = self.inputs.next_multiple_of(NARROW_GROUP);
                let x = GroupedRows::signed(x, self.inputs, width, NARROW_GROUP);
                let factors = Int4Factors { tiles, weights, scales, lows, width, x };
                walk(&factors, [rows, width, self.outputs], bias)
            }
        }
    }
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
