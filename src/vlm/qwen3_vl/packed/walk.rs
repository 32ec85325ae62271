//! The way through a product: which thread multiplies what, and what it finds in its cache.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::tiles::{PANEL, ROWS};

/// Products of two numbers that are worth a thread's waking.
const WORTH_A_TASK: usize = 1 << 19;

/// A packed matrix and the rows it is multiplied by.
pub trait Factors: Sync {
    /// A run of one panel's inputs, made ready for many rows.
    type Run: Default;
    /// Inputs of a run: a tile's share of them fits the first-level cache, a panel's the second.
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

    /// What a row's sums are worth.
    fn scale(&self, row: usize) -> f32;
}

/// All products of `rows` rows of `width` inputs and `outputs` outputs: (rows, outputs), with the bias.
pub fn walk<F: Factors>(factors: &F, [rows, width, outputs]: [usize; 3], bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![0.0; rows * outputs];
    let columns = Columns::of(&mut y, outputs);
    let panels_of_a_task = WORTH_A_TASK.div_ceil((PANEL * rows * width).max(1));
    let panels = (0..outputs.div_ceil(PANEL)).into_par_iter().with_min_len(panels_of_a_task);
    panels.for_each_init(
        || (F::Run::default(), vec![0.0; rows * PANEL]),
        |(run, sums), panel| {
            sums.fill(0.0);
            multiply(factors, panel, rows, width, run, sums);
            for (row, sums) in sums.chunks_exact(PANEL).enumerate() {
                // SAFETY: no other task has this panel.
                let y = unsafe { columns.of_panel(row, panel) };
                let scale = factors.scale(row);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum * scale);
                if let Some(bias) = bias {
                    y.iter_mut().zip(&bias[panel * PANEL..]).for_each(|(y, bias)| *y += bias);
                }
            }
        },
    );
    y
}

/// Adds one panel's products to `sums`, (rows, PANEL).
fn multiply<F: Factors>(
    factors: &F,
    panel: usize,
    rows: usize,
    width: usize,
    run: &mut F::Run,
    sums: &mut [f32],
) {
    for start in (0..width).step_by(F::DEPTH) {
        let inputs = start..width.min(start + F::DEPTH);
        factors.prepare(panel, inputs.clone(), run);
        for first in (0..rows).step_by(ROWS) {
            let tile = first..rows.min(first + ROWS);
            let sums = &mut sums[tile.start * PANEL..tile.end * PANEL];
            factors.multiply(run, panel, inputs.clone(), tile, sums);
        }
    }
}

/// A matrix (rows, outputs) whose panels of columns are written by several threads.
struct Columns<'a> {
    numbers: *mut f32,
    len: usize,
    outputs: usize,
    lent: PhantomData<&'a mut [f32]>,
}

// SAFETY: what is written through it is one panel's, and `of_panel` asks that it is asked for by one thread alone.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    fn of(numbers: &'a mut [f32], outputs: usize) -> Self {
        Self { len: numbers.len(), numbers: numbers.as_mut_ptr(), outputs, lent: PhantomData }
    }

    /// A row's numbers of one panel.
    ///
    /// # Safety
    /// No two threads ask for the same panel at a time.
    #[allow(clippy::mut_from_ref)]
    unsafe fn of_panel(&self, row: usize, panel: usize) -> &mut [f32] {
        let start = row * self.outputs + panel * PANEL;
        let end = (start + PANEL).min((row + 1) * self.outputs);
        assert!(start <= end && end <= self.len, "row {row} of panel {panel}");
        // SAFETY: inside the slice that is lent, and apart from all other rows and panels.
        unsafe { std::slice::from_raw_parts_mut(self.numbers.add(start), end - start) }
    }
}
