//! Products, and what happens to rows between them.

use super::*;

#[test]
fn norms_equal_candles() {
    let Some(card) = card() else { return };
    for (rows, width) in [(1, 16), (39, 48), (96, 2048), (243, 4096), (49, 4608), (5, 8192)] {
        for dtype in TYPES {
            for mean in [false, true] {
                let (hidden, weight, added) = (random(&[rows, width]), random(&[width]), random(&[width]));
                let (delta, near_delta) = both(card, &random(&[rows, width]), DType::F32);
                let bias = mean.then(|| random(&[width]));
                let on = |device: &Device| Norm {
                    weight: weight.to_device(device).unwrap(),
                    bias: bias.as_ref().map(|bias| bias.to_device(device).unwrap()),
                    eps: 1e-5,
                };
                let sum = (&hidden + near_delta).unwrap().broadcast_add(&added).unwrap();
                let expected = on(&Device::Cpu).forward(&sum).unwrap();
                let hidden = hidden.to_device(&card.device).unwrap();
                let added = added.to_device(&card.device).unwrap();
                poison(card);
                let out =
                    card.add_and_norm(&hidden, Some(&delta), Some(&added), &on(&card.device), dtype).unwrap();
                let what = format!("norm {dtype:?} {rows} x {width}, mean {mean}");
                close(&what, &out, &expected, tolerance(dtype));
                close(&format!("{what}, sum"), &hidden, &sum, 1e-6);
                let again = card.add_and_norm(&hidden, None, None, &on(&card.device), dtype).unwrap();
                close(&format!("{what}, again"), &again, &expected, tolerance(dtype));
            }
        }
    }
    assert!(
        card.norm(
            &Norm { weight: random(&[6]).to_device(&card.device).unwrap(), bias: None, eps: 1e-6 },
            &random(&[2, 6]).to_device(&card.device).unwrap()
        )
        .is_err()
    );
}

