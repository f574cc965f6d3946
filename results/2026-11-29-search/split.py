"""A data set whose test images are 200 training images of each class; the rest is trained on: python split.py FOLDER OUT"""
import os, sys
source, out = map(os.path.abspath, sys.argv[1:])
for name in sorted(os.listdir(f"{source}/train")):
    files = sorted(os.listdir(f"{source}/train/{name}"))
    for part, chosen in (("test", files[:200]), ("train", files[200:])):
        os.makedirs(f"{out}/{part}/{name}")
        for file in chosen:
            os.link(f"{source}/train/{name}/{file}", f"{out}/{part}/{name}/{file}")
