//! What quantised weights change.
//!
//! The bounds are derived. A format rounds each number to a multiple of a step, so it adds an error that is spread evenly
//! over one step. Such errors are added to the weights of the exact model here, by random numbers and not by the engine's
//! code, and what they change is measured. To first order a score's change grows with the step, so one measurement is good
//! for every format.

use std::path::Path;

use topreward::model::Dtype;
use topreward::random::SplitMix64;

use super::common::trained_model;
use super::*;

/// A format's steps, as shares of the largest number of a group.
struct Steps {
    dtype: Dtype,
    choice: DtypeChoice,
    weights: f64,
    activations: f64,
}

/// 8 bits with a sign, 6 bits with a sign; 4 bits from the lowest number to the largest, which may lie twice the largest
/// magnitude apart. Activations have 16 bits, 8 bits and 8 bits.
const FORMATS: [Steps; 3] = [
    Steps { dtype: Dtype::Q8, choice: DtypeChoice::Q8, weights: 1.0 / 127.0, activations: 1.0 / 32_767.0 },
    Steps { dtype: Dtype::Q6, choice: DtypeChoice::Q6, weights: 1.0 / 31.0, activations: 1.0 / 127.0 },
    Steps { dtype: Dtype::Q4, choice: DtypeChoice::Q4, weights: 2.0 / 15.0, activations: 1.0 / 127.0 },
];

impl Steps {
    /// Errors of weights and of activations are independent: their squares add up.
    fn together(&self) -> f64 {
        self.weights.hypot(self.activations)
    }
}

/// Step of the errors that are added, in shares of the largest number of a group.
const ADDED: f64 = 1.0 / 64.0;
/// Weights that share a step.
const GROUP: usize = 64;
/// Models with other random errors: the mean over them is known to about a third.
const MODELS: u64 = 6;
/// Mean changes are half-normal at worst, where the seven prefixes change together: one in sixty lies above three times
/// its mean, and one in a hundred below a hundredth.
const ABOVE: f64 = 3.0;
const BELOW: f64 = 0.01;

/// On a trained model: random weights answer to the last digits of each of them.
#[test]
fn quantised_weights_change_scores_as_much_as_their_steps_let_expect() {
    let load =
        |dtype, folder: &Path| Qwen3Vl::load(&LoadOptions { dtype, ..LoadOptions::new(folder) }).unwrap();
    let folder = trained_model();
    let exact = load(DtypeChoice::F32, &folder);
    let expected = scores(&exact);
    let added: Vec<f64> = (0..MODELS)
        .map(|seed| {
            mean_difference(&scores(&load(DtypeChoice::F32, with_errors(&folder, seed).path())), &expected)
        })
        .collect();
    let sensitivity = added.iter().sum::<f64>() / MODELS as f64 / ADDED;
    println!("errors of {ADDED} of a group's largest weight change scores by {added:.2?} nats");
    for format in FORMATS {
        let quantised = load(format.choice, &folder);
        assert_eq!((exact.info().dtype, quantised.info().dtype), (Dtype::F32, format.dtype));
        assert_eq!(exact.info().parameters, quantised.info().parameters);
        let (off, derived) =
            (mean_difference(&scores(&quantised), &expected), sensitivity * format.together());
        println!(
            "{}: off by {off:.1e} nats, the mean of seven prefixes; {derived:.1e} are expected",
            format.dtype
        );
        assert!((BELOW * derived..ABOVE * derived).contains(&off), "{}: {off} of {derived}", format.dtype);
    }
    // Halves by candle's operations; a GPU has kernels of its own for them. A number's step is a share of itself, which is
    // less than of its group's largest.
    for (dtype, choice, step) in
        [(Dtype::F16, DtypeChoice::F16, 1.0 / 1024.0), (Dtype::Bf16, DtypeChoice::Bf16, 1.0 / 128.0)]
    {
        let options = LoadOptions { dtype: choice, plain_kernels: true, ..LoadOptions::new(&folder) };
        let off = mean_difference(&scores(&Qwen3Vl::load(&options).unwrap()), &expected);
        let most = ABOVE * sensitivity * f64::hypot(step, step);
        println!("{dtype}: off by {off:.1e} nats, at most {most:.1e} are expected");
        assert!(off > 0.0 && off < most, "{dtype}: {off} of {most}");
    }
}

/// Of the prefixes of one to seven frames.
fn scores(model: &Qwen3Vl) -> Vec<LogProbs> {
    let frames = aligned();
    (1..=7).map(|count| model.score(&mut episode_of(model, &frames[..count]), PLAIN).unwrap()).collect()
}

fn mean_difference(a: &[LogProbs], b: &[LogProbs]) -> f64 {
    a.iter().zip(b).map(|(a, b)| difference(*a, *b)).sum::<f64>() / a.len() as f64
}

/// A copy of a model with an error in each number of its matrices, spread evenly over one step.
fn with_errors(folder: &Path, seed: u64) -> tempfile::TempDir {
    let copy = common::copy_of(folder);
    let file = copy.path().join("model.safetensors");
    let mut random = SplitMix64::new(seed);
    let mut within_a_step = move || random.below(1 << 24) as f64 / f64::from(1 << 24) - 0.5;
    let weights = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let mut names: Vec<&String> = weights.keys().collect();
    names.sort();
    let changed = names.into_iter().map(|name| {
        let weight = weights[name].to_dtype(DType::F32).unwrap();
        // Vectors and the table of positions stay exact in every format.
        if weight.rank() < 2 || name.ends_with("pos_embed.weight") {
            return (name.clone(), weight);
        }
        let inputs = weight.elem_count() / weight.dims()[0];
        let mut numbers = weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for group in numbers.chunks_mut(inputs).flat_map(|row| row.chunks_mut(GROUP)) {
            let largest = group.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            for number in group {
                *number += largest * (ADDED * within_a_step()) as f32;
            }
        }
        (name.clone(), Tensor::from_vec(numbers, weight.shape(), &Device::Cpu).unwrap())
    });
    let changed: HashMap<String, Tensor> = changed.collect();
    candle_core::safetensors::save(&changed, &file).unwrap();
    copy
}
