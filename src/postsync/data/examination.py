"""Checks of one clip, measured on its frames and samples (data sets' specification, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from ..protocols.clip import Clip

PICTURE_SIZE, PICTURE_FPS = (32, 32), 4.0  # of the examined picture
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Limits:
    """Thresholds of the flags. Levels in dB of full scale, brightness in 0..255."""

    short_ratio: float = 0.9  # of the annotated length
    silent_peak_db: float = -60.0
    silent_block_db: float = -55.0  # RMS of a block
    block_s: float = 0.05
    silent_ratio: float = 0.8  # more silent blocks than this: silent
    partly_silent_ratio: float = 0.2  # more than this: partly silent
    clipped_sample: float = 0.999
    clipped_ratio: float = 1e-3
    dead_channel_db: float = -60.0  # RMS of the one channel while the other is above `silent_block_db`
    still_difference: float = 0.5  # mean absolute difference of two grey frames
    static_ratio: float = 0.8  # more still pairs than this: static
    jump_difference: float = 5.0  # a static picture with such a pair is a slide show
    black_luma: float = 8.0


@dataclass(frozen=True)
class Examination:
    """Flags with their reasons, and numbers for the row's `stats`."""

    flags: Mapping[str, str] = field(default_factory=dict)
    stats: Mapping[str, float] = field(default_factory=dict)


FLAGS_SET = frozenset({"short", "silent", "partly_silent", "clipped", "dead_channel", "static", "slide_show", "black"})


def examine(clip: Clip, nominal_s: float | None, limits: Limits) -> Examination:
    """Examine frames (at PICTURE_SIZE and PICTURE_FPS) and waveform of a clip; a part that is None is skipped."""
    flags: dict[str, str] = {}
    stats: dict[str, float] = {}
    if nominal_s and clip.duration_s < limits.short_ratio * nominal_s:
        flags["short"] = f"{clip.duration_s:.2f} s of {nominal_s:g} s"
    if clip.waveform is not None and clip.sample_rate is not None:
        _examine_sound(clip.waveform, clip.sample_rate, limits, flags, stats)
    if clip.frames is not None:
        _examine_frames(clip.frames, limits, flags, stats)
    return Examination(flags, {name: round(value, 4) for name, value in stats.items()})


def _examine_sound(waveform: Tensor, sample_rate: int, limits: Limits, flags: dict[str, str],
                   stats: dict[str, float]) -> None:
    """waveform (C, N) -> rms_db, peak_db, silence_ratio, clipped_ratio, channel_correlation."""
    mono = waveform.mean(0)
    size = max(1, round(limits.block_s * sample_rate))
    count = -(-mono.numel() // size)
    blocks = functional.pad(waveform, (0, count * size - waveform.shape[1])).unflatten(1, (count, size))
    levels = _db(blocks.square().mean(2).max(0).values.sqrt())  # a block is silent where every channel is
    stats["rms_db"] = _db(waveform.square().mean().sqrt()).item()
    stats["peak_db"] = _db(waveform.abs().max()).item()
    silence = stats["silence_ratio"] = (levels < limits.silent_block_db).float().mean().item()
    clipped = stats["clipped_ratio"] = (waveform.abs() >= limits.clipped_sample).float().mean().item()
    if stats["peak_db"] < limits.silent_peak_db:
        flags["silent"] = f"its peak is {stats['peak_db']:.1f} dBFS"
    elif bool((waveform.amax(1) == waveform.amin(1)).all()):
        flags["silent"] = "all its samples are equal"
    elif silence > limits.silent_ratio:
        flags["silent"] = f"{silence:.0%} of it below {limits.silent_block_db:g} dBFS"
    elif silence > limits.partly_silent_ratio:
        flags["partly_silent"] = f"{silence:.0%} of it below {limits.silent_block_db:g} dBFS"
    if clipped > limits.clipped_ratio:
        flags["clipped"] = f"{clipped:.2%} of its samples at full scale"
    if len(waveform) == 2:
        quiet, loud = sorted(_db(waveform.square().mean(1).sqrt()).tolist())
        if quiet < limits.dead_channel_db and loud > limits.silent_block_db:
            flags["dead_channel"] = f"one channel at {quiet:.0f} dBFS, the other at {loud:.0f} dBFS"
        centred = waveform - waveform.mean(1, keepdim=True)
        stats["channel_correlation"] = functional.cosine_similarity(centred[0], centred[1], dim=0).item()


def _examine_frames(frames: Tensor, limits: Limits, flags: dict[str, str], stats: dict[str, float]) -> None:
    """frames (F, 3, H, W) uint8 -> luma, motion (mean difference of neighbours), still_ratio."""
    grey = torch.einsum("fchw,c->fhw", frames.float(), torch.tensor(_LUMA))
    luma = stats["luma"] = grey.mean().item()
    if luma < limits.black_luma:
        flags["black"] = f"its mean brightness is {luma:.1f} of 255"
    if len(grey) < 2:
        return
    steps = grey.diff(dim=0).abs().mean((1, 2))
    stats["motion"] = steps.mean().item()
    still = stats["still_ratio"] = (steps < limits.still_difference).float().mean().item()
    if still > limits.static_ratio:
        flags["static"] = f"{still:.0%} of its neighbouring pictures are alike"
        jumps = int((steps >= limits.jump_difference).sum())
        if jumps:
            flags["slide_show"] = f"stills that change {jumps} times"


def _db(amplitude: Tensor) -> Tensor:
    return 20 * amplitude.clamp_min(1e-6).log10()
