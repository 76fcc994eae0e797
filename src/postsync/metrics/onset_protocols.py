"""Onset scores as defined by published systems; our own are in `onsets`.

- CondFoleyGen (XYPB/CondFoleyGen `predict_onset.py`, metrics.md section 13): does the generated sound start as
  often as the real one, and at the same times? 2 s at 22050 Hz, onsets of librosa with delta 0.3, each with a
  confidence; every real onset takes the strongest unused generated one near it.
- Video-Foley (jnwnlee/video-foley `data_utils.py`) and SyncFusion (mcomunita/syncfusion `main/module_onset.py`,
  envelope_from_video.md): networks that give an onset probability for every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.onsets import librosa_onsets
from .accumulators import ClipMean
from .similarity import average_precision

SAMPLE_RATE = 22050
DELTA = 0.3  # librosa's threshold
NEIGHBOURHOOD_S = 0.05  # of the confidence and of the suppression
TOLERANCE_S = 0.1
_CANDIDATE = 0.5  # a frame above this probability may be an onset (Video-Foley)
_THRESHOLD = 0.75  # of SyncFusion


@dataclass(frozen=True)
class OnsetHits:
    """One clip: NaN where neither side has an onset, 0 if only one has (SyncFusion's convention).

    `generated_hits` are of the generated onsets that remain after `suppress_weaker`, as the published code returns.
    """

    same_count: bool
    accuracy: float  # hits / real onsets, 0..1
    average_precision: float  # 0..1
    hits: tuple[bool, ...]  # of each real onset
    generated_hits: tuple[bool, ...]


def onset_hits(target: Tensor, generated: Tensor, sample_rate: int = SAMPLE_RATE) -> OnsetHits:
    """Compare the onsets of mono waveforms (N,) and (M,). Raises PostsyncError without librosa."""
    truth = librosa_onsets(target, sample_rate, DELTA).tolist()
    found = librosa_onsets(generated, sample_rate, DELTA).tolist()
    same_count = len(truth) == len(found)  # before the suppression
    level = _normalised(generated)
    confidences = onset_confidences(level, found, sample_rate)
    kept = suppress_weaker(found, confidences, NEIGHBOURHOOD_S)
    found, confidences = [found[i] for i in kept], [confidences[i] for i in kept]
    strengths = [float(level[round(time * sample_rate)]) for time in found]
    return replace(score_hits(truth, found, confidences, strengths), same_count=same_count)


def score_hits(truth: Sequence[float], found: Sequence[float], confidences: Sequence[float],
               strengths: Sequence[float]) -> OnsetHits:
    """Score onsets in seconds, (T,) and (F,); `strengths` (F,) decide which of several near onsets is taken.

    Real onsets that come after the last generated one was taken are missing from the average precision, as published.
    """
    same = len(truth) == len(found)
    if not truth or not found:
        value = float("nan") if same else 0.0
        return OnsetHits(same, value, value, (False,) * len(truth), (False,) * len(found))
    taken = take_strongest(truth, found, strengths, TOLERANCE_S)
    spurious = set(range(len(found))) - set(taken)
    labels = [1] * len(taken) + [0] * len(spurious)
    scores = [0.0 if index is None else confidences[index] for index in taken]
    scores += [confidences[index] for index in sorted(spurious)]
    precision = average_precision(torch.tensor(labels), torch.tensor(scores, dtype=torch.float64))
    hits = tuple(index is not None for index in taken) + (False,) * (len(truth) - len(taken))
    return OnsetHits(same, sum(hits) / len(truth), float(precision), hits, tuple(i in taken for i in range(len(found))))


def onset_confidences(level: Tensor, onsets_s: Sequence[float], sample_rate: int) -> list[float]:
    """Greatest level (N,) within 50 ms of each onset."""
    reach = int(NEIGHBOURHOOD_S * sample_rate)
    positions = [round(time * sample_rate) for time in onsets_s]
    return [float(level[max(0, p - reach) : p + reach].max()) for p in positions]


def suppress_weaker(times: Sequence[float], confidences: Sequence[float], distance: float) -> list[int]:
    """Indices kept, ascending, when each onset, by falling confidence, suppresses those nearer than `distance`.

    The published code removes from the list that it walks through, so the one after a suppressed onset stays for now;
    that is kept. Neighbours often have the same confidence, their loudest common sample; as there, numpy's default sort
    decides which counts first.
    """
    remaining, kept = list(range(len(times))), list[int]()
    for index in np.argsort(confidences)[::-1].tolist():
        if index not in remaining:
            continue
        kept.append(index)
        remaining.remove(index)
        place = 0
        while place < len(remaining):
            if abs(times[index] - times[remaining[place]]) < distance:
                del remaining[place]
            place += 1
    return sorted(kept)


def take_strongest(truth: Sequence[float], found: Sequence[float], strengths: Sequence[float],
                   tolerance: float) -> list[int | None]:
    """For each true onset in turn the strongest unused found one nearer than `tolerance`, or None.

    Ends early, with a shorter list, when all found ones are used: a quirk of the published code that is kept.
    """
    unused, taken = set(range(len(found))), list[int | None]()
    for time in truth:
        if not unused:
            break
        near = [index for index in sorted(unused) if abs(found[index] - time) < tolerance]
        best = max(near, key=lambda index: (strengths[index], index), default=None)
        taken.append(best)
        unused.discard(-1 if best is None else best)
    return taken


def _normalised(waveform: Tensor) -> Tensor:
    """|waveform| (N,) brought to 0..1; a constant becomes 0."""
    level = waveform.abs().double()
    span = level.max() - level.min()
    return (level - level.min()) / span if span > 0 else torch.zeros_like(level)


class OnsetCountAccuracy(ClipMean):
    """Share of the clips with as many generated as real onsets (CondFoleyGen's "# onset accuracy")."""

    higher_is_better = True

    def values(self, hits: OnsetHits) -> Tensor | float:
        """Of one clip."""
        return float(hits.same_count)


class OnsetAccuracy(ClipMean):
    """Share of the real onsets that are hit, averaged over clips."""

    higher_is_better = True

    def values(self, hits: OnsetHits) -> Tensor | float:
        """Of one clip."""
        return hits.accuracy


class OnsetAveragePrecision(ClipMean):
    """Average precision of the generated onsets, averaged over clips."""

    higher_is_better = True

    def values(self, hits: OnsetHits) -> Tensor | float:
        """Of one clip."""
        return hits.average_precision


@dataclass(frozen=True)
class FrameOnsets:
    """One clip by Video-Foley's rules: entries of the matching, and the scores from them."""

    labels: Tensor  # (E,) int64, 1: a true onset, 0: an invented one
    scores: Tensor  # (E,) float, 0..1
    kept: Tensor  # (F,) int64, 1 at frames kept by the suppression

    @property
    def accuracy(self) -> float:
        """Share of entries on the correct side of 0.5; NaN without any."""
        return float(((self.scores >= _CANDIDATE) == self.labels.bool()).double().mean())

    @property
    def average_precision(self) -> float:
        """Average precision of the entries; NaN without any."""
        return float(average_precision(self.labels, self.scores)) if len(self.labels) else float("nan")


def frame_onsets(probabilities: Tensor, labels: Tensor, fps: float) -> FrameOnsets:
    """Match probabilities (F,) with labels (F,) of 0 and 1.

    Frames above 0.5, thinned to one in 50 ms, are taken by true onsets less than 100 ms away, the most confident first.
    """
    if probabilities.shape != labels.shape or probabilities.dim() != 1 or len(labels) < 2:
        raise ValueError(f"probabilities of {tuple(probabilities.shape)}, labels of {tuple(labels.shape)}; give (F,)")
    reach = int(NEIGHBOURHOOD_S * fps)
    confidence = [_greatest(probabilities, frame, reach) for frame in range(len(labels))]
    candidates = torch.nonzero(probabilities > _CANDIDATE)[:, 0].tolist()
    kept = [candidates[i] for i in suppress_weaker(candidates, [confidence[c] for c in candidates], reach)]
    truth = torch.nonzero(labels)[:, 0].tolist()
    taken = take_strongest(truth, kept, [confidence[k] for k in kept], int(TOLERANCE_S * fps))
    left = [kept[i] for i in range(len(kept)) if i not in taken]
    scores = [confidence[frame if index is None else kept[index]] for frame, index in zip(truth, taken)]
    flags = torch.zeros(len(labels), dtype=torch.int64)
    flags[kept] = 1
    return FrameOnsets(torch.tensor([1] * len(taken) + [0] * len(left)),
                       torch.tensor(scores + [confidence[k] for k in left], dtype=probabilities.dtype), flags)


def balanced_frames(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and labels, (2 K,), of the first K positive and the first K negative of frames (...).

    K is the number of the rarer kind; SyncFusion scores only these. Raises ValueError where one kind is absent.
    """
    probabilities, positive = torch.sigmoid(logits.flatten()), labels.flatten().bool()
    count = int(min(positive.sum(), (~positive).sum()))
    if not count:
        raise ValueError("frames with and without an onset are needed")
    chosen = torch.cat([probabilities[positive][:count], probabilities[~positive][:count]])
    return chosen, torch.arange(2 * count, device=chosen.device) < count


def balanced_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """SyncFusion's accuracy of `balanced_frames` at probability 0.75, a scalar 0..1."""
    probabilities, truth = balanced_frames(logits, labels)
    return ((probabilities > _THRESHOLD) == truth).double().mean()


def onset_number_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of clips (B, F) with as many onsets as labelled, where a hit right after a hit is cleared (SyncFusion)."""
    hits = torch.sigmoid(logits) > _THRESHOLD
    for frame in range(1, hits.shape[-1]):
        hits[..., frame] &= ~hits[..., frame - 1]
    return (hits.sum(-1) == labels.sum(-1)).double().mean()


def balanced_average_precision(logits: Tensor, labels: Tensor) -> Tensor:
    """SyncFusion's average precision of `balanced_frames`, a scalar 0..1."""
    probabilities, truth = balanced_frames(logits, labels)
    return average_precision(truth, probabilities)


def weighted_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """SyncFusion's loss: binary cross-entropy of (...), positives weighted by negatives / positives of the batch."""
    positives = labels.sum()
    weight = (labels.numel() - positives) / positives
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weight)


def _greatest(probabilities: Tensor, frame: int, reach: int) -> float:
    """Greatest probability of the frames from `reach` before to one less after; excluding the clip's last frame."""
    start = max(0, frame - reach)
    return float(probabilities[start : max(start + 1, min(frame + reach, len(probabilities) - 1))].max())


class FrameOnsetAccuracy(ClipMean):
    """Video-Foley's OnsetACC, averaged over clips."""

    higher_is_better = True

    def values(self, probabilities: Tensor, labels: Tensor, fps: float) -> Tensor | float:
        """Of one clip: probabilities (F,), labels (F,)."""
        return frame_onsets(probabilities, labels, fps).accuracy


class FrameOnsetAveragePrecision(ClipMean):
    """Video-Foley's OnsetAP, averaged over clips."""

    higher_is_better = True

    def values(self, probabilities: Tensor, labels: Tensor, fps: float) -> Tensor | float:
        """Of one clip: probabilities (F,), labels (F,)."""
        return frame_onsets(probabilities, labels, fps).average_precision
