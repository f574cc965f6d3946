"""Two processes of one thread beside one process of two threads, and beside two that do not talk; wall and processor seconds a step.

Usage: python measure.py GAAT DATA ROUNDS > scaling.jsonl     (GAAT: the release binary; DATA: a directory with CIFAR-10)

Every arrangement has its turn in every round. Processor seconds of a step are those of a run of 8 steps less those of a run of 2, over 6;
wall seconds are those that the run tells of its steps 3 to 8.
"""

import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile

STEPS = (2, 8)
BATCH = 16


def port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(gaat, data, method, arrangement, steps, folder):
    """Wall seconds of each step, and processor seconds of all processes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    processes, threads, batch, is_group = {
        "one process of two threads": (1, 2, BATCH, False),
        "two processes of one thread": (2, 1, BATCH, True),
        "two that do not talk, half a batch each": (2, 1, BATCH // 2, False),
    }[arrangement]
    before, meeting, started = processor_seconds(), port(), []
    for rank in range(processes):
        environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
        if is_group:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": meeting}
        out = folder / ("run" if is_group else f"run-{rank}")
        line = f"train --dataset cifar10 --model wide-resnet-28-4 --method {method} --limit {batch * steps} --validation-fraction 0"
        line += f" --batch-size {batch} --epochs 1 --precision fp32 --threads {threads} --optimizer sgd --quiet"
        command = [gaat, *line.split(), "--data-dir", data, "--out", str(out)]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    if any(process.wait() != 0 for process in started):
        sys.exit(f"{arrangement}: a process has failed")
    seconds = []
    for log in sorted(folder.glob("run*/events.jsonl")):
        events = [json.loads(line) for line in log.read_text().splitlines()]
        told = [event["seconds"]["total"] for event in events if event.get("event") == "step"]
        assert len(told) == steps, (len(told), steps)
        seconds += told[STEPS[0] :]
    return seconds, processor_seconds() - before


def main():
    gaat, data, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    arrangements = ["one process of two threads", "two processes of one thread", "two that do not talk, half a batch each"]
    folder = pathlib.Path(tempfile.mkdtemp()) / "runs"
    for number in range(rounds):
        for method in ("natural", "gaat"):
            for arrangement in arrangements:
                _, least = run(gaat, data, method, arrangement, STEPS[0], folder)
                wall, most = run(gaat, data, method, arrangement, STEPS[1], folder)
                found = {"round": number, "method": method, "arrangement": arrangement, "wall": [round(x, 4) for x in wall]}
                found |= {"processor": round((most - least) / (STEPS[1] - STEPS[0]), 4), "load": round(os.getloadavg()[0], 1)}
                print(json.dumps(found), flush=True)


main()
