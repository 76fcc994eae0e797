"""Sound files: read anything (also the sound inside a video), resample, write WAV. All of it block by block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
import numpy as np
import soundfile
import soxr

from ..errors import MediaError
from .container import check_readable, one_line, open_media, picture_stream, reading
from .decoding import MAX_DURATION_S, MAX_HOLD_S
from .output import whole_file

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 18  # samples handled at a time
_RATES = (1000, 768_000)  # Hz; a header with other rates is damaged, and resampling it would fill the memory
_MAX_CHANNELS = 64


def read_audio(
    path: str | os.PathLike[str],
    sample_rate: int,
    mono: bool = True,
    max_duration_s: float | None = None,
    from_picture: bool = False,
) -> np.ndarray:
    """Read a sound file, or the first sound track of a video, resampled with soxr.

    Args:
        sample_rate: of the result, Hz.
        mono: take the mean over the channels.
        max_duration_s: read no more than this many seconds.
        from_picture: align sample 0 with the first picture (silence is added or sound cut at the start).

    Returns (C, N) float32, C = 1 where `mono`. Raises MediaError: missing, damaged, without sound, or too long to hold.
    """
    rate, blocks = audio_blocks(path, from_picture)
    blocks = _usable(blocks, rate, path)
    if mono:
        blocks = (block.mean(axis=0, keepdims=True) for block in blocks)
    if max_duration_s is not None:
        blocks = _first_samples(blocks, round(max_duration_s * rate))
    lengths: list[int] = []
    pieces = list(resampled_blocks(_counted(blocks, lengths), rate, sample_rate))
    if not pieces or not sum(lengths):
        raise MediaError(f"{path}: its sound track is empty; give a recording with sound")
    return _sized(np.concatenate(pieces, axis=1), round(sum(lengths) * sample_rate / rate))


def native_name(path: Path) -> str | bytes:
    """The name by which soundfile opens `path`: as bytes where names need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def audio_blocks(path: str | os.PathLike[str], from_picture: bool = False) -> tuple[int, Iterator[np.ndarray]]:
    """(sample rate in Hz, iterator of blocks (C, n) float32) of a sound file or of a video's first sound track."""
    path = Path(path)
    check_readable(path)
    if not from_picture:
        try:
            header = soundfile.info(native_name(path))
        except (soundfile.SoundFileError, TypeError):
            pass  # not a plain sound file: a video, m4a or similar, which PyAV reads
        else:
            return _plausible(header.samplerate, header.channels, path), _sound_file_blocks(path, header.channels)
    with open_media(path) as container:
        context = container.streams.audio[0].codec_context if container.streams.audio else None
        if context is None:
            raise MediaError(f"{path}: has no sound that can be read; give a recording or a video with sound")
        rate = _plausible(context.sample_rate, context.channels, path)
        start_s = None
        if from_picture:
            frames = reading(container.decode(picture_stream(container, path)), path)
            start_s = next((float(f.time or 0.0) for f in frames), 0.0)
    return rate, _decoded_blocks(path, rate, start_s)


def _plausible(rate: int, channels: int, path: Path) -> int:
    """The sample rate in Hz; raises MediaError for values that no recording has."""
    if not _RATES[0] <= rate <= _RATES[1] or not 1 <= channels <= _MAX_CHANNELS:
        raise MediaError(
            f"{path}: its header says {rate} Hz and {channels} channels; {_RATES[0]} to {_RATES[1]} Hz and up to "
            f"{_MAX_CHANNELS} channels can be read: it is damaged, export it again"
        )
    return rate


