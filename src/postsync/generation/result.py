"""A soundtrack for a clip, with what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import ConditionError
from ..media.audio import write_wav
from ..media.mux import default_output, mux
from ..media.output import check_writable
from ..media.video import VideoInfo
from ..timing.envelope_file import write_envelope
from ..timing.onset_file import strengths_in, write_onsets
from .conditions import on_grid
from .existing_sound import mixed_blocks
from .options import Options
from .soundtrack import DELIVERY_RATE
from .timing_of_clip import Timing


@dataclass(frozen=True)
class Recipe:
    """What a soundtrack, or a span of it (seconds), was made from; `timing` is without the options' offset."""

    options: Options
    timing: Timing
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
        """When it was asked to sound, offsets, parts and spans included."""
        base, *later = self.recipes
        start_s, end_s = part_of(self.video, base.options)
        timing = base.timing.moved(base.options.offset_ms / 1000).within(start_s, end_s)
        for recipe in later:
            assert recipe.span is not None  # only the first recipe made the whole
            timing = timing.with_span(recipe.timing.moved(recipe.options.offset_ms / 1000), *recipe.span)
        return timing

    @property
    def envelope(self) -> Tensor:
        """(M,) the envelope asked for, 100 Hz."""
        return self.timing.envelope

    @property
    def onsets_s(self) -> Tensor:
        """(K,) seconds, of the timing asked for."""
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
        """Write the envelope that was asked for as CSV `seconds,value`, or JSON."""
        write_envelope(path, self.envelope)

    def save_onsets(self, path: str | Path) -> None:
        """Write the hits that were asked for: `.csv`, `.json`, `.txt` (Audacity labels) or `.edl`."""
        timing = self.timing
        write_onsets(path, timing.onsets_s, strengths_in(timing.envelope, timing.onsets_s), self.video.fps)

    def plot(self, path: str | Path) -> None:
        """Draw spectrogram, envelope and onsets as a picture."""
        from ..plot import plot_result

        plot_result(self, Path(path))


def part_of(info: VideoInfo, options: Options) -> tuple[float, float]:
    """Start and end in seconds of the part that gets sound, rounded to 10 ms, within the clip.

    Raises ConditionError where it lies beyond the clip's end.
    """
    start_s = on_grid(options.start_s)
    if start_s >= info.duration_s:
        raise ConditionError(f"the part starts at {start_s:g} s, but {info.path.name} ends at {info.duration_s:.3f} s; "
                             "start earlier.")
    if options.duration_s is None:
        return start_s, info.duration_s
    return start_s, min(on_grid(start_s + options.duration_s), info.duration_s)
