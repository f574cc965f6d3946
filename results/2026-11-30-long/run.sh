#!/bin/bash
# One run: bash run.sh CIFAR10 NAME ARGUMENTS...     trains base.toml with ARGUMENTS, goes on where it was stopped, and judges the best and the last
# weights on 1,000 test images that a seed chooses. What is there already is not done again.
set -u
DIR=$1; name=$2; shift 2
out=runs/$name
mkdir -p runs
[ -e "$out.done" ] && exit 0
echo "gaat train base.toml $*" > "$out.command"
if [ -e "$out/recipe.toml" ]; then gaat train --resume --out "$out" >> "$out.log" 2>&1 || exit 1
else gaat train base.toml "$@" --data-dir "$DIR" --out "$out" > "$out.log" 2>&1 || exit 1; fi
gaat evaluate "$out" --attack autoattack --limit 1000 --threads 1 > "$out.verdict" 2>&1 || exit 1
gaat evaluate "$out" --checkpoint last --attack pgd,apgd-t --steps 50 --restarts 1 --limit 1000 --threads 1 > "$out.last" 2>&1 || exit 1
touch "$out.done"
