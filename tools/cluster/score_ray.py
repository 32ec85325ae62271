"""The parts of a data set as tasks of a Ray cluster: score_ray.py PARTS RESULTS ARGUMENTS-OF-SCORE...

RESULTS is a folder that every node sees. A part whose worker or node dies is tried again, and goes on where it was.
"""

import subprocess
import sys

import ray

parts, results, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3:]


class Killed(Exception):
    """The program was ended by a signal, as by a lack of memory."""


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=[Killed])
def score(part):
    # Where the worker dies its program ends too: it would still hold the folder when the part is tried again.
    command = ["setpriv", "--pdeathsig", "KILL", "topreward", "score", *arguments, "--resume"]
    command += ["--shard", f"{part}/{parts}", "--out", f"{results}/shards/{part}"]
    status = subprocess.run(command).returncode
    if status < 0:
        raise Killed(f"part {part}: signal {-status}")
    return status


ray.init()
statuses = ray.get([score.remote(part) for part in range(parts)])
print(f"{parts} parts ended with {statuses}")
sys.exit(max(statuses))
