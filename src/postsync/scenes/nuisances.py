"""Nuisances of the picture: backgrounds, the camera, the film, distractors. Each can be graded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from .canvas import Array
from .kinetics import wobble
from .looks import smooth_noise

Rng = np.random.Generator
# Share of the clips that show a nuisance at grade 1. The two backgrounds exclude each other.
PRESENCE = {"texture": 0.3, "photo": 0.3, "grain": 0.4, "shake": 0.45, "pan": 0.3, "zoom": 0.25, "cuts": 0.3,
            "blur": 0.25, "exposure": 0.3, "compression": 0.35, "rate": 0.35, "occlusion": 0.25, "movers": 0.6}


@dataclass(frozen=True)
class NuisanceConfig:
    """Grades 0..1: 0 switches a nuisance off, 1 shows it in PRESENCE of the clips at full strength."""

    texture: float = 0.0  # textured background
    photo: float = 0.0  # background of 1/f noise, as photographs have
    grain: float = 0.0  # sensor noise
    shake: float = 0.0  # hand-held camera
    pan: float = 0.0
    zoom: float = 0.0
    cuts: float = 0.0  # change of background and framing
    blur: float = 0.0  # motion blur: average over the exposure
    exposure: float = 0.0  # brightness that drifts, steps and flickers
    compression: float = 0.0  # 8x8 DCT quantisation
    rate: float = 0.0  # variable frame rate (used by render.py, where frame times are drawn)
    occlusion: float = 0.0  # something stands or passes in front
    movers: float = 0.0  # things that move and make no sound
    swings: float = 0.0  # share of clips whose tools swing up as fast as down, bounce, or take turns; not in `full`

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"nuisance {field.name}={getattr(self, field.name)}; grades lie in 0..1")


def clean() -> NuisanceConfig:
    """Only the sounding object."""
    return NuisanceConfig()


def full() -> NuisanceConfig:
    """The test condition: all nuisances at full strength."""
    return NuisanceConfig(**dict.fromkeys(PRESENCE, 1.0))


def draw_strengths(config: NuisanceConfig, rng: Rng) -> dict[str, float]:
    """Strength 0..1 of each nuisance in one clip, 0 where it is absent. Uses the same draws at every grade."""
    chance = rng.random(len(PRESENCE))
    amount = rng.uniform(0.4, 1.0, len(PRESENCE))
    strengths = {}
    for (name, share), c, a in zip(PRESENCE.items(), chance, amount):
        grade = getattr(config, name)
        if name == "photo":  # the other end of the texture's draw, so that they exclude each other
            c = 1 - chance[0]
        strengths[name] = float(grade * a) if c < share * grade else 0.0
    return strengths


def background(strengths: dict[str, float], rng: Rng, side: int) -> Array:
    """A backdrop (3, side, side) float32 0..1: plain with a little light, textured, or 1/f noise."""
    colour = rng.uniform(0.25, 0.85, 3).astype(np.float32)
    light = np.linspace(rng.uniform(0.9, 1.1), rng.uniform(0.75, 1.05), side, dtype=np.float32)
    plain = np.repeat((colour[:, None] * light)[:, :, None], side, axis=2)
    pattern, turn, kind = rng.uniform(4, 14), rng.uniform(0, np.pi), int(rng.integers(4))
    if strengths["photo"]:
        tinted = photographic_noise(rng, side)
        return np.clip(plain + strengths["photo"] * 0.85 * (tinted - 0.5), 0, 1)
    if not strengths["texture"]:
        return np.clip(plain, 0, 1)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    u = axis[None, :] * np.cos(turn) + axis[:, None] * np.sin(turn)
    v = axis[:, None] * np.cos(turn) - axis[None, :] * np.sin(turn)
    if kind == 0:
        waves = np.sin(pattern * np.pi * u)
    elif kind == 1:
        waves = np.sign(np.sin(pattern * np.pi * u)) * np.sign(np.sin(pattern * np.pi * v))
    elif kind == 2:
        waves = 2 * smooth_noise(rng, side, int(pattern * 3)) - 1
    else:  # bricks
        row = np.floor(axis[:, None] * pattern)
        joint = (np.abs((axis[:, None] * pattern) % 1 - 0.5) > 0.42) | (
            np.abs((axis[None, :] * pattern * 0.5 + 0.5 * (row % 2)) % 1 - 0.5) > 0.45)
        waves = np.where(joint, -1.0, 0.3).astype(np.float32)
    tint = rng.uniform(0.1, 0.3, 3).astype(np.float32)[:, None, None]
    return np.clip(plain + strengths["texture"] * tint * waves, 0, 1)


def photographic_noise(rng: Rng, side: int) -> Array:
    """(3, side, side) float32 about 0..1 with the 1/f amplitude spectrum of photographs, its channels alike."""
    coarse = 96
    frequency = np.hypot(np.fft.fftfreq(coarse)[:, None], np.fft.rfftfreq(coarse)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((2, coarse, coarse))) / frequency
    grey, hue = np.fft.irfft2(spectrum, s=(coarse, coarse))
    picture = np.stack([grey + 0.5 * hue, grey, grey - 0.5 * hue])
    picture = 0.5 + 0.22 * (picture - picture.mean()) / picture.std()
    index = np.arange(side) * coarse // side
    return picture[:, index][:, :, index].astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """The camera: curves of time for shift and zoom."""

    strengths: dict[str, float]
    shake_x: Callable[[Array], Array]
    shake_y: Callable[[Array], Array]
    pan: tuple[float, float]
    zoom: float
    jolts: Array  # (K,) seconds of sudden camera slips

    @classmethod
    def draw_from(cls, strengths: dict[str, float], duration_s: float, rng: Rng) -> Camera:
        """Draw one camera."""
        return cls(strengths, wobble(rng, 0.8, 7, 6), wobble(rng, 0.8, 7, 6),
                   (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.15, 0.15))),
                   float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.4)),
                   rng.uniform(0, duration_s, int(rng.integers(1, 4))))

    def view(self, times: Array, duration_s: float) -> tuple[Array, Array, Array]:
        """(x, y, zoom) a frame: shifts in units of half a picture."""
        shake = 0.08 * self.strengths["shake"]
        x, y = shake * self.shake_x(times), shake * self.shake_y(times)
        for jolt in self.jolts:
            since = np.maximum(times - jolt, 0)
            y = y + 1.6 * shake * np.where(times > jolt, np.exp(-since / 0.1) * np.cos(40 * since), 0)
        share = times / duration_s - 0.5
        x = x + self.strengths["pan"] * self.pan[0] * share
        y = y + self.strengths["pan"] * self.pan[1] * share
        return x, y, np.exp(self.strengths["zoom"] * self.zoom * share * 2)


def exposure_gain(strength: float, rng: Rng, duration_s: float) -> Callable[[Array], Array]:
    """A curve of brightness gain over time: slow drift, one or two sudden steps, a little flicker."""
    drift, steps = wobble(rng, 0.1, 0.7), np.sort(rng.uniform(0, duration_s, 2))
    levels, hum = rng.uniform(-0.35, 0.35, 3), wobble(rng, 8, 12, 1)

    def gain(times: Array) -> Array:
        level = levels[np.searchsorted(steps, times, side="right")]
        return np.exp(strength * (0.3 * drift(times) + level + 0.05 * hum(times)))

    return gain


def add_grain(pixels: Array, strength: float, rng: Rng) -> None:
    """Add sensor noise in place to pixels (3, F, H, W): one bank of noise, read at a random place for each frame."""
    channels, frames, height, width = pixels.shape
    bank = (0.07 * strength) * rng.standard_normal(channels * height * width * 2, dtype=np.float32)
    starts = np.asarray(rng.integers(0, len(bank) // 2, frames))
    for frame in range(frames):
        start = int(starts[frame])
        noise = bank[start:start + channels * height * width]
        pixels[:, frame] += noise.reshape(channels, height, width)


def compress(pixels: Array, strength: float) -> Array:
    """Quantise the 8x8 DCT of pixels (3, F, H, W) 0..1 as JPEG does, in luma and colour difference; edges repeat."""
    channels, frames, height, width = pixels.shape
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, -height % 8), (0, -width % 8)), mode="edge")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.reshape(channels, frames, rows, 8, columns, 8).transpose(0, 1, 2, 4, 3, 5).reshape(channels, -1, 64)
    k = np.arange(8)
    dct = np.cos(np.pi * (2 * k[None, :] + 1) * k[:, None] / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)[:, None]
    basis = np.kron(dct, dct).astype(np.float32)
    step = (1 + 0.9 * (k[:, None] + k[None, :])).reshape(64).astype(np.float32) * (0.02 + 0.06 * strength)
    green = blocks[1].copy()
    out = np.empty_like(blocks)
    for channel, coarse in ((1, 1.0), (0, 2.5), (2, 2.5)):
        values = green if channel == 1 else blocks[channel] - green
        out[channel] = (np.rint(values @ basis.T / (step * coarse)) * (step * coarse)) @ basis
    out[0] += out[1]
    out[2] += out[1]
    whole = out.reshape(channels, frames, rows, columns, 8, 8).transpose(0, 1, 2, 4, 3, 5).reshape(padded.shape)
    return whole[:, :, :height, :width]
