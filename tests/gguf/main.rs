//! Weights as GGUF: the folder loads like any other, and what it cannot load it names.

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::quantized::GgmlDType;
use image::RgbImage;
use topreward::model::qwen3_vl::{LoadOptions, ModelFolder, Qwen3Vl, StoredWeights, fingerprint};
use topreward::model::{DtypeChoice, LogProbs, VideoVlm};

mod writer;

use writer::{GgufFolder, LANGUAGE_MODEL, VISION_TOWER, converted};

fn golden(checkpoint: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(checkpoint)
}

fn options(folder: &Path) -> LoadOptions {
    LoadOptions { dtype: DtypeChoice::F32, ..LoadOptions::new(folder) }
}

/// Numbers that change with anything in the weights.
fn score(options: &LoadOptions) -> LogProbs {
    let model = Qwen3Vl::load(options).unwrap();
    let mut episode = model.new_episode();
    for step in 0..3u32 {
        let frame = RgbImage::from_fn(96, 64, |x, y| image::Rgb([x * 2, y * 3, step * 80].map(|v| v as u8)));
        model.append(&mut episode, &frame, f64::from(step) / 2.0).unwrap();
    }
    model.score(&mut episode, "put the red cube in the bowl").unwrap()
}

fn f32_alone(_: &str, _: &[usize]) -> GgmlDType {
    GgmlDType::F32
}

/// As the converter does with `--outtype q8_0`: vectors and positions stay, rows of no whole blocks become f16.
fn q8_0(name: &str, shape: &[usize]) -> GgmlDType {
    match shape {
        [_, inputs] if name.starts_with("v.position") || inputs % 32 != 0 => f16(name, shape),
        [_, _] => GgmlDType::Q8_0,
        _ => GgmlDType::F32,
    }
}

fn f16(name: &str, shape: &[usize]) -> GgmlDType {
    if shape.len() < 2 || name.starts_with("v.position") { GgmlDType::F32 } else { GgmlDType::F16 }
}

/// Types by what the rows allow, as in files of mixed quantisation.
fn mixed(name: &str, shape: &[usize]) -> GgmlDType {
    match shape {
        [_, inputs] if inputs % 256 == 0 && name.contains("down") => GgmlDType::Q6K,
        [_, inputs] if inputs % 256 == 0 => GgmlDType::Q4K,
        [_, inputs] if inputs % 32 == 0 && name.contains("attn") => GgmlDType::Q5_0,
        _ => q8_0(name, shape),
    }
}

/// bf16 where the numbers are bf16, one slice of the patch embedding in another type than the other.
fn bf16(name: &str, shape: &[usize]) -> GgmlDType {
    if shape.len() < 2 || name == "v.patch_embd.weight.1" { GgmlDType::F32 } else { GgmlDType::BF16 }
}

