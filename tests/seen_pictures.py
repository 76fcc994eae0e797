"""Drawn pictures that a network trained on photographs recognises, a clock's face and a keyboard; and a bare wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from postsync.media.picture import open_picture

SIDE = 260


def clock(minute: float = 10.0) -> np.ndarray:
    """A clock's face (SIDE, SIDE, 3) uint8."""
    image = Image.new("RGB", (SIDE, SIDE), (214, 196, 160))
    pen, middle, radius = ImageDraw.Draw(image), SIDE / 2, SIDE * 0.42
    pen.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=(250, 250, 245),
                outline=(40, 30, 25), width=10)

    def at(turn: float, share: float) -> tuple[float, float]:
        angle = 2 * np.pi * turn
        return middle + radius * share * np.sin(angle), middle - radius * share * np.cos(angle)

    for k in range(60):
        pen.line((*at(k / 60, 0.86 if k % 5 else 0.8), *at(k / 60, 0.9)), fill=(20, 20, 20), width=1 if k % 5 else 4)
    for hour in range(1, 13):
        pen.text(at(hour / 12, 0.68), str(hour), fill=(10, 10, 10), anchor="mm", font_size=SIDE // 12)
    for turn, length, width in ((0.84, 0.45, 6), (minute / 60, 0.65, 4)):
        pen.line((middle, middle, *at(turn, length)), fill=(10, 10, 10), width=width)
    return np.asarray(image)


def keyboard() -> np.ndarray:
    """Rows of keys with letters (SIDE, SIDE, 3) uint8."""
    image = Image.new("RGB", (SIDE, SIDE), (60, 60, 62))
    pen = ImageDraw.Draw(image)
    for row in range(5):
        for k, letter in enumerate("QWERTYUIOPAS"):
            x, y = 8 + k * 20 + row * 3, 60 + row * 28
            pen.rounded_rectangle((x, y, x + 17, y + 24), 3, fill=(30, 30, 32))
            pen.text((x + 8, y + 12), letter, fill=(230, 230, 230), anchor="mm", font_size=10)
    return np.asarray(image)


def wall() -> np.ndarray:
    """A plain wall with a little light (SIDE, SIDE, 3) uint8."""
    light = np.linspace(150, 190, SIDE)[:, None, None]
    return np.broadcast_to(light, (SIDE, SIDE, 3)).astype(np.uint8)


def film(path: Path, *shots: np.ndarray, fps: int = 8, seconds: float = 1.0) -> Path:
    """A video without sound in which each picture stands for so many seconds."""
    frames = np.stack([shot for shot in shots for _ in range(round(fps * seconds))])
    return open_picture(frames, fps).write(np.zeros((1, 0), np.float32), 48000, path)
