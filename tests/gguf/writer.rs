//! Model folders rewritten as GGUF, after what llama.cpp's converter does and not after what the engine reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::Value;
use tempfile::TempDir;

pub const LANGUAGE_MODEL: &str = "Qwen3VL-Tiny-Instruct.gguf";
pub const VISION_TOWER: &str = "mmproj-Qwen3VL-Tiny-Instruct.gguf";

/// A model folder with its weights as GGUF.
pub struct GgufFolder {
    pub folder: TempDir,
    pub language_model: Gguf,
    pub vision_tower: Gguf,
}

/// What one file holds. Shapes are Hugging Face's.
#[derive(Clone)]
pub struct Gguf {
    pub architecture: &'static str,
    pub tensors: BTreeMap<String, (Vec<usize>, GgmlDType, Vec<u8>)>,
}

/// Which type a tensor of this GGUF name and shape is written as.
pub type Choice<'a> = &'a dyn Fn(&str, &[usize]) -> GgmlDType;

impl GgufFolder {
    /// A copy of `original` with the same numbers, written as `choice` says.
    pub fn of(original: &Path, choice: Choice<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut language_model, mut vision_tower) = (Gguf::new("qwen3vl"), Gguf::new("clip"));
        for entry in std::fs::read_dir(original).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".safetensors") {
                for (name, tensor) in candle_core::safetensors::load(&path, &Device::Cpu).unwrap() {
                    let tower = name.starts_with("model.visual.");
                    let file = if tower { &mut vision_tower } else { &mut language_model };
                    file.convert(&name, &tensor, &deepstack(original), choice);
                }
            } else if path.is_file() && !name.starts_with("model.safetensors") {
                std::fs::copy(&path, folder.path().join(name)).unwrap();
            }
        }
        let written = Self { folder, language_model, vision_tower };
        written.write();
        written
    }

    pub fn write(&self) {
        self.put(LANGUAGE_MODEL, &self.language_model);
        self.put(VISION_TOWER, &self.vision_tower);
    }

    pub fn put(&self, name: &str, file: &Gguf) {
        std::fs::write(self.file(name), file.bytes()).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

fn deepstack(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let blocks = config["vision_config"]["deepstack_visual_indexes"].as_array().unwrap();
    blocks.iter().map(|block| block.as_u64().unwrap()).collect()
}

/// The converter's name: Hugging Face's, piece by piece.
pub fn converted(name: &str, deepstack: &[u64]) -> String {
    let mut name = name.to_owned();
    for (place, block) in deepstack.iter().enumerate().rev() {
        name =
            name.replace(&format!("visual.deepstack_merger_list.{place}."), &format!("v.deepstack.{block}."));
    }
    for (theirs, ours) in [
        ("model.language_model.embed_tokens", "token_embd"),
        ("model.language_model.layers", "blk"),
        ("model.language_model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.", ""),
        ("visual.blocks", "v.blk"),
        ("visual.patch_embed.proj", "v.patch_embd"),
        ("visual.pos_embed", "v.position_embd"),
        ("visual.merger.norm", "v.post_ln"),
        ("visual.merger.linear_fc1", "mm.0"),
        ("visual.merger.linear_fc2", "mm.2"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("_proj", ""),
        ("mlp.linear_fc1", "ffn_up"),
        ("mlp.linear_fc2", "ffn_down"),
        ("mlp.", "ffn_"),
        ("attn.qkv", "attn_qkv"),
        ("attn.proj", "attn_out"),
        ("linear_fc", "fc"),
        (".norm1.", ".ln1."),
        (".norm2.", ".ln2."),
    ] {
        name = name.replace(theirs, ours);
    }
    name
}

impl Gguf {
    fn new(architecture: &'static str) -> Self {
        Self { architecture, tensors: BTreeMap::new() }
    }

    fn convert(&mut self, name: &str, tensor: &Tensor, deepstack: &[u64], choice: Choice<'_>) {
        let name = converted(name, deepstack);
        if name != "v.patch_embd.weight" {
            return self.add(&name, tensor, choice);
        }
        for (slice, suffix) in ["", ".1"].iter().enumerate() {
            let slice = tensor.narrow(2, slice, 1).unwrap().squeeze(2).unwrap();
            self.add(&format!("{name}{suffix}"), &slice, choice);
        }
    }

    fn add(&mut self, name: &str, tensor: &Tensor, choice: Choice<'_>) {
        let dtype = choice(name, tensor.dims());
        let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap().contiguous().unwrap();
        let stored = QTensor::quantize(&tensor, dtype).unwrap().data().unwrap().into_owned();
        self.tensors.insert(name.to_owned(), (tensor.dims().to_vec(), dtype, stored));
    }

    /// The file: version 3, aligned to 32 bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend(3u64.to_le_bytes());
        text(&mut bytes, "general.architecture");
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, self.architecture);
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend([9u32, 8].map(u32::to_le_bytes).concat());
        bytes.extend(2u64.to_le_bytes());
        text(&mut bytes, "<|im_start|>");
        text(&mut bytes, "Ġa");
        text(&mut bytes, "general.file_type");
        bytes.extend([4u32, 7].map(u32::to_le_bytes).concat());
        let mut offset = 0usize;
        for (name, (shape, dtype, stored)) in &self.tensors {
            text(&mut bytes, name);
            bytes.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|&size| bytes.extend((size as u64).to_le_bytes()));
            bytes.extend(number_of(*dtype).to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset += stored.len().next_multiple_of(32);
        }
        for (_, _, stored) in self.tensors.values() {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(stored);
        }
        bytes
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn number_of(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q4K => 12,
        GgmlDType::Q6K => 14,
        GgmlDType::BF16 => 30,
        other => panic!("{other:?} is not written here"),
    }
}
