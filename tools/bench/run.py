"""What one live step costs here, beside transformers and llama.cpp: `./dev bench` runs this and writes docs/benchmarks.md.

Every engine gets the same random weights in the shapes of Qwen3-VL (speed does not depend on their values), the same frame size
and the same numbers of tokens, each alone on the machine, in rounds of all of them: a machine that others share is faster at one
time than at another, and the fastest round counts. What cannot be installed or does not fit into memory is left out, and the page
says so.
"""

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SIZES = {"2b": (224, 448), "4b": (224,)}  # pixels of a frame's side
ROUNDS = 2
DTYPES = ("f32", "q8", "q6", "q4")
LLAMA_TYPES = ("Q8_0", "Q6_K", "Q4_K_S")
BYTES = {"f32": 4.6, "q8": 1.25, "q6": 1.05, "q4": 0.85}  # of memory for each parameter while loading, rounded up
DISK_BYTES = 9  # for each parameter: the random weights, and what every engine makes of them
PARTS = ("vision_s_per_pair", "language_s", "question_s")
PARAMETERS = {"2b": 2.13e9, "4b": 4.44e9}

INTRODUCTION = """\
Written by `./dev bench` (tools/bench/): random weights in the shapes of the models, the same frames and the same
numbers of tokens for every engine, in {rounds} rounds of all engines; the fastest run counts.

- A step is a pair of frames through the vision tower, then the pair and the question through the language model.
- *× transformers*: transformers' time divided by the engine's, for vision, pair and question, and question alone.
- *load*: the first time (with quantising, where that is needed) and the next.
"""


class Bench:
    def __init__(self, options):
        self.options = options
        self.left_out = []

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def fits(self, what, gigabytes):
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9 + cached_gigabytes()
        if gigabytes > free:
            self.left_out.append(f"{what}: needs {gigabytes:.0f} GB of memory, {free:.0f} are free")
            return False
        return True

    def has_room(self, what, gigabytes):
        free = shutil.disk_usage(self.options.work).free / 1e9
        if gigabytes > free:
            self.left_out.append(f"{what}: needs {gigabytes:.0f} GB of disk, {free:.0f} are free")
            return False
        return True

    def tidy(self, model):
        """Removes a model's random weights and what was made of them: gigabytes, and made again in minutes."""
        if not self.options.keep:
            for folder in (f"random-{model}", "weights"):
                shutil.rmtree(self.options.work / folder, ignore_errors=True)

    def report(self, what, command):
        """The last line of a program's output, which is its report; None if it failed."""
        self.say(what)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            self.left_out.append(f"{what}: {reason[:200]}")
            return None
        return json.loads(done.stdout.strip().splitlines()[-1])

    def checkpoint(self, size):
        folder = self.options.work / f"random-{size}"
        if not (folder / "model.safetensors.index.json").exists():
            self.say(f"making random weights in the shapes of Qwen3-VL-{size.upper()}")
            subprocess.run([sys.executable, HERE / "make_checkpoint.py", size, folder], check=True)
        return folder

    def ours(self, model, folder, pixels, dtype):
        what = f"topreward {dtype}, {model}, {pixels} pixels"
        if not self.fits(what, BYTES[dtype] * PARAMETERS[model] / 1e9):
            return None
        command = ["cargo", "bench", "--quiet", "--bench", "live", "--", folder, "--dtype", dtype, "--size", pixels]
        command += ["--weights", self.options.work / "weights"]
        return self.report(what, list(map(str, command)))

    def theirs(self, model, folder, pixels, ours):
        what = f"transformers f32, {model}, {pixels} pixels"
        if not self.fits(what, 6.4 * PARAMETERS[model] / 1e9):
            return None
        command = [sys.executable, HERE / "hf.py", folder, "--size", pixels, "--threads", ours["threads"]]
        command += ["--pair", ours["pair_tokens"], "--question", ours["question_tokens"]]
        return self.report(what, list(map(str, command)))

    def llama(self, model, folder, kind, ours):
        what = f"llama.cpp {kind}, {model}, {ours['size']} pixels"
        if importlib.util.find_spec("llama_cpp") is None:
            self.left_out.append(f"{what}: its Python package is not installed (build/bench/llama.log)")
            return None
        if not self.fits(what, 2.5 * PARAMETERS[model] / 1e9):
            return None
        command = [sys.executable, HERE / "llama.py", folder, folder, "--type", kind, "--threads", ours["threads"]]
        command += ["--pair", ours["pair_tokens"], "--question", ours["question_tokens"]]
        return self.report(what, list(map(str, command)))

    def long(self, dtype):
        """Long episodes, at the 2B's widths with two layers."""
        if not self.has_room(f"long episodes, {dtype}", 2):
            return None
        command = ["cargo", "bench", "--quiet", "--bench", "long", "--", self.checkpoint("2b-thin"), "--dtype", dtype]
        return self.report(f"long episodes, {dtype}", list(map(str, command)))

    def model(self, model):
        """(pixels, rows) of the tables, a row being (engine, report)."""
        if not self.has_room(f"Qwen3-VL-{model.upper()}", DISK_BYTES * PARAMETERS[model] / 1e9):
            return
        folder = self.checkpoint(model)
        for pixels in SIZES[model]:
            shutil.rmtree(self.options.work / "weights", ignore_errors=True)
            rounds = [self.round(model, folder, pixels) for _ in range(ROUNDS)]
            rows = ((name, [done[name] for done in rounds if done.get(name)]) for name in rounds[0])
            yield pixels, [(name, fastest(reports)) for name, reports in rows if reports]
        self.tidy(model)

    def round(self, model, folder, pixels):
        """What every engine reports, by its name."""
        reports = {f"topreward {dtype}": self.ours(model, folder, pixels, dtype) for dtype in DTYPES}
        first = next((report for report in reports.values() if report), None)
        if first:
            reports["transformers f32"] = self.theirs(model, folder, pixels, first)
            reports |= {f"llama.cpp {kind}": self.llama(model, folder, kind, first) for kind in LLAMA_TYPES}
        return reports


