"""Timing: when a clip sounds and how loud, as an envelope and its hits. The result type of every reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConditionError
from ..features.envelope import CENTRED, ENVELOPE_RATE, Envelope, frame_rms
from ..features.onsets import pick_onsets

RING_S = 0.08  # decay time of a hit
STEADY_DB = 6.0  # how far a steady sound's loudness falls while the picture rests
_FINE_RATE = 1000.0  # at which the amplitude of hits is drawn
PEAK = 0.5  # RMS of a hit of strength 1, as MotionEnvelope's loudest
POSSIBLE, LIKELY, SHARE, SURE, MOST = 0.05, 0.15, 0.3, 0.45, 0.85  # probabilities of hits; see `Timing.struck`


@dataclass(frozen=True)
class Timing:
    """`envelope` (M,) of a whole clip, centred at 100 Hz, and its hits `onsets_s` (K,) float64 seconds, ascending.
    `likely` (N, 2): seconds and probabilities of all hits that a reader holds possible, for `struck`.

    Immutable: methods and `dataclasses.replace` give an edited one. Raises ConditionError for an envelope of another
    rate or recipe, and for hits that do not rise.
    """

    envelope: Envelope
    onsets_s: Tensor
    likely: Tensor | None = None

    def __post_init__(self) -> None:
        envelope, onsets = self.envelope, self.onsets_s
        if envelope.values.dim() != 1 or envelope.rate != ENVELOPE_RATE or envelope.recipe != CENTRED:
            raise ConditionError(f"a timing holds an envelope (M,) of centred RMS at {ENVELOPE_RATE:g} Hz, not "
                                 f"{tuple(envelope.values.shape)} of '{envelope.recipe}' at {envelope.rate:g} Hz.")
        if onsets.dim() != 1 or bool((onsets.diff() < 0).any()) or bool((onsets < 0).any()):
            raise ConditionError("the hits of a timing are (K,) seconds, 0 or later, in ascending order.")

    @classmethod
    def of_envelope(cls, values: Tensor | np.ndarray | Sequence[float], *, estimated: bool = False) -> Timing:
        """The timing of an envelope (M,) at 100 Hz measured or drawn; hits are where it rises."""
        envelope = Envelope(torch.as_tensor(values, dtype=torch.float32), estimated=estimated)
        if envelope.values.dim() != 1:
            raise ConditionError("an envelope is (M,) linear RMS in 0..1 at 100 Hz; this one has shape "
                                 f"{tuple(envelope.values.shape)}.")
        return cls(envelope, pick_onsets(envelope.values, ENVELOPE_RATE))

    @classmethod
    def of_hits(cls, onsets_s: Tensor | np.ndarray | Sequence[float], duration_s: float,
                strengths: Tensor | np.ndarray | Sequence[float] | None = None, *, rise_s: float = 0.0,
                ring_s: float = RING_S) -> Timing:
        """The timing of hits (K,) seconds with strengths (K,) in 0..1 (1 if none are given), each of which rises within
        `rise_s` and rings for `ring_s`, to 1/e; those beyond `duration_s` are dropped."""
        onsets = torch.as_tensor(onsets_s, dtype=torch.float64)
        strong = torch.ones(len(onsets)) if strengths is None else torch.as_tensor(strengths, dtype=torch.float32)
        if onsets.dim() != 1 or strong.shape != onsets.shape:
            raise ConditionError(f"hits are (K,) seconds with as many strengths, not {tuple(onsets.shape)} and "
                                 f"{tuple(strong.shape)}.")
        envelope = Envelope(ringing_envelope(onsets, strong, duration_s, rise_s, ring_s))
        return cls(envelope, onsets[onsets < duration_s])

    @property
    def estimated(self) -> bool:
        """Whether it may be followed loosely."""
        return self.envelope.estimated

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.envelope.duration_s

    @property
    def strengths(self) -> Tensor:
        """(K,) strengths of the hits, 0..1: the envelope's peak in the 50 ms after each."""
        return strengths_in(self.envelope.values, self.onsets_s)

    def fitted(self, duration_s: float) -> Timing:
        """Cut or padded with silence to the clip's length."""
        missing = round(duration_s * ENVELOPE_RATE) - len(self.envelope.values)
        if missing == 0:
            return self
        values = functional.pad(self.envelope.values.float(), (0, missing))
        fitted = self._with(values, self.onsets_s[self.onsets_s < duration_s])
        return fitted if self.likely is None else replace(fitted, likely=self.likely[self.likely[:, 0] < duration_s])

    def moved(self, offset_s: float) -> Timing:
        """Shifted by `offset_s` (positive: later); what leaves the clip is dropped, what enters it is silent."""
        if offset_s == 0:
            return self
        length = len(self.envelope.values)
        position = torch.arange(length, dtype=torch.float64) - offset_s * ENVELOPE_RATE
        padded = torch.cat([torch.zeros(1), self.envelope.values, torch.zeros(1)]).double()
        left = position.floor().clamp(-1, length - 1)
        share = (position - left).clamp(0, 1)
        values = torch.lerp(padded[left.long() + 1], padded[left.long() + 2], share)
        onsets = self.onsets_s + offset_s
        inside = (onsets >= 0) & (onsets < length / ENVELOPE_RATE)
        return self._with(values.float(), onsets[inside])

    def with_span(self, other: Timing, start_s: float, end_s: float) -> Timing:
        """This timing with that of `other` between two times."""
        inside, values = other.within(start_s, end_s), self.envelope.values.clone()
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        values[first:last] = inside.envelope.values[first:last]
        outside = self.onsets_s[(self.onsets_s < start_s) | (self.onsets_s >= end_s)]
        return self._with(values, torch.cat([outside, inside.onsets_s]).sort().values)

    def within(self, start_s: float, end_s: float) -> Timing:
        """The same between two times, silent elsewhere."""
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        values = torch.zeros_like(self.envelope.values)
        values[first:last] = self.envelope.values[first:last]
        inside = (self.onsets_s >= start_s) & (self.onsets_s < end_s)
        return self._with(values, self.onsets_s[inside])

    def struck(self, start_s: float, end_s: float, *, rise_s: float = 0.0, ring_s: float = RING_S,
               surely: bool = False) -> Timing | None:
        """Between two times its hits alone, as `of_hits` draws them, silent between; of those that a reader holds
        possible, the ones that are at least `LIKELY`, or `SHARE` of the likeliest. None where it is not `SURE` of
        `MOST` of them, since its curve tells more then, unless there are `surely` hits alone."""
        hits, sure = self.onsets_s, torch.ones(len(self.onsets_s))
        if self.likely is not None:
            hits, sure = self.likely[:, 0], self.likely[:, 1].float()
        inside = (hits >= start_s) & (hits < end_s)
        hits, sure = hits[inside], sure[inside]
        if not len(hits):
            return None
        enough = sure >= min(LIKELY, SHARE * float(sure.max()))
        if not surely and float((sure[enough] >= SURE).float().mean()) < MOST:
            return None
        hits, strengths = hits[enough], strengths_in(self.envelope.values, hits[enough]) * sure[enough].sqrt()
        drawn = Timing.of_hits(hits, self.duration_s, strengths, rise_s=rise_s, ring_s=ring_s)
        return replace(drawn, envelope=replace(drawn.envelope, estimated=self.estimated))

    def risen(self, start_s: float, end_s: float) -> Timing:
        """Between two times its hits are where the envelope rises: what is listed is what sounds."""
        return self.with_span(Timing.of_envelope(self.envelope.values), start_s, end_s)

    def steadied(self, start_s: float, end_s: float, floor_db: float = STEADY_DB, smooth_s: float = 0.0) -> Timing:
        """Between two times smooth, and never more than `floor_db` below its peak there (0.5 where it is silent): for
        sounds that go on while nothing moves, such as rain. Hits inside are dropped."""
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        values, part = self.envelope.values.clone(), self.envelope.values[first:last]
        reach = min(round(smooth_s * ENVELOPE_RATE / 2), len(part) - 1)
        if reach > 0:
            padded = functional.pad(part[None, None], (reach, reach), mode="replicate")
            part = functional.avg_pool1d(padded, 2 * reach + 1, stride=1)[0, 0]
        peak = float(part.max()) if len(part) else 0.0
        values[first:last] = part.clamp_min((peak or PEAK) * 10 ** (-floor_db / 20))
        return self._with(values, self.onsets_s[(self.onsets_s < start_s) | (self.onsets_s >= end_s)])

    def silent(self, start_s: float, end_s: float) -> bool:
        """Whether nothing sounds between two times."""
        return not bool((self.part(start_s, end_s).values > 0).any())

    def part(self, start_s: float, end_s: float, *, hits: bool = False) -> Envelope:
        """The envelope of a part of the clip, which starts at 0; with `hits`, its onsets are hits that rise at once."""
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        inside = self.onsets_s[(self.onsets_s >= start_s) & (self.onsets_s < end_s)] - start_s
        return replace(self.envelope, values=self.envelope.values[first:last], hits_s=inside if hits else None)

    def _with(self, values: Tensor, onsets_s: Tensor) -> Timing:
        return Timing(replace(self.envelope, values=values), onsets_s)


