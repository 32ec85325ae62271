"""Runs programs with a time limit and watches the GPU's memory meanwhile."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def library_path():
    """LD_LIBRARY_PATH with the folders in which a toolkit, PyTorch's wheels and drivers keep CUDA's libraries."""
    homes = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    if nvcc:
        homes.insert(1, Path(nvcc).resolve().parents[1])
    folders = [Path(home) / part for home in homes if home for part in ("lib64", "lib")]
    for place in sys.path:
        folders += sorted(Path(place or ".").glob("nvidia/*/lib"))
    folders += [Path("/usr/local/nvidia/lib64"), Path("/usr/local/nvidia/lib")]
    before = os.environ.get("LD_LIBRARY_PATH")
    return ":".join([*([before] if before else []), *(str(folder) for folder in folders if folder.is_dir())])


class MemoryWatch:
    """The most GPU memory in use beyond what was in use at its beginning, GB; None where nvidia-smi does not tell."""

    def __init__(self, wanted):
        self.wanted = wanted and shutil.which("nvidia-smi") is not None
        self.readings = []

    def __enter__(self):
        if self.wanted:
            self.query = subprocess.Popen(
                ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--loop-ms=100"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()
            until = time.monotonic() + 5
            while not self.readings and time.monotonic() < until:
                time.sleep(0.05)
        return self

    def read(self):
        for line in self.query.stdout:
            if line.strip().isdigit():
                self.readings.append(int(line) * (1 << 20) / 1e9)

    def __exit__(self, *_):
        if self.wanted:
            self.query.kill()
            self.query.wait()
            self.reader.join(timeout=5)

    def peak_gb(self):
        return max(self.readings) - self.readings[0] if len(self.readings) > 1 else None


def start(command, log):
    """A program whose output goes into files: nothing waits for a pipe. It leads a process group of its own."""
    environment = dict(os.environ, LD_LIBRARY_PATH=library_path(), TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1")
    with open(f"{log}.out", "wb") as out, open(f"{log}.err", "wb") as err:
        return subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )


def finish(process, log, seconds):
    """(what it printed, None) or (what it printed so far, why it failed)."""
    failed = None
    try:
        if process.wait(timeout=max(seconds, 0)):
            failed = f"it ended with {process.returncode}: {last_line(f'{log}.err')}"
    except subprocess.TimeoutExpired:
        failed = f"it took longer than {seconds:.0f} s"
        end(process)
    return Path(f"{log}.out").read_text(errors="replace"), failed


def end(process):
    """Ends a program and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def last_line(path):
    """Why a program ended, of what it wrote: without Rust's advice, which stands behind a panic's reason."""
    lines = [line.strip() for line in Path(path).read_text(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("note: run with")]
    return told[-1][:300] if told else "no message"
