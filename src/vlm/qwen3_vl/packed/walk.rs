//! The way through a product: which thread multiplies what, and what it finds in its cache.

use std::ops::Range;

use rayon::prelude::*;

use super::tiles::{PANEL, ROWS};

/// Panels that share a pass over the activations.
const STRIP: usize = 2;
/// Products of two numbers that are worth a thread's waking.
pub const WORTH_A_TASK: usize = 1 << 19;

/// A packed matrix and the rows it is multiplied by.
pub trait Factors: Sync {
    /// A run of one panel's inputs, made ready for many rows.
    type Run: Default;
    /// Inputs of a run: with the rows' share of them they fit the first-level cache.
    const DEPTH: usize;

    fn prepare(&self, panel: usize, inputs: Range<usize>, run: &mut Self::Run);

    /// Adds the products of a tile of rows and a run to `sums`, (rows, PANEL).
    fn multiply(
        &self,
        run: &Self::Run,
        panel: usize,
        inputs: Range<usize>,
        rows: Range<usize>,
        sums: &mut [f32],
    );
}

/// Adds all products of `rows` rows of `width` inputs to `sums`, (panel, row, PANEL).
pub fn walk<F: Factors>(factors: &F, rows: usize, width: usize, sums: &mut [f32]) {
    let of_panel = (rows * PANEL).max(1);
    let strips_of_a_task = WORTH_A_TASK.div_ceil((STRIP * PANEL * rows * width).max(1));
    let strips = sums.par_chunks_mut(STRIP * of_panel).enumerate().with_min_len(strips_of_a_task);
    strips.for_each(|(strip, sums)| {
        let mut runs: [F::Run; STRIP] = Default::default();
        for start in (0..width).step_by(F::DEPTH) {
            let inputs = start..width.min(start + F::DEPTH);
            let panels = STRIP * strip..STRIP * strip + sums.len() / of_panel;
            for (panel, run) in panels.clone().zip(&mut runs) {
                factors.prepare(panel, inputs.clone(), run);
            }
            for first in (0..rows).step_by(ROWS) {
                let tile = first..rows.min(first + ROWS);
                for ((panel, run), sums) in panels.clone().zip(&runs).zip(sums.chunks_mut(of_panel)) {
                    let sums = &mut sums[tile.start * PANEL..tile.end * PANEL];
                    factors.multiply(run, panel, inputs.clone(), tile.clone(), sums);
                }
            }
        }
    });
}
