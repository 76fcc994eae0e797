"""Whether sound and picture of a generated clip match in time: Align-Acc, DeSync and AV-Align.

- Align-Acc (Diff-Foley) and DeSync (Synchformer) use classifiers, which are in `encoders/`; here their outputs are
  evaluated (metrics.md sections 7 and 14).
- AV-Align counts how many peaks of motion (`features.flow`) and onsets of sound (`features.onsets.librosa_onsets`)
coincide.
  Its three published variants differ in value, and therefore in name (metrics.md section 8). Scores at different
  frame rates are not comparable: a match is closer than one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from .accumulators import ClipMean, finite_rows

Variant = Literal["SVG", "TempoTokens-2023", "TempoTokens-2025"]
FLOW_THRESHOLD: dict[Variant, float | None] = {"SVG": None, "TempoTokens-2023": None, "TempoTokens-2025": 0.1}
Times = Tensor | Sequence[float]
OFFSET_REACH_S = 2.0  # Synchformer's classes are offsets from -2 s to 2 s, equally spaced


def aligned(probabilities: Tensor) -> Tensor:
    """Whether each clip is classified as real and aligned, by probabilities (N,): (N,) float64 of 0 and 1; 0.5 is
    not."""
    probabilities = finite_rows(probabilities, "probabilities")
    if probabilities.numel() and (probabilities.min() < 0 or probabilities.max() > 1):
        raise ValueError("probabilities lie outside 0..1; apply the sigmoid first")
    return (probabilities > 0.5).double()


def align_accuracy(probabilities: Tensor) -> Tensor:
    """Share of the clips that are classified as real and aligned, 0..1 (tables print it times 100)."""
    return aligned(probabilities).mean()


def predicted_offset_s(logits: Tensor) -> Tensor:
    """Offset of sound against picture in seconds of the likeliest class, logits (..., classes) -> (...), float64."""
    grid = torch.linspace(-OFFSET_REACH_S, OFFSET_REACH_S, logits.shape[-1], dtype=torch.float64, device=logits.device)
    return grid[finite_rows(logits, "logits").argmax(-1)]


def desync_s(logits: Tensor) -> Tensor:
    """Distance of sound and picture in seconds, 0..2, (N,) float64, averaged over the windows of logits (N, W, 21).

    Published: two windows, the first and the last 14 segments of the clip. Raises ValueError for another shape.
    """
    if logits.dim() != 3:
        raise ValueError(f"logits of {tuple(logits.shape)}; give (N, windows, classes)")
    return predicted_offset_s(logits).abs().mean(1)


class AlignAccuracy(ClipMean):
    """Share of the clips that the alignment classifier considers real and aligned, 0..1."""

    higher_is_better = True

    def values(self, probabilities: Tensor) -> Tensor:
        """Of probabilities (N,) of the classifier."""
        return aligned(probabilities)


class DeSync(ClipMean):
    """Mean distance of sound and picture in seconds."""

    higher_is_better = False

    def values(self, logits: Tensor) -> Tensor:
        """Of offset logits (N, W, 21) of the windows of each clip."""
        return desync_s(logits)


def av_align(audio_peaks: Times, video_peaks: Times, fps: float, variant: Variant = "SVG") -> float:
    """Agreement of onsets (A,) and motion peaks (V,) in seconds, 0..1; more than 1 is possible for "TempoTokens-2023".

    NaN where both lists are empty in the TempoTokens variants, whose code divides by zero there; 0 in "SVG". Raises
    ValueError for an unknown variant.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"unknown variant '{variant}'; choose one of {', '.join(get_args(Variant))}")
    audio, video = [float(t) for t in audio_peaks], [float(t) for t in video_peaks]
    window = 1 / fps
    if variant == "SVG":
        return _harmonic(audio, video, window)
    if not audio and not video:
        return float("nan")
    both = _one_to_one(audio, video, window) if variant == "TempoTokens-2025" else _reached(audio, video, window)
    return both / (len(audio) + len(video) - both)


def _near(audio: float, video: float, window: float) -> bool:
    return video - window < audio < video + window


def _reached(audio: list[float], video: list[float], window: float) -> int:
    """Onsets with any motion peak near, which several may share."""
    return sum(any(_near(a, v, window) for v in video) for a in audio)


def _one_to_one(audio: list[float], video: list[float], window: float) -> int:
    """Onsets that in order of the list take the first unused motion peak near."""
    unused = list(video)
    for onset in audio:
        match = next((v for v in unused if _near(onset, v, window)), None)
        if match is not None:
            unused.remove(match)
    return len(video) - len(unused)


def _harmonic(audio: list[float], video: list[float], window: float) -> float:
    matched_audio = _reached(audio, video, window)
    if not matched_audio:
        return 0.0
    matched_video = sum(any(_near(a, v, window) for a in audio) for v in video)
    precision, recall = matched_audio / len(audio), matched_video / len(video)
    return precision * recall / (precision + recall - precision * recall)


class AVAlign(ClipMean):
    """AV-Align averaged over clips; clips for which the variant is undefined are counted in `num_undefined`."""

    higher_is_better = True

    def __init__(self, variant: Variant = "SVG") -> None:
        super().__init__()
        self.variant: Variant = variant

    def values(self, audio_peaks: Times, video_peaks: Times, fps: float) -> float:
        """Of one clip: onsets (A,) and motion peaks (V,) in seconds, and the frame rate of the pictures."""
        return av_align(audio_peaks, video_peaks, fps, self.variant)
