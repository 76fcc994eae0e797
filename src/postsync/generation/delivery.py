"""A soundtrack between pipeline and file: rate, length, loudness, 24 bits, splices, the clip's own sound mixed in, and
the lossless copy.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from ..errors import MediaError
from ..media.audio import audio_blocks, blocks_of, native_name, read_audio, resampled_blocks
from ..media.loudness import LoudnessTarget, normalise_blocks
from ..notes import note

log = logging.getLogger(__name__)

DELIVERY_RATE = 48000  # as editors and AAC expect
CROSS_FADE_S = 0.05  # at the ends of a regenerated span, inside it
_FULL_SCALE = 2.0**23  # of 24 bits, which float32 holds exactly
_BLOCK = 1 << 18  # samples handled at a time
_PEAKS_ONLY = LoudnessTarget(lufs=math.inf, max_gain_db=0.0, fade_s=0.0)  # a mix keeps its loudness, below -1 dBTP


def at_delivery_rate(audio: Tensor, sampling_rate: int, duration_s: float) -> np.ndarray:
    """(C, N) at the pipeline's rate -> (C, round(duration_s * 48000)), cut, or padded with silence."""
    source = audio.detach().cpu().float().numpy()
    waveform = np.zeros((len(source), round(duration_s * DELIVERY_RATE)), np.float32)
    _fill(waveform, resampled_blocks(source, sampling_rate, DELIVERY_RATE))
    return waveform


def as_it_is(path: Path, duration_s: float) -> np.ndarray:
    """A recording, mono or stereo (C, N) at 48 kHz, cut or padded to a length, at its own loudness. Raises
    MediaError."""
    found = read_audio(path, DELIVERY_RATE, mono=False, max_duration_s=duration_s)
    found = found if len(found) <= 2 else found.mean(axis=0, keepdims=True)
    waveform = np.zeros((len(found), round(duration_s * DELIVERY_RATE)), np.float32)
    _fill(waveform, [found])
    return waveform


def level(waveform: np.ndarray, target: LoudnessTarget,
          on_progress: Callable[[float], None] | None = None) -> float | None:
    """Normalise (C, N) at 48 kHz to its loudness, in place; returns the gain in dB, None for silence."""
    blocks, report = normalise_blocks(lambda: blocks_of(waveform), DELIVERY_RATE, target)
    _fill(waveform, blocks, on_progress)
    log.info("loudness %.1f LUFS, gain %.1f dB, limited by %.1f dB",
             report.output_lufs, report.gain_db, report.limiting_db)
    return report.gain_db if math.isfinite(report.input_lufs) else None


def _fill(waveform: np.ndarray, blocks: Iterable[np.ndarray],
          on_progress: Callable[[float], None] | None = None) -> None:
    """Write blocks (C, n) one after the other into a waveform (C, N), up to its end."""
    position, length = 0, waveform.shape[1]
    for block in blocks:
        part = block[:, :length - position]
        waveform[:, position:position + part.shape[1]] = part
        position += part.shape[1]
        if on_progress is not None:
            on_progress(position / length)


def loudness_target(target_lufs: float, kept_gain_db: float | None) -> LoudnessTarget:
    """The requested loudness; or, where an earlier result's gain is kept, exactly that gain, peaks limited."""
    if kept_gain_db is None:
        return LoudnessTarget(lufs=target_lufs)
    return LoudnessTarget(lufs=math.inf, max_gain_db=kept_gain_db)


def placed(part: np.ndarray, start_s: float, num_samples: int) -> np.ndarray:
    """A part (C, n) at its place in a soundtrack (C, num_samples) that is silent elsewhere."""
    first = round(start_s * DELIVERY_RATE)
    if first == 0 and part.shape[1] == num_samples:
        return part
    whole = np.zeros((len(part), num_samples), np.float32)
    whole[:, first:first + part.shape[1]] = part[:, :num_samples - first]
    return whole


def spliced(old: np.ndarray, new: np.ndarray, new_start_s: float, start_s: float, end_s: float) -> np.ndarray:
    """`old` (C, N) with the span from `start_s` to `end_s` taken from `new` (C, n), which begins at `new_start_s`.

    Cross-fades lie inside the span (none at the soundtrack's own ends); every sample outside it is unchanged.
    """
    first, offset = round(start_s * DELIVERY_RATE), round(new_start_s * DELIVERY_RATE)
    last = min(round(end_s * DELIVERY_RATE), old.shape[1], offset + new.shape[1])
    length = min(round(CROSS_FADE_S * DELIVERY_RATE), (last - first) // 4)
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))).astype(np.float32)
    share = np.ones(last - first, np.float32)
    if first > 0:
        share[:length] = rise
    if last < old.shape[1]:
        share[len(share) - length:] = rise[::-1]
    result = old.copy()
    result[:, first:last] += share * (new[:, first - offset:last - offset] - result[:, first:last])
    return on_24_bits(result)


