//! Rows of activations as the tiles read them, in whole numbers where the weights are: 16 bits of the row's largest value,
//! or 8 bits of each group's.

use std::ops::Range;

use bytemuck::Pod;
use rayon::prelude::*;

use super::super::ops::{ROUNDING, vectorised};
use super::panels::largest;
use super::tiles::{MIDDLE, ROWS};

/// The largest 16-bit activation. A group of 64 products with 8-bit weights then stays far below 2³¹.
const LARGEST: f32 = 32_767.0;
/// The largest 8-bit activation.
const LARGEST_NARROW: f32 = 127.0;

/// (tile, column, row in the tile): the rows of a tile stand side by side, so that it reads one run of memory.
pub struct Tiled<T> {
    values: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Copy + Default + Send> Tiled<T> {
    fn empty(rows: usize, columns: usize) -> Self {
        Self { values: vec![T::default(); rows * columns], rows, columns }
    }

    /// The tiles, each with its rows.
    fn tiles_mut(&mut self) -> impl IndexedParallelIterator<Item = (Range<usize>, &mut [T])> {
        let rows = self.rows;
        let tiles = self.values.par_chunks_mut((ROWS * self.columns).max(1)).enumerate();
        tiles.map(move |(tile, values)| (tile * ROWS..rows.min((tile + 1) * ROWS), values))
    }

    /// Columns of a tile's rows.
    pub fn tile(&self, rows: Range<usize>, columns: Range<usize>) -> &[T] {
        let first = rows.start * self.columns;
        &self.values[first + columns.start * rows.len()..first + columns.end * rows.len()]
    }
}

/// Writes a row's values into its place in a tile.
fn scatter<T>(tile: &mut [T], rows: usize, row: usize, values: impl Iterator<Item = T>) {
    for (place, value) in tile.iter_mut().skip(row).step_by(rows).zip(values) {
        *place = value;
    }
}

/// Rows as they are; `x` is (rows, inputs).
pub fn tiled(x: &[f32], inputs: usize) -> Tiled<f32> {
    let mut tiled = Tiled::empty(x.len() / inputs.max(1), inputs);
    tiled.tiles_mut().for_each(|(rows, tile)| {
        for (row, x) in x[rows.start * inputs..rows.end * inputs].chunks_exact(inputs).enumerate() {
            scatter(tile, rows.len(), row, x.iter().copied());
        }
    });
    tiled
}

/// Rows rounded to 16 bits of their largest value.
pub struct QuantisedRows {
    /// Two inputs each, padded with zeros.
    pub pairs: Tiled<[i16; 2]>,
    /// What one step is worth, row by row. A row that holds a NaN has NaN for its scale.
    pub scales: Vec<f32>,
}

impl QuantisedRows {
    /// `x` is (rows, inputs), `width` the even number of inputs to pad them to.
    pub fn new(x: &[f32], inputs: usize, width: usize) -> Self {
        let rows = x.len() / inputs.max(1);
        let (mut pairs, mut scales) = (Tiled::empty(rows, width / 2), vec![0.0; rows]);
        pairs.tiles_mut().zip(scales.par_chunks_mut(ROWS)).for_each(|((rows, tile), scales)| {
            let mut whole = vec![0; width];
            let x = x[rows.start * inputs..rows.end * inputs].chunks_exact(inputs);
            for (row, (x, scale)) in x.zip(scales).enumerate() {
                *scale = vectorised(
                    #[inline(always)]
                    || quantise(x, LARGEST, &mut whole, |step| step.to_bits() as i16),
                );
                scatter(tile, rows.len(), row, bytemuck::cast_slice(&whole).iter().copied());
            }
        });
        Self { pairs, scales }
    }
}

/// Rows rounded to 8 bits of the largest value of each group: four inputs each, padded, and what is said about a group.
pub struct GroupedRows<T, A> {
    pub quads: Tiled<[T; 4]>,
    pub groups: Tiled<A>,
}

impl GroupedRows<i8, [f32; 2]> {
    /// For each group what one step is worth, and the sum of the rounded values.
    pub fn signed(x: &[f32], inputs: usize, width: usize, group: usize) -> Self {
        let whole = |step: f32| step.to_bits() as i8;
        let sum = |values: &[i8]| values.iter().map(|v| i32::from(*v)).sum::<i32>() as f32;
        Self::new(x, [inputs, width, group], whole, |scale, values| [scale, sum(values) * scale])
    }
}

impl GroupedRows<u8, f32> {
    /// [`MIDDLE`] stands for 0. For each group what one step is worth.
    pub fn unsigned(x: &[f32], inputs: usize, width: usize, group: usize) -> Self {
        Self::new(x, [inputs, width, group], |step| step.to_bits() as u8 ^ MIDDLE, |scale, _| scale)
    }
}

impl<T: Pod + Default + Send, A: Copy + Default + Send> GroupedRows<T, A> {
    /// `x` is (rows, inputs); `width` is a whole number of groups.
    fn new(
        x: &[f32],
        [inputs, width, group]: [usize; 3],
        whole: impl Fn(f32) -> T + Copy + Sync,
        about: impl Fn(f32, &[T]) -> A + Sync,
    ) -> Self {
        let rows = x.len() / inputs.max(1);
        let (mut quads, mut groups) = (Tiled::empty(rows, width / 4), Tiled::empty(rows, width / group));
        quads.tiles_mut().zip(groups.tiles_mut()).for_each(|((rows, quads), (_, groups))| {
            let (mut values, mut abouts) = (vec![T::default(); width], vec![A::default(); width / group]);
            for (row, x) in x[rows.start * inputs..rows.end * inputs].chunks_exact(inputs).enumerate() {
                for ((x, values), of) in x.chunks(group).zip(values.chunks_mut(group)).zip(&mut abouts) {
                    let scale = vectorised(
                        #[inline(always)]
                        || quantise(x, LARGEST_NARROW, values, whole),
                    );
                    *of = about(scale, values);
                }
                scatter(quads, rows.len(), row, values.chunks_exact(4).map(|v| [v[0], v[1], v[2], v[3]]));
                scatter(groups, rows.len(), row, abouts.iter().copied());
            }
        });
        Self { quads, groups }
    }
}

#[inline(always)]
fn quantise<T>(x: &[f32], most: f32, values: &mut [T], whole: impl Fn(f32) -> T) -> f32 {
    let largest = largest(x);
    let inverse = if largest > 0.0 { most / largest } else { 0.0 };
    for (value, x) in values.iter_mut().zip(x) {
        *value = whole(x * inverse + ROUNDING);
    }
    largest / most
}
