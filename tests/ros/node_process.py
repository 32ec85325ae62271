"""A topreward_node under test."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

PATIENCE_S = 20


def program(name):
    for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep):
        candidate = Path(prefix) / "lib/topreward" / name
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"{name} is on no AMENT_PREFIX_PATH: build it with ./dev build")


class NodeProcess:
    """Runs the program and reads its log."""

    def __init__(self, namespace, log, parameters, arguments=(), environment=None):
        command = [program("topreward_node"), "--ros-args", "-r", f"__ns:={namespace}"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={written(value)}"]
        self.log = log
        with log.open("wb") as output:
            whole = os.environ | (environment or {})
            self.process = subprocess.Popen([*command, *arguments], stdout=output, stderr=subprocess.STDOUT, env=whole)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for_log(self, part, patience_s=PATIENCE_S):
        deadline = time.monotonic() + patience_s
        while part not in self.text():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < deadline, f'"{part}" is not in the log:\n{self.text()}'
            time.sleep(0.02)

    def exit_code(self, patience_s=PATIENCE_S):
        return self.process.wait(patience_s)

    def stop(self, how=signal.SIGINT, patience_s=4):
        """Asks the node to end; its exit code."""
        self.process.send_signal(how)
        return self.exit_code(patience_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def resident_kib(self):
        """The memory that the node holds now."""
        (line,) = [line for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1])

    def frame_account(self):
        """The account that the node logs at its end, as {"offered": 10, …, "no_episode": 2}."""
        (line,) = re.findall(r"frames: (\d+ offered = .*)", self.text())
        account = {name: int(count) for count, name in re.findall(r"(\d+) (offered|scored|coalesced|skipped|dropped|pending)", line)}
        reasons = re.search(r"\((.*)\)$", line)
        if reasons:
            account |= {name: int(count) for name, count in re.findall(r"([a-z_]+) (\d+)", reasons[1])}
        return account


def written(value):
    """A value as `-p name:=value` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, Path)):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(written(one) for one in value)}]"
    return repr(value)
