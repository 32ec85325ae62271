//! The four kinds of panels, each beside the rows that it is multiplied by.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::GROUP;
use super::activations::{GroupedRows, QuantisedRows, Tiled};
use super::blocking::Factors;
use super::tiles::{Int4Panel, Int6Panel, NARROW_GROUP, PANEL, Tiles};

pub struct F32Factors<'a> {
    pub tiles: Tiles,
    pub weights: &'a [f32],
    pub width: usize,
    pub x: Tiled<f32>,
}

impl Factors for F32Factors<'_> {
    type Run = ();
    const DEPTH: usize = 1024;

    fn prepare(&self, _: usize, _: Range<usize>, _: &mut ()) {}

    fn multiply(&self, _: &(), panel: usize, inputs: Range<usize>, rows: Range<usize>, sums: &mut [f32]) {
        let weights = of_panel(self.weights, panel, self.width, inputs.clone());
        self.tiles.f32(weights, self.x.tile(rows, inputs), sums);
    }

    fn scale(&self, _: usize) -> f32 {
        1.0
    }
}

pub struct Int8Factors<'a> {
    pub tiles: Tiles,
    pub weights: &'a [i8],
    pub scales: &'a [f32],
    pub width: usize,
    pub x: QuantisedRows,
}

impl Factors for Int8Factors<'_> {
    /// The weights in 16 bits.
    type Run = Vec<i16>;
    const DEPTH: usize = 1024;

    fn prepare(&self, panel: usize, inputs: Range<usize>, run: &mut Vec<i16>) {
        run.resize(inputs.len() * PANEL, 0);
        self.tiles.widen(of_panel(self.weights, panel, self.width, inputs), run);
    }

    fn multiply(
        &self,
        run: &Vec<i16>,
        panel: usize,
        inputs: Range<usize>,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let groups = inputs.start / GROUP..inputs.end / GROUP;
        let scales = of_panel(self.scales, panel, self.width / GROUP, groups);
        let pairs = self.x.pairs.tile(rows, inputs.start / 2..inputs.end / 2);
        self.tiles.int8(run, scales, pairs, sums);
    }

    fn scale(&self, row: usize) -> f32 {
        self.x.scales[row]
    }
}

pub struct Int6Factors<'a> {
    pub tiles: Tiles,
    pub weights: &'a [u8],
    pub scales: &'a [f32],
    pub width: usize,
    pub x: GroupedRows<u8, f32>,
}

/// Weights in 8 bits, and what the sums of their groups begin with.
#[derive(Default)]
pub struct Int6Run {
    numbers: Vec<i8>,
    offsets: Vec<i32>,
}

impl Factors for Int6Factors<'_> {
    type Run = Int6Run;
    const DEPTH: usize = 1024;

    fn prepare(&self, panel: usize, inputs: Range<usize>, run: &mut Int6Run) {
        let (first, last) = (inputs.start * 3 / 4, inputs.end * 3 / 4);
        run.numbers.resize(inputs.len() * PANEL, 0);
        self.tiles
            .unfold_sixes(of_panel(self.weights, panel, self.width * 3 / 4, first..last), &mut run.numbers);
        run.offsets.resize(inputs.len() / GROUP * PANEL, 0);
        self.tiles.offsets(&run.numbers, &mut run.offsets);
    }

    fn multiply(
        &self,
        run: &Int6Run,
        panel: usize,
        inputs: Range<usize>,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let groups = inputs.start / GROUP..inputs.end / GROUP;
        let scales = of_panel(self.scales, panel, self.width / GROUP, groups.clone());
        let quads = self.x.quads.tile(rows.clone(), inputs.start / 4..inputs.end / 4);
        let weights = Int6Panel { numbers: &run.numbers, offsets: &run.offsets, scales };
        self.tiles.int6(weights, quads, self.x.groups.tile(rows, groups), sums);
    }

    fn scale(&self, _: usize) -> f32 {
        1.0
    }
}

pub struct Int4Factors<'a> {
    pub tiles: Tiles,
    pub weights: &'a [u8],
    pub scales: &'a [f16],
    pub lows: &'a [f16],
    pub width: usize,
    pub x: GroupedRows<i8, [f32; 2]>,
}

/// Weights in 8 bits, and in f32 what is said about their groups.
#[derive(Default)]
pub struct Int4Run {
    numbers: Vec<u8>,
    scales: Vec<f32>,
    lows: Vec<f32>,
}

impl Factors for Int4Factors<'_> {
    type Run = Int4Run;
    const DEPTH: usize = 1024;

    fn prepare(&self, panel: usize, inputs: Range<usize>, run: &mut Int4Run) {
        run.numbers.resize(inputs.len() * PANEL, 0);
        self.tiles.unfold(
            of_panel(self.weights, panel, self.width / 2, inputs.start / 2..inputs.end / 2),
            &mut run.numbers,
        );
        let groups = inputs.start / NARROW_GROUP..inputs.end / NARROW_GROUP;
        for (halves, full) in [(self.scales, &mut run.scales), (self.lows, &mut run.lows)] {
            full.resize(groups.len() * PANEL, 0.0);
            of_panel(halves, panel, self.width / NARROW_GROUP, groups.clone()).convert_to_f32_slice(full);
        }
    }

    fn multiply(&self, run: &Int4Run, _: usize, inputs: Range<usize>, rows: Range<usize>, sums: &mut [f32]) {
        let quads = self.x.quads.tile(rows.clone(), inputs.start / 4..inputs.end / 4);
        let groups = self.x.groups.tile(rows, inputs.start / NARROW_GROUP..inputs.end / NARROW_GROUP);
        let weights = Int4Panel { numbers: &run.numbers, scales: &run.scales, lows: &run.lows };
        self.tiles.int4(weights, quads, groups, sums);
    }

    fn scale(&self, _: usize) -> f32 {
        1.0
    }
}

/// A range of one panel's columns, of which it has `width`.
fn of_panel<T>(all: &[T], panel: usize, width: usize, columns: Range<usize>) -> &[T] {
    &all[(panel * width + columns.start) * PANEL..(panel * width + columns.end) * PANEL]
}
