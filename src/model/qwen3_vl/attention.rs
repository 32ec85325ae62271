//! Scaled dot-product attention, a block of query rows at a time and a chunk of keys after the other.
//!
//! The scores of all heads together would fill tens of megabytes that are written and read again three times. Here a
//! block's rows, a chunk of keys and values and their scores stay in a core's cache, and the softmax is brought up to date
//! with every chunk (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). The query heads that
//! share keys are one matrix for it, so that a key is made ready for them once.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use half::f16;
use rayon::prelude::*;

use super::packed::{ROWS, Tiles};

mod block;

use block::{Block, KeyChunk};

/// Most query rows of a block: with fewer, making the keys ready is felt; with more, a second-level cache is too small.
const BLOCK_ROWS: usize = 256;

/// `query` is (key-value heads · group, rows, head_dim) and contiguous; `keys` and `values` are (key-value heads, total,
/// head_dim), in f32 or f16, each head contiguous. With `causal` the query rows are the last of `total` tokens and see
/// nothing behind themselves. Returns (rows, heads · head_dim). A row of it depends on that row of the query alone, to the
/// last bit.
pub(super) fn attention(query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
    query.apply_op3_no_bwd(keys, values, &Attention { causal, block_rows: BLOCK_ROWS })
}

struct Attention {
    causal: bool,
    block_rows: usize,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (heads, rows, head_dim) = query_layout.shape().dims3()?;
        let (query, keys) = (Heads::of(query, query_layout)?, Heads::of(keys, keys_layout)?);
        let values = Heads::of(values, values_layout)?;
        let (Numbers::F32(query), true) = (query.numbers, query_layout.is_contiguous()) else {
            bail!("attention needs a contiguous f32 query");
        };
        let total = keys.rows;
        let fits = keys.heads > 0 && heads.is_multiple_of(keys.heads) && keys.head_dim == head_dim;
        let same = (values.heads, values.rows, values.head_dim) == (keys.heads, total, head_dim);
        if !fits || !same || rows > total && self.causal {
            bail!("attention: {query_layout:?} cannot look at {keys_layout:?} and {values_layout:?}");
        }
        let group = Group { rows, of_all: heads / keys.heads * rows, total, causal: self.causal };
        let blocks = group.of_all.div_ceil(self.block_rows);
        let at_once = group.of_all.div_ceil(blocks.max(1)).next_multiple_of(ROWS);
        let blocks = group.of_all.div_ceil(at_once.max(1));
        let mixed: Vec<Vec<f32>> = (0..keys.heads * blocks)
            .into_par_iter()
            .map_init(KeyChunk::default, |chunk, task| {
                let (shared, first) = (task / blocks, task % blocks * at_once);
                let count = at_once.min(group.of_all - first);
                let query = &query[(shared * group.of_all + first) * head_dim..][..count * head_dim];
                let visible = |row: usize| group.visible(first + row);
                let mut block = Block::new(Tiles::detect(), query, head_dim, visible);
                block.look(keys.head(shared), values.head(shared), chunk);
                block.mixed()
            })
            .collect();
        let mut out = vec![0.0; rows * heads * head_dim];
        out.par_chunks_mut((heads * head_dim).max(1)).enumerate().for_each(|(row, out)| {
            for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
                let (shared, of_group) = (head * rows / group.of_all, head * rows % group.of_all + row);
                let block = &mixed[shared * blocks + of_group / at_once];
                out.copy_from_slice(&block[of_group % at_once * head_dim..][..head_dim]);
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((rows, heads * head_dim))))
    }
}

/// The query heads that share keys, their rows one behind the other.
struct Group {
    /// Of one head.
    rows: usize,
    of_all: usize,
    total: usize,
    causal: bool,
}

impl Group {
    /// How many keys a row sees.
    fn visible(&self, row: usize) -> usize {
        if self.causal { self.total - self.rows + row % self.rows + 1 } else { self.total }
    }
}

/// (heads, rows, head_dim) in memory; between heads there may be room.
struct Heads<'a> {
    numbers: Numbers<'a>,
    stride: usize,
    heads: usize,
    rows: usize,
    head_dim: usize,
}

impl<'a> Heads<'a> {
    fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (heads, rows, head_dim) = layout.shape().dims3()?;
        let [stride, row, 1] = *layout.stride() else { bail!("attention needs contiguous rows") };
        if row != head_dim {
            bail!("attention needs heads without gaps between their rows");
        }
        let start = layout.start_offset();
        let numbers = match storage {
            CpuStorage::F32(numbers) => Numbers::F32(&numbers[start..]),
            CpuStorage::F16(numbers) => Numbers::F16(&numbers[start..]),
            _ => bail!("attention needs heads in f32 or f16"),
        };
        Ok(Self { numbers, stride, heads, rows, head_dim })
    }

    /// (rows, head_dim)
    fn head(&self, index: usize) -> Numbers<'a> {
        let range = index * self.stride..index * self.stride + self.rows * self.head_dim;
        match self.numbers {
            Numbers::F32(numbers) => Numbers::F32(&numbers[range]),
            Numbers::F16(numbers) => Numbers::F16(&numbers[range]),
        }
    }
}

