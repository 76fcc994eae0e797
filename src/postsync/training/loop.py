"""The one training loop: features prepared once, random batches, AdamW, warm-up and cosine, EMA, saved states, export.

Every step draws its batch, its noise and its dropout from generators seeded by the step's number, so a resumed run
continues exactly where it stopped.
"""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import ProjectConfiguration, broadcast
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..errors import PostsyncError
from ..protocols.objective import Batch, Objective
from ..protocols.train_config import TrainConfig
from .features import PreparedFeatures, features_folder, prepare_features
from .run_log import RunLog, tracker_named
from .state import ExponentialMovingAverage, Position, SavedState

logger = logging.getLogger(__name__)
LONGEST_WAIT = timedelta(days=2)  # of the other processes, while the first prepares the features


def train(objective: Objective, dataset: Dataset, config: TrainConfig, folder: Path, *, resume: bool = False,
          workers: int = 0, features: Path | None = None, key: str | None = None, tracker: str | None = None,
          cpu: bool = False, progress: bool = False) -> Path:
    """Train `objective` on `dataset` (a map-style data set of Clip, or a FeatureCache), export its averaged weights.

    The first process prepares the features, `workers` and `key`: see `prepare_features`, in the folder `features`
    (default: `folder/features`). `tracker`: see `tracker_named`. Writes `folder/state` (to resume from),
    `folder/log.jsonl` (one line every `log_every` steps), the tracker's files below `folder/logs`, and `folder/export`,
    whose path is returned. Raises PostsyncError when the loss is no longer finite or there is no complete state to
    resume; Ctrl-C saves the state first.
    """
    if config.mixed_precision == "fp16" and (cpu or not torch.cuda.is_available()):
        raise PostsyncError("fp16 takes a CUDA device; train with bf16, or without mixed precision.")
    accelerator = Accelerator(cpu=cpu, mixed_precision=config.mixed_precision, log_with=tracker_named(tracker),
                              project_config=ProjectConfiguration(str(folder), logging_dir=str(folder / "logs")),
                              kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)])
    torch.manual_seed(config.seed)
    for module in objective.frozen():
        module.eval()
    root = folder / "features" if features is None else features
    with RunLog(folder, shown=progress, main=accelerator.is_main_process) as log:
        if accelerator.is_main_process:
            prepare_features(objective, dataset, root, key=key, workers=workers, on_sample=log.prepared)
        accelerator.wait_for_everyone()
        prepared = PreparedFeatures(features_folder(root, key))
        objective.fit(iter(prepared))
        run = _Run(objective, config, accelerator, folder, log)
        if resume:
            run.state.load()
            logger.info("resumed at step %d", run.position.step)
        run.fit(prepared)
    return run.export(folder / "export")


