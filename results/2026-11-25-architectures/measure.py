"""Trains natural, RAT PGD-10 and GAAT for some steps on each architecture, analyses the Taylor model, prints one table.

Usage: python3 measure.py GAAT DATA_DIR OUT [MODEL...]   (the binary, CIFAR-10 as an image folder, a folder for the runs)
"""

import json
import pathlib
import subprocess
import sys

# Batch size, images (of these and 100 more nine in ten are trained on), optimiser, learning rate, analysed images. The wide network gets few of them.
MODELS = {
    "resnet-18": (32, 640, "sgd", 0.02, 40),
    "wide-resnet-34-10": (16, 160, "sgd", 0.02, 16),
    "efficientnet-b0": (32, 640, "sgd", 0.02, 40),
    "vit-tiny": (32, 640, "adam", 0.0005, 40),
}
EPSILON = "8/255"
TAYLOR = [(1, "none"), (2, "gauss-newton")]


def recipe(model):
    batch, images, optimizer, rate, _ = MODELS[model]
    return f"""dataset = "folder"
model = "{model}"
epsilon = "{EPSILON}"
limit = {images + 100}
validation-limit = 100
validation-steps = 3
epochs = 1
batch-size = {batch}
optimizer = "{optimizer}"
learning-rate = {rate}
schedule = "constant"
crop-padding = 4
flip = true
precision = "fp32"
threads = 1

[methods.rat]
steps = 10
step-size = "2/255"
"""


def run(*words):
    print("$", *words, file=sys.stderr, flush=True)
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(gaat, data, out, model):
    folder = out / model
    text = out / f"{model}.toml"
    text.write_text(recipe(model))
    judge = ["--judge", "fgsm", "--judge-limit", "20", "--checkpoint", "last"]
    methods = ["--methods", "natural,rat,gaat"]
    run(gaat, "compare", text, "--data-dir", data, *methods, *judge, "--out", folder, "--quiet")
    rows = {row["method"]: row for row in json.loads((folder / "compare.json").read_text())["summary"]["rows"]}
    images = MODELS[model][4]
    models = ["--orders", "1,2", "--curvatures", "gauss-newton", "--limit", images, "--batch-size", MODELS[model][0]]
    subject = [folder / "gaat-s0", "--checkpoint", "last", "--data-dir", data]
    found = run(gaat, "analyze", *subject, "--epsilons", EPSILON, *models, "--steps", "10", "--threads", "1", "--json", "--quiet")
    forecasts = {(m["model"]["order"], m["model"]["curvature"]): m for m in json.loads(found)["epsilons"][0]["models"]}
    seconds = {method: row["seconds"]["mean"] for method, row in rows.items()}
    trained = json.loads((folder / "natural-s0" / "run.json").read_text())["images"]
    cells = [model, f"{-(-trained // MODELS[model][0])} x {MODELS[model][0]}"]
    cells += [f"{seconds[method]:.1f}" for method in ("natural", "rat", "gaat")]
    cells.append(f"{100 * (1 - seconds['gaat'] / seconds['rat']):.1f}")
    cells += [f"{rows[method]['cost_ratio']['mean']:.2f}" for method in ("rat", "gaat")]
    for key in TAYLOR:
        cells += [f"{100 * forecasts[key]['sign_agreement']['mean']:.1f}", f"{forecasts[key]['gain_ratio']:.3f}"]
    return "| " + " | ".join(cells) + " |"


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    gaat, data, out = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    print("| model | steps x batch | natural, s | RAT PGD-10, s | GAAT, s | of RAT's time saved, % | RAT passes / natural | GAAT passes / natural | order 1: signs agree, % | gain ratio | order 2: signs agree, % | gain ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for model in sys.argv[4:] or MODELS:
        print(measured(gaat, data, out, model), flush=True)


if __name__ == "__main__":
    main()
