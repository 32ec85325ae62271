use super::tiles::{Int4Panel, Int6Panel};
use super::*;

const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::Q8, Dtype::Q6, Dtype::Q4];

/// Numbers between -1 and 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// In two pieces or more, where there are rows for it.
fn packed(dtype: Dtype, weights: &[f32], outputs: usize, inputs: usize) -> PackedMatrix {
    assert_eq!(weights.len(), outputs * inputs);
    let rows = |rows: Range<usize>| Ok::<_, ()>(weights[rows.start * inputs..rows.end * inputs].to_vec());
    PackedMatrix::pack(dtype, outputs, inputs, 20 * inputs, rows).unwrap()
}

/// In f64, with the bias.
fn exact(x: &[f32], weights: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let row = |x| weights.chunks(inputs).zip(bias).map(move |(w, b)| dot(x, w) + f64::from(*b));
    x.chunks(inputs).flat_map(row).collect()
}

fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let off: f64 = got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).powi(2)).sum();
    (off / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

/// Rows on both sides of a tile's and for several tasks, outputs and inputs that fill no panel, group or pass.
const SHAPES: [(usize, usize, usize); 7] =
    [(1, 16, 64), (6, 32, 256), (7, 33, 100), (13, 70, 333), (57, 40, 1000), (2, 1, 1), (401, 70, 100)];

#[test]
fn products_are_those_of_the_matrix() {
    for (rows, outputs, inputs) in SHAPES {
        let (x, weights, bias) =
            (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
        let expected = exact(&x, &weights, &bias, inputs);
        let f32 = packed(Dtype::F32, &weights, outputs, inputs).product(&x, Some(&bias));
        assert!(relative_error(&f32, &expected) < 1e-6, "{rows} {outputs} {inputs}");
        // Evenly spread weights are off by a 127th of the largest, divided by √12: 0.4 % of their own size.
        let int8 = packed(Dtype::Q8, &weights, outputs, inputs).product(&x, Some(&bias));
        assert!(relative_error(&int8, &expected) < 6e-3, "{rows} {outputs} {inputs}");
        // 63 steps, and the activations' 8 bits.
        let int6 = packed(Dtype::Q6, &weights, outputs, inputs).product(&x, Some(&bias));
        assert!(relative_error(&int6, &expected) < 0.022, "{rows} {outputs} {inputs}");
        // Sixteen steps: a 15th of the range, divided by √12, and the activations' 8 bits.
        let int4 = packed(Dtype::Q4, &weights, outputs, inputs).product(&x, Some(&bias));
        assert!(relative_error(&int4, &expected) < 0.08, "{rows} {outputs} {inputs}");
    }
}

#[test]
fn weights_on_the_steps_lose_only_the_activations_rounding() {
    let (rows, outputs, inputs) = (9, 20, 192);
    let mut weights: Vec<f32> = numbers(outputs * inputs, 5).iter().map(|w| (w * 126.0).round()).collect();
    weights.iter_mut().step_by(GROUP).for_each(|w| *w = 127.0);
    let (x, bias) = (numbers(rows * inputs, 6), vec![0.0; outputs]);
    let packed = packed(Dtype::Q8, &weights, outputs, inputs);
    let off = relative_error(&packed.product(&x, None), &exact(&x, &weights, &bias, inputs));
    assert!(off < 5e-5, "{off}");
}

#[test]
fn rows_come_back() {
    let (outputs, inputs) = (37, 100);
    let weights = numbers(outputs * inputs, 4);
    let row = |index: usize| &weights[index * inputs..][..inputs];
    let wanted: Vec<f64> = [row(36), row(0), row(17)].concat().into_iter().map(f64::from).collect();
    let (f32, width) = packed(Dtype::F32, &weights, outputs, inputs).rows(&[36, 0, 17]).unwrap();
    assert_eq!((relative_error(&f32, &wanted), width), (0.0, inputs));
    let int4 = packed(Dtype::Q4, &weights, outputs, inputs);
    assert!(relative_error(&int4.rows(&[36, 0, 17]).unwrap().0, &wanted) < 0.08);
    let int6 = packed(Dtype::Q6, &weights, outputs, inputs);
    assert!(relative_error(&int6.rows(&[36, 0, 17]).unwrap().0, &wanted) < 0.02);
    let int8 = packed(Dtype::Q8, &weights, outputs, inputs);
    assert!(relative_error(&int8.rows(&[36, 0, 17]).unwrap().0, &wanted) < 6e-3);
    assert!(int8.rows(&[37]).unwrap_err().to_string().contains("row 37"));
}

#[test]
fn a_row_is_the_same_in_any_company() {
    let (rows, outputs, inputs) = (23, 50, 300);
    let (x, weights) = (numbers(rows * inputs, 7), numbers(outputs * inputs, 8));
    for dtype in DTYPES {
        let matrix = packed(dtype, &weights, outputs, inputs);
        let together = matrix.product(&x, None);
        let alone: Vec<f32> = x.chunks(inputs).flat_map(|row| matrix.product(row, None)).collect();
        assert_eq!(together, alone);
    }
}

#[test]
fn instructions_make_no_difference() {
    let inputs = 2 * GROUP;
    for rows in 1..=tiles::ROWS {
        let (x, weights) = (numbers(rows * inputs, 9), numbers(inputs * PANEL, 10));
        let whole = |values: &[f32], most: f32| values.iter().map(|v| (v * most) as i16).collect::<Vec<_>>();
        let (x_whole, weights_whole) = (whole(&x, 32_767.0), whole(&weights, 127.0));
        let narrow: Vec<i8> = x_whole.iter().map(|v| ((v >> 8) as i8).max(-127)).collect();
        let (scales, lows) =
            (numbers(inputs / NARROW_GROUP * PANEL, 11), numbers(inputs / NARROW_GROUP * PANEL, 14));
        let about_x = numbers(2 * rows * inputs / NARROW_GROUP, 12);
        let folded: Vec<u8> = weights_whole[..inputs * PANEL / 2].iter().map(|v| *v as u8).collect();
        let sixes: Vec<u8> = weights_whole[..inputs * PANEL * 3 / 4].iter().map(|v| *v as u8).collect();
        let mut unfolded: Vec<u8> = vec![0; inputs * PANEL];
        let mut run = |tiles: Tiles| {
            let mut sums = [(); 4].map(|()| vec![0.5; rows * PANEL]);
            tiles.f32(&weights, &x, &mut sums[0]);
            tiles.int8(&weights_whole, &scales[..2 * PANEL], bytemuck::cast_slice(&x_whole), &mut sums[1]);
            tiles.unfold(&folded, &mut unfolded);
            let weights = Int4Panel { numbers: &unfolded, scales: &scales, lows: &lows };
            let (quads, groups) = (bytemuck::cast_slice(&narrow), bytemuck::cast_slice(&about_x));
            tiles.int4(weights, quads, groups, &mut sums[2]);
            tiles.unfold_sixes(&sixes, bytemuck::cast_slice_mut(&mut unfolded));
            let numbers = bytemuck::cast_slice(&unfolded);
            let mut offsets = vec![0; inputs / GROUP * PANEL];
            tiles.offsets(numbers, &mut offsets);
            let weights = Int6Panel { numbers, offsets: &offsets, scales: &scales[..2 * PANEL] };
            let quads = bytemuck::cast_slice(&narrow);
            tiles.int6(weights, quads, &about_x[..rows * inputs / GROUP], &mut sums[3]);
            sums.map(|sums| sums.into_iter().map(f64::from).collect::<Vec<_>>())
        };
        let (found, plain) = (run(Tiles::detect()), run(Tiles::Portable));
        for (found, plain) in found.iter().zip(&plain) {
            let found: Vec<f32> = found.iter().map(|v| *v as f32).collect();
            assert!(relative_error(&found, plain) < 1e-6);
        }
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let inputs = 4 * GROUP;
    let matrix = packed(Dtype::Q8, &vec![-3.0; inputs], 1, inputs);
    let off = relative_error(&matrix.product(&vec![1e6; inputs], None), &[-3e6 * inputs as f64]);
    assert!(off < 1e-6, "{off}");
    for (weight, x) in [(-3.0, 1e6), (3.0, 1e6), (-3.0, -1e6)] {
        let matrix = packed(Dtype::Q6, &vec![weight; inputs], 1, inputs);
        let expected = f64::from(weight) * f64::from(x) * inputs as f64;
        let off = relative_error(&matrix.product(&vec![x; inputs], None), &[expected]);
        assert!(off < 1e-6, "{off}");
    }
    // Every number is 15 here; a step of 0.2 is not exact in 16 bits.
    let matrix = packed(Dtype::Q4, &vec![3.0; inputs], 1, inputs);
    for x in [1e6, -1e6] {
        let off =
            relative_error(&matrix.product(&vec![x; inputs], None), &[3.0 * f64::from(x) * inputs as f64]);
        assert!(off < 1e-3, "{off}");
    }
}

#[test]
fn no_number_stays_none_and_nothing_stays_nothing() {
    let weights = numbers(16 * 64, 12);
    for matrix in DTYPES.map(|dtype| packed(dtype, &weights, 16, 64)) {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = vec![0.0; 2 * 64];
            x[70] = bad;
            let y = matrix.product(&x, None);
            assert!(y[..16].iter().all(|v| *v == 0.0) && y[16..].iter().all(|v| !v.is_finite()));
        }
        assert!(matrix.product(&[], None).is_empty());
    }
    for dtype in DTYPES {
        assert_eq!(packed(dtype, &[0.0; 64], 1, 64).product(&[1.0; 64], None), [0.0]);
        let mut damaged = [0.5; 64];
        damaged[33] = f32::NAN;
        assert!(packed(dtype, &damaged, 1, 64).product(&[1.0; 64], None)[0].is_nan());
        // More than a 16-bit step can hold: NaN rather than a wrong number.
        damaged[33] = 1e9;
        let product = packed(dtype, &damaged, 1, 64).product(&[1.0; 64], None)[0];
        assert!(if dtype == Dtype::Q4 { product.is_nan() } else { product > 0.9e9 }, "{dtype:?}: {product}");
    }
}
