"""The ratios of the rounds of several bench.json as one measurement, held against an earlier one: python pool.py EARLIER FILES...

Ends with status 1 where a work takes more than 1.15 times its share of the time of the other side, as `cargo xtask bench --check` does."""

import json
import statistics
import sys

TOLERANCE = 1.15

earlier, *files = (json.load(open(path)) for path in sys.argv[1:])
before = {(m["work"], m["side"]): m["median"] for m in earlier["measured"]}
ratios = {}
for file in files:
    turns = {(m["work"], m["side"]): m["turns"] for m in file["measured"]}
    for (work, side), theirs in turns.items():
        if side != "gaat":
            ours = turns[work, "gaat"]
            ratios.setdefault((work, side), []).extend(a / b for a, b in zip(ours, theirs, strict=True))
is_slower = False
for (work, side), rounds in ratios.items():
    ratio, was = statistics.median(rounds), before[work, "gaat"] / before[work, side]
    is_slower |= ratio > TOLERANCE * was
    word = "slower" if ratio > TOLERANCE * was else "holds"
    print(f"| {work} | {side} | {len(rounds)} | {ratio:.3f} | {was:.3f} | {TOLERANCE * was:.3f} | {word} |")
sys.exit(is_slower)
