//! Compiles the kernels for NVIDIA's cards, with feature `cuda` only.
//!
//! They are embedded as machine code for one architecture and as PTX, which drivers translate for newer ones.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "src/model/qwen3_vl/cuda/kernels";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo::rerun-if-changed={FOLDER}");
    for name in ["CUDA_HOME", "CUDA_COMPUTE_CAP", "NVCC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if let Some(home) = env::var_os("CUDA_HOME") {
        // So that a program finds the libraries that it was linked with; elsewhere the entry does nothing.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}/lib64", Path::new(&home).display());
    }
    if let Err(reason) = compile(&nvcc(), &architecture()) {
        println!("cargo::error={reason}");
        std::process::exit(1);
    }
}

/// Where candle looks for it too.
fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let home = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().find_map(env::var_os);
    let in_home = home.map(|home| Path::new(&home).join("bin/nvcc")).filter(|nvcc| nvcc.exists());
    in_home
        .or_else(|| Some("/usr/local/cuda/bin/nvcc".into()).filter(|nvcc: &PathBuf| nvcc.exists()))
        .unwrap_or("nvcc".into())
}

/// Like 90: what the variable says, otherwise the first card's.
fn architecture() -> String {
    let told = env::var("CUDA_COMPUTE_CAP").ok().map(|told| told.replace('.', ""));
    told.filter(|told| !told.is_empty()).or_else(first_card).unwrap_or_default()
}

fn first_card() -> Option<String> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=compute_cap", "--format=csv,noheader"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().replace('.', ""))
}

fn compile(nvcc: &Path, architecture: &str) -> Result<(), String> {
    if architecture.is_empty() || !architecture.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("no NVIDIA card is at hand to compile for: set CUDA_COMPUTE_CAP (86 for RTX 30, 89 for RTX 40, 120 for RTX 50, \
                    87 for Jetson Orin, 90 for H100)"
            .to_owned());
    }
    // Machine code of the variant with more instructions (90a) is of no use to us, and PTX of it to no other card.
    let number: String = architecture.chars().take_while(char::is_ascii_digit).collect();
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.fatbin");
    let run = Command::new(nvcc)
        .args(["--fatbin", "-std=c++17", "-O3"])
        .arg(format!("-gencode=arch=compute_{number},code=[sm_{number},compute_{number}]"))
        .arg("-o")
        .arg(&output)
        .arg(Path::new(FOLDER).join("kernels.cu"))
        .output();
    match run {
        Err(error) => Err(format!(
            "nvcc cannot be run ({}: {error}): install the CUDA toolkit, or set CUDA_HOME to its folder",
            nvcc.display()
        )),
        Ok(run) if !run.status.success() => {
            let told = String::from_utf8_lossy(&run.stderr).lines().take(5).collect::<Vec<_>>().join("; ");
            Err(format!("nvcc cannot compile {FOLDER}/kernels.cu for architecture {number}: {told}"))
        }
        Ok(_) => Ok(()),
    }
}
