"""The table of README.md from runs/: mean ± sample standard deviation over the seeds, in %."""

import glob
import json
import re
import statistics

rows = {}
for file in glob.glob("runs/*/evaluations.json"):
    start, method, epochs, seed = re.match(r"runs/(tuned|scratch)-(.+)-e(\d+)-s(\d+)/", file).groups()
    found = json.load(open(file))[-1]["evaluation"]
    accuracy = {attack["name"]: attack["robust_accuracy"] for attack in found["attacks"]} | {"clean": found["clean_accuracy"]}
    record = json.load(open(file.replace("evaluations", "run")))
    alarms = sum(len(epoch["alarms"]) for epoch in record["epochs"])
    rows.setdefault((int(epochs), method, start), {})[int(seed)] = accuracy | {"alarms": alarms, "seconds": sum(e["seconds"]["train"] + e["seconds"]["attack"] for e in record["epochs"])}

print("| epochs | method | start | clean % | fgsm % | apgd-t % | seeds |\n|---|---|---|---|---|---|---|")
for (epochs, method, start), seeds in sorted(rows.items(), key=lambda row: (row[0][0], ["gaat", "n-fgsm", "rat"].index(row[0][1]), row[0][2] == "scratch")):
    def cell(name):
        values = [100 * seeds[seed][name] for seed in sorted(seeds)]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.1f}{spread}"
    each = ", ".join(f"{100 * seeds[seed]['apgd-t']:.1f}" for seed in sorted(seeds))
    print(f"| {epochs} | `{method}` | {'natural' if start == 'tuned' else 'scratch'} | {cell('clean')} | {cell('fgsm')} | {cell('apgd-t')} ({each}) | {len(seeds)} |", "" if not any(s["alarms"] for s in seeds.values()) else f"alarms {[s['alarms'] for s in seeds.values()]}")
for seed in range(3):
    record = json.load(open(f"runs/natural-s{seed}/run.json"))
    print("natural", seed, record["epochs"][record["best_epoch"] - 1]["validation_clean"], [e["validation_clean"] for e in record["epochs"]][-1])
