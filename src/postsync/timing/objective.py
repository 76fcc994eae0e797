"""The timing predictor's loss: agreement with the loudness of scenes, its rises and its onsets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConditionError
from ..features.envelope import ENVELOPE_RATE, frame_rms
from ..features.onsets import pick_onsets
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from ..scenes.families import FAMILIES
from ..scenes.nuisances import NuisanceConfig
from ..weights.layout import readable
from .motion_features import CELL_CHANNELS, FEATURE_RATE, MotionFeatures
from .predictor import TimingPredictor, active_cells

SIZES: dict[str, dict[str, int]] = {"mini": {}, "tiny": {"num_members": 1, "width": 8, "hidden": 8}}
_ONSET_WIDTH_S = 0.02  # standard deviation of the bump at an onset
_AUDIBLE = 0.03  # of the loudest value (-30 dB)


class TimingObjective(Objective):
    """1 - Pearson of log loudness, of its rise and of loudness, smooth L1 of log loudness, cross-entropy of onsets and
    of sounding.

    Pearson has no scale: clips whose loudness hardly varies are excluded from it, such as silent ones.
    """

    def __init__(self, predictor: TimingPredictor | None = None, *, shift: int = 2, onset_weight: float = 3.0,
                 seen_cells: int = 16, floors_db: tuple[float, float] = (-54.0, -24.0),
                 channel_gain: float = 0.15) -> None:
        """`shift`: the target moves by up to this many values (drawn); `seen_cells`: number of cells used, drawn for
        each clip; `floors_db`: range of the loudness floor, drawn; `channel_gain`: deviation in nepers.
        """
        super().__init__()
        self.predictor: TimingPredictor = predictor if predictor is not None else TimingPredictor()
        self.shift, self.onset_weight, self.channel_gain = shift, onset_weight, channel_gain
        self.floors_db, self.seen_cells = floors_db, seen_cells
        self.beside: tuple[TimingPredictor, ...] = ()  # trained earlier; not parts of this module, so not trained again

    @property
    def wants(self) -> ClipRequest:
        """Every picture at its own time, and the sound, for the envelope of clips without one."""
        return ClipRequest(FrameRequest(96), 16000, 4.0)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch: "cells" (B, 9, 32, T), "envelope", "onsets", "seen" (B, T). Each member gets its own augmentation."""
        totals: Batch = {}
        for member in self.predictor.members:
            data = {name: value.float() for name, value in batch.items()}
            if self.training:
                data = self._varied(data, generator)
            for name, value in self._losses(member(data["cells"]), data, generator).items():
                totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value / len(
                    self.predictor.members)
        return totals

    def _losses(self, answer: Tensor, data: dict[str, Tensor], generator: torch.Generator | None) -> dict[str, Tensor]:
        loudness, rise, amplitude, onset, sounding = answer.unbind(1)
        envelope, seen = data["envelope"], data["seen"]
        low, high = self.floors_db
        drawn = torch.rand(len(envelope), 1, generator=generator) if self.training else torch.full((1, 1), 0.5)
        level = (envelope + 10 ** ((low + (high - low) * drawn.to(envelope)) / 20)).log()
        varies = (level.std(1) > 0.15).float()
        risen = smoothed_rise(level)
        shape = (varies * (1 - _pearson(loudness, level, seen))).sum() / varies.sum().clamp_min(1)
        rising = (varies * (1 - _pearson(rise, risen, seen))).sum() / varies.sum().clamp_min(1)
        linear = (varies * (1 - _pearson(amplitude, envelope, seen))).sum() / varies.sum().clamp_min(1)
        size = F.smooth_l1_loss(_centred(loudness, seen), _centred(level, seen), reduction="none").mean(1)
        size = (varies * size).sum() / varies.sum().clamp_min(1)
        weight = torch.full_like(onset, self.onset_weight)
        hit = (F.binary_cross_entropy_with_logits(onset, data["onsets"], reduction="none", pos_weight=weight[:1])
               * seen).mean()
        audible = (envelope > _AUDIBLE).float()
        sounding_loss = (F.binary_cross_entropy_with_logits(sounding, audible, reduction="none") * seen).mean()
        loss = shape + rising + linear + 0.5 * size + 3 * hit + 0.3 * sounding_loss
        return {"loss": loss, "loudness": shape.detach(),
                "rise": rising.detach(), "amplitude": linear.detach(), "onset": hit.detach(),
                "sounding": sounding_loss.detach()}

    def _varied(self, data: dict[str, Tensor], generator: torch.Generator | None) -> dict[str, Tensor]:
        """Mirror, transpose, invert, change each channel's gain, and move the target by up to `shift` values."""
        cells, device = data["cells"], data["cells"].device
        batch, channels, count, length = cells.shape
        chosen = torch.rand(batch, count, generator=generator).topk(self.seen_cells).indices.to(device)
        cells = cells.gather(2, chosen[:, None, :, None].expand(-1, channels, -1, length))
        shares = torch.tensor([0.5, 0.2, 0.5, 0.5])[:, None, None, None]
        mirror, flip, transpose, invert = (torch.rand(4, batch, 1, 1, generator=generator) < shares).to(device)
        sign = [torch.where(turned, -1.0, 1.0) for turned in (mirror, flip, invert)]
        for x, y in ((3, 4), (CELL_CHANNELS, CELL_CHANNELS + 1)):  # the flow of cells, and of the camera
            u, v = cells[:, x] * sign[0], cells[:, y] * sign[1]  # new tensors: cells may be modified
            cells[:, x], cells[:, y] = torch.where(transpose, v, u), torch.where(transpose, u, v)
        for k in (2, CELL_CHANNELS + 2):
            cells[:, k] = cells[:, k] * sign[2]
        gain = torch.randn(batch, channels, 1, 1, generator=generator).mul(self.channel_gain).exp().to(device)
        moved = torch.randint(-self.shift, self.shift + 1, (batch,), generator=generator)
        index = (torch.arange(length) - moved[:, None]).clamp(0, length - 1).to(device)
        varied = {name: data[name].gather(1, index) for name in ("envelope", "onsets", "seen")}
        return varied | {"cells": cells * gain}

    def prepare(self, clip: Clip) -> Batch:
        """One clip -> "cells" (9, 32, T), "envelope" (peak 1, silent: 0), "onsets", "seen" (T,), all float16.

        Raises ConditionError for a clip without frames, or without both an envelope and sound.
        """
        if clip.frames is None or clip.times is None:
            raise ConditionError(f"clip {clip.clip_id} has no frames; the timing predictor learns from pictures")
        envelope = clip.envelope
        if envelope is None:
            if clip.waveform is None or clip.sample_rate is None:
                raise ConditionError(f"clip {clip.clip_id} has no sound; the timing predictor learns from it")
            envelope = frame_rms(clip.waveform.mean(0), clip.sample_rate)
        reader = MotionFeatures()
        for frame, time_s in zip(clip.frames, clip.times.tolist(), strict=True):
            reader.push(frame, time_s)
        cells = active_cells(reader.finish(clip.duration_s))
        grid = np.arange(cells.shape[-1]) / FEATURE_RATE
        peak = envelope.max().clamp_min(1e-4)
        loudness = np.interp(grid, np.arange(len(envelope)) / ENVELOPE_RATE, (envelope / peak).numpy())
        onsets, seen = _onset_target(clip, envelope, grid)
        target = {"envelope": loudness, "onsets": onsets, "seen": seen}
        return {"cells": cells.half()} | {name: torch.from_numpy(v).half() for name, v in target.items()}

    def export(self, folder: Path) -> None:
        """Write float16 weights and configuration into `folder`."""
        joined((*self.beside, self.predictor)).half().save_pretrained(folder)


