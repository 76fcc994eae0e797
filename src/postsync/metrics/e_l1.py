"""E-L1: the mean absolute difference of two loudness envelopes, in three published recipes named by their rate.

Frame 512 and hop 128 in all of them, so their envelopes differ in time scale as well as in how they are made
(metrics.md section 13, envelope_from_video.md section 8). Figures of different recipes are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..features.envelope import librosa_rms, videofoley_low_pass, videofoley_rms
from .mean import ClipMean, finite_rows

_FRAME, _HOP = 512, 128


@dataclass(frozen=True)
class EnvelopeRecipe:
    """How a waveform at `sample_rate` becomes an envelope."""

    name: str
    sample_rate: int
    pad_mode: str | None  # of centred frames; None: Video-Foley's frames, which are not centred
    low_passed: bool = False  # with waveforms divided by their peak before


RECIPES: Mapping[str, EnvelopeRecipe] = {recipe.name: recipe for recipe in (
    EnvelopeRecipe("22k-lowpass", 22050, "constant", low_passed=True),  # YoonjinXD/T-foley inference.py
    EnvelopeRecipe("16k", 16000, None),  # jnwnlee/video-foley
    EnvelopeRecipe("44k", 44100, "reflect"),  # notebook of riccardofosco95/Stable-Video2Audio
)}


def recipe_envelope(waveform: Tensor, recipe: EnvelopeRecipe) -> Tensor:
    """Envelope (..., M) of a mono waveform (..., N) at the recipe's rate.

    Silence stays silence where the recipe divides by the peak. Raises PostsyncError without scipy for a low-passed
    recipe, ValueError for values that are not finite.
    """
    finite_rows(waveform, "waveforms")
    if recipe.low_passed:
        peak = waveform.abs().amax(-1, keepdim=True)
        waveform = waveform / torch.where(peak > 0, peak, 1.0)
    if recipe.pad_mode is None:
        envelope = videofoley_rms(waveform, _FRAME, _HOP)
    else:
        envelope = librosa_rms(waveform, _FRAME, _HOP, recipe.pad_mode)
    return videofoley_low_pass(envelope) if recipe.low_passed else envelope


def e_l1(generated: Tensor, target: Tensor, recipe: EnvelopeRecipe) -> Tensor:
    """Mean absolute difference of the envelopes of mono waveforms (..., N) at the recipe's rate: (...) float64.

    Raises ValueError for shapes that differ: bring both to one length first.
    """
    if generated.shape != target.shape:
        raise ValueError(f"waveforms of {tuple(generated.shape)} and {tuple(target.shape)}; bring both to one length")
    difference = recipe_envelope(generated, recipe).double() - recipe_envelope(target, recipe).double()
    return difference.abs().mean(-1)


class EnvelopeL1(ClipMean):
    """E-L1 averaged over clips, by the name of its recipe."""

    higher_is_better = False

    def __init__(self, recipe: str) -> None:
        super().__init__()
        if recipe not in RECIPES:
            raise ValueError(f"unknown recipe '{recipe}'; choose one of {', '.join(RECIPES)}")
        self.recipe = RECIPES[recipe]

    def update(self, generated: Tensor, target: Tensor) -> None:
        """Add mono waveforms (N,) or (B, N) at the recipe's rate, both of one length."""
        self.add_values(e_l1(generated, target, self.recipe))