fn refused(folder: &GgufFolder, words: &[&str]) {
    let error = Qwen3Vl::load(&options(folder.path())).err().expect("this folder must not load").to_string();
    for word in words {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
}

#[test]
fn the_names_are_those_of_the_converter() {
    let tied = GgufFolder::of(&golden("tied"), &f32_alone);
    let untied = GgufFolder::of(&golden("untied"), &f32_alone);
    for (name, shape) in [
        ("token_embd.weight", &[400, 48][..]),
        ("output_norm.weight", &[48]),
        ("blk.0.attn_norm.weight", &[48]),
        ("blk.1.attn_q.weight", &[64, 48]),
        ("blk.1.attn_k.weight", &[32, 48]),
        ("blk.1.attn_v.weight", &[32, 48]),
        ("blk.1.attn_output.weight", &[48, 64]),
        ("blk.2.attn_q_norm.weight", &[16]),
        ("blk.2.attn_k_norm.weight", &[16]),
        ("blk.3.ffn_norm.weight", &[48]),
        ("blk.3.ffn_gate.weight", &[48, 48]),
        ("blk.3.ffn_up.weight", &[48, 48]),
        ("blk.3.ffn_down.weight", &[48, 48]),
    ] {
        assert_eq!(tied.language_model.tensors[name].0, shape, "{name}");
    }
    assert_eq!(tied.language_model.tensors.len(), 4 * 11 + 2);
    for (name, shape) in [
        ("v.patch_embd.weight", &[24, 3, 16, 16][..]),
        ("v.patch_embd.weight.1", &[24, 3, 16, 16]),
        ("v.patch_embd.bias", &[24]),
        ("v.position_embd.weight", &[144, 24]),
        ("v.blk.0.ln1.weight", &[24]),
        ("v.blk.0.attn_qkv.weight", &[72, 24]),
        ("v.blk.0.attn_out.bias", &[24]),
        ("v.blk.3.ln2.bias", &[24]),
        ("v.blk.3.ffn_up.weight", &[56, 24]),
        ("v.blk.3.ffn_down.weight", &[24, 56]),
        ("v.deepstack.1.norm.weight", &[96]),
        ("v.deepstack.1.fc1.weight", &[96, 96]),
        ("v.deepstack.3.fc2.weight", &[40, 96]),
        ("v.deepstack.3.fc2.bias", &[40]),
        ("v.post_ln.weight", &[24]),
        ("mm.0.weight", &[96, 96]),
        ("mm.2.weight", &[40, 96]),
        ("mm.2.bias", &[40]),
    ] {
        assert_eq!(untied.vision_tower.tensors[name].0, shape, "{name}");
    }
    assert_eq!(untied.vision_tower.tensors.len(), 4 * 12 + 2 * 6 + 6 + 3 + 1);
    assert_eq!(untied.language_model.tensors["output.weight"].0, [400, 40]);
    assert!(!tied.language_model.tensors.contains_key("output.weight"));
    let published = "model.visual.deepstack_merger_list.2.linear_fc1.weight";
    assert_eq!(converted(published, &[5, 11, 17]), "v.deepstack.17.fc1.weight");
}

#[test]
fn the_same_numbers_score_the_same() {
    for (checkpoint, choice) in [("tied", f32_alone as fn(&str, &[usize]) -> GgmlDType), ("untied", bf16)] {
        let (original, written) = (golden(checkpoint), GgufFolder::of(&golden(checkpoint), &choice));
        for dtype in [DtypeChoice::F32, DtypeChoice::Q8, DtypeChoice::Q6, DtypeChoice::Q4] {
            let of = |folder: &Path| score(&LoadOptions { dtype, ..options(folder) });
            assert_eq!(of(written.path()), of(&original), "{checkpoint} {dtype:?}");
        }
        let plain = |folder: &Path| score(&LoadOptions { plain_kernels: true, ..options(folder) });
        assert_eq!(plain(written.path()), plain(&original), "{checkpoint}");
        // Every number is asked for, and none twice.
        let model = Qwen3Vl::load(&options(written.path())).unwrap();
        let stored = StoredWeights::read(&ModelFolder::open(written.path()).unwrap()).unwrap();
        assert_eq!(model.info().parameters as u64, stored.parameters());
        let original = StoredWeights::read(&ModelFolder::open(&original).unwrap()).unwrap();
        assert_eq!((stored.tensors, stored.parameters()), (original.tensors, original.parameters()));
    }
}

/// How far scores of rounded weights are from the original's.
fn off(original: &Path, choice: writer::Choice<'_>, dtype: DtypeChoice) -> f64 {
    let written = GgufFolder::of(original, choice);
    let (a, b) = (score(&LoadOptions { dtype, ..options(written.path()) }), score(&options(original)));
    (a.log_prob_true - b.log_prob_true).abs().max((a.log_prob_false - b.log_prob_false).abs())
}

/// Measured, in the order below: 0.0007, 0.07, 0.03, 0.005, 0.011, 0.002 of a log-probability.
#[test]
fn rounded_numbers_score_nearly_the_same() {
    let trained = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/so101-sim");
    let cases: [(&str, PathBuf, writer::Choice<'_>, DtypeChoice, f64); 6] = [
        ("tied F16", golden("tied"), &f16, DtypeChoice::F32, 0.01),
        ("tied Q8_0", golden("tied"), &q8_0, DtypeChoice::F32, 0.2),
        ("untied Q8_0", golden("untied"), &q8_0, DtypeChoice::F32, 0.1),
        ("so101-sim Q8_0", trained.clone(), &q8_0, DtypeChoice::F32, 0.05),
        ("so101-sim Q8_0, then q8", trained.clone(), &q8_0, DtypeChoice::Q8, 0.05),
        ("so101-sim Q4_K, Q5_0, Q6_K", trained, &mixed, DtypeChoice::F32, 0.1),
    ];
    for (name, original, choice, dtype, most) in cases {
        let off = off(&original, choice, dtype);
        println!("{name}: off by {off:.6}");
        assert!(off > 0.0 && off < most, "{name}: off by {off}");
    }
}

#[test]
fn rounded_weights_of_gguf_are_kept_too() {
    let written = GgufFolder::of(&golden("untied"), &q8_0);
    let kept = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        dtype: DtypeChoice::Q8,
        weight_cache: Some(kept.path().to_owned()),
        ..options(written.path())
    };
    let first = score(&options);
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 1);
    assert_eq!(score(&options), first);
    assert_eq!(score(&LoadOptions { weight_cache: None, ..options }), first);
}

