#!/bin/bash
# One row: bash run.sh DIR NAME ARGUMENTS...     trains base.toml with ARGUMENTS on DIR (split.py made it), and judges the best weights on
# its test images, which are training images of CIFAR-10 that no run trains on. What is there already is not done again.
set -u
DIR=$1; name=$2; shift 2
out=runs/$name
mkdir -p runs
[ -e "$out.done" ] && exit 0
rm -rf "$out"
echo "gaat train base.toml $*" > "$out.command"
/usr/bin/time -f "%U s of processor" gaat train base.toml "$@" --data-dir "$DIR" --out "$out" > "$out.log" 2>&1 || exit 1
gaat evaluate "$out" --data-dir "$DIR" --attack fgsm,pgd,apgd-t --steps 50 --restarts 1 > "$out.verdict" 2>&1 || exit 1
touch "$out.done"
