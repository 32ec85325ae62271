//! The way through a product: which thread multiplies what, and what it finds in its cache.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::tiles::{PANEL, ROWS};

/// Panels whose results are written together: a run of memory of their width in every row.
const BAND: usize = 4;
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
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias for every output");
    let mut y = Vec::with_capacity(rows * outputs);
    let (columns, of_panel) = (Columns::of(&mut y, rows, outputs), rows * PANEL);
    let bands_of_a_task = WORTH_A_TASK.div_ceil((BAND * of_panel * width).max(1));
    let bands = (0..outputs.div_ceil(BAND * PANEL)).into_par_iter().with_min_len(bands_of_a_task);
    bands.for_each_init(
        || (F::Run::default(), vec![0.0; BAND * of_panel]),
        |(run, sums), band| {
            sums.fill(0.0);
            let panels = BAND * band..outputs.div_ceil(PANEL).min(BAND * (band + 1));
            for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(of_panel.max(1))) {
                multiply(factors, panel, rows, width, run, sums);
            }
            // Row by row, as they stand in memory.
            for row in 0..rows {
                for (panel, sums) in panels.clone().zip(sums.chunks_exact(of_panel)) {
                    // SAFETY: no other task has this panel.
                    let y = unsafe { columns.of_panel(row, panel) };
                    let bias = bias.map(|bias| &bias[panel * PANEL..]);
                    write(y, &sums[row * PANEL..][..PANEL], factors.scale(row), bias);
                }
            }
        },
    );
    // SAFETY: every row of every panel has been written in its whole width, as no bias is shorter.
    unsafe { y.set_len(rows * outputs) };
    y
}

fn write(y: &mut [MaybeUninit<f32>], sums: &[f32], scale: f32, bias: Option<&[f32]>) {
    match bias {
        Some(bias) => y.iter_mut().zip(sums).zip(bias).for_each(|((y, sum), bias)| {
            y.write(sum * scale + bias);
        }),
        None => y.iter_mut().zip(sums).for_each(|(y, sum)| {
            y.write(sum * scale);
        }),
    }
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

/// Memory for a matrix (rows, outputs) whose panels of columns are written by several threads.
struct Columns<'a> {
    numbers: *mut MaybeUninit<f32>,
    rows: usize,
    outputs: usize,
    lent: PhantomData<&'a mut Vec<f32>>,
}

// SAFETY: what is written through it is one panel's, and `of_panel` asks that no two threads have the same.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// In the room that `numbers` has behind its end.
    fn of(numbers: &'a mut Vec<f32>, rows: usize, outputs: usize) -> Self {
        let room = numbers.spare_capacity_mut();
        assert!(room.len() >= rows * outputs, "room for {rows} rows of {outputs}");
        Self { numbers: room.as_mut_ptr(), rows, outputs, lent: PhantomData }
    }

    /// A row's numbers of one panel.
    ///
    /// # Safety
    /// No two threads have the same panel, and nobody two of its slices for the same row.
    #[allow(clippy::mut_from_ref)]
    unsafe fn of_panel(&self, row: usize, panel: usize) -> &mut [MaybeUninit<f32>] {
        let columns = panel * PANEL..self.outputs.min((panel + 1) * PANEL);
        assert!(row < self.rows && columns.start <= columns.end, "row {row} of panel {panel}");
        // SAFETY: inside the room, and apart from all other rows and panels.
        unsafe {
            let first = self.numbers.add(row * self.outputs + columns.start);
            std::slice::from_raw_parts_mut(first, columns.len())
        }
    }
}
