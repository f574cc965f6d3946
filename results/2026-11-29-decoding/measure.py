"""Seconds to decode 1,000 JPEGs: gaat beside torchvision's ImageFolder in a DataLoader of two workers, in turns.

Usage: python measure.py EXAMPLE FOLDER ROUNDS [SIZE]     (EXAMPLE: the binary of gaat-data's example time_decoding; FOLDER holds train/ and test/)

Both sides read every image of FOLDER/train once, in shuffled order, in batches of 128, as floats or bytes of SIZE x SIZE (or as they are), and keep
nothing. Files are in the page cache. The first round warms up and is not counted.
"""

import statistics
import subprocess
import sys
import time

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

torch.set_num_threads(1)


def ours(example, folder, size):
    command = [example, folder] + ([f"{size}x{size}"] if size else [])
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(said.split(": ")[1].split()[0])


def theirs(folder, size):
    steps = [transforms.Resize((size, size))] if size else []
    images = datasets.ImageFolder(f"{folder}/train", transforms.Compose([*steps, transforms.ToTensor()]))
    loader = DataLoader(images, batch_size=128, shuffle=True, num_workers=2)
    started = time.perf_counter()
    read = sum(len(labels) for _, labels in loader)
    assert read == len(images), (read, len(images))
    return (time.perf_counter() - started) / read * 1000


def main():
    example, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    size = int(sys.argv[4]) if len(sys.argv) > 4 else None
    sides = {"gaat": lambda: ours(example, folder, size), "torchvision": lambda: theirs(folder, size)}
    seconds = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, measure in sides.items():
            found = measure()
            if number > 0:
                seconds[side].append(found)
    for side, found in seconds.items():
        print(f"{side}: median {statistics.median(found):.4f} s a thousand, {min(found):.4f} to {max(found):.4f}")
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values())]
    print(f"gaat / torchvision: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


main()
