"""Keys of a recipe as arguments of Python: those that exist, those that Python says in another way, and how near a slip is."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from . import _gaat

# What the command line needs a key for and Python has its own word for.
_SAID_ELSEWHERE = {
    "dataset": "the images are the argument data",
    "data_dir": "the images are the argument data",
    "images": "the images are the argument data, kept in memory",
    "limit": "give fewer images, torch.utils.data.Subset(data, range(n)) say",
    "resize": "resize the images in the data set's transforms",
    "validation_fraction": "the argument is validation",
    "extra_data": "join the data sets, torch.utils.data.ConcatDataset say",
    "extra_share": "join the data sets, torch.utils.data.ConcatDataset say",
    "normalization": "give mean and std to gaat.Model",
    "model": "the network is the argument model",
    "model_file": "the network is the argument model",
    "eval_program": "the network is the argument model",
    "from": "load the weights into the module first, by load_state_dict or gaat.load",
    "from_head": "replace the last layer of the module first",
    "freeze": "call requires_grad_(False) on the parameters",
    "epsilon": "the argument is eps",
    "device": "bring the module there, by module.to(device)",
    "precision": "give autocast=torch.bfloat16 to gaat.Model",
    "threads": "call torch.set_num_threads",
    "methods": "train by one method at a time",
}
# What a loop of one's own does itself.
_OF_THE_LOOP = {
    *("epochs", "batch_size", "accumulate", "sync_batch_norm", "optimizer", "learning_rate", "learning_rate_warmup", "schedule", "peak"),
    *("milestones", "decay_factor", "momentum", "nesterov", "weight_decay", "decay_norm_and_bias", "clip_norm", "weight_averaging"),
    *("validation_steps", "validation_limit", "on_collapse", "crop_padding", "crop", "random_resized_crop", "colour_jitter", "cutout"),
    *("mixup", "cutmix", "flip"),
}
_NAMES_OF_OTHERS = {"lr": "learning_rate", "alpha": "step_size", "wd": "weight_decay", "bs": "batch_size", "ema": "weight_averaging"}


def check_keys(given: Iterable[str], *, has_own_loop: bool = False) -> None:
    """Refuses what is no key, and what would have no effect."""
    known = _gaat.recipe_keys()
    usable = [key for key in known if key not in _SAID_ELSEWHERE and not (has_own_loop and key in _OF_THE_LOOP)]
    for key in given:
        if key in _SAID_ELSEWHERE:
            raise TypeError(f"{key} has no effect here: {_SAID_ELSEWHERE[key]}")
        if has_own_loop and key in _OF_THE_LOOP:
            raise TypeError(f"{key} has no effect here: a loop of your own does that itself; gaat.train takes {key}")
        if key not in known:
            near = _NAMES_OF_OTHERS.get(key) or next(iter(difflib.get_close_matches(key, usable, 1)), None)
            raise TypeError(f"there is no key {key}: " + (f"did you mean {near}?" if near else f"known: {', '.join(usable)}"))


def to_json(keys: Mapping[str, Any]) -> str:
    """The keys as the engine reads them, those that are ``None`` left out."""
    return json.dumps({name.replace("_", "-"): value for name, value in keys.items() if value is not None})
