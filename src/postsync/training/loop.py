"""The one training loop: features prepared once, random batches, AdamW, warm-up and cosine, EMA, saved states, export.

Every step draws its batch and its noise from generators seeded by the step's number, so a resumed run continues
exactly where the other left off.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..errors import PostsyncError
from ..protocols.train_config import TrainConfig
from .ema import ExponentialMovingAverage
from .feature_cache import prepare_features
from .report import Report

__all__ = ["TrainConfig", "batch_indices", "train"]
logger = logging.getLogger(__name__)


class _Position:
    """How far the run is; saved with the state."""

    def __init__(self) -> None:
        self.step, self.elapsed_s = 0, 0.0

    def state_dict(self) -> dict[str, float]:
        return {"step": self.step, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.step, self.elapsed_s = int(state["step"]), state["elapsed_s"]


def train(objective: nn.Module, dataset: Dataset, config: TrainConfig, folder: Path, *, resume: bool = False,
          workers: int = 0, cache: Path | None = None, cache_key: str = "", fit: bool = False,
          cpu: bool = False, progress: bool = False) -> Path:
    """Train `objective` on `dataset` (a map-style data set of Clip, or a FeatureCache), export its averaged weights.

    `fit`: let the objective's `fit(samples)` measure the prepared features first. `cache` and `cache_key`: see
    `prepare_features`. Writes `folder/state` (to resume from), `folder/log.jsonl` (one line every `log_every` steps)
    and `folder/export`, whose path is returned. Raises PostsyncError when the loss stops being finite or there is no
    state to resume; Ctrl-C saves the state first.
    """
    if config.mixed_precision == "fp16" and (cpu or not torch.cuda.is_available()):
        raise PostsyncError("fp16 takes a CUDA device; train with bf16, or without mixed precision.")
    accelerator = Accelerator(cpu=cpu, mixed_precision=config.mixed_precision)
    torch.manual_seed(config.seed)
    frozen: list[nn.Module] = objective.frozen()  # type: ignore[operator]
    for module in frozen:
        module.eval()
    with Report(folder, shown=progress, main=accelerator.is_main_process) as report:
        features = prepare_features(objective, dataset, workers=workers, folder=cache, key=cache_key,
                                    on_sample=report.prepared)
        if fit and not resume:
            size = len(next(iter(features.values())))
            objective.fit({k: v[i] for k, v in features.items()} for i in range(size))  # type: ignore[operator]
        run = _Run(objective, frozen, config, accelerator, folder / "state", report)
        if resume:
            run.load()
        run.fit(features)
    return run.export(folder / "export")


class _Run:
    """The state of one training: model, optimiser, average, position."""

    def __init__(self, objective: nn.Module, frozen: list[nn.Module], config: TrainConfig, accelerator: Accelerator,
                 state_folder: Path, report: Report) -> None:
        self.config, self.accelerator, self.report = config, accelerator, report
        self.state_folder, self.frozen = state_folder, frozen
        objective.to(accelerator.device)
        groups: list[dict[str, Any]] = objective.parameter_groups()  # type: ignore[operator]
        trained = {id(p) for group in groups for p in group["params"]}
        for parameter in objective.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        still = [module for module in frozen if not any(p.requires_grad for p in module.parameters())]
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.ema = ExponentialMovingAverage(objective, config.ema_decay, still)
        self.model, self.optimizer = accelerator.prepare(objective, optimizer)
        self.position = _Position()
        self.updating = False  # between two states, where nothing must be saved
        accelerator.register_for_checkpointing(self.position, self.ema)

    @property
    def objective(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.model)

    def fit(self, features: dict[str, Tensor]) -> None:
        """Steps until `config` says that the run is over; the state is saved on the way, at the end, and on Ctrl-C."""
        config, position = self.config, self.position
        started = saved = time.monotonic()
        before_s = position.elapsed_s
        self.model.train()
        for module in self.frozen:
            module.eval()
        try:
            while config.done(position.step, position.elapsed_s) < 1.0:
                values = self.step(features, position.step)
                position.elapsed_s = self.agreed(before_s + time.monotonic() - started)
                self.log(values)
                if position.step % config.checkpoint_every == 0 or (
                        time.monotonic() - saved > 60 * config.checkpoint_minutes):
                    self.save()
                    saved = time.monotonic()
        except KeyboardInterrupt:  # the work of hours is not lost
            if not self.updating:
                self.save()
            raise
        self.save()

    def step(self, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """One optimiser step; returns the objective's scalars."""
        config = self.config
        factor = config.lr_factor(step, self.position.elapsed_s)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad()
        values = self.add_gradients(features, step)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.accelerator.clip_grad_norm_(trained, config.max_grad_norm)
        self.updating = True
        self.optimizer.step()
        self.ema.update(self.objective, step)
        self.position.step += 1
        self.updating = False
        return values

    def add_gradients(self, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """The mean gradient of this process's batches of a step; returns the means of their scalars.

        Batches are numbered over all processes, and clips and noise are drawn by that number: two processes do what one
        does that accumulates twice as many.
        """
        config, device = self.config, self.accelerator.device
        parts, means = config.accumulation, dict[str, Tensor]()
        count = len(next(iter(features.values())))
        for part in range(parts):
            number = self.accelerator.process_index * parts + part
            place = step * self.accelerator.num_processes * parts + number
            indices = batch_indices(place, config.batch_size, count, config.seed)
            batch = {name: value[indices].to(device) for name, value in features.items()}
            noise_seed = (config.seed * 1_000_003 + step) * 64 + number
            torch.manual_seed(noise_seed)  # drop-out has no generator of its own
            generator = torch.Generator(device=device).manual_seed(noise_seed)
            with nullcontext() if part == parts - 1 else self.accelerator.no_sync(self.model):
                values = self.model(batch, step=step, teacher=self.ema.teacher, generator=generator)
                self.accelerator.backward(values["loss"] / parts)
            means = {name: means.get(name, 0) + value.detach() / parts for name, value in values.items()}
        return means

    def agreed(self, seconds: float) -> float:
        """The first process's clock, which all go by: rates and the end of the run depend on it."""
        if self.accelerator.num_processes == 1:
            return seconds
        clock = torch.tensor([seconds], dtype=torch.float32, device=self.accelerator.device)
        return float(broadcast(clock)[0])  # type: ignore[index]

    def log(self, values: dict[str, Tensor]) -> None:
        """Report the scalars every `log_every` steps, and stop a run whose loss is not finite."""
        step, config = self.position.step, self.config
        if step % config.log_every and step != 1 and config.done(step, self.position.elapsed_s) < 1.0:
            return
        scalars = {name: float(value.detach()) for name, value in values.items()}
        if not math.isfinite(scalars["loss"]):
            raise PostsyncError(f"the loss is {scalars['loss']} at step {step}; start again with a lower --lr.")
        self.report.step(step, config.done(step, self.position.elapsed_s), scalars)

    def save(self) -> None:
        """Write the state beside the old one, then put it in its place."""
        if not self.accelerator.is_main_process:
            return
        partial = self.state_folder.with_name("state.partial")
        self.accelerator.save_state(str(partial))
        _replace_folder(partial, self.state_folder)

    def load(self) -> None:
        """Continue from the saved state; raises PostsyncError where there is none."""
        if not self.state_folder.is_dir():
            raise PostsyncError(f"nothing to resume in {self.state_folder}; start without --resume.")
        self.accelerator.load_state(str(self.state_folder))
        logger.info("resumed at step %d", self.position.step)

    def export(self, folder: Path) -> Path:
        """Put the averaged weights into the objective and let it write its published form."""
        objective = self.objective
        self.ema.copy_to(objective)
        objective.eval()
        if self.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            objective.export(folder)  # type: ignore[operator]
            done = {"steps": self.position.step, "minutes": round(self.position.elapsed_s / 60, 2)}
            (folder / "training.json").write_text(json.dumps(vars(self.config) | done, indent=1) + "\n",
                                                  encoding="utf-8")
        return folder


def batch_indices(step: int, batch_size: int, count: int, seed: int) -> Tensor:
    """Indices (batch_size,) of batch `step`: every clip comes once per epoch, in an order drawn from `seed`."""
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    orders = {int(e): torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + int(e)))
              for e in epochs.unique()}
    return torch.stack([orders[int(e)][int(p) % count] for e, p in zip(epochs, positions, strict=True)])


def _replace_folder(new: Path, old: Path) -> None:
    """Rename `new` to `old`; an interrupted replacement leaves one whole folder behind."""
    gone = old.with_name("state.old")
    shutil.rmtree(gone, ignore_errors=True)
    if old.is_dir():
        old.rename(gone)
    new.rename(old)
    shutil.rmtree(gone, ignore_errors=True)
