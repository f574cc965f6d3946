"""Seconds of an epoch with streamed images over those with images in memory, in turns.

Usage: python ratio.py GAAT FOLDER ROUNDS     (GAAT: the release binary; FOLDER: an image folder with train/ and test/)

wide-resnet-16-2, natural, 6,400 images, batches of 128, fp32, two threads; three epochs a run, of which the first is not counted.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

RESIDENCES = ("resident", "streamed")


def seconds(gaat, folder, residence, out):
    shutil.rmtree(out, ignore_errors=True)
    line = f"train --dataset folder --images {residence} --model wide-resnet-16-2 --method natural --limit 6400 --validation-fraction 0 --epochs 3"
    line += " --batch-size 128 --precision fp32 --threads 2 --seed 0 --crop-padding 4 --flip true --quiet"
    subprocess.run([gaat, *line.split(), "--data-dir", folder, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    steps = [event["seconds"]["total"] for event in events if event.get("event") == "step"]
    weights = (out / "checkpoints" / "last.safetensors").read_bytes()
    return sum(steps[len(steps) // 3 :]) / 2, weights


def main():
    gaat, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    out = pathlib.Path(tempfile.mkdtemp()) / "run"
    found = {residence: [] for residence in RESIDENCES}
    for _ in range(rounds):
        weights = []
        for residence in RESIDENCES:
            taken, ended = seconds(gaat, folder, residence, out)
            found[residence].append(taken)
            weights.append(ended)
        assert weights[0] == weights[1], "the two ways end with different weights"
    for residence, taken in found.items():
        print(f"{residence}: median {statistics.median(taken):.3f} s an epoch, {min(taken):.3f} to {max(taken):.3f}")
    ratios = [streamed / resident for resident, streamed in zip(*found.values())]
    print(f"streamed / resident: median {statistics.median(ratios):.4f}, {min(ratios):.4f} to {max(ratios):.4f}; weights equal byte for byte")


main()
