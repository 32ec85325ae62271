//! Some query rows on their way over the keys.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;

use super::super::ops::{exp, vectorised};
use super::super::packed::{PANEL, ROWS, Tiles};
use super::Numbers;

/// Keys of a chunk. With their values they take 128 KiB where a head has 128 numbers.
const KEYS: usize = 128;

/// Keys that are looked at together, and their values, laid out for [`Tiles::f32`].
#[derive(Default)]
pub struct KeyChunk {
    first: usize,
    count: usize,
    /// (panel of keys, head_dim, PANEL)
    keys: Vec<f32>,
    /// (panel of a head's numbers, key, PANEL)
    values: Vec<f32>,
    /// Numbers in f32 that are kept as f16.
    widened: Vec<f32>,
}

impl KeyChunk {
    fn load(&mut self, keys: Numbers, values: Numbers, chunk: Range<usize>, head_dim: usize) {
        (self.first, self.count) = (chunk.start, chunk.len());
        let range = chunk.start * head_dim..chunk.end * head_dim;
        self.keys.resize(self.count.next_multiple_of(PANEL) * head_dim, 0.0);
        let keys = full(keys, range.clone(), &mut self.widened);
        let panels = self.keys.as_chunks_mut::<PANEL>().0.chunks_exact_mut(head_dim);
        for (panel, keys) in panels.zip(keys.chunks(PANEL * head_dim)) {
            for (lane, key) in keys.chunks_exact(head_dim).enumerate() {
                panel.iter_mut().zip(key).for_each(|(numbers, number)| numbers[lane] = *number);
            }
        }
        self.values.resize(self.count * head_dim.next_multiple_of(PANEL), 0.0);
        let places = self.values.as_chunks_mut::<PANEL>().0;
        let values = full(values, range, &mut self.widened);
        for (key, value) in values.chunks_exact(head_dim).enumerate() {
            let (whole, rest) = value.as_chunks::<PANEL>();
            for (panel, numbers) in whole.iter().enumerate() {
                places[panel * self.count + key] = *numbers;
            }
            if !rest.is_empty() {
                places[whole.len() * self.count + key][..rest.len()].copy_from_slice(rest);
            }
        }
    }
}

/// A range of numbers in f32, for which there is room.
fn full<'a>(numbers: Numbers<'a>, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
    match numbers {
        Numbers::F32(numbers) => &numbers[range],
        Numbers::F16(numbers) => {
            room.resize(range.len(), 0.0);
            numbers[range].convert_to_f32_slice(room);
            room
        }
    }
}

/// Query rows that look at the keys of one head.
pub struct Block {
    tiles: Tiles,
    head_dim: usize,
    rows: Vec<TileRows>,
}

impl Block {
    /// `query` is (rows, head_dim), and a row sees the first `visible(row)` keys.
    pub fn new(tiles: Tiles, query: &[f32], head_dim: usize, visible: impl Fn(usize) -> usize) -> Self {
        let of_tile = query.chunks((ROWS * head_dim).max(1)).enumerate();
        let rows = of_tile.map(|(tile, query)| {
            let visible = (0..query.len() / head_dim).map(|row| visible(tile * ROWS + row)).collect();
            TileRows::new(query, head_dim, visible)
        });
        Self { tiles, head_dim, rows: rows.collect() }
    }

    /// Goes over all keys that a row sees. A chunk's bounds are the same for every row of every block, and so are its sums.
    pub fn look(&mut self, keys: Numbers, values: Numbers, chunk: &mut KeyChunk) {
        let seen = self.rows.iter().map(TileRows::seen).max().unwrap_or(0);
        for start in (0..seen).step_by(KEYS) {
            chunk.load(keys, values, start..seen.min(start + KEYS), self.head_dim);
            for rows in &mut self.rows {
                rows.look(self.tiles, chunk, self.head_dim);
            }
        }
    }

    /// The values as the rows weigh them, (rows, head_dim).
    pub fn mixed(&self) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.rows.len() * ROWS * self.head_dim);
        for tile in &self.rows {
            for row in 0..tile.visible.len() {
                let inverse = 1.0 / tile.sums[row];
                let panels = tile.mixed.chunks_exact(tile.visible.len() * PANEL);
                let numbers = panels.flat_map(|panel| &panel[row * PANEL..][..PANEL]);
                all.extend(numbers.take(self.head_dim).map(|number| number * inverse));
            }
        }
        all
    }
}

/// At most [`ROWS`] query rows, and what they have seen so far.
struct TileRows {
    /// Keys that each row sees.
    visible: Vec<usize>,
    /// (head_dim, rows), divided by √head_dim
    query: Vec<f32>,
    /// Each row's highest score so far.
    highest: [f32; ROWS],
    /// Sums of `e^(score − highest)`.
    sums: [f32; ROWS],
    /// The values, weighed by these: (panel of a head's numbers, rows, PANEL)
    mixed: Vec<f32>,
    /// A chunk's scores, (panel of keys, rows, PANEL); then what they weigh, (key, rows)
    scores: Vec<f32>,
}

