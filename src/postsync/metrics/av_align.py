"""AV-Align: how many peaks of motion and onsets of sound fall together, in its three published variants.

They differ in value, and so in name (metrics.md section 8). Peaks of motion come from `features.flow`, onsets from
`features.onsets.librosa_onsets`. Scores at different frame rates are not comparable: a match is closer than one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from .mean import ClipMean

Variant = Literal["SVG", "TempoTokens-2023", "TempoTokens-2025"]
FLOW_THRESHOLD: dict[Variant, float | None] = {"SVG": None, "TempoTokens-2023": None, "TempoTokens-2025": 0.1}
Times = Tensor | Sequence[float]


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
    """Onsets that have any motion peak near, which several may share."""
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
    """AV-Align averaged over clips; clips where the variant is not defined are counted in `num_undefined`."""

    higher_is_better = True

    def __init__(self, variant: Variant = "SVG") -> None:
        super().__init__()
        self.variant: Variant = variant

    def update(self, audio_peaks: Times, video_peaks: Times, fps: float) -> None:
        """Add one clip: onsets (A,) and motion peaks (V,) in seconds, and the frame rate of the pictures."""
        self.add_values(av_align(audio_peaks, video_peaks, fps, self.variant))
