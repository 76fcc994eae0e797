"""A soundtrack, and the result: a soundtrack under a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from ..features.envelope import frame_rms
from ..media.audio import write_wav
from ..media.mux import default_output
from ..media.output import check_writable
from ..media.picture import Picture
from ..media.timeline import Timeline, clip_timeline
from ..timing.files import write_envelope, write_onsets
from ..timing.timing import Timing
from .conditions import part_of
from .delivery import DELIVERY_RATE, mixed_blocks
from .options import Options
from .progress import OnProgress, stage


@dataclass(frozen=True)
class Recipe:
    """The inputs of a soundtrack, or of a span of it (seconds).

    `timing` is without the options' offset, and None if the system takes it from the picture itself. `guides`: the
    guides that a caller gave as objects, by their class names; such a recipe cannot be repeated from a file.
    """

    options: Options
    timing: Timing | None
    span: tuple[float, float] | None = None
    guides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Soundtrack:
    """A waveform (C, N) float32 on 24 bits at 48 kHz. The first recipe made all of it, each later one a span.

    `gain_db` brought the first recipe's sound to its loudness; None: silence. `notes`: warnings about it.
    """

    waveform: np.ndarray
    recipes: tuple[Recipe, ...]
    gain_db: float | None
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return DELIVERY_RATE

    @property
    def duration_s(self) -> float:
        """Length in seconds, to the sample."""
        return self.waveform.shape[1] / DELIVERY_RATE

    @property
    def options(self) -> Options:
        """The options; for a regenerated span, the last ones."""
        return self.recipes[-1].options

    @property
    def timing(self) -> Timing:
        """The requested timing, offsets, parts and spans included; without a requested one, that of the sound
        itself."""
        base, *later = self.recipes
        if base.timing is None:
            rms = frame_rms(torch.from_numpy(self.waveform.mean(0)), self.sample_rate)
            return Timing.of_envelope(rms.clamp(max=1.0))
        start_s, end_s = part_of(self.duration_s, base.options)
        timing = base.timing.moved(base.options.offset_ms / 1000).within(start_s, end_s)
        for recipe in later:
            assert recipe.span is not None  # only the first recipe made the whole
            assert recipe.timing is not None  # one system made all of them
            timing = timing.with_span(recipe.timing.moved(recipe.options.offset_ms / 1000), *recipe.span)
        return timing


@dataclass(frozen=True)
class Result:
    """A soundtrack under a picture, which is copied from a clip or encoded from frames."""

    picture: Picture
    soundtrack: Soundtrack

    @property
    def waveform(self) -> np.ndarray:
        """(C, N) float32, exactly as long as the picture."""
        return self.soundtrack.waveform

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return self.soundtrack.sample_rate

    @property
    def duration_s(self) -> float:
        """Length of the picture, seconds."""
        return self.picture.info.duration_s

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Its recipes; see Soundtrack."""
        return self.soundtrack.recipes

    @property
    def gain_db(self) -> float | None:
        """The gain of its sound; see Soundtrack."""
        return self.soundtrack.gain_db

    @property
    def options(self) -> Options:
        """The options of the last recipe."""
        return self.soundtrack.options

    @property
    def seed(self) -> int:
        """The seed of the last recipe."""
        return self.options.seed

    @property
    def prompt(self) -> str | None:
        """The prompt of the last recipe."""
        return self.options.prompt

    def with_notes(self, notes: Iterable[str]) -> Result:
        """The same with these notes beside its own, each once."""
        kept = tuple(dict.fromkeys((*self.notes, *notes)))
        return replace(self, soundtrack=replace(self.soundtrack, notes=kept))

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about this result, one sentence each."""
        return self.soundtrack.notes

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions, from systems that give them."""
        return self.soundtrack.captions

    @property
    def timing(self) -> Timing:
        """Its timing; see Soundtrack."""
        return self.soundtrack.timing

    @property
    def envelope(self) -> Tensor:
        """(M,) the envelope of `timing`, linear RMS 0..1 at 100 Hz."""
        return self.timing.envelope.values

    @property
    def onsets_s(self) -> Tensor:
        """(K,) seconds, the hits of `timing`."""
        return self.timing.onsets_s

    def save(self, path: str | Path | None = None, on_progress: OnProgress | None = None) -> Path:
        """Write the picture with this soundtrack (a clip's packets are copied), or only the sound for `.wav`.

        Without `path`: beside the clip, as `<stem>.postsync.<ext>`. The clip's own sound is replaced, mixed in or
        kept, as the options say; a `.wav` holds the generated sound alone. Raises MediaError; never overwrites the
        clip.
        """
        clip, base = self.picture.path, self.recipes[0].options
        if path is None and clip is None:
            raise MediaError(f"{self.picture.name}: it has no default path; name the file to write")
        target = default_output(clip) if path is None and clip is not None else Path(str(path))
        if target.suffix.lower() == ".wav":
            check_writable(target, inputs=() if clip is None else (clip,))
            writing = stage(on_progress, "writing")
            if writing is not None:
                writing(0.0)
            written = write_wav(target, self.waveform, self.sample_rate)
            if writing is not None:
                writing(1.0)
            return written
        sound: np.ndarray | Iterator[np.ndarray] = self.waveform
        if base.sound == "mix" and clip is not None and self.picture.info.has_audio:
            sound = mixed_blocks(clip, self.waveform, base.mix_db)
        return self.picture.write(sound, self.sample_rate, target, keep_sound=base.sound == "keep",
                                  on_progress=stage(on_progress, "writing"))

    def save_envelope(self, path: str | Path) -> None:
        """Write the envelope of `timing` as CSV `seconds,value`, or JSON."""
        write_envelope(path, self.envelope)

    def save_onsets(self, path: str | Path, edl_fps: float | None = None) -> None:
        """Write the hits of `timing`: `.csv`, `.json`, `.txt` (Audacity labels) or `.edl`.

        An EDL counts frames from the clip's timecode (else 01:00:00:00) at `edl_fps`, by default the rate that the clip
        was recorded for. Raises MediaError for another suffix, ConditionError for a rate outside 1..1000.
        """
        timing, path = self.timing, Path(path)
        timeline = Timeline(self.picture.info.fps)
        if path.suffix.lower() == ".edl" and self.picture.path is not None:
            timeline = clip_timeline(self.picture.path, self.picture.info.fps)
        write_onsets(path, timing.onsets_s, timing.strengths, timeline.at(edl_fps))

    def plot(self, path: str | Path) -> None:
        """Draw spectrogram, envelope and onsets as a PNG. Raises MediaError where it cannot be written."""
        from ..plot import plot_soundtrack

        name = self.picture.name if self.picture.path is None else self.picture.path.name
        quoted = [f"“{self.prompt}”"] if self.prompt else []
        plot_soundtrack(self.waveform, self.sample_rate, self.timing, Path(path),
                        title="   ".join([name, *quoted, f"seed {self.seed}"]),
                        requested=self.recipes[0].timing is not None)
