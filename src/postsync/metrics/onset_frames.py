"""Scores of networks that give an onset probability for every frame: Video-Foley's and SyncFusion's rules.

Sources: jnwnlee/video-foley `data_utils.py`, mcomunita/syncfusion `main/module_onset.py` (envelope_from_video.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .mean import ClipMean
from .onset_hits import suppress_weaker, take_strongest
from .retrieval import average_precision

_CANDIDATE = 0.5  # a frame above this probability may be an onset (Video-Foley)
_SUPPRESSION_S, _TOLERANCE_S = 0.05, 0.1
_THRESHOLD = 0.75  # of SyncFusion


@dataclass(frozen=True)
class FrameOnsets:
    """One clip by Video-Foley's rules: entries of the matching, and what is read from them."""

    labels: Tensor  # (E,) int64, 1: a true onset, 0: an invented one
    scores: Tensor  # (E,) float, 0..1
    kept: Tensor  # (F,) int64, 1 at frames that stay after suppression

    @property
    def accuracy(self) -> float:
        """Share of entries that are on the right side of 0.5; NaN without any."""
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
    reach = int(_SUPPRESSION_S * fps)
    confidence = [_greatest(probabilities, frame, reach) for frame in range(len(labels))]
    candidates = torch.nonzero(probabilities > _CANDIDATE)[:, 0].tolist()
    kept = [candidates[i] for i in suppress_weaker(candidates, [confidence[c] for c in candidates], reach)]
    truth = torch.nonzero(labels)[:, 0].tolist()
    taken = take_strongest(truth, kept, [confidence[k] for k in kept], int(_TOLERANCE_S * fps))
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
    """Greatest probability of the frames from `reach` before to one less after; the clip's last frame is left out."""
    start = max(0, frame - reach)
    return float(probabilities[start : max(start + 1, min(frame + reach, len(probabilities) - 1))].max())


class FrameOnsetAccuracy(ClipMean):
    """Video-Foley's OnsetACC, averaged over clips."""

    higher_is_better = True

    def update(self, probabilities: Tensor, labels: Tensor, fps: float) -> None:
        """Add one clip: probabilities (F,), labels (F,)."""
        self.add_values(frame_onsets(probabilities, labels, fps).accuracy)


class FrameOnsetAveragePrecision(ClipMean):
    """Video-Foley's OnsetAP, averaged over clips."""

    higher_is_better = True

    def update(self, probabilities: Tensor, labels: Tensor, fps: float) -> None:
        """Add one clip: probabilities (F,), labels (F,)."""
        self.add_values(frame_onsets(probabilities, labels, fps).average_precision)
