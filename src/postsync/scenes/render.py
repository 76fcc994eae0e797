"""From a seed to a clip: score, picture, sound and caption, each from its own generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..features.envelope import frame_rms
from ..protocols.clip import Clip
from ..protocols.objective import FrameRequest
from .captions import caption
from .events import plan_score
from .families import FAMILIES, KNOWN
from .nuisances import PRESENCE, NuisanceConfig, clean, full
from .pictures import render_picture
from .sounds import Bank, SoundConfig, render_tracks

HELD_OUT_SEED = 10_000_000  # training seeds lie below, test seeds from here on
FRAME_RATES = (12.0, 15.0, 24.0, 25.0, 30.0, 50.0, 60.0)
EVERYTHING = frozenset({"frames", "waveform"})
SPARSE_FRAMES = FrameRequest(64, 4.0)  # for what looks at a few frames of a scene: rendering them all is slow
HITS = ("swing", "bounce", "walk", "knock", "toll", "drop", "collide")  # motions whose hits are seen
NATIVE_S = 8.16  # length of the scenes for the mini systems: their 204 latent frames at 25 a second


@dataclass(frozen=True)
class SceneConfig:
    """Configuration of scenes: everything but the seed that determines a clip."""

    duration_s: float = 4.0
    size: int = 64  # pixels a side
    fps: float | None = 25.0  # None: drawn from 12..60, and variable in part of the clips if nuisances.rate > 0
    sample_rate: int = 16000
    families: tuple[str, ...] = tuple(FAMILIES)
    nuisances: NuisanceConfig = field(default_factory=full)
    sound: SoundConfig = field(default_factory=SoundConfig)
    held_out_captions: bool = False
    silent: float = 0.0  # share of clips in which things move and nothing sounds

    def __post_init__(self) -> None:
        unknown = sorted(set(self.families) - set(KNOWN))
        if unknown or not self.families:
            raise ValueError(f"families {unknown or '()'} are not in the world; choose from {', '.join(KNOWN)}")
        if self.duration_s <= 0 or self.size < 8 or (self.fps is not None and self.fps <= 0):
            raise ValueError(f"duration_s={self.duration_s}, size={self.size}, fps={self.fps}: "
                             "need a positive duration and rate and 8 pixels or more")
        if not 0 <= self.silent <= 1:
            raise ValueError(f"silent={self.silent}; the share of silent clips lies in 0..1")


def clean_scenes(**changes: object) -> SceneConfig:
    """25 frames a second, nothing but the thing that sounds, dry sound without noise; `changes` are fields to set."""
    config = SceneConfig(nuisances=clean(), sound=SoundConfig(noise=0.0, room=0.0))
    return replace(config, **changes)  # type: ignore[arg-type]


def full_scenes(**changes: object) -> SceneConfig:
    """All nuisances, 12 to 60 frames a second and variable rates; `changes` are fields to set."""
    return replace(SceneConfig(fps=None), **changes)  # type: ignore[arg-type]


def impacts() -> dict[str, Any]:
    """Arguments of SceneConfig for what makes picture and sound together: things that are seen to hit, nothing else in
    the picture, and no background noise."""
    families = tuple(name for name, family in FAMILIES.items() if family.motion in HITS)
    return {"families": families, "nuisances": clean(), "sound": SoundConfig(noise=0.0, room=0.0, recordings=0.5)}


def render_scene(seed: int, config: SceneConfig | None = None, *, needs: frozenset[str] = EVERYTHING,
                 bank: Bank | None = None) -> Clip:
    """The clip of a seed (0 or more).

    `needs`: which of "frames" and "waveform" to render (the waveform brings the true envelope of the foreground);
    the selection never changes the rest. frames (F, 3, size, size) uint8, times (F,) float64 seconds, waveform (1, N)
    float32, envelope (M,) at 100 Hz. Raises ValueError for an unknown need.
    """
    config = config or SceneConfig()
    if needs - EVERYTHING:
        raise ValueError(f"cannot render {sorted(needs - EVERYTHING)}; a scene has {sorted(EVERYTHING)}")
    which, planning, filming, sounding, telling, timing, hushing = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7))
    family = config.families[int(which.integers(len(config.families)))]
    score = plan_score(family, config.duration_s, planning)
    silent = bool(hushing.random() < config.silent)
    if silent:
        score = replace(score, events=(), activity=np.zeros_like(score.activity))
    clip = Clip(clip_id=f"scenes.{seed}.0", duration_s=config.duration_s, label=family, events=score.events,
                captions=(caption(family, telling, config.held_out_captions),))
    if "frames" in needs:
        times = frame_times(config, timing)
        frames = render_picture(score, filming, config.size, times, config.nuisances, silent)
        clip = replace(clip, frames=torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))),
                       times=torch.from_numpy(times))
    if "waveform" in needs:
        foreground, mix = render_tracks(score, sounding, config.sample_rate, bank, config.sound)
        clip = replace(clip, waveform=torch.from_numpy(mix)[None], sample_rate=config.sample_rate,
                       envelope=frame_rms(torch.from_numpy(foreground), config.sample_rate))
    return clip


def frame_times(config: SceneConfig, rng: np.random.Generator) -> np.ndarray:
    """When the frames are taken: (F,) seconds from 0, all before the end. Evenly spaced at `fps`; random if that is
    None."""
    drawn, varies = float(rng.choice(FRAME_RATES)), rng.random()
    fps = config.fps or drawn
    count = max(1, round(config.duration_s * fps))
    times = np.arange(count) / fps
    if config.fps is None and varies < PRESENCE["rate"] * config.nuisances.rate:
        times[1:] += rng.uniform(-0.4, 0.4, count - 1) * config.nuisances.rate / fps
        kept = rng.random(count) > 0.1 * config.nuisances.rate  # phones drop frames
        kept[0] = True
        times = times[kept]
    return times


class SceneDataset(Dataset):
    """Map-style data set: item k is the clip of seeds[k], its sound mono."""

    def __init__(self, config: SceneConfig | None = None, seeds: Sequence[int] = range(HELD_OUT_SEED),
                 needs: frozenset[str] = EVERYTHING, bank: Bank | None = None) -> None:
        self.config, self.seeds, self.needs, self.bank = config or SceneConfig(), seeds, needs, bank

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Clip:
        return render_scene(int(self.seeds[index]), self.config, needs=self.needs, bank=self.bank)
