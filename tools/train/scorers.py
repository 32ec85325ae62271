"""Two ways to the same number, log p(" True") of every prefix: our engine's command line, and transformers."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


class Engine:
    """`topreward score` on a folder of PNG frames."""

    def __init__(self, binary, model):
        self.binary, self.model = str(binary), str(model)

    def curve(self, frames, spacing, text):
        """[(frames in the prefix, log p)], odd prefixes too; `spacing` in seconds."""
        with tempfile.TemporaryDirectory(prefix="topreward-frames-") as folder:
            for index, frame in enumerate(frames):
                Image.fromarray(frame).save(Path(folder) / f"{index:06d}.png", compress_level=1)
            rate = f"{1 / spacing:.6f}"
            command = [self.binary, "score", "--model", self.model, "--frames", folder, "--fps", rate, "--sample-fps", rate]
            command += ["--instruction", text, "--prefixes", "all", "--json"]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        prefixes = json.loads(done.stdout)["prefixes"]
        if len(prefixes) != len(frames):
            raise RuntimeError(f"{len(frames)} frames, but {len(prefixes)} prefixes came back")
        return [(prefix["frames"], prefix["log_prob_true"]) for prefix in prefixes]


class Transformers:
    """Hugging Face's model through the packed forward; even prefixes only."""

    SIZE = (160, 128)

    def __init__(self, model):
        import torch
        from tokenizers import Tokenizer
        from transformers import Qwen3VLForConditionalGeneration

        from model import Packed
        from prompt import Prompt

        torch.set_num_threads(2)
        self.torch = torch
        self.prompt = Prompt(Tokenizer.from_file(str(Path(model) / "tokenizer.json")))
        self.packed = Packed(Qwen3VLForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval(), self.prompt)

    def curve(self, frames, spacing, text):
        from model import PATCH, Layout, patches

        frames = frames[: len(frames) // 2 * 2]
        small = np.stack([np.asarray(Image.fromarray(f).resize(self.SIZE, Image.Resampling.BICUBIC)) for f in frames])
        grid = self.SIZE[1] // PATCH, self.SIZE[0] // PATCH
        times = [(2 * pair + 0.5) * spacing for pair in range(len(frames) // 2)]
        layout = Layout(self.prompt, times, grid, [(pair + 1, [text]) for pair in range(len(times))])
        with self.torch.no_grad():
            logits = self.packed(patches(small[None]), grid, [layout]).logits
        log_p = logits.double().log_softmax(-1)[:, self.prompt.true]
        return [(2 * (pair + 1), float(value)) for pair, value in enumerate(log_p)]
