//! What a model folder may look like, and what is said of one that cannot be used.

mod common;
#[path = "model_folder/contents.rs"]
mod contents;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use common::{copy_of, golden, score_three_frames as score};
use serde_json::{Value, json};
use tempfile::TempDir;
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};
use topreward::model::{Dtype, DtypeChoice, LogProbs, VideoVlm, VlmError};

const WEIGHTS: &str = "model.safetensors";

/// A model folder that a test may change.
struct Folder(TempDir);

impl Folder {
    fn copy_of(checkpoint: &str) -> Self {
        Self(copy_of(&golden(checkpoint)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn remove(&self, name: &str) -> &Self {
        std::fs::remove_file(self.file(name)).unwrap();
        self
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.file(name), text).unwrap();
        self
    }

    /// Sets the value at a JSON pointer, or removes it when it is null.
    fn set(&self, name: &str, pointer: &str, value: Value) -> &Self {
        let mut json: Value =
            serde_json::from_str(&std::fs::read_to_string(self.file(name)).unwrap()).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key).unwrap();
        } else {
            parent.insert(key.to_owned(), value);
        }
        self.write(name, &json.to_string())
    }

    fn change_weights(&self, change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> &Self {
        let mut weights: Vec<_> =
            candle_core::safetensors::load(self.file(WEIGHTS), &Device::Cpu).unwrap().into_iter().collect();
        change(&mut weights);
        let weights = weights.into_iter().collect();
        candle_core::safetensors::save(&weights, self.file(WEIGHTS)).unwrap();
        self
    }

    fn load(&self) -> Result<Qwen3Vl, VlmError> {
        Qwen3Vl::load(&LoadOptions::new(self.0.path()))
    }

    /// The reason of the load error; it must also name the folder.
    fn reason(&self) -> String {
        match self.load().err().expect("this folder must not load") {
            VlmError::Load { folder, source } => {
                assert_eq!(folder, self.0.path().display().to_string());
                source.to_string()
            }
            other => panic!("{other}"),
        }
    }

    fn assert_refused(&self, parts: &[&str]) {
        let reason = self.reason();
        for part in parts {
            assert!(reason.contains(part), "\"{part}\" is not in: {reason}");
        }
    }
}

fn original(checkpoint: &str) -> LogProbs {
    score(&Qwen3Vl::load(&LoadOptions::new(golden(checkpoint))).unwrap())
}

#[test]
fn configs_of_both_transformers_versions_say_the_same() {
    // tied/ is written as transformers 4 does and untied/ as 5 does; each is rewritten as the other.
    let tied = Folder::copy_of("tied");
    tied.set(
        "config.json",
        "/text_config/rope_parameters",
        json!({"rope_type": "default", "mrope_interleaved": true, "mrope_section": [4, 2, 2], "rope_theta": 10000.0}),
    )
    .set("config.json", "/text_config/rope_theta", Value::Null)
    .set("config.json", "/text_config/rope_scaling", Value::Null)
    .set("config.json", "/tie_word_embeddings", Value::Null);
    assert_eq!(score(&tied.load().unwrap()), original("tied"));

    let untied = Folder::copy_of("untied");
    untied
        .set("config.json", "/text_config/rope_theta", json!(500.0))
        .set(
            "config.json",
            "/text_config/rope_scaling",
            json!({"rope_type": "default", "type": "default", "mrope_section": [6, 5, 5]}),
        )
        .set("config.json", "/text_config/rope_parameters", Value::Null);
    assert_eq!(score(&untied.load().unwrap()), original("untied"));
    untied.set("config.json", "/text_config/rope_theta", json!(10000.0));
    assert_ne!(score(&untied.load().unwrap()), original("untied"));
}

#[test]
fn preprocessor_settings_may_stand_in_three_places_or_nowhere() {
    let expected = original("tied");
    let settings = json!({"size": {"shortest_edge": 4096, "longest_edge": 64 * 3072}});
    for (name, content) in [
        ("video_preprocessor_config.json", settings.clone()),
        ("processor_config.json", json!({"video_processor": settings.clone()})),
        ("preprocessor_config.json", settings),
    ] {
        let folder = Folder::copy_of("tied");
        folder.remove("video_preprocessor_config.json").remove("preprocessor_config.json");
        let model = folder.load().unwrap();
        assert_eq!((model.info().max_pixels, score(&model)), (393_216, expected));
        let model = folder.write(name, &content.to_string()).load().unwrap();
        assert_eq!(model.info().max_pixels, 3072, "{name}");
        assert_ne!(score(&model), expected, "{name}");
    }
}

#[test]
fn a_model_says_what_it_is() {
    let model = Qwen3Vl::load(&LoadOptions::new(golden("tied"))).unwrap();
    let stored: usize = candle_core::safetensors::load(golden("tied").join(WEIGHTS), &Device::Cpu)
        .unwrap()
        .values()
        .map(Tensor::elem_count)
        .sum();
    let info = model.info();
    assert_eq!((info.parameters, info.max_pixels, info.chat_template), (stored, 393_216, false));
    let options =
        LoadOptions { chat_template: true, max_pixels: Some(5000), ..LoadOptions::new(golden("tied")) };
    let info = Qwen3Vl::load(&options).unwrap().info().clone();
    assert_eq!((info.max_pixels, info.chat_template), (5000, true));
}

#[test]
fn older_tensor_names_and_half_precision_load() {
    let expected = original("tied");
    let folder = Folder::copy_of("tied");
    folder.change_weights(|weights| {
        for (name, _) in weights.iter_mut() {
            *name = name
                .replace("model.language_model.", "language_model.model.")
                .replace("model.visual.", "visual.");
        }
    });
    assert_eq!(score(&folder.load().unwrap()), expected);
    for dtype in [DType::F16, DType::BF16] {
        let folder = Folder::copy_of("tied");
        folder.change_weights(|weights| {
            for (_, tensor) in weights.iter_mut() {
                *tensor = tensor.to_dtype(dtype).unwrap();
            }
        });
        let off = (score(&folder.load().unwrap()).log_prob_true - expected.log_prob_true).abs();
        assert!(off > 0.0 && off < 0.5, "{dtype:?}: off by {off}");
    }
}

#[test]
fn missing_files_are_named() {
    let nowhere = Qwen3Vl::load(&LoadOptions::new("/no/such/folder")).err().unwrap().to_string();
    assert_eq!(nowhere, "model folder /no/such/folder: there is no such folder");
    for name in ["config.json", "tokenizer.json", WEIGHTS] {
        Folder::copy_of("tied").remove(name).assert_refused(&[name, "is missing"]);
    }
    let shard = "model-00002-of-00003.safetensors";
    Folder::copy_of("untied").remove(shard).assert_refused(&[shard, "is missing"]);
    Folder::copy_of("untied").remove("model.safetensors.index.json").assert_refused(&[WEIGHTS, "is missing"]);
}

#[test]
fn malformed_files_are_named() {
    for name in
        ["config.json", "tokenizer.json", "video_preprocessor_config.json", "model.safetensors.index.json"]
    {
        let folder = Folder::copy_of("untied");
        folder.write(name, "{\"model_type\": \"qwen3_vl\", ").assert_refused(&[name, "JSON"]);
        folder.write(name, "[]");
        assert!(!folder.reason().is_empty());
    }
    Folder::copy_of("untied")
        .write("model.safetensors.index.json", "{\"weight_map\": {}}")
        .assert_refused(&["weight_map is empty"]);
    Folder::copy_of("untied")
        .write("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../b.safetensors\"}}")
        .assert_refused(&["../b.safetensors"]);
}

#[test]
fn damaged_weights_are_named() {
    for keep in [0, 7, 100, 20_000] {
        let folder = Folder::copy_of("tied");
        let bytes = std::fs::read(folder.file(WEIGHTS)).unwrap();
        std::fs::write(folder.file(WEIGHTS), &bytes[..keep]).unwrap();
        folder.assert_refused(&[WEIGHTS, "cut short"]);
    }
    let shard = "model-00003-of-00003.safetensors";
    let folder = Folder::copy_of("untied");
    let bytes = std::fs::read(folder.file(shard)).unwrap();
    std::fs::write(folder.file(shard), &bytes[..bytes.len() - 1]).unwrap();
    folder.assert_refused(&[shard, "cut short"]);
}

#[test]
fn wrong_tensors_are_named() {
    let removed = "model.visual.blocks.1.mlp.linear_fc1.bias";
    Folder::copy_of("tied")
        .change_weights(|weights| weights.retain(|(name, _)| name != removed))
        .assert_refused(&[removed, "is missing"]);
    let reshaped = "model.language_model.layers.1.self_attn.q_proj.weight";
    Folder::copy_of("tied")
        .change_weights(|weights| {
            let (_, tensor) = weights.iter_mut().find(|(name, _)| name == reshaped).unwrap();
            *tensor = tensor.t().unwrap().contiguous().unwrap();
        })
        .assert_refused(&[reshaped, "[48, 64]", "[64, 48]"]);
    Folder::copy_of("tied")
        .set("config.json", "/tie_word_embeddings", json!(false))
        .assert_refused(&["lm_head.weight"]);
    Folder::copy_of("tied")
        .change_weights(|weights| {
            let (_, tensor) = weights.iter_mut().find(|(name, _)| name == reshaped).unwrap();
            *tensor = tensor.to_dtype(DType::U8).unwrap();
        })
        .assert_refused(&["quantised", reshaped]);
}

#[test]
fn other_architectures_and_quantised_weights_are_named() {
    let folder = Folder::copy_of("tied");
    folder.set("config.json", "/model_type", json!("llama")).assert_refused(&["llama", "qwen3_vl"]);
    folder.set("config.json", "/model_type", Value::Null).assert_refused(&["(none)", "qwen3_vl"]);
    Folder::copy_of("tied")
        .set("config.json", "/quantization_config", json!({"quant_method": "fp8"}))
        .assert_refused(&["quantised", "fp8"]);
}

#[test]
fn numbers_out_of_range_are_named() {
    let cases = [
        ("/text_config/hidden_size", json!(0), "hidden_size"),
        ("/text_config/hidden_size", json!(47), "out_hidden_size"),
        ("/text_config/num_hidden_layers", json!(1_000_000_000), "num_hidden_layers"),
        ("/text_config/num_hidden_layers", json!(5), "layers.4"),
        ("/text_config/num_key_value_heads", json!(3), "num_key_value_heads is 3"),
        ("/text_config/num_attention_heads", json!(0), "num_attention_heads"),
        ("/text_config/head_dim", json!(-1), "config.json"),
        ("/text_config/head_dim", json!(18), "mrope_section"),
        ("/text_config/hidden_act", json!("relu"), "relu"),
        ("/text_config/rms_norm_eps", json!(0.0), "rms_norm_eps"),
        ("/text_config/rope_theta", json!(-1.0), "rope_theta"),
        ("/text_config/rope_scaling/mrope_section", json!([4, 2]), "mrope_section"),
        ("/text_config/rope_scaling/mrope_section", json!([4, 2, 3]), "mrope_section"),
        ("/text_config/rope_scaling/mrope_section", json!([u64::MAX, 8, 1]), "mrope_section"),
        ("/text_config/rope_scaling/rope_type", json!("yarn"), "yarn"),
        ("/text_config/rope_scaling/mrope_interleaved", json!(false), "mrope_interleaved"),
        ("/text_config/vocab_size", json!(300), "vocab_size is 300"),
        ("/vision_config/depth", json!(0), "depth"),
        ("/vision_config/num_heads", json!(3), "num_heads"),
        ("/vision_config/in_channels", json!(1), "in_channels is 1"),
        ("/vision_config/temporal_patch_size", json!(3), "temporal_patch_size is 3"),
        ("/vision_config/patch_size", json!(14), "patch_size"),
        ("/vision_config/patch_size", json!(0), "patch_size"),
        ("/vision_config/spatial_merge_size", json!(3), "merge_size"),
        ("/vision_config/num_position_embeddings", json!(63), "square"),
        ("/vision_config/deepstack_visual_indexes", json!([0, 4]), "deepstack_visual_indexes is 4"),
        ("/vision_config/hidden_act", json!("relu"), "relu"),
    ];
    for (pointer, value, expected) in cases {
        Folder::copy_of("tied").set("config.json", pointer, value).assert_refused(&[expected]);
    }
}

#[test]
fn tokenizers_of_another_kind_are_named() {
    let without = |name: &str| {
        let folder = Folder::copy_of("tied");
        let text = std::fs::read_to_string(folder.file("tokenizer.json")).unwrap();
        assert!(text.contains(name));
        folder.write("tokenizer.json", &text.replace(name, "<|something|>"));
        folder
    };
    for name in ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"] {
        without(name).assert_refused(&["tokenizer.json", name, "missing"]);
    }
    // Without the merge that completes it, " False" is two tokens.
    let folder = Folder::copy_of("tied");
    let mut json: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.file("tokenizer.json")).unwrap()).unwrap();
    let merges = json.pointer_mut("/model/merges").unwrap().as_array_mut().unwrap();
    let count = merges.len();
    merges.retain(|merge| {
        let joined = match merge {
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect::<String>(),
            other => other.as_str().unwrap_or_default().replace(' ', ""),
        };
        joined != "ĠFalse"
    });
    assert!(merges.len() < count);
    folder
        .write("tokenizer.json", &json.to_string())
        .assert_refused(&["\" False\"", "must be one token, but is 2"]);
    // With the chat template the answers have no space, and those are still whole.
    let options = LoadOptions { chat_template: true, ..LoadOptions::new(folder.0.path()) };
    assert!(Qwen3Vl::load(&options).is_ok());
}