def smoothed_rise(level: Tensor) -> Tensor:
    """How much log loudness (B, T) rises within two values, smoothed, never negative: (B, T)."""
    padded = F.pad(level[:, None], (1, 1), mode="replicate")[:, 0]
    rise = (padded[:, 2:] - padded[:, :-2]).clamp_min(0)
    wide = F.pad(rise[:, None], (1, 1), mode="replicate")[:, 0]
    return 0.25 * wide[:, :-2] + 0.5 * rise + 0.25 * wide[:, 2:]


def _onset_target(clip: Clip, envelope: Tensor, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bumps at the visible onsets, and a mask that is 0 while an invisible cause sounds, else 1; (T,)."""
    if clip.events:
        times = [event.t for event in clip.events if event.visible and event.t > 0]
    else:
        times = pick_onsets(envelope).tolist()
    onsets, seen = np.zeros(len(grid)), np.ones(len(grid))
    for time in times:
        onsets = np.maximum(onsets, np.exp(-0.5 * ((grid - time) / _ONSET_WIDTH_S) ** 2))
    for event in clip.events:
        if not event.visible:
            seen[(grid > event.t - 0.1) & (grid < event.end + 0.2)] = 0
    return onsets, seen


def _centred(values: Tensor, weight: Tensor) -> Tensor:
    mean = (values * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
    return (values - mean) * weight


def _pearson(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Weighted correlation over time of (B, T): (B,)."""
    first, second = _centred(first, weight), _centred(second, weight)
    return (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1)).clamp_min(1e-4)


def timing(preset: str, beside: Path | None = None) -> TimingObjective:
    """Objective of the untrained timing predictor; the export also holds the members of the trained one in the folder
    `beside`. Raises WeightsError where that holds none of the same shape."""
    objective = TimingObjective(TimingPredictor(**SIZES[preset]))
    if beside is not None:
        with readable(beside, "timing predictor", "name an export of train timing."):
            objective.beside = (TimingPredictor.from_pretrained(beside).float(),)
            joined((*objective.beside, objective.predictor))
    return objective


def joined(predictors: Sequence[TimingPredictor]) -> TimingPredictor:
    """One predictor with the members of several of equal shape. Raises ValueError for other shapes."""
    shapes = [{key: value for key, value in one.config.items() if key in ("width", "heads", "hidden", "dropout")}
              for one in predictors]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(f"members of different shapes: {shapes}")
    members = [copy.deepcopy(member) for one in predictors for member in one.members]
    whole = TimingPredictor(num_members=len(members), **shapes[0])
    whole.members = nn.ModuleList(members)
    return whole


def timing_scenes() -> dict[str, Any]:
    """Its training scenes, as arguments of SceneConfig: mostly impacts, mostly clean (what the features remove need not
    be learnt), small nuisances one at a time.
    """
    kinds = {name: family.kind for name, family in FAMILIES.items()}
    impacts = [n for n in FAMILIES if kinds[n] == "strike"] + [
        "ball_bounce", "footsteps", "door_knock", "clap", "bang", "cymbal", "splash", "bell", "clock_tick"]
    agitation = ["bark", "bark", "bark", "engine_start", "whistle"]
    rest = [n for n in FAMILIES if kinds[n] in ("scrape", "texture")]
    # a family's share is proportional to its occurrences
    families = (*impacts * 5, *agitation * 5, *rest)
    return {"families": families, "silent": 0.4,
            "nuisances": NuisanceConfig(texture=0.8, photo=1.0, grain=0.6, shake=0.5, pan=0.5, zoom=0.4, cuts=0.4,
                                        blur=0.7, exposure=0.5, compression=0.6, rate=0.7, occlusion=0.4, movers=0.3,
                                        swings=0.7)}
