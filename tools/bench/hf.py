"""What one live step costs in transformers, as one line of JSON: `python tools/bench/hf.py FOLDER --size 224 --pair 57 --question 41`.

f32, sdpa. `language_s` is a pair and a question in one pass behind the key-value cache of the pairs before, `question_s` a
question alone behind all pairs; `recompute_s` is the same step without a cache: all frames through the vision tower, all
tokens through the language model.
"""

import argparse
import json
import resource
import time

import torch
from transformers import Qwen3VLForConditionalGeneration
from transformers.cache_utils import DynamicCache


def settle():
    """Waits for what a GPU still computes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fastest(work, runs):
    times = []
    for _ in range(runs):
        settle()
        begun = time.perf_counter()
        work()
        settle()
        times.append(time.perf_counter() - begun)
    return min(times)


class Step:
    def __init__(self, model, tokens):
        self.model = model
        self.embeddings = torch.randn(1, tokens, model.config.text_config.hidden_size).to(model.device, model.dtype) * 0.02

    def run(self, first, last, cache):
        """Tokens first..last behind the cached ones, and the logits of the last; positions do not change the cost."""
        positions = torch.arange(first, last, device=self.model.device).expand(3, 1, -1)
        out = self.model.model.language_model(
            inputs_embeds=self.embeddings[:, first:last], position_ids=positions, past_key_values=cache, use_cache=True
        )
        return self.model.lm_head(out.last_hidden_state[:, -1:])


def cached(step, before, pair, question, runs):
    """Seconds of the last pair and the question, and of the question alone behind that pair."""
    cache = DynamicCache()
    step.run(0, before, cache)

    def last(first):
        cache.crop(first)
        step.run(first, before + pair + question, cache)

    return fastest(lambda: last(before), runs), fastest(lambda: last(before + pair), runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--pair", type=int, required=True, help="tokens of a pair")
    parser.add_argument("--question", type=int, required=True, help="tokens of a question")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    begun = time.perf_counter()
    model = Qwen3VLForConditionalGeneration.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    loaded = time.perf_counter() - begun
    side = options.size // 16
    tokens = options.pairs * options.pair + options.question
    with torch.inference_mode():
        one, grid = torch.randn(side * side, 1536), torch.tensor([[1, side, side]])
        every, grids = one.repeat(options.pairs, 1), grid.repeat(options.pairs, 1)
        vision = fastest(lambda: model.model.visual(one, grid_thw=grid), options.runs)
        step = Step(model, tokens)
        before = (options.pairs - 1) * options.pair
        language, question = cached(step, before, options.pair, options.question, options.runs)

        def recompute():
            model.model.visual(every, grid_thw=grids)
            step.run(0, tokens, DynamicCache())

        again = fastest(recompute, 1)
    print(json.dumps({
        "dtype": "f32", "size": options.size, "threads": options.threads, "load_s": loaded,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "vision_s_per_pair": vision, "language_s": language, "question_s": question, "recompute_s": again,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
