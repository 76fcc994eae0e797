"""When a clip sounds: read from its picture, or from a file of the user's."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .. import weights
from ..errors import ConditionError, WeightsError
from ..features.envelope import ENVELOPE_RATE, Envelope
from ..features.onsets import pick_onsets
from ..media.video import VideoInfo, iter_frames, probe
from ..timing.envelope_file import read_envelope
from ..timing.motion import MotionEnvelope
from ..timing.onset_file import read_onsets
from ..timing.timing import ringing_envelope
from .options import Options

log = logging.getLogger(__name__)

ANALYSIS_SIZE = 96  # pixels a side; larger pictures did not time better


@dataclass(frozen=True)
class Timing:
    """An envelope (M,) of linear RMS 0..1 at 100 Hz over the whole clip, and its hits (K,) in seconds, ascending.

    `estimated`: a coarse guess, so that what follows it may depart from it (what `motion` gives); else followed to the
    letter (what the predictor gives, or a file).
    """

    envelope: Tensor
    onsets_s: Tensor
    estimated: bool

    @classmethod
    def drawn(cls, envelope: Tensor) -> Timing:
        """The timing of an envelope that somebody measured or drew. Raises ConditionError for what is none."""
        if envelope.dim() != 1 or not bool(((envelope >= 0) & (envelope <= 1)).all()):
            raise ConditionError("an envelope is (M,) linear RMS in 0..1 at 100 Hz; this one has shape "
                                 f"{tuple(envelope.shape)} or values outside; divide it by its peak.")
        return cls(envelope, pick_onsets(envelope, ENVELOPE_RATE), estimated=False)

    def fitted(self, duration_s: float) -> Timing:
        """As long as the clip: silent after its own end, cut at the clip's."""
        missing = round(duration_s * ENVELOPE_RATE) - len(self.envelope)
        if missing == 0:
            return self
        envelope = functional.pad(self.envelope.float(), (0, missing))
        return replace(self, envelope=envelope, onsets_s=self.onsets_s[self.onsets_s < duration_s])

    def moved(self, offset_s: float) -> Timing:
        """Later by `offset_s` (negative: earlier); what leaves the clip is gone, what enters it is silent."""
        if offset_s == 0:
            return self
        length = len(self.envelope)
        position = torch.arange(length, dtype=torch.float64) - offset_s * ENVELOPE_RATE
        padded = torch.cat([torch.zeros(1), self.envelope, torch.zeros(1)]).double()
        left = position.floor().clamp(-1, length - 1)
        share = (position - left).clamp(0, 1)
        values = torch.lerp(padded[left.long() + 1], padded[left.long() + 2], share)
        onsets = self.onsets_s + offset_s
        inside = (onsets >= 0) & (onsets < length / ENVELOPE_RATE)
        return replace(self, envelope=values.float(), onsets_s=onsets[inside])

    def with_span(self, other: Timing, start_s: float, end_s: float) -> Timing:
        """This timing with that of `other` between two times."""
        inside, envelope = other.within(start_s, end_s), self.envelope.clone()
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        envelope[first:last] = inside.envelope[first:last]
        outside = self.onsets_s[(self.onsets_s < start_s) | (self.onsets_s >= end_s)]
        return replace(self, envelope=envelope, onsets_s=torch.cat([outside, inside.onsets_s]).sort().values)

    def within(self, start_s: float, end_s: float) -> Timing:
        """The same between two times, silent elsewhere."""
        first, last = round(start_s * ENVELOPE_RATE), round(end_s * ENVELOPE_RATE)
        envelope = torch.zeros_like(self.envelope)
        envelope[first:last] = self.envelope[first:last]
        inside = (self.onsets_s >= start_s) & (self.onsets_s < end_s)
        return replace(self, envelope=envelope, onsets_s=self.onsets_s[inside])

    def control(self, start_s: float, end_s: float) -> Envelope:
        """What the pipeline is given for a part of the clip."""
        part = self.envelope[round(start_s * ENVELOPE_RATE):round(end_s * ENVELOPE_RATE)]
        return Envelope(part, estimated=self.estimated)


def read_timing(video: Path, options: Options) -> tuple[VideoInfo, Timing]:
    """The clip's exact length and when it sounds, before any offset; every frame is read once.

    Raises MediaError for the clip, ConditionError for the user's file, WeightsError where a predictor is asked for
    that is not installed.
    """
    if options.envelope is not None:
        info = probe(video)
        return info, Timing.drawn(read_envelope(options.envelope, info.duration_s))
    if options.onsets is not None:
        onsets, strengths = read_onsets(options.onsets)
        info = probe(video)
        inside = onsets < info.duration_s
        if not inside.all():
            log.warning("%s: %d hits lie beyond the end of the clip at %.2f s and are left out", options.onsets,
                        int((~inside).sum()), info.duration_s)
        envelope = ringing_envelope(onsets, strengths, info.duration_s)
        return info, Timing(envelope, onsets[inside], estimated=False)
    reader = _reader(timing_name(options))
    frames = iter_frames(video, size=(ANALYSIS_SIZE, ANALYSIS_SIZE), pixel_format="gray")
    for frame in frames:
        reader.push(frame.image, frame.time_s)
    found = reader.finish(frames.info.duration_s)
    return frames.info, Timing(found.envelope, found.onsets_s, estimated=isinstance(reader, MotionEnvelope))


def timing_name(options: Options) -> str:
    """Where the timing comes from: "envelope", "onsets", "predicted" or "motion".

    Nobody's choice: predicted where its weights are there. Raises WeightsError where it is asked for and they are not.
    """
    if options.envelope is not None:
        return "envelope"
    if options.onsets is not None:
        return "onsets"
    there = "timing" in weights.available()
    if options.timing == "predicted" and not there:
        raise WeightsError("the weights of the timing predictor are not installed; use --timing motion, or reinstall "
                           "postsync.")
    return options.timing or ("predicted" if there else "motion")


def _reader(name: str) -> Any:
    """What reads frames one by one (`push`) and says at the end when they sound (`finish`)."""
    if name == "motion":
        return MotionEnvelope()
    from ..timing.predictor import TimingPredictor  # its network is loaded only where it is used

    return TimingPredictor.from_pretrained(weights.bundled("timing")).reader()


def motion_timing(video: Path) -> tuple[VideoInfo, Tensor]:
    """The clip's exact length, and the envelope (M,) at 100 Hz that its motion suggests; every frame is read once."""
    info, timing = read_timing(video, Options(timing="motion"))
    return info, timing.envelope
