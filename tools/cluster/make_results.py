"""Results that nobody has scored, to measure what many of them cost: make_results.py RESULT-FOLDER OUT EPISODES PARTS

From a folder of `topreward score --out` OUT/shards/0, 1... are made, as if a data set of so many episodes had been
scored in so many parts. Every episode is a copy of the folder's first result under its own name and number.
"""

import argparse
import hashlib
import json
import pathlib

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("results", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("episodes", type=int)
parser.add_argument("parts", type=int)
options = parser.parse_args()

run = json.loads((options.results / "run.json").read_text())
template = json.loads(min((options.results / "episodes").glob("*.json")).read_text())
listing = [
    {"position": number, "name": f"episode_{number:07}", "index": number, "instruction": template["instruction"]}
    for number in range(options.episodes)
]
texts = (text for episode in listing for text in (episode["name"], str(episode["index"]), episode["instruction"]))
digest = hashlib.sha256()
for text in texts:
    digest.update(len(text.encode()).to_bytes(8, "little") + text.encode())
whole = {"episodes": options.episodes, "sha256": digest.hexdigest()}

for part in range(options.parts):
    folder = options.out / "shards" / str(part)
    (folder / "episodes").mkdir(parents=True)
    run["shard"] = f"{part}/{options.parts}"
    run["input"] = {"source": "made up", "lerobot": False, "part_of": whole, "episodes": listing[part :: options.parts]}
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    (folder / "errors.json").write_text(json.dumps({"schema": 1, "errors": []}, indent=2) + "\n")
    for episode in listing[part :: options.parts]:
        result = template | {"name": episode["name"], "index": episode["index"]}
        file = folder / "episodes" / f"{episode['name']}.json"
        file.write_text(json.dumps(result, separators=(",", ":")) + "\n")
