"""The clip's own sound, where it is to be heard beside the generated one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ConditionError
from ..media.audio import audio_blocks, resampled_blocks
from ..media.loudness import LoudnessTarget, normalise_blocks
from .soundtrack import DELIVERY_RATE

log = logging.getLogger(__name__)

# The sum is left as loud as it is; only peaks above -1 dBTP are brought down.
_PEAKS_ONLY = LoudnessTarget(lufs=math.inf, max_gain_db=0.0, fade_s=0.0)


def mixed_blocks(video: Path, waveform: np.ndarray, gain_db: float) -> Iterator[np.ndarray]:
    """Blocks (C, n) at 48 kHz of the clip's first sound track with `waveform` (1 or C, N) added at `gain_db`.

    As long as `waveform`. Peaks of the sum stay below -1 dBTP. Raises MediaError, or ConditionError for more than two
    channels.
    """
    rate, blocks = audio_blocks(video, from_picture=True)
    channels = len(next(blocks, np.zeros((1, 0))))
    if channels > 2:
        raise ConditionError(f"{video}: its sound has {channels} channels, and mixing takes 1 or 2; use --keep, which "
                             "copies it, or --replace.")

    def summed() -> Iterator[np.ndarray]:
        own = resampled_blocks(audio_blocks(video, from_picture=True)[1], rate, DELIVERY_RATE)
        position, gain = 0, np.float32(10 ** (gain_db / 20))
        for block in own:
            part = waveform[:, position:position + block.shape[1]]
            yield block[:, :part.shape[1]] + gain * part
            position += part.shape[1]
        for start in range(position, waveform.shape[1], DELIVERY_RATE):  # where the clip's own sound ends early
            yield np.repeat(gain * waveform[:, start:start + DELIVERY_RATE], channels // len(waveform), axis=0)

    mixed, report = normalise_blocks(summed, DELIVERY_RATE, _PEAKS_ONLY)
    log.info("%s: mixed at %.1f dB, peaks limited by %.1f dB", video, gain_db, report.limiting_db)
    return mixed