/// The only file of a folder.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn rounded_weights_are_kept_and_mapped() {
    for (checkpoint, dtype) in
        [("tied", DtypeChoice::Q8), ("untied", DtypeChoice::Q6), ("untied", DtypeChoice::Q4)]
    {
        let kept = tempfile::tempdir().unwrap();
        let cache = kept.path().join("below");
        let options =
            LoadOptions { dtype, weight_cache: Some(cache.clone()), ..LoadOptions::new(golden(checkpoint)) };
        let load = || Qwen3Vl::load(&options).unwrap();
        let rounded = load();
        let (expected, parameters) = (score(&rounded), rounded.info().parameters);
        let file = only_file(&cache);
        let written = std::fs::read(&file).unwrap();
        let inode = std::fs::metadata(&file).unwrap().ino();
        assert_eq!((score(&load()), load().info().parameters), (expected, parameters));
        // It is the file that was written first, and stays.
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
        // One page that a disk has lost, one bit that has turned: the file is made anew, and the score is the same.
        for place in [written.len() / 2, written.len() - 1] {
            let mut other = written.clone();
            let page = place..written.len().min(place + 4096);
            other[page].iter_mut().for_each(|byte| *byte = !*byte);
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, &other).unwrap();
            assert_eq!(score(&load()), expected);
            let anew = std::fs::read(only_file(&cache)).unwrap();
            assert!(anew.len() == written.len() && anew != other, "{checkpoint}");
        }
        // Damage, and the weights of something else, are replaced.
        let mut foreign = written.clone();
        let place = written.windows(11).position(|bytes| bytes == b"fingerprint").unwrap() + 20;
        foreign[place] = if foreign[place] == b'0' { b'1' } else { b'0' };
        for bad in [&written[..written.len() - 1], &b"short"[..], &foreign] {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, bad).unwrap();
            assert_eq!(score(&load()), expected);
            assert_eq!(std::fs::read(only_file(&cache)).unwrap().len(), written.len());
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_stops_nothing() {
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = LoadOptions { dtype: DtypeChoice::Q8, ..LoadOptions::new(golden("tied")) };
    let expected = score(&Qwen3Vl::load(&options).unwrap());
    let nowhere = LoadOptions { weight_cache: Some(file), ..options.clone() };
    assert_eq!(score(&Qwen3Vl::load(&nowhere).unwrap()), expected);
    // Weights that are not rounded are not kept.
    let exact =
        LoadOptions { dtype: DtypeChoice::F32, weight_cache: Some(kept.path().join("folder")), ..options };
    Qwen3Vl::load(&exact).unwrap();
    assert!(!kept.path().join("folder").exists());
}

#[test]
fn a_dtype_that_a_device_does_not_compute_with_is_named() {
    let options =
        LoadOptions { dtype: DtypeChoice::Q8, plain_kernels: true, ..LoadOptions::new(golden("tied")) };
    let error = Qwen3Vl::load(&options).err().unwrap().to_string();
    assert!(error.contains("model.dtype q8") && error.contains("take auto, f32, bf16 or f16"), "{error}");
    let halves = LoadOptions { dtype: DtypeChoice::Bf16, ..LoadOptions::new(golden("tied")) };
    let error = Qwen3Vl::load(&halves).err().unwrap().to_string();
    assert!(error.contains("model.dtype bf16") && error.contains("take auto, f32, q8"), "{error}");
    let auto = LoadOptions { dtype: DtypeChoice::Auto, ..options };
    assert_eq!(Qwen3Vl::load(&auto).unwrap().info().dtype, Dtype::F32);
}
