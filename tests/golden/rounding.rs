//! What rounded weights change.

use topreward::vlm::Dtype;

use super::*;

/// On a trained model: random weights answer to the last digits of each of them.
#[test]
fn rounded_weights_change_scores_little() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/so101-sim");
    let load = |dtype| Qwen3Vl::load(&LoadOptions { dtype, ..LoadOptions::new(&folder) }).unwrap();
    let exact = load(DtypeChoice::F32);
    for (choice, dtype, most) in [
        (DtypeChoice::Q8, Dtype::Q8, 0.05),
        (DtypeChoice::Q6, Dtype::Q6, 0.1),
        (DtypeChoice::Q4, Dtype::Q4, 0.2),
    ] {
        let rounded = load(choice);
        assert_eq!((exact.info().dtype, rounded.info().dtype), (Dtype::F32, dtype));
        assert_eq!(exact.info().parameters, rounded.info().parameters);
        let mut worst = 0f64;
        for count in 1..=7 {
            let score =
                |model: &Qwen3Vl| model.score(&mut episode_of(model, &aligned()[..count]), PLAIN).unwrap();
            worst = worst.max(difference(score(&exact), score(&rounded)));
        }
        println!("{dtype}: off by at most {worst:.2e} nats");
        assert!((1e-6..most).contains(&worst), "{dtype}: off by {worst} nats");
    }
}