#[test]
fn products_equal_plain_ones() {
    let Some(card) = card() else { return };
    for (rows, inputs, outputs) in
        [(1, 48, 64), (39, 2048, 6144), (96, 4304, 1152), (243, 4096, 1024), (3, 40, 72)]
    {
        for dtype in TYPES {
            let (weights, near_weights) = both(card, &random(&[outputs, inputs]), dtype);
            let (x, near_x) = both(card, &random(&[rows, inputs]), dtype);
            let (bias, hidden) = (random(&[outputs]), random(&[rows, outputs]));
            let expected = near_x.matmul(&near_weights.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            let linear = Linear::Plain { weights, bias: Some(bias.to_device(&card.device).unwrap()) };
            poison(card);
            let what = format!("product {dtype:?} {rows} x {inputs} x {outputs}");
            // Thousands of f32 numbers in another order: 5e-6 was seen.
            close(&what, &card.product(&linear, &x).unwrap(), &expected, 2e-5);
            let sum = card.add_product(hidden.to_device(&card.device).unwrap(), &linear, &x).unwrap();
            close(&format!("{what}, added"), &sum, &(&hidden + &expected).unwrap(), 2e-5);
            for (activation, expected) in [
                (Activation::GeluTanh, expected.gelu().unwrap()),
                (Activation::GeluErf, expected.gelu_erf().unwrap()),
            ] {
                let out = card.activated(&linear, activation, &x).unwrap();
                close(&format!("{what}, {activation:?}"), &out, &expected, 2.0 * tolerance(dtype));
            }
        }
    }
}

#[test]
fn gates_and_factors_stand_in_one_matrix() {
    let Some(card) = card() else { return };
    for dtype in TYPES {
        let (weights, near) = both(card, &(random(&[2 * 96, 64]) * 0.2).unwrap(), dtype);
        let (x, near_x) = both(card, &random(&[39, 64]), dtype);
        let all = near_x.matmul(&near.t().unwrap()).unwrap();
        let expected =
            (all.narrow(1, 0, 96).unwrap().silu().unwrap() * all.narrow(1, 96, 96).unwrap()).unwrap();
        let joined = Side::Joined(Linear::Plain { weights: weights.clone(), bias: None });
        close(
            &format!("gated {dtype:?}"),
            &card.gated(&joined, &x).unwrap(),
            &expected,
            2.0 * tolerance(dtype),
        );
        let half = |first| Linear::Plain { weights: weights.narrow(0, first, 96).unwrap(), bias: None };
        let apart = Side::Apart(vec![half(0), half(96)]);
        close(
            &format!("gated apart {dtype:?}"),
            &card.gated(&apart, &x).unwrap(),
            &expected,
            2.0 * tolerance(dtype),
        );
    }
}

#[test]
fn blocks_are_multiplied_and_looked_up() {
    let Some(card) = card() else { return };
    for blocks in [GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::Q4K] {
        for rows in [1, 7, 39, 96, 243] {
            let weights = QTensor::quantize(&random(&[1024, 512]), blocks).unwrap();
            let near = weights.dequantize(&Device::Cpu).unwrap();
            let bytes = weights.data().unwrap();
            let storage = candle_core::quantized::QStorage::from_data(bytes, &card.device, blocks).unwrap();
            let weights = Arc::new(QTensor::new(storage, (1024, 512)).unwrap());
            let linear = Linear::Quantised { weights, bias: None };
            let (x, near_x) = both(card, &random(&[rows, 512]), DType::BF16);
            let expected = near_x.matmul(&near.t().unwrap()).unwrap();
            let hidden = random(&[rows, 1024]);
            // Activations are rounded to 8 bits.
            close(&format!("{blocks:?} {rows} rows"), &card.product(&linear, &x).unwrap(), &expected, 2e-2);
            let sum = card.add_product(hidden.to_device(&card.device).unwrap(), &linear, &x).unwrap();
            close(&format!("{blocks:?} {rows} rows, added"), &sum, &(&hidden + &expected).unwrap(), 2e-2);
            let looked_up = card.embed(&linear, &[3, 1023, 0]).unwrap();
            let ids = Tensor::new(&[3u32, 1023, 0], &Device::Cpu).unwrap();
            close(&format!("{blocks:?} rows"), &looked_up, &near.index_select(&ids, 0).unwrap(), 1e-5);
        }
    }
}

#[test]
fn rows_are_looked_up_rounded_and_added() {
    let Some(card) = card() else { return };
    for dtype in TYPES {
        let (weights, near) = both(card, &random(&[50, 48]), dtype);
        let table = Linear::Plain { weights, bias: None };
        let ids = [49, 0, 7, 7];
        let expected = near.index_select(&Tensor::new(&ids, &Device::Cpu).unwrap(), 0).unwrap();
        close(&format!("rows {dtype:?}"), &card.embed(&table, &ids).unwrap(), &expected, 0.0);
        assert!(card.embed(&table, &[50]).is_err());
        let (patches, positions) = (random(&[20, 48]), random(&[20, 50 - 2]));
        let square = Linear::Plain { weights: both(card, &random(&[48, 48]), dtype).0, bias: None };
        let on_card = positions.to_device(&card.device).unwrap();
        let out = card.embed_patches(&square, &patches, &on_card).unwrap();
        let Linear::Plain { weights, .. } = &square else { unreachable!() };
        let weights = weights.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let rounded = patches.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        let expected = (rounded.matmul(&weights.t().unwrap()).unwrap() + &positions).unwrap();
        close(&format!("patches {dtype:?}"), &out, &expected, 3e-6);
        assert_eq!(distance(&on_card, &positions), 0.0, "the table of positions stays as it is");
    }
    let (hidden, part) = (random(&[9, 8]), random(&[3, 8]));
    let on_card = hidden.to_device(&card.device).unwrap();
    card.add_to_rows(&on_card, 4, &part.to_device(&card.device).unwrap()).unwrap();
    let expected =
        hidden.slice_assign(&[4..7, 0..8], &(hidden.narrow(0, 4, 3).unwrap() + part).unwrap()).unwrap();
    close("added to rows", &on_card, &expected, 1e-7);
}

#[test]
fn patches_are_cut_as_on_the_processor() {
    let Some(card) = card() else { return };
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let normalised = [0, 1, 2].map(|channel| {
        let value = |of: usize| (of as f32 - 100.0 - 7.0 * channel as f32) / (50.0 + channel as f32);
        std::array::from_fn(value)
    });
    for (rows, columns, merge_size, side) in [(28, 28, 2, 16), (2, 4, 2, 16), (14, 22, 2, 14), (6, 9, 3, 5)] {
        let grid = PatchGrid { rows, columns, merge_size };
        let (width, height) = ((columns * side) as u32, (rows * side) as u32);
        let frames =
            [0, 1].map(|_| RgbImage::from_fn(width, height, |_, _| ::image::Rgb([0; 3].map(|_| byte()))));
        let pixels = Pixels { pair: frames.each_ref(), grid, side, normalised: &normalised };
        poison(card);
        let out = card.patches(&pixels).unwrap();
        close(&format!("patches of {height} x {width}"), &out, &pixels.cut().unwrap(), 0.0);
        let other = RgbImage::new(width, height - 1);
        assert!(card.patches(&Pixels { pair: [&other, &other], ..pixels }).is_err());
    }
}

#[test]
fn log_probabilities_equal_the_processors() -> Result<()> {
    let Some(card) = card() else { return Ok(()) };
    for count in [400, 151_936] {
        let logits = (random(&[1, count]) * 4.0)?;
        let near: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        let got = card.log_probs(&logits.to_device(&card.device)?, [0, count as u32 - 1])?;
        for (got, token) in got.into_iter().zip([0, count - 1]) {
            let (got, expected) = (got.unwrap(), log_softmax_at(&near, token).unwrap());
            println!("log-probability of {token} of {count}: off by {:.1e}", (got - expected).abs());
            assert!((got - expected).abs() < 2e-6);
        }
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut broken = near.clone();
            broken[count / 2] = wrong;
            let broken = Tensor::from_vec(broken, (1, count), &card.device)?;
            assert_eq!(card.log_probs(&broken, [0, 1])?, [None, None]);
        }
        let mut shut = near.clone();
        shut[count / 4..count / 2].fill(f32::NEG_INFINITY);
        let got = card
            .log_probs(&Tensor::from_vec(shut.clone(), (1, count), &card.device)?, [0, count as u32 / 3])?;
        assert!((got[0].unwrap() - log_softmax_at(&shut, 0).unwrap()).abs() < 2e-6 && got[1].is_none());
    }
    Ok(())
}
