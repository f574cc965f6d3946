#!/bin/bash
# Peak memory of a streamed epoch: bash run.sh FOLDER NAME
set -eu
export GAAT_CACHE=$PWD/cache OMP_NUM_THREADS=1
/usr/bin/time -f "$2 peak %M kB, %e s, user %U s" gaat train --dataset folder --data-dir $1 --images streamed --model resnet-18-w8-s2 --method natural --epochs 1 --batch-size 128 \
  --validation-limit 100 --validation-fraction 0.01 --schedule constant --learning-rate 0.01 --precision fp32 --threads 1 --seed 0 --out runs/$2 > $2.log 2>&1
tail -1 $2.log