def ringing_envelope(onsets_s: Tensor, strengths: Tensor, duration_s: float, rise_s: float = 0.0,
                     ring_s: float = RING_S) -> Tensor:
    """Envelope (M,) float32 at 100 Hz of hits that rise within `rise_s` of their onsets, then decay.

    By the recipe of all envelopes, the RMS of a window of 40 ms, so it begins to rise 20 ms before an onset, as that of
    a recorded hit does; its peak is 0.5 at strength 1.
    """
    fine = torch.arange(round(duration_s * _FINE_RATE), dtype=torch.float64) / _FINE_RATE
    amplitude = torch.zeros_like(fine)
    for onset, strength in zip(onsets_s.tolist(), strengths.tolist()):
        since = fine - onset
        amplitude = torch.maximum(amplitude, strength * _hit(since, rise_s, ring_s))
    alone = frame_rms(_hit(torch.arange(-100, 1000, dtype=torch.float64) / _FINE_RATE, rise_s, ring_s), _FINE_RATE)
    return (frame_rms(amplitude, _FINE_RATE) * (PEAK / float(alone.max()))).clamp_max(1.0).float()


def _hit(since_s: Tensor, rise_s: float, ring_s: float) -> Tensor:
    """Amplitude of a hit, 1 at its peak, at times since its onset."""
    rising = (since_s / rise_s).clamp(0, 1) if rise_s > 0 else (since_s >= 0).double()
    return rising * torch.exp(-(since_s - rise_s).clamp_min(0) / ring_s)


def strengths_in(envelope: Tensor, onsets_s: Tensor) -> Tensor:
    """(K,) 0..1, strengths of the hits in an envelope (M,) at 100 Hz: its peak in the 50 ms after each onset."""
    at = (onsets_s * ENVELOPE_RATE).floor().long().tolist()
    peaks = [float(envelope[m:m + 6].max()) if m < len(envelope) else 0.0 for m in at]
    return torch.tensor(peaks, dtype=torch.float32).div(PEAK).clamp(0, 1)
