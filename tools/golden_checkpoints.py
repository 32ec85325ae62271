"""Tiny random Qwen3-VL checkpoints, as ordinary Hugging Face folders, for make_golden.py."""

import json
import math
import shutil
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, trainers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]
# Qwen3 has added tokens that are not `special`; `encode_special_tokens` leaves these active.
ADDED_NOT_SPECIAL = ["<think>", "</think>"]
TOKENIZER_SIZE = 392
VOCAB_SIZE = 400  # larger than the tokenizer's, as Qwen's own is

CHECKPOINTS = {
    "tied": dict(
        seed=11, tied=True, dtype=torch.float32, shard="10MB",
        text=dict(
            hidden_size=48, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, rope_theta=10000.0, rms_norm_eps=1e-6,
            mrope_section=[4, 2, 2],
        ),
        vision=dict(
            depth=4, hidden_size=16, intermediate_size=40, num_heads=2,
            num_position_embeddings=64, deepstack_visual_indexes=[0, 1, 2],
        ),
    ),
    "untied": dict(
        seed=12, tied=False, dtype=torch.bfloat16, shard="150KB",
        text=dict(
            hidden_size=40, intermediate_size=72, num_hidden_layers=4, num_attention_heads=2,
            num_key_value_heads=1, head_dim=32, rope_theta=500.0, rms_norm_eps=1e-5,
            mrope_section=[6, 5, 5],
        ),
        vision=dict(
            depth=4, hidden_size=24, intermediate_size=56, num_heads=3,
            num_position_embeddings=144, deepstack_visual_indexes=[1, 3],
        ),
    ),
}


def train_tokenizer(sentence: str) -> Tokenizer:
    """A byte-level BPE with Qwen2's splitting, where the four answers are one token each.

    `sentence` is what it should spell with few tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [f"user\n<{tenths / 10:.1f} seconds>" for tenths in range(100)]
    corpus += [sentence, "assistant\n"] * 100
    corpus += ["True", "False", " True", " False"] * 400
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENIZER_SIZE - len(SPECIAL_TOKENS) - len(ADDED_NOT_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.add_tokens([AddedToken(token, special=False) for token in ADDED_NOT_SPECIAL])
    answers = [tokenizer.encode(answer).ids for answer in ("True", "False", " True", " False")]
    assert all(len(ids) == 1 for ids in answers) and len({ids[0] for ids in answers}) == 4
    assert tokenizer.get_vocab_size() == TOKENIZER_SIZE
    return tokenizer


def without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The same vocabulary and merges, blind to added tokens: everything it is given is text."""
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(description))


def checkpoint_config(name: str, tokenizer: Tokenizer) -> Qwen3VLConfig:
    spec = CHECKPOINTS[name]
    text = dict(spec["text"])
    section = text.pop("mrope_section")
    token_id = tokenizer.token_to_id
    return Qwen3VLConfig(
        text_config=dict(
            text, vocab_size=VOCAB_SIZE, max_position_embeddings=4096,
            tie_word_embeddings=spec["tied"],
            rope_scaling=dict(rope_type="default", mrope_interleaved=True, mrope_section=section),
            bos_token_id=token_id("<|endoftext|>"), eos_token_id=token_id("<|im_end|>"),
        ),
        vision_config=dict(
            spec["vision"], patch_size=16, spatial_merge_size=2, temporal_patch_size=2,
            out_hidden_size=text["hidden_size"],
        ),
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=spec["tied"],
    )


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights large enough that every part of the network shows in the logits.

    The library's own initialisation (std 0.02, no biases) would leave GELU in its linear part,
    attention uniform and the answer deaf to the video.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                weight.copy_(1.3 + 0.2 * noise)
            elif "norm" in name and name.endswith("weight"):
                weight.copy_(1.0 + 0.1 * noise)
            elif name.endswith("bias"):
                weight.copy_(0.2 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                weight.copy_(0.3 * noise)
            elif "pos_embed" in name:
                weight.copy_(0.5 * noise)
            else:
                fan_in = weight[0].numel()
                weight.copy_(1.35 / math.sqrt(fan_in) * noise)


def as_transformers_5(config: dict) -> dict:
    """The same config.json as transformers 5 writes it: rope_parameters for both rope keys."""
    text = dict(config["text_config"])
    rope = dict(text.pop("rope_scaling"), rope_theta=text.pop("rope_theta"))
    text["rope_parameters"] = rope
    text.pop("dtype", None)
    vision = {key: value for key, value in config["vision_config"].items() if key != "dtype"}
    vision |= dict(
        model_type="qwen3_vl_vision", rope_parameters=dict(rope_theta=10000.0, rope_type="axial")
    )
    kept = {key: value for key, value in config.items() if key != "transformers_version"}
    return dict(kept, text_config=text, vision_config=vision)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_processor_files(folder: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", dict(
        tokenizer_class="Qwen2Tokenizer", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token=None, add_prefix_space=False, model_max_length=4096,
    ))
    common = dict(
        patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3,
        image_std=[0.5] * 3, processor_class="Qwen3VLProcessor",
    )
    write_json(folder / "preprocessor_config.json", dict(
        common, image_processor_type="Qwen2VLImageProcessorFast",
        size=dict(longest_edge=16777216, shortest_edge=65536),
    ))
    write_json(folder / "video_preprocessor_config.json", dict(
        common, video_processor_type="Qwen3VLVideoProcessor",
        size=dict(longest_edge=25165824, shortest_edge=4096),
    ))
    # Only as much of Qwen's template as a user turn of one video and text needs.
    template = (
        "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
        "{%- for part in message.content %}{%- if part.type == 'video' %}"
        "{{ '<|vision_start|><|video_pad|><|vision_end|>' }}{%- else %}{{ part.text }}{%- endif %}"
        "{%- endfor %}{{ '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
    )
    write_json(folder / "chat_template.json", dict(chat_template=template))


def build_checkpoint(folder: Path, name: str, tokenizer: Tokenizer):
    """Writes one checkpoint folder; returns the model and processor Hugging Face loads from it."""
    spec = CHECKPOINTS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    built = Qwen3VLForConditionalGeneration(checkpoint_config(name, tokenizer))
    randomise(built, spec["seed"])
    built.tie_weights()
    built.to(spec["dtype"]).save_pretrained(folder, max_shard_size=spec["shard"])
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_processor_files(folder, tokenizer)
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    processor = Qwen3VLProcessor.from_pretrained(folder)
    if name == "untied":
        # Only after loading: 4.57 cannot read the newer keys that the engine must read too.
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", as_transformers_5(config))
    return model, processor
