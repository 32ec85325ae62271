//! What lies in a folder that is no whole model, and what to do about it.

use serde::Deserialize;

use super::error::LoadError;
use super::folder::ModelFolder;

const ADAPTER: &str = "adapter_config.json";
/// Longest name of a base model that is repeated.
const LONGEST_NAME: usize = 100;

#[derive(Deserialize)]
struct AdapterConfig {
    base_model_name_or_path: Option<String>,
}

/// Refuses a folder with an adapter (LoRA and the like, by PEFT), which transformers would apply.
///
/// # Errors
/// [`LoadError::Adapter`], with the base model that it belongs to.
pub fn refuse_adapter(folder: &ModelFolder) -> Result<(), LoadError> {
    let file = match folder.has(ADAPTER) {
        true => ADAPTER,
        false => {
            match ["adapter_model.safetensors", "adapter_model.bin"].into_iter().find(|name| folder.has(name))
            {
                Some(name) => name,
                None => return Ok(()),
            }
        }
    };
    let config = folder.read_json_if_present::<AdapterConfig>(ADAPTER).ok().flatten();
    let base = config.and_then(|config| config.base_model_name_or_path).unwrap_or_default();
    let base: String = base.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    let base = if base.is_empty() { "its base model".to_owned() } else { format!("\"{base}\"") };
    Err(LoadError::Adapter { file: file.to_owned(), base })
}

/// What is said where no weights are found: what lies there instead.
pub fn instead_of_weights(folder: &ModelFolder) -> String {
    let files = |end: &str| folder.ending_in(end).unwrap_or_default();
    let shards: Vec<String> =
        files(".safetensors").into_iter().filter(|name| name.contains("-of-")).collect();
    let pickles = [files(".bin"), files(".pt"), files(".pth")].concat();
    let count = |files: &[String]| files.len();
    if let Some(first) = shards.first() {
        return format!(
            "{} shards are there ({first}, …), but not their index: download model.safetensors.index.json from where they \
             come from, or save the model again (save_pretrained)",
            count(&shards)
        );
    }
    if let Some(first) = pickles.first() {
        return format!(
            "{first} is there, which only PyTorch reads: save the model as safetensors (in Python: \
             Qwen3VLForConditionalGeneration.from_pretrained(folder).save_pretrained(folder))"
        );
    }
    match files(".safetensors").first() {
        Some(other) => format!("{other} is there: if these are the weights, rename it to model.safetensors"),
        None => "no weights of any kind are there".to_owned(),
    }
}
