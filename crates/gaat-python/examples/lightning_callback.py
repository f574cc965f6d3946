"""Lightning: a callback that hands perturbed images to any LightningModule.

    trainer = Trainer(callbacks=[Adversarial("gaat", eps="8/255")])
    trainer.fit(module, loader)          # module(x) gives logits; the loader gives [pixels in [0, 1], labels]
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

import gaat


class Adversarial(Callback):
    """Perturbs every training batch by a method of gaat, and tells of a collapse.

    The arguments are those of :class:`gaat.Method`; ``mean`` and ``std`` those of :class:`gaat.Model`.
    """

    def __init__(self, method: str = "gaat", *, eps: float | str, mean: Any = None, std: Any = None, **recipe: Any) -> None:
        self.arguments = {"method": method, "eps": eps, **recipe}
        self.scaling = {"mean": mean, "std": std}
        self.adversary: gaat.Method | None = None

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        # What the processes of a distributed training draw is not the same.
        arguments = {"seed": trainer.global_rank, **self.arguments}
        self.adversary = gaat.Method(model=gaat.Model(module, **self.scaling), **arguments)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not isinstance(batch, list):
            raise TypeError(f"expected a batch [pixels, labels], as the loaders of torch make, found {type(batch).__name__}")
        x, y = batch[:2]
        batch[0] = x + self.adversary.perturb(x, y)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        alarms = len(self.adversary.alarms)
        # Lightning has divided the loss where several batches make a step.
        self.adversary.observe(outputs["loss"] * trainer.accumulate_grad_batches)
        for alarm in self.adversary.alarms[alarms:]:
            rank_zero_warn(f"step {alarm.step}: {alarm.message}")
        if self.adversary.gain_ratio is not None:
            module.log("gain_ratio", self.adversary.gain_ratio)
