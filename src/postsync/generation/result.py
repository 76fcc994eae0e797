"""The result: a soundtrack under a picture, and its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import MediaError
from ..media.audio import write_wav
from ..media.container import sha256_of
from ..media.mux import default_output
from ..media.output import check_writable, whole_file
from ..media.picture import Picture
from ..media.timeline import Timeline, clip_timeline
from ..protocols.pipeline import OnProgress, stage
from ..timing.files import write_envelope, write_onsets
from ..timing.timing import Timing
from .delivery import mixed_blocks, write_lossless
from .looking import Seen
from .naming import SOUND_SUFFIXES, free_result, lossless_path, sidecar_path
from .options import Options
from .sidecar import Provenance, describe
from .soundtrack import Recipe, Soundtrack


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

    def with_notes(self, notes: Iterable[str], seen: tuple[Seen, ...] = ()) -> Result:
        """The same with these notes beside its own, each once, and with what was seen."""
        kept = tuple(dict.fromkeys((*self.notes, *notes)))
        return replace(self, soundtrack=replace(self.soundtrack, notes=kept, seen=self.seen or seen))

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What each shot was seen to show, where that became the prompt."""
        return self.soundtrack.seen

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

    def save(self, path: str | Path | None = None, on_progress: OnProgress | None = None, *,
             sidecar: bool = True) -> Path:
        """Write the picture with this soundtrack (a clip's packets are copied), or the sound alone for `.wav`, `.flac`.

        Without `path`: beside the clip, as `<stem>.postsync.<ext>`, or a numbered name where that exists. The clip's
        own sound is replaced, mixed in or kept, as the options say; a sound file holds the generated sound alone.
        `sidecar`: also write `<path>.json` and the lossless `<path>.flac`, by which the result can be repeated, or a
        span of it regenerated. Raises MediaError; never overwrites the clip.
        """
        clip = self.picture.path
        if path is None and clip is None:
            raise MediaError(f"{self.picture.name}: it has no default path; name the file to write")
        target = free_result(default_output(clip)) if path is None and clip is not None else Path(str(path))
        if not sidecar:
            return self._write(target, on_progress)
        check_writable(target, inputs=() if clip is None else (clip,))
        return publish(self, target, Provenance.of(self.soundtrack.weights), None if clip is None else sha256_of(clip),
                       on_progress)

    def _write(self, target: Path, on_progress: OnProgress | None) -> Path:
        """Write the result's own file."""
        clip, base = self.picture.path, self.recipes[0].options
        writing = stage(on_progress, "writing")
        if target.suffix.lower() in SOUND_SUFFIXES:
            with whole_file(target, inputs=() if clip is None else (clip,)) as temporary:
                if writing is not None:
                    writing(0.0)
                if target.suffix.lower() == ".flac":
                    write_lossless(temporary, self.waveform, target)
                else:
                    write_wav(temporary, self.waveform, self.sample_rate)
            if writing is not None:
                writing(1.0)
            return target
        sound: np.ndarray | Iterator[np.ndarray] = self.waveform
        if base.sound == "mix" and clip is not None and self.picture.info.has_audio:
            sound = mixed_blocks(clip, self.waveform, base.mix_db)
        return self.picture.write(sound, self.sample_rate, target, keep_sound=base.sound == "keep",
                                  audio_codec=base.audio_codec, on_progress=writing)

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


def publish(result: Result, target: Path, provenance: Provenance, input_sha256: str | None,
            on_progress: OnProgress | None = None) -> Path:
    """Write the result with its sidecar and lossless soundtrack, all of them or none.

    `input_sha256`: of the clip's file; None for a picture that has none. Raises MediaError.
    """
    lossless = lossless_path(target)
    clip = None if input_sha256 is None else result.picture.path
    with ExitStack() as files:
        text = files.enter_context(whole_file(sidecar_path(target)))
        if lossless != target:
            write_lossless(files.enter_context(whole_file(lossless)), result.waveform, lossless)
        text.write_text(describe(result.soundtrack, result.duration_s, clip, input_sha256, target, provenance),
                        encoding="utf-8")
        return result._write(target, on_progress)
