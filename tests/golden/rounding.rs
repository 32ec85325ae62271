//! What rounded weights change.

use topreward::model::Dtype;

use super::*;

/// On a trained model: random weights answer to the last digits of each of them. Halves are multiplied by candle here, on GPUs
/// by kernels of our own.
#[test]
fn rounded_weights_change_scores_little() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/so101-sim");
    let load = |dtype, plain_kernels| {
        Qwen3Vl::load(&LoadOptions { dtype, plain_kernels, ..LoadOptions::new(&folder) }).unwrap()
    };
    let exact = load(DtypeChoice::F32, false);
    for (choice, dtype, most) in [
        (DtypeChoice::Q8, Dtype::Q8, 0.015),
        (DtypeChoice::Q6, Dtype::Q6, 0.08),
        (DtypeChoice::Q4, Dtype::Q4, 0.15),
        (DtypeChoice::F16, Dtype::F16, 0.01),
        (DtypeChoice::Bf16, Dtype::Bf16, 0.05),
    ] {
        let rounded = load(choice, matches!(dtype, Dtype::F16 | Dtype::Bf16));
        assert_eq!((exact.info().dtype, rounded.info().dtype), (Dtype::F32, dtype));
        assert_eq!(exact.info().parameters, rounded.info().parameters);
        let off = |count: usize| {
            let frames = &aligned()[..count];
            let score = |model: &Qwen3Vl| model.score(&mut episode_of(model, frames), PLAIN).unwrap();
            difference(score(&exact), score(&rounded))
        };
        let mean = (1..=7).map(off).sum::<f64>() / 7.0;
        println!("{dtype}: off by {mean:.2e} nats, the mean of seven prefixes");
        assert!((1e-6..most).contains(&mean), "{dtype}: off by {mean} nats");
    }
}