def mixed_blocks(video: Path, waveform: np.ndarray, gain_db: float) -> Iterator[np.ndarray]:
    """Blocks (C, n) at 48 kHz of the clip's first sound track with `waveform` (C, N) added at `gain_db`.

    As long as `waveform`; a mono side goes to both channels of a stereo one; a track of more channels is mixed down to
    stereo. Peaks of the sum stay below -1 dBTP. Raises MediaError.
    """
    rate, blocks = audio_blocks(video, from_picture=True)
    own_channels = len(next(blocks, np.zeros((1, 0))))
    if own_channels > 2:
        note(log, "%s: its sound has %d channels and is mixed down to stereo; --keep copies it as it is", video,
             own_channels)
    channels = max(min(own_channels, 2), len(waveform))

    def spread(block: np.ndarray) -> np.ndarray:
        return np.repeat(block, channels // len(block), axis=0)

    def summed() -> Iterator[np.ndarray]:
        own = resampled_blocks(audio_blocks(video, from_picture=True, stereo=True)[1], rate, DELIVERY_RATE)
        position, gain = 0, np.float32(10 ** (gain_db / 20))
        for block in own:
            part = waveform[:, position:position + block.shape[1]]
            yield spread(block[:, :part.shape[1]]) + gain * spread(part)
            position += part.shape[1]
        for start in range(position, waveform.shape[1], DELIVERY_RATE):  # after the end of the clip's own sound
            yield spread(gain * waveform[:, start:start + DELIVERY_RATE])

    mixed, report = normalise_blocks(summed, DELIVERY_RATE, _PEAKS_ONLY)
    log.info("%s: mixed at %.1f dB, peaks limited by %.1f dB", video, gain_db, report.limiting_db)
    return mixed


def on_24_bits(waveform: np.ndarray) -> np.ndarray:
    """The waveform rounded to 24 bits, in place: so that the encoded sound equals the lossless copy."""
    np.clip(waveform, -1.0, 1.0 - 1.0 / _FULL_SCALE, out=waveform)
    np.multiply(waveform, np.float32(_FULL_SCALE), out=waveform)
    np.rint(waveform, out=waveform)
    np.divide(waveform, np.float32(_FULL_SCALE), out=waveform)
    return np.add(waveform, np.float32(0.0), out=waveform)  # integers have no -0


def write_lossless(file: Path, waveform: np.ndarray, name: Path) -> None:
    """Write (C, N) on 24 bits as FLAC to `file`, which will be renamed to `name`. Raises MediaError."""
    try:
        with soundfile.SoundFile(native_name(file), "w", DELIVERY_RATE, len(waveform), "PCM_24",
                                 format="FLAC") as target:
            for block in _integers(waveform):
                target.write(block)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{name}: could not be written ({error}); check the free space of its folder") from error


def read_lossless(path: Path) -> np.ndarray:
    """(C, N) float32 of a soundtrack that `write_lossless` wrote. Raises MediaError."""
    try:
        samples, rate = soundfile.read(native_name(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise MediaError(f"{path}: the kept soundtrack cannot be read ({error}); delete it to have it "
                         "rebuilt") from error
    if rate != DELIVERY_RATE:
        raise MediaError(f"{path}: is at {rate} Hz, not {DELIVERY_RATE}; delete it to have the soundtrack rebuilt")
    return np.ascontiguousarray(samples.T)


def fingerprint(waveform: np.ndarray) -> str:
    """SHA-256 of the samples (C, N) as interleaved little-endian 32-bit integers, full scale 2**31."""
    digest = hashlib.sha256()
    for block in _integers(waveform):
        digest.update(block.astype("<i4").tobytes())
    return digest.hexdigest()


def _integers(waveform: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks (n, C) int32, full scale 2**31, of a waveform (C, N) on 24 bits."""
    for start in range(0, waveform.shape[1], _BLOCK):
        yield (waveform[:, start:start + _BLOCK].T * np.float32(_FULL_SCALE)).astype(np.int32) << 8