def _usable(blocks: Iterable[np.ndarray], rate: int, path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """The blocks, checked to be finite and not too long for memory."""
    remaining = round(MAX_DURATION_S * rate)
    for block in blocks:
        remaining -= block.shape[1]
        if remaining < 0:
            raise MediaError(f"{path}: is longer than {MAX_DURATION_S / 3600:.0f} hours; cut out the part you need")
        if not np.isfinite(block).all():
            raise MediaError(f"{path}: holds NaN or infinite samples; export it again as 24-bit or float WAV")
        yield block


def _sound_file_blocks(path: Path, channels: int) -> Iterator[np.ndarray]:
    try:
        with soundfile.SoundFile(native_name(path)) as file:
            for block in file.blocks(_BLOCK // channels, dtype="float32", always_2d=True):
                yield np.ascontiguousarray(block.T)
    except soundfile.SoundFileError as error:
        raise MediaError(
            f"{path}: its sound is damaged ({one_line(error)}); export it again, or give another recording"
        ) from error


def _decoded_blocks(path: Path, rate: int, start_s: float | None) -> Iterator[np.ndarray]:
    """Decode the first sound track; `start_s` (on the file's clock) becomes sample 0 if given."""
    with open_media(path) as container:
        convert = av.AudioResampler(format="fltp", rate=rate)
        skip: int | None = None  # samples still to be dropped
        parts = (part for frame in container.decode(container.streams.audio[0]) for part in convert.resample(frame))
        for part in reading(parts, path):
            block = part.to_ndarray()
            if skip is None:
                skip = 0 if start_s is None else round((start_s - float(part.time or 0.0)) * rate)
                if -skip > MAX_HOLD_S * rate:
                    raise MediaError(f"{path}: its sound starts {-skip / rate:.0f} s after the picture; export it "
                                     "again")
                if skip < 0:
                    yield np.zeros((len(block), -skip), np.float32)
                    skip = 0
            dropped = min(skip, block.shape[1])
            skip -= dropped
            yield block[:, dropped:]


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(C, N) -> (C, round(N * new_rate / rate)) float32 by soxr (HQ: flat pass band, linear phase, no delay)."""
    if rate == new_rate or waveform.shape[1] == 0:
        return np.ascontiguousarray(waveform, dtype=np.float32)
    samples = soxr.resample(np.ascontiguousarray(waveform.T, dtype=np.float32), rate, new_rate, quality="HQ")
    return _sized(samples.reshape(len(samples), len(waveform)).T, round(waveform.shape[1] * new_rate / rate))


def resampled_blocks(
    waveform: np.ndarray | Tensor | Iterable[np.ndarray | Tensor], rate: int, new_rate: int
) -> Iterator[np.ndarray]:
    """A waveform (C, N), or an iterable of blocks (C, n), as blocks (C, m) float32 at `new_rate`, without delay.

    Raises MediaError for samples that are not finite or a channel count that changes.
    """
    resampler: soxr.ResampleStream | None = None
    channels = 0
    for block in blocks_of(waveform):
        if resampler is None:
            channels = len(block)
            resampler = soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")
        if len(block) != channels:
            raise MediaError(f"the soundtrack goes from {channels} to {len(block)} channels; give all its blocks the "
                             "same number")
        if rate == new_rate:
            yield block
        elif len(out := resampler.resample_chunk(np.ascontiguousarray(block.T))):
            yield out.reshape(len(out), channels).T
    if resampler is not None and rate != new_rate:
        tail = resampler.resample_chunk(np.zeros((0, channels), dtype=np.float32), last=True)
        if len(tail):
            yield tail.reshape(len(tail), channels).T


def blocks_of(waveform: np.ndarray | Tensor | Iterable[np.ndarray | Tensor]) -> Iterator[np.ndarray]:
    """Blocks (C, n) float32 of a whole waveform (C, N) or (N,), or of an iterable of blocks; all samples are finite."""
    pieces: Iterable = [waveform] if hasattr(waveform, "ndim") else waveform
    for piece in pieces:
        array = piece.detach().cpu().float().numpy() if hasattr(piece, "detach") else np.asarray(piece, np.float32)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise MediaError(f"the soundtrack has shape {array.shape}; it must be (channels, samples)")
        for start in range(0, array.shape[1], _BLOCK):
            block = array[:, start : start + _BLOCK]
            if not np.isfinite(block).all():
                raise MediaError("the soundtrack holds NaN or infinite samples; use --dtype float32 or another seed")
            yield block


def write_wav(
    path: str | os.PathLike[str],
    waveform: np.ndarray | Tensor | Iterable[np.ndarray | Tensor],
    sample_rate: int,
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"] = "PCM_24",
) -> Path:
    """Write (C, N) in -1..1, or an iterable of such blocks, as WAV; returns the path.

    The file is written atomically; the same samples give the same bytes. Raises MediaError.
    """
    path = Path(path)
    with whole_file(path) as temporary:
        blocks = blocks_of(waveform)
        block = next(blocks, np.zeros((1, 0), np.float32))
        try:
            with soundfile.SoundFile(native_name(temporary), "w", sample_rate, len(block), subtype,
                                     format="WAV") as file:
                while True:
                    file.write(np.clip(block, -1.0, 1.0).T)
                    if (following := next(blocks, None)) is None:
                        break
                    block = following
        except soundfile.LibsndfileError as error:
            raise MediaError(f"{path}: could not be written ({one_line(error)}); check the free space") from error
        _clear_time_stamp(temporary)
    return path


def _clear_time_stamp(path: Path) -> None:
    """libsndfile writes the time of day into the PEAK chunk of float files; zero keeps equal sounds byte-identical."""
    with path.open("r+b") as file:
        position = file.read(256).find(b"PEAK")
        if position >= 0:
            file.seek(position + 12)  # chunk name, size, version
            file.write(bytes(4))


def _first_samples(blocks: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[:, :count]
        count -= min(count, block.shape[1])
        if count == 0:
            return


def _counted(blocks: Iterable[np.ndarray], lengths: list[int]) -> Iterator[np.ndarray]:
    for block in blocks:
        lengths.append(block.shape[1])
        yield block


def _sized(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut or zero-pad (C, N) to `num_samples`: streamed resampling may end a sample early or late."""
    waveform = waveform[:, :num_samples]
    missing = num_samples - waveform.shape[1]
    return np.ascontiguousarray(np.pad(waveform, ((0, 0), (0, missing))) if missing else waveform, dtype=np.float32)