#[derive(Clone, Copy)]
enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::kernels::plain_attention;
    use super::*;

    /// Numbers between -2 and 2, the same in every run.
    fn random(seed: u64, shape: (usize, usize, usize)) -> Tensor {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 22) as f32 - 2.0
        };
        let numbers: Vec<f32> = std::iter::repeat_with(next).take(shape.0 * shape.1 * shape.2).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn it_equals_the_plain_form_whatever_the_blocks() {
        let sizes =
            [(4, 2, 37, 50, 8), (2, 2, 1, 9, 16), (6, 1, 40, 300, 20), (1, 1, 5, 5, 8), (2, 1, 270, 270, 64)];
        for (heads, shared, rows, total, head_dim) in sizes {
            let of = |seed, heads, rows| random(seed, (heads, rows, head_dim));
            let (query, keys, values) = (of(1, heads, rows), of(2, shared, total), of(3, shared, total));
            for (causal, block_rows) in [(true, 6), (true, 192), (false, 30), (false, 192)] {
                let got = query.apply_op3_no_bwd(&keys, &values, &Attention { causal, block_rows }).unwrap();
                assert_eq!(got.dims2().unwrap(), (rows, heads * head_dim));
                let off = difference(&got, &plain_attention(&query, &keys, &values, causal).unwrap());
                // Up to 1.6e-6 was seen with other numbers: sums of f32 in two orders.
                assert!(off < 2e-6, "{heads} heads, {rows} rows of {total}: {off}");
            }
        }
    }

    #[test]
    fn a_row_is_the_same_alone_and_among_others() {
        let (query, keys, values) =
            (random(1, (4, 150, 16)), random(2, (2, 400, 16)), random(3, (2, 400, 16)));
        let whole = attention(&query, &keys, &values, true).unwrap();
        for (first, count) in [(0, 1), (7, 100), (149, 1)] {
            let seen = 400 - 150 + first + count;
            let [keys, values] = [&keys, &values].map(|all| all.narrow(1, 0, seen).unwrap());
            let query = query.narrow(1, first, count).unwrap().contiguous().unwrap();
            let part = attention(&query, &keys, &values, true).unwrap();
            assert_eq!(difference(&part, &whole.narrow(0, first, count).unwrap()), 0.0);
        }
    }

    #[test]
    fn high_scores_neither_overflow_nor_hide_what_is_no_number() {
        let (query, keys) = (random(4, (1, 3, 16)), random(5, (1, 200, 16)));
        let query = (query * 100.0).unwrap();
        let got = attention(&query, &keys, &keys, true).unwrap();
        assert!(difference(&got, &plain_attention(&query, &keys, &keys, true).unwrap()) < 1e-4);
        let mut numbers = keys.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers[150 * 16] = f32::NAN;
        let broken = Tensor::from_vec(numbers, (1, 200, 16), &Device::Cpu).unwrap();
        let got = attention(&query, &broken, &keys, true).unwrap();
        assert!(got.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|number| number.is_nan()));
    }

    #[test]
    fn a_part_of_a_cache_is_read_in_place() {
        let (query, stored) = (random(6, (4, 3, 8)), random(7, (2, 20, 8)));
        let part = stored.narrow(1, 0, 11).unwrap();
        let whole = part.contiguous().unwrap();
        let (in_place, copied) =
            (attention(&query, &part, &part, true), attention(&query, &whole, &whole, true));
        assert_eq!(difference(&in_place.unwrap(), &copied.unwrap()), 0.0);
    }

    #[test]
    fn halves_count_as_what_they_are() {
        let (query, stored) = (random(8, (4, 3, 8)), random(9, (2, 20, 8)).to_dtype(DType::F16).unwrap());
        let same = stored.to_dtype(DType::F32).unwrap();
        let (halves, whole) =
            (attention(&query, &stored, &stored, true), attention(&query, &same, &same, true));
        assert_eq!(difference(&halves.unwrap(), &whole.unwrap()), 0.0);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let (query, keys) = (random(10, (3, 4, 8)), random(11, (2, 4, 8)));
        assert!(attention(&query, &keys, &keys, true).is_err());
        assert!(attention(&random(12, (2, 5, 8)), &keys, &keys, true).is_err());
        assert!(attention(&random(13, (2, 4, 6)), &keys, &keys, false).is_err());
        let crossed = random(14, (2, 8, 4)).transpose(1, 2).unwrap();
        assert!(attention(&random(15, (2, 4, 8)), &crossed, &keys, false).is_err());
    }
}