#[test]
fn a_folder_is_told_by_its_numbers() {
    let written = GgufFolder::of(&golden("tied"), &q8_0);
    let of = || fingerprint(&ModelFolder::open(written.path()).unwrap()).unwrap();
    let mut seen = vec![of(), of()];
    seen.dedup();
    assert_eq!(seen.len(), 1);
    for (file, place) in [(LANGUAGE_MODEL, 1), (VISION_TOWER, 1), (VISION_TOWER, 3000)] {
        let mut bytes = std::fs::read(written.file(file)).unwrap();
        let place = bytes.len() - place;
        bytes[place] ^= 1;
        std::fs::write(written.file(file), bytes).unwrap();
        seen.push(of());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    let inspected = Command::new(env!("CARGO_BIN_EXE_topreward"))
        .args(["inspect", "--json"])
        .arg(written.path())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let types: Vec<_> = told["dtype"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        (types, &told["can_score"]),
        (["F16", "F32", "Q8_0"].map(str::to_owned).to_vec(), &true.into())
    );
    assert_eq!(told["fingerprint"], of());
}

#[test]
fn safetensors_come_first() {
    let written = GgufFolder::of(&golden("tied"), &q8_0);
    let single = "model.safetensors";
    std::fs::copy(golden("tied").join(single), written.file(single)).unwrap();
    assert_eq!(score(&options(written.path())), score(&options(&golden("tied"))));
}

#[test]
fn one_file_of_each_is_needed() {
    let written = GgufFolder::of(&golden("tied"), &f32_alone);
    written.put("Qwen3VL-Tiny-Instruct-Q4_K_M.gguf", &written.language_model);
    refused(&written, &["Qwen3VL-Tiny-Instruct-Q4_K_M.gguf and Qwen3VL-Tiny-Instruct.gguf", "leave one"]);
    std::fs::remove_file(written.file("Qwen3VL-Tiny-Instruct-Q4_K_M.gguf")).unwrap();
    std::fs::remove_file(written.file(VISION_TOWER)).unwrap();
    refused(&written, &[LANGUAGE_MODEL, "no GGUF file of the vision tower", "mmproj-"]);
    written.write();
    std::fs::remove_file(written.file(LANGUAGE_MODEL)).unwrap();
    refused(&written, &[VISION_TOWER, "no GGUF file of the language model"]);
    let mut other = written.language_model.clone();
    other.architecture = "qwen3vlmoe";
    written.put(LANGUAGE_MODEL, &other);
    refused(&written, &[LANGUAGE_MODEL, "\"qwen3vlmoe\"", "\"qwen3vl\" and \"clip\""]);
}

#[test]
fn wrong_tensors_are_named() {
    let mut written = GgufFolder::of(&golden("tied"), &f32_alone);
    let second = written.vision_tower.tensors.remove("v.patch_embd.weight.1").unwrap();
    written.write();
    refused(&written, &["v.patch_embd.weight.1 is missing"]);
    written.vision_tower.tensors.insert("v.patch_embd.weight.1".to_owned(), second.clone());
    written.vision_tower.tensors.get_mut("v.patch_embd.weight.1").unwrap().0 = vec![16, 3, 8, 32];
    written.write();
    refused(&written, &["v.patch_embd.weight.1", "[16, 3, 8, 32]"]);
    written.vision_tower.tensors.insert("v.patch_embd.weight.1".to_owned(), second);
    let merger = written.vision_tower.tensors.remove("v.deepstack.2.fc1.bias").unwrap();
    written.write();
    refused(&written, &["model.visual.deepstack_merger_list.2.linear_fc1.bias is missing"]);
    written.vision_tower.tensors.insert("v.deepstack.2.fc1.bias".to_owned(), merger);
    written.language_model.tensors.get_mut("blk.1.attn_q.weight").unwrap().1 = GgmlDType::Q5_1;
    written.write();
    refused(&written, &[LANGUAGE_MODEL, "blk.1.attn_q.weight is stored as Q5_1"]);
    std::fs::write(written.file(LANGUAGE_MODEL), b"GGUF\x03").unwrap();
    refused(&written, &[LANGUAGE_MODEL, "cut short"]);
}
