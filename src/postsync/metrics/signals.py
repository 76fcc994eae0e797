"""Two sounds compared as signals: loudness envelopes, published E-L1, integrated loudness and log-STFT distance.

Envelopes are centred linear RMS at 100 Hz (`features.envelope.frame_rms`) unless a rate is named. E-L1, the mean
absolute difference, has three published recipes, named by their rate: frame 512 and hop 128 in all of them, so they
differ in time scale as well as in how envelopes are computed (metrics.md section 13, envelope_from_video.md section 8).
Figures of different recipes are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..codecs.stft import FLOOR, RESOLUTIONS, log_stft_distance
from ..features.envelope import ENVELOPE_RATE, librosa_rms, videofoley_low_pass, videofoley_rms
from .accumulators import ClipMean, finite_rows

MAX_LAG_S = 0.5
QUIETEST_LUFS = -70.0  # the absolute gate of BS.1770; silence counts as this
_FRAME, _HOP = 512, 128  # of E-L1
_QUIETEST = 1e-9  # peak of an envelope, below which it is silence


def envelope_correlation(estimate: Tensor, target: Tensor) -> Tensor:
    """Pearson correlation at zero lag of envelopes (..., M): (...), -1..1, float64; 0 where one of them is constant.

    Raises ValueError for shapes that differ.
    """
    if estimate.shape != target.shape:
        raise ValueError(f"envelopes of {tuple(estimate.shape)} and {tuple(target.shape)}; bring both to one length")
    estimate, target = estimate.double(), target.double()
    first = estimate - estimate.mean(-1, keepdim=True)
    second = target - target.mean(-1, keepdim=True)
    # rounding leaves about 1e-16 of a constant's level
    constant = (first.abs().amax(-1) <= 1e-9 * estimate.abs().amax(-1)) | (
        second.abs().amax(-1) <= 1e-9 * target.abs().amax(-1))
    norm = first.norm(dim=-1) * second.norm(dim=-1)
    return torch.where(constant, 0.0, (first * second).sum(-1) / torch.where(constant, 1.0, norm)).clamp(-1, 1)


def envelope_lag_ms(estimate: Tensor, target: Tensor, rate: float = ENVELOPE_RATE,
                    max_lag_s: float = MAX_LAG_S) -> Tensor:
    """Lag in ms, (...), at which envelopes (..., M) correlate best over the overlap; positive: the estimate is late.

    Of equal correlations the smallest lag counts. Lags that leave less than half of the envelope are not tried.
    """
    length = estimate.shape[-1]
    reach = min(round(max_lag_s * rate), length // 2)
    lags = sorted(range(-reach, reach + 1), key=abs)
    values = [envelope_correlation(estimate[..., max(lag, 0) : length + min(lag, 0)],
                                   target[..., max(-lag, 0) : length - max(lag, 0)]) for lag in lags]
    best = torch.stack(values).argmax(0)
    return torch.tensor(lags, dtype=torch.float64, device=best.device)[best] * 1000 / rate


def envelope_error_db(estimate: Tensor, target: Tensor, floor_db: float = -40.0) -> Tensor:
    """Mean absolute difference in dB of envelopes (..., M): (...), each relative to its own loudest value and not below
    `floor_db`: the error of the loudness contour, regardless of the overall level."""
    levels = [20 * (x / x.amax(-1, keepdim=True).clamp_min(_QUIETEST)).clamp_min(10 ** (floor_db / 20)).log10()
              for x in (estimate, target)]
    return (levels[0] - levels[1]).abs().mean(-1)


def class_accuracy(logits: Tensor, classes: Tensor, tolerance: int = 0) -> Tensor:
    """Share of the frames of each clip, (B,) float64, whose likeliest loudness class is within `tolerance` of the true.

    Logits (B, M, classes) and classes (B, M) of `features.mu_law`; classes beyond the range count as its last
    (envelope_from_video.md section 8: 2, 5 and 8 besides 0).
    """
    if logits.shape[:-1] != classes.shape or classes.dim() != 2:
        raise ValueError(f"logits of {tuple(logits.shape)} and classes of {tuple(classes.shape)}; give (B, M, C) and "
                         "(B, M)")
    distance = (logits.argmax(-1) - classes.clamp(0, logits.shape[-1] - 1)).abs()
    return (distance <= tolerance).double().mean(-1)


class EnvelopeCorrelation(ClipMean):
    """Pearson correlation at zero lag, averaged over clips."""

    higher_is_better = True

    def values(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Of a clip (M,) or a batch (B, M)."""
        return envelope_correlation(estimate, target)


