"""Runs what gaat exported in another version of ONNX Runtime: `python reference/runtimes.py ORT_DIR DIR`.

ORT_DIR is where `pip install --target ORT_DIR onnxruntime==1.16.3 'numpy<2'` put that version, DIR what the tests `exchange` exported. Graphs
with GELU need operator set 20 and so 1.17: an older runtime must refuse them.
"""

import pathlib
import sys

sys.path.insert(0, sys.argv[1])
import numpy
import onnxruntime
import safetensors.numpy

TOLERANCE = 1e-5
FIRST_WITH_GELU = (1, 17)


def main():
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    loaded = 0
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*/*.onnx")):
        tensors = safetensors.numpy.load_file(path.parent / "expected.safetensors")
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            if path.parent.name.startswith("vit") and version < FIRST_WITH_GELU:
                continue
            sys.exit(f"{onnxruntime.__version__} does not load {path.parent.name}/{path.name}: {error}")
        (found,) = session.run(None, {"pixels": tensors["pixels"]})
        difference = numpy.abs(found - tensors["logits"]).max() / max(1, numpy.abs(tensors["logits"]).max())
        # Written so that NaN fails.
        if not difference <= TOLERANCE:
            sys.exit(f"{onnxruntime.__version__}: {path.parent.name}/{path.name} differs by {difference:.1e}")
        loaded += 1
    if not loaded:
        sys.exit(f"{sys.argv[2]}: nothing to load")
    print(f"ONNX Runtime {onnxruntime.__version__} loads {loaded} graphs and agrees")


if __name__ == "__main__":
    main()