impl TileRows {
    fn new(query: &[f32], head_dim: usize, visible: Vec<usize>) -> Self {
        let rows = visible.len();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut turned = vec![0.0; query.len()];
        for (row, query) in query.chunks_exact(head_dim).enumerate() {
            let places = turned.iter_mut().skip(row).step_by(rows);
            places.zip(query).for_each(|(place, number)| *place = number * scale);
        }
        Self {
            query: turned,
            highest: [f32::NEG_INFINITY; ROWS],
            sums: [0.0; ROWS],
            mixed: vec![0.0; head_dim.next_multiple_of(PANEL) * rows],
            scores: Vec::with_capacity(KEYS * rows),
            visible,
        }
    }

    /// Keys that some row sees.
    fn seen(&self) -> usize {
        self.visible.iter().copied().max().unwrap_or(0)
    }

    fn look(&mut self, tiles: Tiles, chunk: &KeyChunk, head_dim: usize) {
        let count = self.seen().saturating_sub(chunk.first).min(chunk.count);
        if count == 0 {
            return;
        }
        let of_panel = self.visible.len() * PANEL;
        self.scores.clear();
        self.scores.resize(count.div_ceil(PANEL) * of_panel, 0.0);
        let keys = chunk.keys.chunks_exact(head_dim * PANEL);
        for (scores, keys) in self.scores.chunks_exact_mut(of_panel).zip(keys) {
            tiles.f32(keys, &self.query, scores);
        }
        vectorised(
            #[inline(always)]
            || self.weigh(chunk.first),
        );
        let weights = &self.scores[..count * self.visible.len()];
        let values = chunk.values.chunks_exact(chunk.count * PANEL);
        for (mixed, values) in self.mixed.chunks_exact_mut(of_panel).zip(values) {
            tiles.f32(&values[..count * PANEL], weights, mixed);
        }
    }

    /// Turns the scores of the keys from `first` on into weights, and brings what was seen before to their scale.
    #[inline(always)]
    fn weigh(&mut self, first: usize) {
        let rows = self.visible.len();
        let scores = self.scores.as_chunks_mut::<PANEL>().0;
        for row in 0..rows {
            let visible = self.visible[row].saturating_sub(first);
            hide(scores, rows, row, visible, f32::NEG_INFINITY);
            let highest = highest(scores, rows, row).max(self.highest[row]);
            let shrunk = exp(self.highest[row] - highest);
            let sum = weights(scores, rows, row, highest);
            hide(scores, rows, row, visible, 0.0);
            self.sums[row] = self.sums[row] * shrunk + sum;
            self.highest[row] = highest;
            if shrunk != 1.0 {
                for panel in self.mixed.as_chunks_mut::<PANEL>().0.chunks_exact_mut(rows) {
                    panel[row].iter_mut().for_each(|mixed| *mixed *= shrunk);
                }
            }
        }
        match rows {
            ROWS => scores.chunks_exact_mut(ROWS).for_each(|panel| turn(panel, ROWS)),
            _ => scores.chunks_exact_mut(rows).for_each(|panel| turn(panel, rows)),
        }
    }
}

/// Writes over one row's scores behind the first `visible` keys.
#[inline(always)]
fn hide(scores: &mut [[f32; PANEL]], rows: usize, row: usize, visible: usize, with: f32) {
    for (panel, scores) in scores.chunks_exact_mut(rows).enumerate().skip(visible / PANEL) {
        scores[row][visible.saturating_sub(panel * PANEL)..].fill(with);
    }
}

/// The highest of one row's scores; NaNs are passed over.
#[inline(always)]
fn highest(scores: &[[f32; PANEL]], rows: usize, row: usize) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; PANEL];
    for scores in scores.chunks_exact(rows) {
        for (highest, score) in lanes.iter_mut().zip(&scores[row]) {
            *highest = if *score > *highest { *score } else { *highest };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Turns one row's scores into `e^(score − highest)` and returns their sum.
#[inline(always)]
fn weights(scores: &mut [[f32; PANEL]], rows: usize, row: usize, highest: f32) -> f32 {
    let mut lanes = [0.0; PANEL];
    for scores in scores.chunks_exact_mut(rows) {
        for (sum, score) in lanes.iter_mut().zip(&mut scores[row]) {
            *score = exp(*score - highest);
            *sum += *score;
        }
    }
    lanes.into_iter().sum()
}

/// (rows, PANEL) becomes (PANEL, rows).
#[inline(always)]
fn turn(panel: &mut [[f32; PANEL]], rows: usize) {
    let mut copy = [[0.0; PANEL]; ROWS];
    copy[..rows].copy_from_slice(panel);
    for (lane, places) in panel.as_flattened_mut().chunks_exact_mut(rows).enumerate() {
        for (row, place) in places.iter_mut().enumerate() {
            *place = copy[row][lane];
        }
    }
}
