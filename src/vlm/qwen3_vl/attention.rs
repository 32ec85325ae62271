//! Scaled dot-product attention, a block of query rows of one head at a time.
//!
//! The scores of all heads together would fill tens of megabytes that are written and read again three times; those of
//! a block stay in a core's cache. Keys are neither copied nor repeated for the query heads that share them.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::ops;

/// Most scores of a block: 256 KiB.
const BLOCK_SCORES: usize = 1 << 16;
/// Fewer rows than this make poor matrix products.
const FEWEST_ROWS: usize = 64;

/// `query` is (key-value heads · group, rows, head_dim) and contiguous; `keys` and `values` are (key-value heads, total,
/// head_dim), in f32 or f16, each head contiguous. With `causal` the query rows are the last of `total` tokens and see nothing behind
/// themselves. Returns (rows, heads · head_dim).
pub(super) fn attention(query: &Tensor, keys: &Tensor, values: &Tensor, causal: bool) -> Result<Tensor> {
    query.apply_op3_no_bwd(keys, values, &Attention { causal, block_scores: BLOCK_SCORES })
}

struct Attention {
    causal: bool,
    block_scores: usize,
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
        let at_once = (self.block_scores / total.max(1)).clamp(FEWEST_ROWS, rows.max(FEWEST_ROWS));
        let blocks = rows.div_ceil(at_once);
        let mixed: Vec<Vec<f32>> = (0..heads * blocks)
            .into_par_iter()
            .map(|task| {
                let (head, first) = (task / blocks, task % blocks * at_once);
                let count = at_once.min(rows - first);
                let shared = head / (heads / keys.heads);
                let block = Block { first, count, rows, head_dim, causal: self.causal };
                let query = &query[(head * rows + first) * head_dim..][..count * head_dim];
                block.attend(query, keys.head(shared), values.head(shared))
            })
            .collect();
        let mut out = vec![0.0; rows * heads * head_dim];
        for (row, out) in out.chunks_exact_mut((heads * head_dim).max(1)).enumerate() {
            for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
                let block = &mixed[head * blocks + row / at_once];
                out.copy_from_slice(&block[row % at_once * head_dim..][..head_dim]);
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((rows, heads * head_dim))))
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

impl<'a> Numbers<'a> {
    /// The first of them in f32.
    fn first(self, count: usize) -> Cow<'a, [f32]> {
        match self {
            Self::F32(numbers) => Cow::Borrowed(&numbers[..count]),
            Self::F16(numbers) => Cow::Owned(numbers[..count].to_f32_vec()),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F16(numbers) => numbers.len(),
        }
    }
}

/// Query rows `first .. first + count` of `rows` of one head.
struct Block {
    first: usize,
    count: usize,
    rows: usize,
    head_dim: usize,
    causal: bool,
}

impl Block {
    /// `query` are the block's rows; the result is (count, head_dim).
    fn attend(&self, query: &[f32], keys: Numbers, values: Numbers) -> Vec<f32> {
        let Self { first, count, rows, head_dim, causal } = *self;
        let total = keys.len() / head_dim;
        // What the block's last row sees.
        let seen = if causal { total - rows + first + count } else { total };
        let mut scores = vec![0.0; count * seen];
        multiply(query, (&keys.first(seen * head_dim), 1, head_dim), &mut scores, count, head_dim);
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (row, scores) in scores.chunks_exact_mut(seen).enumerate() {
            let visible = if causal { seen + 1 + row - count } else { seen };
            let (visible, hidden) = scores.split_at_mut(visible);
            ops::softmax(visible, scale);
            hidden.fill(0.0);
        }
        let mut mixed = vec![0.0; count * head_dim];
        multiply(&scores, (&values.first(seen * head_dim), head_dim, 1), &mut mixed, count, seen);
        mixed
    }
}

/// `out = a · b` on this thread: `a` is (rows, inner), `b` is (inner, out's columns) with its two strides.
fn multiply(a: &[f32], b: (&[f32], usize, usize), out: &mut [f32], rows: usize, inner: usize) {
    let (b, inner_stride, column_stride) = b;
    let columns = out.len() / rows;
    assert!(a.len() == rows * inner && b.len() == inner * columns && out.len() == rows * columns);
    // SAFETY: each matrix lies wholly in its slice: `a` and `out` row by row, `b` without gaps in one order or the other.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            false,
            a.as_ptr(),
            1,
            inner as isize,
            b.as_ptr(),
            column_stride as isize,
            inner_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::kernels::plain_attention;
    use super::*;

    fn random(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn it_equals_the_plain_form_whatever_the_blocks() {
        for (heads, shared, rows, total) in [(4, 2, 37, 50), (2, 2, 1, 9), (6, 1, 40, 40), (1, 1, 5, 5)] {
            let (query, keys, values) =
                (random((heads, rows, 8)), random((shared, total, 8)), random((shared, total, 8)));
            for (causal, block_scores) in [(true, 1), (true, 1 << 16), (false, 1), (false, 20 * total)] {
                let op = Attention { causal, block_scores };
                let got = query.apply_op3_no_bwd(&keys, &values, &op).unwrap();
                assert_eq!(got.dims2().unwrap(), (rows, heads * 8));
                assert!(difference(&got, &plain_attention(&query, &keys, &values, causal).unwrap()) < 1e-6);
            }
        }
    }

    #[test]
    fn a_part_of_a_cache_is_read_in_place() {
        let (query, stored) = (random((4, 3, 8)), random((2, 20, 8)));
        let part = stored.narrow(1, 0, 11).unwrap();
        let whole = part.contiguous().unwrap();
        let (in_place, copied) =
            (attention(&query, &part, &part, true), attention(&query, &whole, &whole, true));
        assert_eq!(difference(&in_place.unwrap(), &copied.unwrap()), 0.0);
    }

    #[test]
    fn halves_count_as_what_they_are() {
        let (query, stored) = (random((4, 3, 8)), random((2, 20, 8)).to_dtype(DType::F16).unwrap());
        let same = stored.to_dtype(DType::F32).unwrap();
        let (halves, whole) =
            (attention(&query, &stored, &stored, true), attention(&query, &same, &same, true));
        assert_eq!(difference(&halves.unwrap(), &whole.unwrap()), 0.0);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let (query, keys) = (random((3, 4, 8)), random((2, 4, 8)));
        assert!(attention(&query, &keys, &keys, true).is_err());
        assert!(attention(&random((2, 5, 8)), &keys, &keys, true).is_err());
        assert!(attention(&random((2, 4, 6)), &keys, &keys, false).is_err());
        let crossed = random((2, 8, 4)).transpose(1, 2).unwrap();
        assert!(attention(&random((2, 4, 8)), &crossed, &keys, false).is_err());
    }
}
