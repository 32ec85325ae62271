//! Hugging Face's names of the tensors that llama.cpp's converter names in its own way.
//!
//! Source: llama.cpp, `conversion/qwen3vl.py` and `gguf-py/gguf/tensor_mapping.py`. The converter renames and splits; it
//! changes no number of this architecture and permutes no rows.

/// The patch embedding is two tensors: what its kernel does to the first frame of a pair, and to the second.
pub const PATCHES: [&str; 2] = ["v.patch_embd.weight", "v.patch_embd.weight.1"];

/// The Hugging Face name of a tensor; `None` for those that have none. `deepstack` are the tapped blocks in config.json's
/// order: GGUF numbers their mergers by block, Hugging Face by place in that list.
pub fn hugging_face(name: &str, deepstack: &[usize]) -> Option<String> {
    let (module, suffix) = name.rsplit_once('.').filter(|(_, suffix)| ["weight", "bias"].contains(suffix))?;
    let module = match module {
        "token_embd" => "model.language_model.embed_tokens",
        "output_norm" => "model.language_model.norm",
        "output" => "lm_head",
        "v.patch_embd" => "model.visual.patch_embed.proj",
        "v.position_embd" => "model.visual.pos_embed",
        "v.post_ln" => "model.visual.merger.norm",
        "mm.0" => "model.visual.merger.linear_fc1",
        "mm.2" => "model.visual.merger.linear_fc2",
        _ => return Some(format!("{}.{suffix}", numbered(module, deepstack)?)),
    };
    Some(format!("{module}.{suffix}"))
}

/// Of modules that are there once for each block.
fn numbered(module: &str, deepstack: &[usize]) -> Option<String> {
    let (block, part) = module.rsplit_once('.')?;
    let (family, index) = block.rsplit_once('.')?;
    let index: usize = index.parse().ok()?;
    match family {
        "blk" => Some(format!("model.language_model.layers.{index}.{}", text_part(part)?)),
        "v.blk" => Some(format!("model.visual.blocks.{index}.{}", vision_part(part)?)),
        "v.deepstack" => {
            let place = deepstack.iter().position(|&block| block == index)?;
            Some(format!("model.visual.deepstack_merger_list.{place}.{}", merger_part(part)?))
        }
        _ => None,
    }
}

fn text_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k" => "self_attn.k_proj",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    })
}

fn vision_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "ln1" => "norm1",
        "attn_qkv" => "attn.qkv",
        "attn_out" => "attn.proj",
        "ln2" => "norm2",
        "ffn_up" => "mlp.linear_fc1",
        "ffn_down" => "mlp.linear_fc2",
        _ => return None,
    })
}

fn merger_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "norm" => "norm",
        "fc1" => "linear_fc1",
        "fc2" => "linear_fc2",
        _ => return None,
    })
}
