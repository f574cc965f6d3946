#!/bin/bash
# A natural network made robust in 2, 5 and 10 epochs, and the same epochs from scratch: bash run.sh DIR SEEDS METHODS
# DIR holds the images (train/CLASS, test/CLASS). Runs go to runs/; what is there already is not done again.
set -eu
DIR=$1; SEEDS=$2; METHODS=$3; RATES="0.05 0.1 0.2 0.4"
train() { # OUT ARGUMENTS...
  out=$1; shift
  [ -e "$out/done" ] && return 0
  rm -rf "$out"
  /usr/bin/time -f "$out %U s" gaat train "$@" --data-dir "$DIR" --out "$out" > "$out.log" 2>&1
  touch "$out/done"
}
judge() {
  [ -e "$1/evaluations.json" ] && return 0
  gaat evaluate "$1" --data-dir "$DIR" --attack fgsm,apgd-t --limit 500 > "$1.verdict" 2>&1
}
mkdir -p runs
for seed in $SEEDS; do
  train runs/natural-s$seed scratch.toml --method natural --seed $seed
done
# The learning rate of fine-tuning, for each method: 3 epochs, seed 0, by the robust accuracy on validation images that train prints.
for method in $METHODS; do
  for rate in $RATES; do
    train runs/rate-$method-$rate fine-tune.toml --from runs/natural-s0 --method $method --epochs 3 --seed 0 --learning-rate $rate
  done
done
rate_of() {
  python3 -c '
import json, sys
best = lambda rate: max(epoch["validation_robust"] for epoch in json.load(open(f"runs/rate-{sys.argv[1]}-{rate}/run.json"))["epochs"])
print(max(sys.argv[2].split(), key=best))' "$1" "$RATES"
}
for epochs in 2 5 10; do
  for method in $METHODS; do
    for seed in $SEEDS; do
      name=$method-e$epochs-s$seed
      train runs/tuned-$name fine-tune.toml --from runs/natural-s$seed --learning-rate "$(rate_of $method)" --method $method --epochs $epochs --seed $seed
      judge runs/tuned-$name
      train runs/scratch-$name scratch.toml --method $method --epochs $epochs --seed $seed
      judge runs/scratch-$name
    done
  done
done
