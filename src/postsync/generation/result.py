"""A soundtrack for a clip, with what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..features.envelope import frame_rms
from ..media.audio import write_wav
from ..media.mux import default_output, mux
from ..media.output import check_writable
from ..media.video import VideoInfo
from ..timing.files import write_envelope, write_onsets
from ..timing.timing import strengths_in
from .conditions import part_of
from .existing_sound import mixed_blocks
from .options import Options
from .soundtrack import DELIVERY_RATE
from .timing_of_clip import Timing


@dataclass(frozen=True)
class Recipe:
    """What a soundtrack, or a span of it (seconds), was made from; `timing` is without the options' offset, and None
    where the system takes it from the picture itself."""

    options: Options
    timing: Timing | None
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Result:
    """A soundtrack for a clip. The first recipe made the whole of it, each later one made a span of it anew."""

    video: VideoInfo
    waveform: np.ndarray  # (C, N) float32 on 24 bits, exactly the clip's length
    recipes: tuple[Recipe, ...]
    gain_db: float | None  # that brought the first recipe's sound to its loudness; None: silence

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return DELIVERY_RATE

    @property
    def duration_s(self) -> float:
        """Length of the clip, seconds."""
        return self.video.duration_s

    @property
    def options(self) -> Options:
        """What was asked for; for a span made anew, what was asked for last."""
        return self.recipes[-1].options

    @property
    def seed(self) -> int:
        """The seed of the last recipe."""
        return self.options.seed

    @property
    def prompt(self) -> str | None:
        """The prompt of the last recipe."""
        return self.options.prompt

    @property
    def timing(self) -> Timing:
        """When it was asked to sound, offsets, parts and spans included; when it does sound, where nobody asked."""
        base, *later = self.recipes
        if base.timing is None:
            return Timing.drawn(frame_rms(torch.from_numpy(self.waveform.mean(0)), self.sample_rate).clamp(max=1.0))
        start_s, end_s = part_of(self.video, base.options)
        timing = base.timing.moved(base.options.offset_ms / 1000).within(start_s, end_s)
        for recipe in later:
            assert recipe.span is not None  # only the first recipe made the whole
            assert recipe.timing is not None  # one system made all of them
            timing = timing.with_span(recipe.timing.moved(recipe.options.offset_ms / 1000), *recipe.span)
        return timing

    @property
    def envelope(self) -> Tensor:
        """(M,) the envelope of `timing`, 100 Hz."""
        return self.timing.envelope

    @property
    def onsets_s(self) -> Tensor:
        """(K,) seconds, the hits of `timing`."""
        return self.timing.onsets_s

    def save(self, path: str | Path | None = None) -> Path:
        """Write the clip with this soundtrack (pictures copied packet by packet), or only the sound for `.wav`.

        Without `path`: beside the input, as `<stem>.postsync.<ext>`. The clip's own sound is replaced, mixed in or
        kept, as the options say; a `.wav` holds the generated sound alone. Raises MediaError; never overwrites the
        input.
        """
        target = Path(path) if path is not None else default_output(self.video.path)
        if target.suffix.lower() == ".wav":
            check_writable(target, inputs=(self.video.path,))
            return write_wav(target, self.waveform, self.sample_rate)
        base = self.recipes[0].options
        sound: np.ndarray | Iterator[np.ndarray] = self.waveform
        if base.sound == "mix" and self.video.has_audio:
            sound = mixed_blocks(self.video.path, self.waveform, base.mix_db)
        return mux(self.video.path, sound, self.sample_rate, target, info=self.video, keep_sound=base.sound == "keep")

    def save_envelope(self, path: str | Path) -> None:
        """Write the envelope of `timing` as CSV `seconds,value`, or JSON."""
        write_envelope(path, self.envelope)

    def save_onsets(self, path: str | Path) -> None:
        """Write the hits of `timing`: `.csv`, `.json`, `.txt` (Audacity labels) or `.edl`."""
        timing = self.timing
        write_onsets(path, timing.onsets_s, strengths_in(timing.envelope, timing.onsets_s), self.video.fps)

    def plot(self, path: str | Path) -> None:
        """Draw spectrogram, envelope and onsets as a picture."""
        from ..plot import plot_result

        plot_result(self, Path(path))