class _Run:
    """One training: model, optimiser, average, position."""

    def __init__(self, objective: Objective, config: TrainConfig, accelerator: Accelerator, folder: Path,
                 log: RunLog) -> None:
        self.config, self.accelerator, self.objective, self.run_log = config, accelerator, objective, log
        move(objective, accelerator.device)
        groups = objective.parameter_groups()
        trained = {id(p) for group in groups for p in group["params"]}
        for parameter in objective.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.ema = ExponentialMovingAverage(objective, config.ema_decay, objective.frozen())
        self.model, self.optimizer = accelerator.prepare(objective, optimizer)
        self.position = Position()
        self.state = SavedState(folder / "state", accelerator, objective, self.ema, self.position)
        self.updating = False  # between two states, where saving is not possible

    def fit(self, features: PreparedFeatures) -> None:
        """Steps until `config` says that the run is over; the state is saved periodically, at the end, and on
        Ctrl-C."""
        self.accelerator.init_trackers("postsync", {name: value if isinstance(value, int | float | str) else str(value)
                                                    for name, value in vars(self.config).items()})
        try:
            self.steps(features)
        except KeyboardInterrupt:  # hours of work are not lost
            if not self.updating:
                self.state.save()
            raise
        finally:
            for tracker in self.accelerator.trackers:
                tracker.finish()
        self.state.save()

    def steps(self, features: PreparedFeatures) -> None:
        """Steps until `config` says that the run is over; the state is saved periodically."""
        config, position = self.config, self.position
        started = saved = time.monotonic()
        before_s = position.elapsed_s
        self.model.train()
        for module in self.objective.frozen():
            module.eval()
        while config.done(position.step, position.elapsed_s) < 1.0:
            values = self.step(features, position.step)
            position.elapsed_s = self.agreed(before_s + time.monotonic() - started)
            self.log(values)
            if position.step % config.checkpoint_every == 0 or (
                    time.monotonic() - saved > 60 * config.checkpoint_minutes):
                self.state.save()
                saved = time.monotonic()

    def step(self, features: PreparedFeatures, step: int) -> Batch:
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

    def add_gradients(self, features: PreparedFeatures, step: int) -> Batch:
        """The mean gradient of this process's batches of a step; returns the means of their scalars.

        Batches are numbered over all processes, and clips and noise are drawn by that number: two processes do the same
        as one that accumulates twice as many.
        """
        config, parts = self.config, self.config.accumulation
        means: Batch = {}
        for part in range(parts):
            number = self.accelerator.process_index * parts + part
            place = step * self.accelerator.num_processes * parts + number
            indices = batch_indices(place, config.batch_size, len(features), config.seed)
            batch = features.batch(indices, self.accelerator.device)
            torch.manual_seed(dropout_seed(config.seed, place))  # dropout draws from PyTorch's own generator
            generator = torch.Generator().manual_seed(noise_seed(config.seed, place))
            with nullcontext() if part == parts - 1 else self.accelerator.no_sync(self.model):
                values = self.model(batch, step=step, teacher=self.ema.teacher, generator=generator)
                self.accelerator.backward(values["loss"] / parts)
            means = {name: means.get(name, 0) + value.detach() / parts for name, value in values.items()}
        return means

    def agreed(self, seconds: float) -> float:
        """The first process's clock, used by all: learning rates and the end of the run depend on it."""
        if self.accelerator.num_processes == 1:
            return seconds
        clock = torch.tensor([seconds], dtype=torch.float32, device=self.accelerator.device)
        return float(broadcast(clock)[0])  # type: ignore[index]

    def log(self, values: Batch) -> None:
        """Report the scalars every `log_every` steps, and stop a run whose loss is not finite."""
        step, config = self.position.step, self.config
        if step % config.log_every and step != 1 and config.done(step, self.position.elapsed_s) < 1.0:
            return
        scalars = {name: float(value.detach()) for name, value in values.items()}
        if not math.isfinite(scalars["loss"]):
            raise PostsyncError(f"the loss is {scalars['loss']} at step {step}; restart with a lower --lr.")
        self.run_log.step(step, config.done(step, self.position.elapsed_s), scalars)
        self.accelerator.log(scalars, step=step)

    def export(self, folder: Path) -> Path:
        """Put the averaged weights into the objective and export it."""
        objective = self.objective
        self.ema.copy_to(objective)
        objective.eval()
        if self.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            objective.export(folder)
            forget_origins(folder)
            done = {"steps": self.position.step, "minutes": round(self.position.elapsed_s / 60, 2)}
            (folder / "training.json").write_text(json.dumps(vars(self.config) | done, indent=1) + "\n",
                                                  encoding="utf-8")
        return folder


def forget_origins(folder: Path) -> None:
    """Drop from the configurations of an export which folder of this machine its parts were loaded from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def batch_indices(step: int, batch_size: int, count: int, seed: int) -> Tensor:
    """Indices (batch_size,) of batch `step`: every clip comes once per epoch, in an order drawn from `seed`."""
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    orders = {int(e): torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + int(e)))
              for e in epochs.unique()}
    return torch.stack([orders[int(e)][int(p) % count] for e, p in zip(epochs, positions, strict=True)])


def noise_seed(seed: int, place: int) -> int:
    """The seed of the noise of batch `place` of a run with `seed`: no two of a run's first 2**32 batches share one.

    PyTorch's CPU generator uses only 32 bits of a seed.
    """
    first = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return (first + place) % 2**32


def dropout_seed(seed: int, place: int) -> int:
    """The seed of the dropout of batch `place`: half of all seeds away from that of its noise, so that in a run's
    first 2**31 batches neither repeats the other's numbers."""
    return noise_seed(seed, place + 2**31)


def move(module: nn.Module, device: torch.device) -> None:
    """Move `module` to `device` with its shared buffers still shared; PyTorch alone makes a copy for every owner."""
    places = [(owner, name, buffer) for owner in module.modules()
              for name, buffer in owner.named_buffers(recurse=False, remove_duplicate=False)]
    firsts: dict[Tensor, tuple[nn.Module, str]] = {}
    for owner, name, buffer in places:
        firsts.setdefault(buffer, (owner, name))
    module.to(device)
    for owner, name, buffer in places:
        setattr(owner, name, getattr(*firsts[buffer]))
