"""Gradients added up in buckets after the backward pass, or overlapped with it: PyTorch's DistributedDataParallel on the same c10d.

Usage: torchrun --standalone --nproc-per-node 2 overlap.py [STEPS]     (torch 2.11 and reference/models.py of this repository)

Three ways to take a step, one after the other in every round, in the same processes: gradients that nobody adds up, gradients added up
after the backward pass in flat buckets of 25 MB (what gaat does), and DistributedDataParallel, which sends a bucket of 25 MB as soon as its
gradients are there. wide-resnet-28-4, eight images a process, one thread each, fp32.
"""

import os
import pathlib
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "reference"))
import models  # noqa: E402

BUCKET = 25 << 20


def network():
    torch.manual_seed(0)
    return models.WideResNet((3, 32, 32), 10, 28, 4)


def flat(parameters):
    rows, size = [[]], 0
    for parameter in parameters:
        if size >= BUCKET:
            rows.append([])
            size = 0
        rows[-1].append(parameter.grad)
        size += parameter.grad.nbytes
    buckets = [torch.cat([gradient.reshape(-1) for gradient in row]) for row in rows]
    works = [dist.all_reduce(bucket, async_op=True) for bucket in buckets]
    for row, bucket, work in zip(rows, buckets, works):
        work.wait()
        start = 0
        for gradient in row:
            gradient.copy_(bucket[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    plain, wrapped = network(), torch.nn.parallel.DistributedDataParallel(network())
    images, labels = torch.rand(8, 3, 32, 32), torch.randint(0, 10, (8,))

    def step(model, after):
        dist.barrier()
        model.zero_grad()
        wall, processor = time.perf_counter(), time.process_time()
        F.cross_entropy(model(images), labels).backward()
        after()
        return time.perf_counter() - wall, time.process_time() - processor

    ways = {
        "not added up": lambda: step(plain, lambda: None),
        "added up afterwards": lambda: step(plain, lambda: flat(list(plain.parameters()))),
        "overlapped": lambda: step(wrapped, lambda: None),
    }
    found = {name: [] for name in ways}
    for number in range(steps + 3):
        for name, way in ways.items():
            seconds = way()
            if number >= 3:
                found[name].append(seconds)
    if dist.get_rank() == 0:
        print(f"{steps} rounds, load {os.getloadavg()[0]:.1f}")
        for name, seconds in found.items():
            wall, processor = ([1e3 * one[place] for one in seconds] for place in (0, 1))
            print(
                f"{name}: wall median {statistics.median(wall):.0f} ms, least {min(wall):.0f}; "
                f"processor median {statistics.median(processor):.0f} ms, least {min(processor):.0f}"
            )
    dist.destroy_process_group()


main()
