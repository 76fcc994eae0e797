"""A soundtrack: a waveform, and the recipes that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..features.envelope import frame_rms
from ..timing.timing import Timing
from .conditions import part_of
from .delivery import DELIVERY_RATE
from .looking import Seen
from .options import Options


@dataclass(frozen=True)
class Recipe:
    """The inputs of a soundtrack, or of a span of it (seconds).

    `timing` is without the options' offset, and None if the system takes it from the picture itself. `guides`: the
    guides that a caller gave as objects, by their class names; such a recipe cannot be repeated from a file.
    `used`: every value that the pipeline worked with, the defaults of its preset too. `created`: the pipeline made the
    picture as well.
    """

    options: Options
    timing: Timing | None
    span: tuple[float, float] | None = None
    guides: tuple[str, ...] = ()
    used: Mapping[str, Any] = field(default_factory=dict)
    created: bool = False


@dataclass(frozen=True)
class Soundtrack:
    """A waveform (C, N) float32 on 24 bits at 48 kHz. The first recipe made all of it, each later one a span.

    `gain_db` brought the first recipe's sound to its loudness; None: silence. `notes`: warnings about it. `weights`:
    the folders of the weights that made it, by name. `seen`: what each shot was seen to show, where that is the prompt.
    """

    waveform: np.ndarray
    recipes: tuple[Recipe, ...]
    gain_db: float | None
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, Path] = field(default_factory=dict)
    seen: tuple[Seen, ...] = ()

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return DELIVERY_RATE

    @property
    def duration_s(self) -> float:
        """Length in seconds, to the sample."""
        return self.waveform.shape[1] / DELIVERY_RATE

    @property
    def options(self) -> Options:
        """The options; for a regenerated span, the last ones."""
        return self.recipes[-1].options

    @property
    def timing(self) -> Timing:
        """The requested timing, offsets, parts and spans included; without a requested one, that of the sound
        itself."""
        base, *later = self.recipes
        if base.timing is None:
            rms = frame_rms(torch.from_numpy(self.waveform.mean(0)), self.sample_rate)
            return Timing.of_envelope(rms.clamp(max=1.0))
        start_s, end_s = part_of(self.duration_s, base.options)
        timing = base.timing.moved(base.options.offset_ms / 1000).within(start_s, end_s)
        for recipe in later:
            assert recipe.span is not None  # only the first recipe made the whole
            assert recipe.timing is not None  # one system made all of them
            timing = timing.with_span(recipe.timing.moved(recipe.options.offset_ms / 1000), *recipe.span)
        return timing