def fastest(reports):
    """One report of several rounds: the least of every time, and each round's `load_s`."""
    joined = dict(reports[0])
    for key in (*PARTS, "recompute_s"):
        if key in joined:
            joined[key] = min(report[key] for report in reports)
    joined["load_s"] = [report["load_s"] for report in reports]
    joined["peak_gb"] = max(report["peak_gb"] for report in reports)
    return joined


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def cached_gigabytes():
    """Of memory that holds files and can be had at once."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["Cached"].split()[0]) * 1024 / 1e9
    except (OSError, KeyError, ValueError):
        return 0.0


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    of = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = of.get("flags", "").split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in flags]
    return f"{of.get('model name', '?')} (family {of.get('cpu family')}, model {of.get('model')}; {', '.join(known)})"


def table(rows):
    """One line an engine; ratios are the time of transformers over its own."""
    yardstick = dict(rows).get("transformers f32")
    lines = [
        "| engine | vision, ms/frame | pair + question, tok/s | question, tok/s | step, s | × transformers | load, s | peak, GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    # Ours tells how many tokens all of them are given.
    pair = next(report["pair_tokens"] for _, report in rows if "pair_tokens" in report)
    question = next(report["question_tokens"] for _, report in rows if "question_tokens" in report)
    for name, report in rows:
        parts = [report.get(key) for key in PARTS]
        of = [yardstick[key] for key in PARTS] if yardstick else [None] * len(PARTS)
        ratios = ", ".join("–" if theirs is None or ours is None else f"{theirs / ours:.2f}" for theirs, ours in zip(of, parts, strict=True))
        vision, step = ("–", "–") if parts[0] is None else (f"{500 * parts[0]:.0f}", f"{parts[0] + parts[1]:.2f}")
        lines.append(
            f"| {name} | {vision} | {(pair + question) / parts[1]:.1f} | {question / parts[2]:.1f} "
            f"| {step} | {ratios} | {', '.join(f'{load:.1f}' for load in report['load_s'])} | {report['peak_gb']:.1f} |"
        )
    if yardstick and "recompute_s" in yardstick:
        lines.append(f"\nWithout its cache, transformers takes {yardstick['recompute_s']:.1f} s for the fourth pair's step.")
    return "\n".join(lines)


def long_page(reports):
    yield "## Long episodes\n"
    yield "The 2B's widths with two layers: what grows with the length of an episode grows as in the whole model. Frames of"
    yield f"{reports[0]['size']}×{reports[0]['size']}. *Counted*: the ratio of the multiplications, including those of attention; it is the same for a large model.\n"
    yield "| | f32 | q8 |\n|---|---|---|"

    def row(name, cell):
        return f"| {name} | " + " | ".join(cell(report) for report in reports) + " |"

    first = reports[0]
    yield row("memory of a sample in the cache, KiB", lambda r: f"{r['bytes_per_sample'] / 1024:.0f}")
    yield row(f"a pair and a question at sample {first['late_samples']} over sample {first['early_samples']}", lambda r: f"{r['late_s'] / r['early_s']:.2f}")
    yield row("counted", lambda r: f"{r['late_arithmetic']:.2f}")
    for kind, title in (("", f"{first['frames']} frames, {first['prefixes']} prefixes"), ("dense_", f"{first['frames']} frames, every prefix")):
        cached, recomputed = f"{kind}s" if kind else "cached_s", f"{kind}recomputed_s"
        yield row(f"{title}: cached, s", lambda r, key=cached: f"{r[key]:.1f}")
        yield row("recomputed, s" + (" (15 lengths, interpolated)" if kind else ""), lambda r, key=recomputed: f"{r[key]:.0f}")
        yield row("recomputed over cached", lambda r, kind=kind: f"{r[f'{kind}ratio']:.1f}")
        yield row("counted", lambda r, kind=kind: f"{r[f'{kind}arithmetic']:.1f}")
    yield ""


def limits_page(limits):
    """How fast f32 matrix products get here at all."""
    measured = {name: report["gflops"] for name, report in limits.items() if report}
    if measured:
        shapes = list(next(iter(measured.values())))
        yield "## Matrix products\n"
        yield "f32, GFLOP/s, the fastest of eight runs; rows x inputs x outputs.\n"
        yield "| | " + " | ".join(shapes) + " |"
        yield "|---" * (len(shapes) + 1) + "|"
        yield from (f"| {name} | " + " | ".join(f"{of[shape]:.0f}" for shape in shapes) + " |" for name, of in measured.items())
        yield ""


def page(bench, limits):
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "llama-cpp-python"))
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    yield "# Benchmarks\n"
    yield INTRODUCTION.format(rounds=ROUNDS)
    yield f"{processor()}, {bench.options.threads} threads.\n{rustc}; {versions}.\n"
    yield from limits_page(limits)
    for model in bench.options.models:
        for pixels, rows in bench.model(model):
            if rows:
                yield f"## Qwen3-VL-{model.upper()}, frames of {pixels}×{pixels}\n"
                yield table(rows) + "\n"
    reports = [report for report in (bench.long(dtype) for dtype in ("f32", "q8")) if report]
    bench.tidy("2b-thin")
    if len(reports) == 2:
        yield from long_page(reports)
    if bench.left_out:
        yield "## Left out\n"
        yield from (f"- {reason}" for reason in dict.fromkeys(bench.left_out))
        yield ""
    yield (HERE / "reading.md").read_text().rstrip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build/bench", help="where the random weights are made")
    parser.add_argument("--keep", action="store_true", help="leave them there for the next time (20 GB for 2b, 40 GB for 4b)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks.md")
    parser.add_argument("--models", nargs="+", choices=PARAMETERS, default=["2b"])
    options = parser.parse_args()
    options.threads = len(os.sched_getaffinity(0))
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    limits = {
        "torch": bench.report("torch's matrix products", [sys.executable, str(HERE / "limits.py"), "--threads", str(options.threads)]),
        "gemm crate": bench.report("the gemm crate's matrix products", ["cargo", "bench", "--quiet", "--bench", "limits"]),
    }
    text = "\n".join(page(bench, limits)) + "\n"
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
