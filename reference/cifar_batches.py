"""Writes small batches of CIFAR's Python version, as numpy and Python 2 and 3 pickle them, for the tests of gaat-data.

    python3 reference/cifar_batches.py crates/gaat-data/tests/golden/cifar

Two images a batch; pixel i of image n is (7 * i + 31 * n) % 256, labels are 3 and 9.
"""

import pickle
import struct
import sys
from pathlib import Path

import numpy as np

ROW = 3072


def data() -> np.ndarray:
    return np.array([[(7 * i + 31 * n) % 256 for i in range(ROW)] for n in range(2)], dtype=np.uint8)


def python2() -> bytes:
    """The original files: protocol 2 by Python 2, whose text is bytes."""
    pixels = data().tobytes()

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + short(b"b") + b"\x87R"
        + b"(K\x01K\x02M" + struct.pack("<H", ROW) + b"\x86"
        + b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R(K\x03" + short(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    )
    items = short(b"data") + array + short(b"labels") + b"](K\x03K\x09e" + short(b"batch_label") + short(b"one")
    return b"\x80\x02}(" + items + b"u."


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "python2.pickle").write_bytes(python2())
    for protocol in (2, 3, 4, 5):
        batch = {b"data": data(), b"labels": [3, 9], b"filenames": [b"a.png", b"b.png"]}
        (out / f"bytes-{protocol}.pickle").write_bytes(pickle.dumps(batch, protocol))
    text = {"data": data(), "labels": np.array([3, 9]), "fine_labels": np.array([3, 99])}
    (out / "array-labels.pickle").write_bytes(pickle.dumps(text, 4))
    names = [f"class {n}" for n in range(10)]
    (out / "meta.pickle").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in names]}, 2))


if __name__ == "__main__":
    main()
