"""The picture of a scene: backdrop, movers, camera and film, at any frame times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .canvas import Array, Canvas, Colour
from .events import Score, plan_score
from .families import FAMILIES
from .kinetics import Manner, Mover, wobble
from .looks import varied
from .movers import drifter, fidget, make_mover
from .nuisances import (
    Camera,
    NuisanceConfig,
    add_grain,
    background,
    compress,
    draw_strengths,
    exposure_gain,
)

Rng = np.random.Generator
FRAMES_AT_ONCE = 16  # small enough to stay in the cache
BACKDROP_OVERSAMPLING, BACKDROP_MARGIN = 3, 1.7


@dataclass(frozen=True)
class Shot:
    """A shot between two cuts: a backdrop and a framing."""

    start_s: float
    backdrop: Array  # (3, S, S)
    centre: tuple[float, float]
    size: float
    mirror: bool


@dataclass(frozen=True)
class Stage:
    """All random choices for one picture; painting it is deterministic but for the film grain."""

    duration_s: float
    strengths: dict[str, float]
    shots: tuple[Shot, ...]
    camera: Camera
    lead: Mover
    behind: tuple[tuple[Mover, float, float, float], ...]  # mover, x, y, size
    before: tuple[Mover, ...]
    gain: Callable[[Array], Array]
    shutter: float


def render_picture(score: Score, rng: Rng, size: int = 64, times: Array | None = None,
                   config: NuisanceConfig | None = None, silent: bool = False) -> Array:
    """Frames (F, size, size, 3) uint8 RGB at `times` (F,) seconds (default: 25 a second), as from a camera: a frame
    shows the moment of its timestamp, or with motion blur the exposure that begins there.

    `silent`: things that make no sound move beside the lead (whose score then has no events).
    """
    config = config or NuisanceConfig()
    if times is None:
        times = np.arange(round(score.duration_s * 25)) / 25
    stage = draw_stage(score, rng, size, config)
    if silent:
        stage = replace(stage, behind=stage.behind + _draw_silent(score.duration_s, rng.spawn(1)[0], config))
    grain = np.random.default_rng(rng.integers(2**63))
    gaps = np.diff(times, append=times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.04))
    cuts = np.searchsorted([shot.start_s for shot in stage.shots], times, side="right") - 1
    frames = np.empty((len(times), size, size, 3), np.uint8)
    first = 0
    while first < len(times):
        shot = int(cuts[first])
        last = first
        while last < len(times) and last - first < FRAMES_AT_ONCE and cuts[last] == shot:
            last += 1
        pixels = _exposed(stage, stage.shots[shot], times[first:last], gaps[first:last], size)
        pixels *= stage.gain(times[first:last]).astype(np.float32)[None, :, None, None]
        if stage.strengths["grain"]:
            add_grain(pixels, stage.strengths["grain"], grain)
        if stage.strengths["compression"]:
            pixels = compress(pixels, stage.strengths["compression"])
        np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255, out=pixels)
        frames[first:last] = pixels.astype(np.uint8).transpose(1, 2, 3, 0)
        first = last
    return frames


def draw_stage(score: Score, rng: Rng, size: int, config: NuisanceConfig) -> Stage:
    """Draw all that is random in a picture; each part from its own generator, so that none affects another."""
    seeds = iter(rng.spawn(8))
    strengths = draw_strengths(config, next(seeds))
    manner = Manner.draw_from(config.swings, rng.spawn(1)[0]) if config.swings else Manner()
    lead = make_mover(score, next(seeds), manner)
    shots = tuple(replace(shot, size=shot.size * manner.near)
                  for shot in _draw_shots(score.duration_s, strengths, next(seeds), size, config))
    camera = Camera.draw_from(strengths, score.duration_s, next(seeds))
    behind = _draw_others(score, strengths, next(seeds))
    before = _draw_occluder(strengths["occlusion"], next(seeds))
    gain = exposure_gain(strengths["exposure"], next(seeds), score.duration_s)
    return Stage(score.duration_s, strengths, shots, camera, lead, behind, before, gain,
                 shutter=strengths["blur"])


def _draw_shots(duration_s: float, strengths: dict[str, float], rng: Rng, size: int,
                config: NuisanceConfig) -> tuple[Shot, ...]:
    count = 1 + (int(rng.integers(1, 4)) if strengths["cuts"] else 0)
    starts = np.r_[0.0, np.sort(rng.uniform(0.1, 0.95, count - 1)) * duration_s]
    side = round(size * BACKDROP_OVERSAMPLING * BACKDROP_MARGIN)
    loose = 0.4 + 0.6 * max(strengths["cuts"], 0.5 * config.movers)
    return tuple(
        Shot(float(start), background(strengths, rng, side),
             (float(rng.uniform(-0.3, 0.3) * loose), float(rng.uniform(-0.15, 0.15) * loose)),
             float(0.85 - rng.uniform(0, 0.35) * loose), bool(rng.random() < 0.5))
        for start in starts)


def _draw_others(score: Score, strengths: dict[str, float], rng: Rng) -> tuple[tuple[Mover, float, float, float], ...]:
    """Silent movers: up to three behind the lead; sometimes one of another family with its own timing."""
    behind: list[tuple[Mover, float, float, float]] = []
    count = int(rng.integers(1, 4))
    for _ in range(count if strengths["movers"] else 0):
        x, y = float(rng.choice([-1, 1]) * rng.uniform(0.45, 0.8)), float(rng.uniform(-0.6, 0.5))
        size = float(rng.uniform(0.22, 0.38))  # the lead, 0.5 or more, is the largest
        kind = rng.random()
        if kind < 0.4:
            moving = [f for f, family in FAMILIES.items() if family.kind in ("strike", "event") and f != score.family]
            other = plan_score(moving[int(rng.integers(len(moving)))], score.duration_s, rng)
            behind.append((make_mover(other, rng), x, y, size))
        elif kind < 0.75:
            behind.append((fidget(rng, score.duration_s), x, y, size))
        else:
            behind.append((drifter(rng), x * 0.5, y * 0.5, size * 1.5))
    return tuple(behind)


def _draw_silent(duration_s: float, rng: Rng, config: NuisanceConfig) -> tuple[tuple[Mover, float, float, float], ...]:
    """One to three things that move without a sound, smoothly; in one clip of five, or in more where tools swing in
    other manners, one jerks about."""
    placed: list[tuple[Mover, float, float, float]] = []
    sudden = rng.random() < 0.2 + 0.4 * config.swings
    for index in range(int(rng.integers(1, 4))):
        mover = fidget(rng, duration_s) if sudden and index == 0 else drifter(rng)
        placed.append((mover, float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5)),
                       float(rng.uniform(0.4, 1.0))))
    return tuple(placed)


def _draw_occluder(strength: float, rng: Rng) -> tuple[Mover, ...]:
    """A post, a branch or a passer-by in front of everything; it stands or moves slowly."""
    colour: Colour = varied((0.25, 0.22, 0.2), rng, 0.15)
    place, drift, lean = rng.uniform(-0.7, 0.7), wobble(rng, 0.05, 0.3), rng.uniform(-0.4, 0.4)
    passes, width = rng.random() < 0.5, rng.uniform(0.08, 0.2)

    def paint(canvas: Canvas, times: Array) -> None:
        x = place + (0.6 * drift(times) if passes else 0.0)
        canvas.box(x, 0.0, width * (0.4 + 0.7 * strength), 2.0, colour, angle=lean)

    return (paint,) if strength else ()


def _exposed(stage: Stage, shot: Shot, times: Array, gaps: Array, size: int) -> Array:
    """Pixels (3, f, size, size) averaged over the exposure."""
    if not stage.shutter:
        return _instant(stage, shot, times, size)
    moments = 3 if np.mean(gaps) > 0.025 else 2
    pixels = _instant(stage, shot, times, size)
    for moment in range(1, moments):
        pixels += _instant(stage, shot, times + gaps * stage.shutter * moment / moments, size)
    pixels /= moments
    return pixels


def _instant(stage: Stage, shot: Shot, times: Array, size: int) -> Array:
    x, y, zoom = stage.camera.view(times, stage.duration_s)
    pixels = _backdrop(shot.backdrop, x, y, zoom, size)
    half = size / 2
    scale = (half * zoom).astype(np.float32)
    left, top = (half + x * scale).astype(np.float32), (half + y * scale).astype(np.float32)
    canvas = Canvas(pixels, scale, left, top)
    for mover, mx, my, extent in stage.behind:
        mover(canvas.placed(mx, my, extent), times)
    stage.lead(canvas.placed(*shot.centre, shot.size, shot.mirror), times)
    for occluder in stage.before:
        occluder(canvas, times)
    return pixels


def _backdrop(tile: Array, x: Array, y: Array, zoom: Array, size: int) -> Array:
    """The backdrop (3, f, size, size) in the camera's view."""
    side, frames = tile.shape[-1], len(x)
    if np.ptp(x) == 0 and np.ptp(y) == 0 and np.ptp(zoom) == 0:
        x, y, zoom = x[:1], y[:1], zoom[:1]
    pixel = (np.arange(size) + 0.5) / size * 2 - 1

    def index(shift: Array) -> Array:
        world = pixel[None, :] / zoom[:, None] - shift[:, None]
        return np.clip((world / BACKDROP_MARGIN + 1) * (side / 2), 0, side - 1).astype(np.int32)

    seen = np.take(tile.reshape(3, -1), index(y)[:, :, None] * side + index(x)[:, None, :], axis=1)
    return np.broadcast_to(seen, (3, frames, size, size)).copy()
