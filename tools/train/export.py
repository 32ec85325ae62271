"""Write the model as an ordinary Hugging Face folder: `python tools/train/export.py OUT/joint.pt models/so101-sim`."""

import argparse
import json
from pathlib import Path

import torch
from transformers import Qwen2TokenizerFast

from model import build
from prompt import CONTROL, build_tokenizer

# 64 frames of 128 x 192 pixels: 320x240 and 640x480 become 128 high and 160 wide.
VIDEO_PIXELS = {"shortest_edge": 4096, "longest_edge": 64 * 24576}
IMAGE_PIXELS = {"shortest_edge": 4096, "longest_edge": 24576}
HALF = [0.5, 0.5, 0.5]
COMMON = dict(
    patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=HALF, image_std=HALF,
    do_resize=True, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, do_convert_rgb=True, resample=3,
)  # fmt: skip
IMAGE = dict(COMMON, size=IMAGE_PIXELS, image_processor_type="Qwen2VLImageProcessorFast", processor_class="Qwen3VLProcessor")
VIDEO = dict(
    COMMON, size=VIDEO_PIXELS, fps=2, min_frames=2, max_frames=768, do_sample_frames=True,
    video_processor_type="Qwen3VLVideoProcessor", processor_class="Qwen3VLProcessor",
)  # fmt: skip
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}
{{ '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif part.type == 'video' or 'video' in part -%}
{{ '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- elif 'text' in part -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")


def export(model, tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.bos_token_id = tokenizer.token_to_id("<|endoftext|>")
    model.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
    model.to(torch.bfloat16).save_pretrained(out)
    model.to(torch.float32)
    wrapped = Qwen2TokenizerFast(
        tokenizer_object=tokenizer, unk_token=None, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=CONTROL[1:], model_max_length=8192, chat_template=CHAT_TEMPLATE,
    )  # fmt: skip
    wrapped.save_pretrained(out, legacy_format=False)
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(out / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    write_json(out / "preprocessor_config.json", IMAGE)
    write_json(out / "video_preprocessor_config.json", VIDEO)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    tokenizer = build_tokenizer()
    model = build(tokenizer)
    model.load_state_dict(torch.load(options.checkpoint)["model"])
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
