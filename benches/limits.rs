//! The fastest f32 matrix products of the gemm crate here, by candle's `matmul`, as one line of JSON: `cargo bench --bench limits`.
//! tools/bench/limits.py does the same with torch.

use std::time::Instant;

use candle_core::{Device, Tensor};
use serde_json::{Map, json};

/// Rows, inputs, outputs.
const SHAPES: [(usize, usize, usize); 5] =
    [(2048, 2048, 2048), (784, 1024, 4096), (196, 1024, 4096), (57, 2048, 6144), (39, 2048, 6144)];
const RUNS: usize = 8;

/// Floating-point operations a second, 10⁹.
fn gflops((rows, inputs, outputs): (usize, usize, usize)) -> candle_core::Result<f64> {
    let x = Tensor::randn(0f32, 1.0, (rows, inputs), &Device::Cpu)?;
    let weights = Tensor::randn(0f32, 1.0, (outputs, inputs), &Device::Cpu)?;
    let mut fastest = f64::MAX;
    for _ in 0..RUNS {
        let begun = Instant::now();
        x.matmul(&weights.t()?)?;
        fastest = begun.elapsed().as_secs_f64().min(fastest);
    }
    Ok(2.0 * (rows * inputs * outputs) as f64 / fastest / 1e9)
}

fn main() {
    let of = |shape: (usize, usize, usize)| {
        let value = gflops(shape).expect("memory for a product");
        (format!("{}x{}x{}", shape.0, shape.1, shape.2), json!(value))
    };
    println!("{}", json!({ "gflops": SHAPES.map(of).into_iter().collect::<Map<_, _>>() }));
}
