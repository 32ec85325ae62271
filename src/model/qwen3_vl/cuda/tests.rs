//! Every kernel beside the same in candle's operations on the processor. Without a card the tests say so and pass.
//!
//! What is compared is `‖out − reference‖ / ‖reference‖`, of random numbers; outputs lie where NaNs lay before.

use std::sync::OnceLock;

use ::image::RgbImage;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};

use super::super::cache::PAGE;
use super::super::config::Activation;
use super::super::kernels::{Operations, plain_attention};
use super::super::layers::{Linear, Norm, RotaryTable, Side, TextHeads};
use super::super::pixels::{PatchGrid, Pixels};
use super::attention::{Cut, Keys, Places, Room, Shape};
use super::*;
use crate::reward::log_softmax_at;

mod kernels;
mod loading;
mod looking;

const TYPES: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

/// The card, if there is one.
fn card() -> Option<&'static Cuda> {
    static CARD: OnceLock<Option<Cuda>> = OnceLock::new();
    let card = CARD.get_or_init(|| match Cuda::open() {
        Ok(card) => Some(card),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    });
    card.as_ref()
}

/// How far off numbers of a type may be: a few of its roundings.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 2e-6,
        DType::F16 => 1e-3,
        _ => 8e-3,
    }
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

/// The numbers rounded to a type: on the card, and what they are now in f32 on the processor.
fn both(card: &Cuda, numbers: &Tensor, dtype: DType) -> (Tensor, Tensor) {
    let rounded = numbers.to_dtype(dtype).unwrap();
    (rounded.to_device(&card.device).unwrap(), rounded.to_dtype(DType::F32).unwrap())
}

/// Leaves NaNs in the memory that is given out next.
fn poison(card: &Cuda) {
    for size in [1 << 8, 1 << 12, 1 << 16, 1 << 20, 1 << 22] {
        Tensor::full(f32::NAN, size, &card.device).unwrap();
    }
}

fn distance(out: &Tensor, reference: &Tensor) -> f64 {
    let out = out.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let reference = reference.to_dtype(DType::F64).unwrap();
    assert_eq!(out.dims(), reference.dims());
    let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(&out - &reference).unwrap()) / norm(&reference).max(f64::MIN_POSITIVE)
}

/// Prints the distance and compares it; a NaN never passes.
#[track_caller]
fn close(what: &str, out: &Tensor, reference: &Tensor, tolerance: f64) {
    let off = distance(out, reference);
    println!("{what}: {off:.1e}");
    assert!(off <= tolerance, "{what}: {off} is more than {tolerance}");
}
