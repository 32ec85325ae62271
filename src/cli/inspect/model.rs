//! A model folder. Of the weights only the headers are read, and the few kilobytes that the fingerprint is made of.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::findings::{Findings, bytes};
use crate::model::qwen3_vl::config::Qwen3VlConfig;
use crate::model::qwen3_vl::processor::Processor;
use crate::model::qwen3_vl::{ModelFolder, StoredWeights, fingerprint, refuse_adapter};

pub fn findings(path: &Path) -> Result<Findings> {
    let folder = ModelFolder::open(path)?;
    if !folder.has("config.json") {
        refuse_adapter(&folder)?;
    }
    let raw: Value = folder.read_json("config.json")?;
    let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or("(none)").to_owned();
    let mut found = Findings::new("model", "a model folder");
    found.plain("model_type", text("model_type"));
    let config = Qwen3VlConfig::load(&folder);
    match config.as_ref().map(|config| StoredWeights::check(&folder, config)) {
        Ok(Ok(())) => {
            found.add("can_score", true, "yes, as far as config.json and the names of the weights say")
        }
        Ok(Err(reason)) => found.add("can_score", false, format!("no: {reason}")),
        Err(reason) => found.add("can_score", false, format!("no: {reason}")),
    }
    if let Ok(config) = &config {
        sizes(&mut found, &folder, config);
    }
    weights(&mut found, &folder);
    files(&mut found, path)?;
    Ok(found)
}

fn sizes(found: &mut Findings, folder: &ModelFolder, config: &Qwen3VlConfig) {
    let Qwen3VlConfig { text, vision, tied_embeddings } = config;
    let shown = format!(
        "{} layers of {}, {} heads ({} for keys and values), vocabulary of {}{}",
        text.layers,
        text.hidden_size,
        text.heads,
        text.key_value_heads,
        text.vocab_size,
        if *tied_embeddings { ", tied embeddings" } else { "" }
    );
    let sizes = json!({
        "layers": text.layers, "hidden_size": text.hidden_size, "heads": text.heads,
        "key_value_heads": text.key_value_heads, "vocab_size": text.vocab_size,
        "tied_embeddings": tied_embeddings,
    });
    found.add("language_model", sizes, shown);
    let shown = format!(
        "{} layers of {}, {} heads, patches of {} pixels, one token of {}×{} patches",
        vision.depth,
        vision.hidden_size,
        vision.heads,
        vision.patch_size,
        vision.merge_size,
        vision.merge_size
    );
    let sizes = json!({
        "layers": vision.depth, "hidden_size": vision.hidden_size, "heads": vision.heads,
        "patch_size": vision.patch_size, "merge_size": vision.merge_size,
    });
    found.add("vision_model", sizes, shown);
    found.add("max_tokens", text.max_tokens, format!("{} for an episode with its question", text.max_tokens));
    match Processor::load(folder, vision, None) {
        Ok(processor) => {
            let pixels = processor.max_pixels();
            found.add("max_pixels", pixels, format!("{pixels} of one frame, unless --max-pixels says less"));
        }
        Err(reason) => found.add("max_pixels", Value::Null, reason),
    }
}

fn weights(found: &mut Findings, folder: &ModelFolder) {
    match StoredWeights::read(folder) {
        Ok(stored) => {
            let parameters = stored.parameters();
            found.add("parameters", parameters, format!("{:.2} million", parameters as f64 / 1e6));
            let types: Vec<String> =
                stored.by_type.iter().map(|(name, count)| format!("{name} ({count} numbers)")).collect();
            found.add("dtype", json!(stored.by_type), types.join(", "));
            found.plain("tensors", stored.tensors);
        }
        Err(reason) => found.add("parameters", Value::Null, reason),
    }
    match fingerprint(folder) {
        Ok(fingerprint) => found.plain("fingerprint", fingerprint),
        Err(reason) => found.add("fingerprint", Value::Null, reason),
    }
}

fn files(found: &mut Findings, path: &Path) -> Result<()> {
    let mut files: Vec<(String, u64)> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // Through links: the hub's cache is made of them.
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        if metadata.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
        }
    }
    files.sort();
    let width = files.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> =
        files.iter().map(|(name, size)| format!("{name:width$}  {}", bytes(*size))).collect();
    let object: serde_json::Map<_, _> = files.into_iter().map(|(name, size)| (name, size.into())).collect();
    found.add("files", object, lines.join("\n"));
    Ok(())
}
