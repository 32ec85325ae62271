"""What the language model's part of a live step costs in llama.cpp, as one line of JSON:
`python tools/bench/llama.py FOLDER WORK --type Q8_0 --pair 57 --question 39`.

The language model of a Qwen3-VL folder becomes a GGUF file without a tokenizer in WORK, is quantised by llama.cpp itself, and is run
by its Python package: the tokens of a pair and a question behind those of other pairs, and the question alone.
"""

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path

TYPES = {"F16": 1, "Q8_0": 7, "Q4_K_S": 14, "Q6_K": 18}  # llama_ftype
NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
PREFIX = "model.language_model."


def gguf_name(name):
    if not name.startswith(PREFIX):
        return None
    name = name.removeprefix(PREFIX).removesuffix(".weight")
    if name in ("embed_tokens", "norm"):
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[name]
    _, layer, part = name.split(".", 2)
    return f"blk.{layer}.{NAMES[part]}.weight"


def write_gguf(folder, out):
    import gguf
    import torch
    from safetensors import safe_open

    text = json.loads((folder / "config.json").read_text())["text_config"]
    writer = gguf.GGUFWriter(out, "qwen3")
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(text["num_attention_heads"])
    writer.add_head_count_kv(text["num_key_value_heads"])
    writer.add_key_length(text["head_dim"])
    writer.add_value_length(text["head_dim"])
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_rope_freq_base(5e6)
    writer.add_vocab_size(text["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    for shard in sorted(folder.glob("*.safetensors")):
        with safe_open(shard, "pt") as tensors:
            for name in tensors.keys():
                if gguf_name(name):
                    tensor = tensors.get_tensor(name)
                    writer.add_tensor(gguf_name(name), tensor.to(torch.float32 if tensor.ndim == 1 else torch.float16).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def prepare(folder, work, kind):
    import llama_cpp as llama

    whole = work / "language-F16.gguf"
    if not whole.exists():
        write_gguf(folder, whole)
    settings = llama.llama_model_quantize_default_params()
    settings.ftype = TYPES[kind]
    llama.llama_model_quantize(str(whole).encode(), str(work / f"language-{kind}.gguf").encode(), settings)


class Run:
    def __init__(self, llama, path, threads, tokens):
        self.llama = llama
        llama.llama_backend_init()
        self.model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        settings = llama.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = tokens + 64, tokens, 512
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, settings)
        self.batch = llama.llama_batch_init(tokens, 0, 1)

    def decode(self, first, last, logits):
        """Seconds for tokens first..last behind the cached ones."""
        batch = self.batch
        batch.n_tokens = last - first
        for index, position in enumerate(range(first, last)):
            batch.token[index], batch.pos[index], batch.n_seq_id[index] = 1000 + 37 * position, position, 1
            batch.seq_id[index][0], batch.logits[index] = 0, logits and position + 1 == last
        begun = time.perf_counter()
        if self.llama.llama_decode(self.context, batch):
            raise SystemExit("llama.cpp cannot decode")
        if logits:
            self.llama.llama_get_logits(self.context)
        self.llama.llama_synchronize(self.context)
        return time.perf_counter() - begun

    def last(self, first, last):
        """Seconds for tokens first..last in place of what has stood there."""
        self.llama.llama_memory_seq_rm(self.llama.llama_get_memory(self.context), 0, first, -1)
        return self.decode(first, last, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--type", choices=TYPES, default="Q8_0")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--pair", type=int, required=True, help="tokens of a pair")
    parser.add_argument("--question", type=int, required=True, help="tokens of a question")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    path = options.work / f"language-{options.type}.gguf"
    if not path.exists():
        # In a process of its own, whose memory is not counted.
        preparing = multiprocessing.get_context("spawn").Process(target=prepare, args=(options.folder, options.work, options.type))
        preparing.start()
        preparing.join()
    if not path.exists():
        raise SystemExit(f"llama.cpp cannot quantise to {options.type}")
    import llama_cpp as llama

    begun = time.perf_counter()
    before = (options.pairs - 1) * options.pair
    run = Run(llama, path, options.threads, before + options.pair + options.question)
    loaded = time.perf_counter() - begun
    run.decode(0, before, False)
    behind = before + options.pair
    language = min(run.last(before, behind + options.question) for _ in range(options.runs))
    question = min(run.last(behind, behind + options.question) for _ in range(options.runs))
    print(json.dumps({
        "dtype": options.type, "threads": options.threads, "load_s": loaded,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, "language_s": language, "question_s": question,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
