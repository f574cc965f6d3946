"""JPEGs of the size of photographs: FOLDER/{train,test}/CLASS/N.jpg, 512 x 384, each a mosaic of 16 x 12 images of CIFAR-10, quality 90.

Usage: python make.py CIFAR_FOLDER FOLDER IMAGES     (CIFAR_FOLDER: train/CLASS/*.jpg of 32 x 32)
"""

import pathlib
import random
import sys

from PIL import Image

source, target, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
random.seed(0)
small = sorted(source.glob("train/*/*"))
for number in range(count):
    picture = Image.new("RGB", (512, 384))
    for row in range(12):
        for column in range(16):
            picture.paste(Image.open(random.choice(small)).convert("RGB"), (32 * column, 32 * row))
    for part in ("train", "test") if number < 20 else ("train",):
        folder = target / part / f"class{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number}.jpg", quality=90)
