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
/// Tasks of a thread, if there is enough to do: while the last ones are done, some threads wait.
const TASKS_OF_A_THREAD: usize = 16;
/// With fewer rows making a panel ready is felt.
const FEWEST_ROWS: usize = 96;

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
    let (columns, tasks) = (Columns::of(&mut y, rows, outputs), Tasks::of(rows, outputs));
    let at_least = WORTH_A_TASK.div_ceil((tasks.sums() * width).max(1));
    (0..tasks.count()).into_par_iter().with_min_len(at_least).for_each_init(
        || (F::Run::default(), vec![0.0; tasks.sums()]),
        |(run, sums), task| {
            let (panels, rows) = tasks.task(task);
            let of_panel = rows.len() * PANEL;
            sums.fill(0.0);
            for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(of_panel)) {
                multiply(factors, panel, rows.clone(), width, run, sums);
            }
            // Row by row, as they stand in memory.
            for (of_task, row) in rows.enumerate() {
                for (panel, sums) in panels.clone().zip(sums.chunks_exact(of_panel)) {
                    // SAFETY: no other task has these rows of this panel.
                    let y = unsafe { columns.of_panel(row, panel) };
                    let bias = bias.map(|bias| &bias[panel * PANEL..]);
                    write(y, &sums[of_task * PANEL..][..PANEL], factors.scale(row), bias);
                }
            }
        },
    );
    // SAFETY: every row of every panel has been written in its whole width, as no bias is shorter.
    unsafe { y.set_len(rows * outputs) };
    y
}

/// A product cut into bands of panels, and these into blocks of rows where there are few.
struct Tasks {
    rows: usize,
    panels: usize,
    /// Of a task.
    band: usize,
    at_once: usize,
    /// Of a band.
    blocks: usize,
}

impl Tasks {
    fn of(rows: usize, outputs: usize) -> Self {
        let (panels, wanted) = (outputs.div_ceil(PANEL), TASKS_OF_A_THREAD * rayon::current_num_threads());
        let blocks = wanted.div_ceil(panels.div_ceil(BAND).max(1)).clamp(1, (rows / FEWEST_ROWS).max(1));
        let at_once = rows.div_ceil(blocks).next_multiple_of(ROWS);
        let blocks = rows.div_ceil(at_once.max(1));
        let band = (panels * blocks / wanted).clamp(1, BAND);
        Self { rows, panels, band, at_once, blocks }
    }

    fn count(&self) -> usize {
        self.panels.div_ceil(self.band) * self.blocks
    }

    /// Most sums of a task.
    fn sums(&self) -> usize {
        self.band * self.at_once.min(self.rows) * PANEL
    }

    /// Its panels and rows. A band's tasks follow one another: they read the same weights.
    fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let (band, block) = (index / self.blocks * self.band, index % self.blocks * self.at_once);
        (band..self.panels.min(band + self.band), block..self.rows.min(block + self.at_once))
    }
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

/// Adds the products of one panel and some rows to `sums`, (rows, PANEL).
fn multiply<F: Factors>(
    factors: &F,
    panel: usize,
    rows: Range<usize>,
    width: usize,
    run: &mut F::Run,
    sums: &mut [f32],
) {
    for start in (0..width).step_by(F::DEPTH) {
        let inputs = start..width.min(start + F::DEPTH);
        factors.prepare(panel, inputs.clone(), run);
        let tiles = rows.clone().step_by(ROWS).map(|first| first..rows.end.min(first + ROWS));
        for (tile, sums) in tiles.zip(sums.chunks_mut(ROWS * PANEL)) {
            factors.multiply(run, panel, inputs.clone(), tile, sums);
        }
    }
}

/// Memory for a matrix (rows, outputs) whose rows are written panel by panel, by several threads.
struct Columns<'a> {
    numbers: *mut MaybeUninit<f32>,
    rows: usize,
    outputs: usize,
    lent: PhantomData<&'a mut Vec<f32>>,
}

// SAFETY: what is written through it is a row's of one panel, and `of_panel` asks that no two threads have the same.
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
    /// Nobody has two of its slices for the same row of the same panel.
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
