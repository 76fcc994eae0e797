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
from .container import check_readable, one_line, open_media, picture_stream, reading, sound_stream
from .decoding import MAX_DURATION_S, MAX_HOLD_S
from .output import whole_file

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 18  # samples handled at a time
_RATES = (1000, 768_000)  # Hz; a header with other rates is damaged, and resampling it would fill the memory
_MAX_CHANNELS = 64
_MIN_HOLE_S = 0.03  # between two frames of sound; smaller ones are rounding (mkv: to a millisecond; avi: to a frame)


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


def sound_length_s(path: str | os.PathLike[str]) -> float:
    """Seconds of what `read_audio` reads, with the same errors; nothing of it is held."""
    rate, blocks = audio_blocks(path)
    num_samples = sum(block.shape[1] for block in _usable(blocks, rate, path))
    if not num_samples:
        raise MediaError(f"{path}: its sound track is empty; give a recording with sound")
    return num_samples / rate


def native_name(path: Path) -> str | bytes:
    """The name by which soundfile opens `path`: as bytes where names need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def audio_blocks(path: str | os.PathLike[str], from_picture: bool = False,
                 stereo: bool = False) -> tuple[int, Iterator[np.ndarray]]:
    """(sample rate in Hz, iterator of blocks (C, n) float32) of a sound file or of a video's first sound track.

    Empty tracks are passed over, holes in a track are silence, and all blocks have the first one's rate and channels
    whatever follows. `stereo`: more channels than two in a video's sound are mixed down. Raises MediaError.
    """
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
        track = sound_stream(container, path)
        if track is None:
            lack = "its sound track is empty" if container.streams.audio else "has no sound that can be read"
            raise MediaError(f"{path}: {lack}; give a recording or a video with sound")
        rate = _plausible(track.codec_context.sample_rate, track.codec_context.channels, path)
        start_s = None
        if from_picture:
            frames = reading(container.decode(picture_stream(container, path)), path)
            start_s = next((float(f.time or 0.0) for f in frames), 0.0)
    return rate, _decoded_blocks(path, rate, start_s, stereo)


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


def _decoded_blocks(path: Path, rate: int, start_s: float | None, stereo: bool) -> Iterator[np.ndarray]:
    """Decode the first sound track; `start_s` (on the file's clock) becomes sample 0 if given."""
    with open_media(path) as container:
        track = sound_stream(container, path)
        frames = container.decode(track) if track is not None else iter(())
        origin_s, written = 0.0, 0  # the first frame's time, and the samples since
        skip: int | None = None  # samples still to be dropped
        for frame_s, part_s, block in reading(_converted(frames, rate, stereo), path):
            if skip is None:
                origin_s, skip = frame_s or 0.0, 0 if start_s is None else round((start_s - part_s) * rate)
                silence, skip = max(-skip, 0), max(skip, 0)
            else:
                hole_s = 0.0 if frame_s is None else frame_s - origin_s - written / rate
                silence = round(hole_s * rate) if hole_s > _MIN_HOLE_S else 0
                written += silence
            if silence > MAX_HOLD_S * rate:
                raise MediaError(f"{path}: its sound starts {silence / rate:.0f} s after the picture, or stops for so "
                                 "long; export it again")
            written += block.shape[1]
            for piece in (*_silence(len(block), silence), block):
                dropped = min(skip, piece.shape[1])
                skip -= dropped
                yield piece[:, dropped:]


def _converted(frames: Iterable[av.AudioFrame], rate: int,
               stereo: bool) -> Iterator[tuple[float | None, float, np.ndarray]]:
    """(the frame's time if known, the block's, block (C, n) at `rate`); C is that of the first, whatever follows."""
    convert: av.AudioResampler | None = None
    kind: tuple[str, str, int] | None = None
    channels = 0
    for frame in frames:
        if kind != (frame.format.name, frame.layout.name, frame.sample_rate):
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            mixed_down = frame.layout.nb_channels > 2 and (stereo or channels in (1, 2))
            convert = av.AudioResampler(format="fltp", layout="stereo" if mixed_down else None, rate=rate)
        assert convert is not None
        frame_s = None if frame.time is None else float(frame.time)
        for part in convert.resample(frame):
            block = part.to_ndarray()
            channels = channels or len(block)
            yield frame_s, float(part.time or 0.0), _with_channels(block, channels)
            frame_s = None  # of what follows from the same frame


def _with_channels(block: np.ndarray, channels: int) -> np.ndarray:
    """A block (C, n) with this many channels: one goes to all, to one goes the mean, others are filled with silence."""
    if len(block) == channels:
        return block
    if channels == 1:
        return block.mean(axis=0, keepdims=True)
    if len(block) == 1:
        return np.repeat(block, channels, axis=0)
    return np.pad(block[:channels], ((0, max(channels - len(block), 0)), (0, 0)))


def _silence(channels: int, count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, _BLOCK):
        yield np.zeros((channels, min(_BLOCK, count - start)), np.float32)


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