class EnvelopeLag(ClipMean):
    """Lag of best correlation in ms, averaged over clips; positive: the estimate is late. The best value is 0."""

    higher_is_better = None

    def __init__(self, rate: float = ENVELOPE_RATE, max_lag_s: float = MAX_LAG_S) -> None:
        super().__init__()
        self.rate, self.max_lag_s = rate, max_lag_s

    def values(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Of a clip (M,) or a batch (B, M)."""
        return envelope_lag_ms(estimate, target, self.rate, self.max_lag_s)


class EnvelopeError(ClipMean):
    """Error of the loudness contour in dB, averaged over clips."""

    higher_is_better = False

    def __init__(self, floor_db: float = -40.0) -> None:
        super().__init__()
        self.floor_db = floor_db

    def values(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Of a clip (M,) or a batch (B, M)."""
        return envelope_error_db(estimate, target, self.floor_db)


class ClassAccuracy(ClipMean):
    """Share of frames within `tolerance` loudness classes of the true one, averaged over clips."""

    higher_is_better = True

    def __init__(self, tolerance: int = 0) -> None:
        super().__init__()
        self.tolerance = tolerance

    def values(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Of logits (B, M, C) and classes (B, M)."""
        return class_accuracy(logits, classes, self.tolerance)


@dataclass(frozen=True)
class EnvelopeRecipe:
    """How a waveform at `sample_rate` becomes an envelope."""

    name: str
    sample_rate: int
    pad_mode: str | None  # of centred frames; None: Video-Foley's frames, which are not centred
    low_passed: bool = False  # with waveforms divided by their peak before
    pads: bool = False  # whether the shorter of two sounds is continued with silence; otherwise the longer is cut


RECIPES: Mapping[str, EnvelopeRecipe] = {recipe.name: recipe for recipe in (
    EnvelopeRecipe("22k-lowpass", 22050, "constant", low_passed=True),  # YoonjinXD/T-foley inference.py
    EnvelopeRecipe("16k", 16000, None),  # jnwnlee/video-foley
    EnvelopeRecipe("44k", 44100, "reflect", pads=True),  # notebook of riccardofosco95/Stable-Video2Audio
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

    def values(self, generated: Tensor, target: Tensor) -> Tensor:
        """Of mono waveforms (N,) or (B, N) at the recipe's rate, both of one length."""
        return e_l1(generated, target, self.recipe)


class LogSTFTDistance(ClipMean):
    """Average of `log_stft_distance` over all clips seen; smaller is better."""

    higher_is_better = False

    def __init__(self, resolutions: tuple[int, ...] = RESOLUTIONS, floor: float = FLOOR) -> None:
        super().__init__()
        self.resolutions, self.floor = resolutions, floor

    def values(self, estimate: Tensor, target: Tensor) -> Tensor:
        """(B,) of waveforms (B, N)."""
        return log_stft_distance(estimate, target, self.resolutions, self.floor)


class LoudnessError(ClipMean):
    """Absolute difference of integrated loudness in LU, averaged over clips."""

    higher_is_better = False

    def values(self, lufs: Tensor | float, target_lufs: Tensor | float) -> Tensor:
        """Of integrated loudness in LUFS; quieter sounds count as -70 LUFS."""
        first, second = (torch.as_tensor(x, dtype=torch.float64).clamp_min(QUIETEST_LUFS) for x in (lufs, target_lufs))
        return (first - second).abs()
