"""Attacks, judging and cheap adversarial training of a ``torch.nn.Module``, in process, at the speed of gaat's engine.

>>> import torch, gaat
>>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
>>> model = gaat.Model(net)                       # mean=..., std=... where the module wants normalised pixels
>>> x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
>>> adversarial = gaat.attacks.PGD(model, eps=0.1, alpha=0.02, steps=10)(x, y)
>>> bool((adversarial - x).abs().max() <= 0.1 + 1e-6)
True
"""

import torch  # Loads the libtorch that the extension is linked to.

_SERIES = "2.11."
if not torch.__version__.startswith(_SERIES):
    raise ImportError(
        f"gaat needs torch {_SERIES}*, and this is torch {torch.__version__}: compiled code fits one version of torch "
        f'only. Install the other one with: pip install "torch=={_SERIES}*"'
    )

from . import attacks  # noqa: E402
from .evaluation import Verdict, clean_accuracy, evaluate  # noqa: E402
from .export import export  # noqa: E402
from .method import Alarm, Method  # noqa: E402
from .model import Model  # noqa: E402
from .runs import Run, load  # noqa: E402
from .training import train  # noqa: E402

__all__ = [
    "Alarm",
    "Method",
    "Model",
    "Run",
    "Verdict",
    "attacks",
    "clean_accuracy",
    "evaluate",
    "export",
    "load",
    "train",
]
__version__ = "0.1.0"
