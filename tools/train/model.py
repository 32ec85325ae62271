"""A small Qwen3-VL with random weights, and a forward that scores many prefixes and instructions in one pass."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import rotate_half

PATCH, MERGE = 16, 2
CELL = PATCH * MERGE
TAPS = (1, 2)  # text layers whose output at a pair's end is read: the layers behind can still attend to what is there
TAIL = 12  # words of the question after the instruction, all alike


def config(tokenizer, text=192, layers=4, text_mlp=512, vision=128, depth=4, vision_mlp=384):
    token = tokenizer.token_to_id
    text_config = dict(
        vocab_size=-(-tokenizer.get_vocab_size() // 64) * 64, hidden_size=text, intermediate_size=text_mlp, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, max_position_embeddings=8192, rope_theta=10000.0,
        rope_scaling=dict(rope_type="default", mrope_section=[12, 10, 10], mrope_interleaved=True),
        tie_word_embeddings=True, bos_token_id=token("<|endoftext|>"), eos_token_id=token("<|im_end|>"),
    )  # fmt: skip
    vision_config = dict(
        depth=depth, hidden_size=vision, intermediate_size=vision_mlp, num_heads=4, patch_size=PATCH, spatial_merge_size=MERGE,
        temporal_patch_size=2, out_hidden_size=text, num_position_embeddings=64, deepstack_visual_indexes=[0, 1, 2],
    )  # fmt: skip
    return Qwen3VLConfig(
        text_config=text_config, vision_config=vision_config, tie_word_embeddings=True,
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"), vision_end_token_id=token("<|vision_end|>"),
    )  # fmt: skip


def initialise(model):
    """Fan-in initialisation: the 0.02 that large models use starves one of width 128."""
    leaving = ("attn.proj", "mlp.linear_fc2", "o_proj", "down_proj")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue
            if "embed_tokens" in name:
                weight.normal_(0, 0.05)
            elif "pos_embed" in name:
                weight.normal_(0, 0.2)
            else:
                weight.normal_(0, weight[0].numel() ** -0.5 * (0.6 if any(part in name for part in leaving) else 1.0))


def build(tokenizer):
    model = Qwen3VLForConditionalGeneration(config(tokenizer))
    initialise(model)
    return model


def start_from(model, tokenizer, folder):
    """Take the weights of a checkpoint of the same shape; rows of the vocabulary go by token, not by number."""
    saved = {name: weight.float() for name, weight in load_file(Path(folder) / "model.safetensors").items()}
    known = Tokenizer.from_file(str(Path(folder) / "tokenizer.json")).get_vocab()
    name = "model.language_model.embed_tokens.weight"
    table = model.state_dict()[name].clone()
    for token, row in tokenizer.get_vocab().items():
        if token in known:
            table[row] = saved[name][known[token]]
    saved[name] = saved["lm_head.weight"] = table
    model.load_state_dict(saved)


def patches(frames):
    """uint8 or float (episodes, frames, H, W, 3), frames even, to (pairs * grid, 1536) in Qwen's merge-block order."""
    count, length, height, width, _ = frames.shape
    pixels = torch.as_tensor(np.ascontiguousarray(frames)).float().div_(127.5).sub_(1)
    pixels = pixels.view(count, length // 2, 2, height // CELL, MERGE, PATCH, width // CELL, MERGE, PATCH, 3)
    return pixels.permute(0, 1, 3, 6, 4, 7, 9, 2, 5, 8).reshape(-1, 3 * 2 * PATCH * PATCH)


class Layout:
    """One episode's token row: the pairs, then for every asked prefix the stem once and each question's rest as branches."""

    def __init__(self, prompt, times, grid, asked):
        """`asked`: list of (pairs in the prefix, [instruction, ...])."""
        self.asked = asked
        self.ids = list(prompt.opening)
        self.positions = [[i] * 3 for i in range(len(self.ids))]
        self.pair_ends, self.stem_ends, self.answers, self.branches = [], [], [], []
        rows, columns = grid[0] // MERGE, grid[1] // MERGE
        for time in times:
            self._text(prompt.seconds(time) + [prompt.vision_start])
            start = self._next()
            self.ids += [prompt.pad] * (rows * columns)
            self.positions += [[start, start + r, start + c] for r in range(rows) for c in range(columns)]
            self._text([prompt.vision_end], at=start + max(rows, columns))
            self.pair_ends.append(len(self.ids) - 1)
        self.video = len(self.ids)
        for pairs, instructions in asked:
            self._ask(prompt, pairs, instructions)

    def _next(self):
        return self.positions[-1][0] + 1

    def _text(self, ids, at=None):
        at = self._next() if at is None else at
        self.ids += ids
        self.positions += [[at + i] * 3 for i in range(len(ids))]
        return at + len(ids)

    def _ask(self, prompt, pairs, instructions):
        end = self.pair_ends[pairs - 1]
        first = len(self.ids)
        after = self._text(prompt.stem, at=self.positions[end][0] + 1)
        stem = (first, len(self.ids))
        self.branches.append((stem, [(0, end + 1)]))
        self.stem_ends.append(stem[1] - 1)
        for text in instructions:
            first = len(self.ids)
            self._text(prompt.question(text)[len(prompt.stem) :], at=after)
            self.branches.append(((first, len(self.ids)), [(0, end + 1), stem]))
            self.answers.append(len(self.ids) - 1)

    def mask(self, size):
        """Which token sees which: the video causally, a branch its prefix, its stem and itself causally."""
        length = len(self.ids)
        seen = torch.zeros(size, size, dtype=torch.bool)
        seen[: self.video, : self.video] = True
        for (first, last), spans in self.branches:
            seen[first:last, first:last] = True
            for start, end in spans:
                seen[first:last, start:end] = True
        seen &= torch.ones(size, size, dtype=torch.bool).tril()
        padding = torch.arange(length, size)
        seen[padding, padding] = True
        return seen


class Reading(NamedTuple):
    """What a forward gives: the answers, and what the auxiliary heads read."""

    logits: torch.Tensor  # of every answer
    ends: list  # hidden states at every pair's end, one tensor a tap
    stems: list  # at every stem's end, one tensor a tap
    words: torch.Tensor  # (answers, TAIL, width), after the last layer
    tokens: torch.Tensor  # merged vision tokens


class Packed:
    """The stock model's computation, batched over episodes of one frame size and number of pairs."""

    def __init__(self, model, prompt):
        self.model, self.prompt = model, prompt
        self.visual = model.model.visual
        self._rotary = {}
        self._tapped = {}
        for layer in TAPS:
            model.model.language_model.layers[layer].register_forward_hook(self._tap(layer))

    def _tap(self, layer):
        def keep(_module, _inputs, output):
            self._tapped[layer] = output

        return keep

    def vision(self, pixels, grid):
        """Merged tokens and DeepStack features, each (pairs * tokens, width)."""
        visual, area = self.visual, grid[0] * grid[1]
        count = pixels.shape[0] // area
        thw = torch.tensor([[1, *grid]])
        if grid not in self._rotary:
            angles = visual.rot_pos_emb(thw)
            angles = torch.cat((angles, angles), -1)
            self._rotary[grid] = angles.cos()[None, None], angles.sin()[None, None]
        cosine, sine = self._rotary[grid]
        embed = visual.patch_embed.proj
        x = F.linear(pixels, embed.weight.view(embed.weight.shape[0], -1), embed.bias).view(count, area, -1)
        x = x + visual.fast_pos_embed_interpolate(thw)
        deep = []
        for index, block in enumerate(visual.blocks):
            attention = block.attn
            q, k, v = attention.qkv(block.norm1(x)).view(count, area, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            q, k = q * cosine + rotate_half(q) * sine, k * cosine + rotate_half(k) * sine
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count, area, -1)
            x = x + attention.proj(mixed)
            x = x + block.mlp(block.norm2(x))
            if index in visual.deepstack_visual_indexes:
                merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(index)]
                deep.append(merger(x.reshape(count * area, -1)))
        return visual.merger(x.reshape(count * area, -1)), deep

    def __call__(self, pixels, grid, layouts):
        size = max(len(layout.ids) for layout in layouts)
        ids = torch.zeros(len(layouts), size, dtype=torch.long)
        positions = torch.zeros(3, len(layouts), size, dtype=torch.long)
        for row, layout in enumerate(layouts):
            ids[row, : len(layout.ids)] = torch.tensor(layout.ids)
            positions[:, row, : len(layout.ids)] = torch.tensor(layout.positions).T
        mask = torch.stack([layout.mask(size) for layout in layouts])[:, None]
        image = ids == self.prompt.pad
        tokens, deep = self.vision(pixels, grid)
        language = self.model.model.language_model
        x = language.embed_tokens(ids)
        x = x.masked_scatter(image[..., None].expand_as(x), tokens)
        hidden = language(
            inputs_embeds=x, attention_mask=mask, position_ids=positions, visual_pos_masks=image, deepstack_visual_embeds=deep, use_cache=False
        ).last_hidden_state
        def at(states, lists):
            rows = [row for row, places in enumerate(lists) for _ in places]
            return states[rows, [place for places in lists for place in places]]

        tail = [[answer - back for answer in layout.answers for back in range(1, 1 + TAIL)] for layout in layouts]
        return Reading(
            logits=self.model.lm_head(at(hidden, [layout.answers for layout in layouts])),
            ends=[at(self._tapped[layer], [layout.pair_ends for layout in layouts]) for layer in TAPS],
            stems=[at(self._tapped[layer], [layout.stem_ends for layout in layouts]) for layer in TAPS],
            words=at(hidden, tail).view(-1, TAIL, hidden.shape[-1]),
            tokens=tokens,
        )


@torch.no_grad()
def stock_logits(model, prompt, frames, times, text):
    """The unmodified forward on one prefix: logits after the last token."""
    grid = frames.shape[1] // PATCH, frames.shape[2] // PATCH
    ids = list(prompt.opening)
    for time in times:
        pads = [prompt.pad] * (grid[0] * grid[1] // MERGE**2)
        ids += prompt.seconds(time) + [prompt.vision_start] + pads + [prompt.vision_end]
    ids += prompt.question(text)
    model.model.rope_deltas = None
    thw = torch.tensor([[len(times), *grid]])
    ids = torch.tensor([ids])
    # Without a mask transformers 4.57 takes the jumps of the position ids for packed sequences.
    mask = torch.ones_like(ids)
    out = model(input_ids=ids, attention_mask=mask, pixel_values_videos=patches(frames[None]), video_grid_thw=thw, use_cache=False)
    return out.logits[0, -1]
