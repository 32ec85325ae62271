//! Which tensors a model is made of, and what else may lie in its weight files.
//!
//! A tensor that nobody takes is a model that somebody else would compute otherwise: it is refused by name, unless it is
//! known to be of no use.

use std::collections::BTreeSet;
use std::ops::Range;

use super::config::Qwen3VlConfig;
use super::error::LoadError;
use super::shard::{Shard, StoredTensor};

/// Where the language model's tensors live, newest naming first.
pub const TEXT_PREFIXES: [&str; 4] =
    ["model.language_model", "language_model.model", "model", "language_model"];
pub const VISION_PREFIXES: [&str; 2] = ["model.visual", "visual"];
pub const HEAD_NAMES: [&str; 3] = ["lm_head", "language_model.lm_head", "model.lm_head"];
/// What tells one of these prefixes from another.
pub const TEXT_PROBE: &str = "embed_tokens.weight";
pub const VISION_PROBE: &str = "patch_embed.proj.weight";
pub const HEAD_PROBE: &str = "weight";
/// Tables that are computed anew, and the value head of a trainer (TRL), which answers nothing.
const OF_NO_USE: [&str; 3] = [".inv_freq", ".position_ids", "v_head."];
/// What PEFT puts before each name of a model that it has wrapped.
const WRAPPED: &str = "base_model.model.";
/// Bytes that are compared at once.
const AT_ONCE: usize = 4 << 20;

/// The first prefix under which `probe` exists; the newest when none does, so that an error names it.
pub fn prefix(prefixes: &[&'static str], probe: &str, exists: impl Fn(&str) -> bool) -> &'static str {
    prefixes.iter().find(|prefix| exists(&format!("{prefix}.{probe}"))).unwrap_or(&prefixes[0])
}

/// Holds the tensors of all files against those that the model takes. Returns whether its head is its embedding table: not
/// where `tie_word_embeddings` says so and the weights have a head with other numbers, which is then used, as transformers
/// 5 does.
///
/// # Errors
/// Tensors that would be left out: of an adapter, of further layers, or of whatever else.
pub fn check(shards: &[Shard], config: &Qwen3VlConfig) -> Result<bool, LoadError> {
    let find = |name: &str| shards.iter().find_map(|shard| Some((shard, shard.tensors().get(name)?)));
    let exists = |name: &str| find(name).is_some();
    let text = prefix(&TEXT_PREFIXES, TEXT_PROBE, exists);
    let vision = prefix(&VISION_PREFIXES, VISION_PROBE, exists);
    let head = format!("{}.{HEAD_PROBE}", prefix(&HEAD_NAMES, HEAD_PROBE, exists));
    let table = find(&format!("{text}.{TEXT_PROBE}"));
    let own_head = match (table, find(&head)) {
        (Some(table), Some(head)) if config.tied_embeddings => !same(table, head)?,
        _ => false,
    };
    let mut taken = of_model(config, text, vision);
    taken.insert(head);
    let names = shards.iter().flat_map(|shard| shard.tensors().keys());
    leftovers(names.filter(|name| !taken.contains(*name)), config, text)?;
    if own_head {
        log::warn!(
            "config.json says that the head is the embedding table (tie_word_embeddings), but the weights have a head \
             with other numbers: it is used, as transformers 5 does"
        );
    }
    Ok(config.tied_embeddings && !own_head)
}

/// The names of all tensors but the head's.
fn of_model(config: &Qwen3VlConfig, text: &str, vision: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from([format!("{text}.{TEXT_PROBE}"), format!("{text}.norm.weight")]);
    for layer in 0..config.text.layers {
        let mut add = |part: &str| names.insert(format!("{text}.layers.{layer}.{part}"));
        for part in ["input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"] {
            add(&format!("{part}.weight"));
        }
        for part in ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] {
            add(&format!("{part}.weight"));
        }
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{part}.weight"));
            if config.text.attention_bias {
                add(&format!("self_attn.{part}.bias"));
            }
        }
    }
    let mut both = |module: String| {
        names.extend(["weight", "bias"].map(|suffix| format!("{vision}.{module}.{suffix}")));
    };
    both("patch_embed.proj".to_owned());
    for block in 0..config.vision.depth {
        for part in ["norm1", "norm2", "attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2"] {
            both(format!("blocks.{block}.{part}"));
        }
    }
    let listed = (0..config.vision.deepstack_layers.len()).map(|at| format!("deepstack_merger_list.{at}"));
    for merger in listed.chain(["merger".to_owned()]) {
        ["norm", "linear_fc1", "linear_fc2"].into_iter().for_each(|part| both(format!("{merger}.{part}")));
    }
    names.insert(format!("{vision}.pos_embed.weight"));
    names
}

/// Refuses what is left, the clearest reason first.
fn leftovers<'a>(
    names: impl Iterator<Item = &'a String>,
    config: &Qwen3VlConfig,
    text: &str,
) -> Result<(), LoadError> {
    let left: Vec<&String> = names.filter(|name| !OF_NO_USE.iter().any(|part| name.contains(part))).collect();
    let of_adapter = |name: &&&String| name.contains(".lora_") || name.contains(".base_layer.");
    if let Some(first) = left.iter().find(of_adapter) {
        let count = left.iter().filter(of_adapter).count();
        return Err(LoadError::Unmerged { count, first: (*first).clone() });
    }
    if let Some(first) = left.iter().find(|name| name.starts_with(WRAPPED)) {
        return Err(LoadError::Wrapped { first: (*first).clone() });
    }
    let Some(first) = left.first() else { return Ok(()) };
    let further = |prefix: &str, layers: usize| {
        let layer = first.strip_prefix(prefix).and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        layer.is_some_and(|layer| layer >= layers)
    };
    let reason = if further(&format!("{text}.layers."), config.text.layers) {
        format!("config.json has only {} layers", config.text.layers)
    } else {
        "it is not of the model that config.json describes".to_owned()
    };
    Err(LoadError::Leftover { count: left.len(), first: (*first).clone(), reason })
}

/// Whether two tensors hold the same bytes of the same type.
fn same(one: (&Shard, &StoredTensor), other: (&Shard, &StoredTensor)) -> Result<bool, LoadError> {
    let ((a_shard, a), (b_shard, b)) = (one, other);
    let ([a_part], [b_part]) = (&a.parts[..], &b.parts[..]) else { return Ok(false) };
    if a.shape != b.shape || a_part.stored_as != b_part.stored_as || a_part.size() != b_part.size() {
        return Ok(false);
    }
    for first in (0..a_part.size()).step_by(AT_ONCE) {
        let bytes: Range<usize> = first..a_part.size().min(first + AT_ONCE);
        if a_shard.read(a_part, bytes.clone())? != b_shard.read(b_part, bytes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::folder::ModelFolder;
    use super::*;
    use std::path::Path;

    #[test]
    fn a_model_has_the_tensors_that_transformers_wrote() {
        for (checkpoint, tied) in [("tied", true), ("untied", false)] {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(checkpoint);
            let folder = ModelFolder::open(&golden).unwrap();
            let config = Qwen3VlConfig::load(&folder).unwrap();
            let shards = Shard::all(&folder).unwrap();
            let mut written: BTreeSet<String> =
                shards.iter().flat_map(|shard| shard.tensors().keys().cloned()).collect();
            assert_eq!(written.remove("lm_head.weight"), !tied);
            assert_eq!(of_model(&config, TEXT_PREFIXES[0], VISION_PREFIXES[0]), written);
            assert_eq!(check(&shards, &config).unwrap(), tied);
        }
    }
}
