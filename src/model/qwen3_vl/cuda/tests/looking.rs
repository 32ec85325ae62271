//! Heads and attention.

use super::*;

/// The plain form of attention in steps that fit the kernels' tensors: query (rows, heads · head_dim), keys and values
/// (shared, total, head_dim).
fn reference(query: &Tensor, keys: &Tensor, values: &Tensor, heads: usize, causal: bool) -> Tensor {
    let (rows, width) = query.dims2().unwrap();
    let query =
        query.reshape((rows, heads, width / heads)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
    plain_attention(&query, keys, values, causal).unwrap()
}

/// Keys and values, (shared, total, head_dim) each, as those of the second of two layers, in pages where NaNs lie.
fn paged(card: &Cuda, keys: &Tensor, values: &Tensor, total: usize) -> (Vec<Tensor>, Room) {
    let (shared, _, head_dim) = keys.dims3().unwrap();
    let (dtype, committed) = (keys.dtype(), total);
    let page = |first: usize| {
        let count = PAGE.min(total - first);
        let page = Tensor::full(f32::NAN, (2, shared, PAGE, head_dim), &card.device).unwrap();
        let page = page.to_dtype(dtype).unwrap();
        for (which, of) in [keys, values].into_iter().enumerate() {
            page.get(which)
                .unwrap()
                .slice_set(&of.narrow(1, first, count).unwrap().contiguous().unwrap(), 1, 0)
                .unwrap();
        }
        page
    };
    let pages: Vec<Tensor> = (0..total).step_by(PAGE).map(page).collect();
    let first_layer = vec![0; pages.len()];
    let second_layer = pages.iter().map(|page| card.address(page).unwrap() as i64);
    let table: Vec<i64> = first_layer.into_iter().chain(second_layer).collect();
    let table = Tensor::from_vec(table, (2, pages.len()), &card.device).unwrap();
    (pages, Room { pages: table, layer: 1, dtype, shared, head_dim, committed })
}

struct Case {
    rows: usize,
    total: usize,
    shared: usize,
    group: usize,
    head_dim: usize,
    causal: bool,
}

/// With queries among other columns, and keys in a cache with room left.
fn check(card: &Cuda, dtype: DType, case: &Case) {
    let Case { rows, total, shared, group, head_dim, causal } = *case;
    let heads = shared * group;
    let (capacity, width) = (total + 24, (heads + 2) * head_dim);
    let (all, query) = both(card, &random(&[rows, width]), dtype);
    let (keys, near_keys) = both(card, &random(&[shared, capacity, head_dim]), dtype);
    let (values, near_values) = both(card, &random(&[shared, capacity, head_dim]), dtype);
    let query = query.narrow(1, head_dim, heads * head_dim).unwrap().contiguous().unwrap();
    let [near_keys, near_values] =
        [near_keys, near_values].map(|all| all.narrow(1, 0, total).unwrap().contiguous().unwrap());
    let expected = reference(&query, &near_keys, &near_values, heads, causal);
    poison(card);
    let shape = Shape { rows, total, heads, shared, head_dim, causal };
    let first = card.address(&all).unwrap() + (head_dim * dtype.size_in_bytes()) as u64;
    let query = Places { first, row: width, head: head_dim };
    let places = Places { first: card.address(&keys).unwrap(), row: head_dim, head: capacity * head_dim };
    let stretch = Keys::beside_each_other(places, card.address(&values).unwrap());
    let cut = Cut::of(&shape, card.multiprocessors, card.functions.of(dtype).unwrap().tall.is_some());
    let what =
        format!("attention {dtype:?} {rows} of {total}, {heads} heads of {head_dim} on {shared}, {cut:?}");
    let out = card.attention(&shape, query, stretch, dtype).unwrap();
    close(&what, &out, &expected, tolerance(dtype).max(4e-6));
    let (_pages, room) = paged(card, &keys, &values, total);
    poison(card);
    let out = card.attention(&shape, query, card.keys(&room).unwrap(), dtype).unwrap();
    close(&format!("{what} in pages"), &out, &expected, tolerance(dtype).max(4e-6));
}

/// What the tall tiles are for, and the edges of tiles, pages and splits.
#[test]
fn attention_to_many_keys_equals_plain_operations() {
    let Some(card) = card() else { return };
    let tall = card.functions.of(card.sixteen_bits()).unwrap().tall.is_some();
    for (rows, total, shared, group, head_dim) in
        [(96, 17_000, 2, 4, 128), (96, 9_001, 4, 2, 128), (33, 8_193, 4, 8, 120), (70, 8_255, 4, 7, 128)]
    {
        let shape = Shape { rows, total, heads: shared * group, shared, head_dim, causal: true };
        if total == 17_000 {
            assert_eq!(Cut::of(&shape, card.multiprocessors, tall).high == 2, tall);
        }
        for dtype in [DType::BF16, DType::F16] {
            check(card, dtype, &Case { rows, total, shared, group, head_dim, causal: true });
        }
    }
    for total in [1, 63, 64, 65, 255, 256, 257, 513] {
        for (group, head_dim) in [(1, 64), (2, 72), (3, 128), (5, 128), (6, 64), (7, 72)] {
            let rows = total.min(3);
            check(card, DType::BF16, &Case { rows, total, shared: 2, group, head_dim, causal: true });
            check(card, DType::F32, &Case { rows, total, shared: 1, group, head_dim, causal: true });
        }
    }
    // One row: the last layer's.
    check(
        card,
        DType::BF16,
        &Case { rows: 1, total: 17_001, shared: 8, group: 4, head_dim: 128, causal: true },
    );
}

#[test]
fn attention_equals_plain_operations() {
    let Some(card) = card() else { return };
    for (rows, total) in
        [(1, 1), (1, 5000), (39, 39), (39, 700), (96, 97), (96, 5000), (243, 243), (243, 1003)]
    {
        for (group, head_dim) in [(1, 72), (2, 128), (4, 128), (8, 64)] {
            for dtype in TYPES {
                check(card, dtype, &Case { rows, total, shared: 2, group, head_dim, causal: true });
            }
        }
    }
    // A vision tower's, and heads as small as those of the models of the tests.
    for (rows, shared, head_dim) in
        [(196, 16, 64), (196, 16, 72), (783, 4, 72), (24, 2, 8), (24, 2, 16), (60, 3, 32)]
    {
        for dtype in TYPES {
            check(card, dtype, &Case { rows, total: rows, shared, group: 1, head_dim, causal: false });
        }
    }
    // Sizes that the matrix units do not take.
    check(card, DType::BF16, &Case { rows: 5, total: 40, shared: 2, group: 2, head_dim: 36, causal: true });
    check(card, DType::BF16, &Case { rows: 5, total: 40, shared: 1, group: 2, head_dim: 160, causal: true });
}

#[test]
fn what_is_no_number_stays_none() {
    let Some(card) = card() else { return };
    for dtype in TYPES {
        let mut numbers = vec![0.5f32; 2 * 300 * 64];
        numbers[150 * 64] = f32::NAN;
        let keys = Tensor::from_vec(numbers, (2, 300, 64), &card.device).unwrap().to_dtype(dtype).unwrap();
        let shape = Shape { rows: 4, total: 300, heads: 2, shared: 2, head_dim: 64, causal: true };
        let first = card.address(&keys).unwrap();
        let query = Places { first: first + (200 * 64 * dtype.size_in_bytes()) as u64, row: 64, head: 64 };
        let places = Places { first, row: 64, head: 300 * 64 };
        let keys = Keys::beside_each_other(places, first);
        let out = card.attention(&shape, query, keys, dtype).unwrap();
        let out = out.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert!(out.iter().all(|row| row[..64].iter().all(|number| number.is_nan())), "{dtype:?}");
    }
}

#[test]
fn work_is_cut_where_keys_are_many() {
    let shape = |rows: usize, total: usize, group: usize, head_dim: usize| Shape {
        rows,
        total,
        heads: 8 * group,
        shared: 8,
        head_dim,
        causal: true,
    };
    for (rows, total, group) in
        [(1, 1, 2), (1, 5000, 2), (96, 200, 4), (96, 17_000, 4), (243, 243, 2), (1, 90_000, 8)]
    {
        for tall in [false, true] {
            let cut = Cut::of(&shape(rows, total, group, 128), 132, tall);
            assert!(
                cut.keys_per_split * cut.splits >= total && cut.keys_per_split * (cut.splits - 1) < total,
                "{cut:?}"
            );
            assert!(
                cut.keys_per_split.is_multiple_of(64) && (cut.splits == 1 || cut.keys_per_split >= 64),
                "{cut:?}"
            );
            assert!(cut.high == 1 || tall && cut.warps == 4, "{cut:?}");
        }
    }
    assert_eq!(Cut::of(&shape(96, 200, 4, 128), 132, true).splits, 1);
    assert!(Cut::of(&shape(96, 17_000, 2, 128), 132, false).splits >= 8);
    // The 8B's: three tall tiles for each of 8 heads, eleven times: two blocks for each of 132 multiprocessors.
    let cut = Cut::of(&shape(96, 17_142, 4, 128), 132, true);
    assert_eq!((cut.high, cut.splits, cut.keys_per_split), (2, 11, 1600));
    assert_eq!(Cut::of(&shape(96, 17_142, 4, 64), 132, true).high, 1);
    assert_eq!(Cut::of(&shape(1, 17_142, 4, 128), 132, true).high, 1);
    assert_eq!(Cut::of(&shape(96, 2_000, 4, 128), 132, true).high, 1);
}

/// Cosines and sines of random angles, on the card and on the processor.
fn rotary(card: &Cuda, rows: usize, head_dim: usize) -> [RotaryTable; 2] {
    let angles: Vec<f32> = (random(&[rows * head_dim / 2]) * 3.0).unwrap().to_vec1().unwrap();
    [&card.device, &Device::Cpu].map(|device| RotaryTable::from_angles(&angles, rows, device).unwrap())
}

/// (rows, heads · head_dim) of some columns as (heads, rows, head_dim).
fn split(all: &Tensor, first: usize, heads: usize, head_dim: usize) -> Tensor {
    let part = all.narrow(1, first, heads * head_dim).unwrap();
    let rows = part.dim(0).unwrap();
    part.reshape((rows, heads, head_dim)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap()
}

#[test]
fn heads_are_normed_rotated_and_put_into_the_cache() {
    let Some(card) = card() else { return };
    for (heads, shared, head_dim, rows) in [(16, 8, 128, 39), (32, 8, 128, 1), (4, 2, 16, 96), (2, 1, 32, 7)]
    {
        for dtype in TYPES {
            let norms = [0, 1].map(|_| (random(&[head_dim]) + 1.0).unwrap());
            let norm = |index: usize, device: &Device| Norm {
                weight: norms[index].to_device(device).unwrap(),
                bias: None,
                eps: 1e-6,
            };
            let [on_card, near] = rotary(card, rows, head_dim);
            let (all, expected) = both(card, &random(&[rows, (heads + 2 * shared) * head_dim]), dtype);
            let bias = random(&[(heads + 2 * shared) * head_dim]);
            let expected = expected.broadcast_add(&bias).unwrap();
            let bias = bias.to_device(&card.device).unwrap();
            let text = TextHeads {
                query_key_value: Side::Apart(Vec::new()),
                query_norm: norm(0, &card.device),
                key_norm: norm(1, &card.device),
                heads,
                shared,
                head_dim,
            };
            // Over the edge of a page.
            let committed = PAGE - 5;
            let store = Tensor::full(7f32, (shared, 2 * PAGE, head_dim), &card.device).unwrap();
            let store = store.to_dtype(dtype).unwrap();
            let (pages, room) = paged(card, &store, &store, 2 * PAGE);
            let room = Room { committed, ..room };
            card.prepare_text(&text, &all, Some(&bias), &on_card, &room).unwrap();
            let [keys, values] = [0, 1].map(|which| {
                let of = |page: &Tensor| page.get(which).unwrap();
                Tensor::cat(&pages.iter().map(of).collect::<Vec<_>>(), 1).unwrap()
            });
            let turned = |first, count, norm: Norm| {
                near.rotate(&norm.forward(&split(&expected, first, count, head_dim)).unwrap()).unwrap()
            };
            let what = |of: &str| format!("{of} {dtype:?}, {heads} and {shared} heads of {head_dim}");
            let queries = split(&all.to_dtype(DType::F32).unwrap(), 0, heads, head_dim);
            close(&what("queries"), &queries, &turned(0, heads, norm(0, &Device::Cpu)), tolerance(dtype));
            let new = |of: &Tensor| of.narrow(1, committed, rows).unwrap().contiguous().unwrap();
            let near_keys = turned(heads * head_dim, shared, norm(1, &Device::Cpu));
            close(&what("keys"), &new(&keys), &near_keys, tolerance(dtype));
            let near_values = split(&expected, (heads + shared) * head_dim, shared, head_dim);
            close(&what("values"), &new(&values), &near_values, tolerance(dtype));
            for (first, count) in [(0, committed), (committed + rows, 2 * PAGE - committed - rows)] {
                let untouched = keys.narrow(1, first, count).unwrap().to_dtype(DType::F32).unwrap();
                assert_eq!(untouched.min_all().unwrap().to_scalar::<f32>().unwrap(), 7.0);
                assert_eq!(untouched.max_all().unwrap().to_scalar::<f32>().unwrap(), 7.0);
            }
            let full = Room { committed: 2 * PAGE - rows + 1, ..room };
            assert!(card.prepare_text(&text, &all, Some(&bias), &on_card, &full).is_err());
        }
    }
}

#[test]
fn heads_of_patches_are_rotated_in_place() {
    let Some(card) = card() else { return };
    for (heads, head_dim, rows) in [(16, 64, 196), (16, 72, 196), (2, 8, 24), (3, 8, 9)] {
        for dtype in TYPES {
            let width = heads * head_dim;
            let [on_card, near] = rotary(card, rows, head_dim);
            let (all, expected) = both(card, &random(&[rows, 3 * width]), dtype);
            let bias = random(&[3 * width]);
            let expected = expected.broadcast_add(&bias).unwrap();
            card.prepare_patches(&all, heads, Some(&bias.to_device(&card.device).unwrap()), &on_card)
                .unwrap();
            let all = all.to_dtype(DType::F32).unwrap();
            for part in 0..3 {
                let expected = split(&expected, part * width, heads, head_dim);
                let expected = if part < 2 { near.rotate(&expected).unwrap() } else { expected };
                let what = format!("patches' part {part} {dtype:?}, {heads} heads of {head_dim}");
                close(&what, &split(&all, part * width, heads, head_dim), &expected, tolerance(dtype));
            }
        }
    }
}
