"""Generated images: python make.py FOLDER COUNT writes FOLDER/train/{0..9}/*.jpg and FOLDER/test/{0..9}/*.jpg, 64x64, a class a colour."""
import io, os, sys
import numpy
from PIL import Image
folder, count = sys.argv[1], int(sys.argv[2])
rng = numpy.random.default_rng(0)
for part, images in (("train", count), ("test", 200)):
    for label in range(10):
        os.makedirs(f"{folder}/{part}/{label}", exist_ok=True)
    for index in range(images):
        label = index % 10
        small = rng.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)
        small[:, :, label % 3] = 25 * label
        buffer = io.BytesIO()
        Image.fromarray(small).resize((64, 64), Image.BILINEAR).save(buffer, "JPEG", quality=80)
        with open(f"{folder}/{part}/{label}/{index:06}.jpg", "wb") as file:
            file.write(buffer.getvalue())
