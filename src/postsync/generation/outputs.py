"""The output files of a run; checked before the work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MediaError
from ..media.container import one_line
from ..media.holding import check_container, check_holds, sound_encoder
from ..media.mux import default_output
from ..media.output import check_writable
from ..media.timeline import Timeline
from ..timing.files import check_marker_suffix
from .naming import SOUND_SUFFIXES, free_name, free_result, result_files
from .options import Options
from .requests import Request

if TYPE_CHECKING:
    from .result import Result


def make_folder(path: Path) -> None:
    """Create a folder for results. Raises MediaError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: could not be created ({one_line(error)}); choose another output") from error


@dataclass(frozen=True)
class Planned:
    """One planned result: take number `k` of a request, its file, and the mark inserted before the suffix of its extra
    files in a run with several results ("" for a single one)."""

    request: Request
    k: int
    target: Path
    mark: str


@dataclass(frozen=True)
class Outputs:
    """The outputs of a run. `output`: a file for a single result, else a folder; None: beside each clip."""

    output: Path | None = None
    wav: Path | None = None
    plot: Path | None = None
    save_envelope: Path | None = None
    save_onsets: Path | None = None
    edl_fps: float | None = None  # of the markers in an EDL; None: the clip's
    force: bool = False  # overwrite what exists

    def plan(self, requests: Sequence[Request], num_samples: int, batch: bool) -> list[Planned]:
        """All results of a run, named. `batch`: the clips came from a folder or a table. Raises MediaError."""
        single = len(requests) * num_samples == 1
        folder = self.output
        if single and folder is not None and not folder.is_dir() and (folder.suffix or not batch):
            if folder.suffix.lower() not in SOUND_SUFFIXES:
                check_container(folder)
            return [Planned(requests[0], 0, folder, "")]
        if folder is not None and folder.exists() and not folder.is_dir():
            raise MediaError(f"{folder}: is a file, and this run writes several results; name a folder")
        planned = []
        for request in requests:
            for k in range(num_samples):
                marks = [request.label, str(k + 1) if num_samples > 1 else ""]
                ending = "".join(f".{mark}" for mark in ("postsync", *marks) if mark)
                target = default_output(request.video, suffix=ending)
                target = target if folder is None else folder / target.name
                whose = [request.video.stem] if batch else []
                planned.append(Planned(request, k, target, ".".join(m for m in (*whose, *marks) if m)))
        return planned

    def extras(self, mark: str) -> dict[str, Path]:
        """The extra files, by kind: `hits.csv` becomes `hits.door.csv` if a mark is needed."""
        paths = {"wav": self.wav, "envelope": self.save_envelope, "onsets": self.save_onsets, "plot": self.plot}
        return {kind: path.with_name(f"{path.stem}.{mark}{path.suffix}") if mark else path
                for kind, path in paths.items() if path is not None}

    def check(self, target: Path, mark: str, inputs: Sequence[Path], video: Path | None, options: Options) -> None:
        """Raise MediaError unless all files of a result can be written without touching one of `inputs`, and its
        container can hold the picture of `video` and the sound; ConditionError for a rate of markers out of range."""
        extras = self.extras(mark).values()
        paths = [*result_files(target), *extras]
        for path in paths:
            check_writable(path, inputs)
            if paths.count(path) > 1:
                raise MediaError(f"{path}: two outputs have this name; give each its own")
        if self.save_onsets is not None:
            check_marker_suffix(self.save_onsets)
        Timeline(1).at(self.edl_fps)
        if self.wav is not None and self.wav.suffix.lower() not in SOUND_SUFFIXES:
            raise MediaError(f"{self.wav}: a soundtrack alone is written as WAV or FLAC; end the name in .wav or .flac")

        if target.suffix.lower() in SOUND_SUFFIXES:
            return
        sound_encoder(target, options.audio_codec)
        if video is not None:
            check_holds(video, target, keep_sound=options.sound == "keep")

    def kept(self, target: Path) -> Path:
        """The file to write a result to: `target`, or a numbered name where that would overwrite an earlier result."""
        return target if self.force else free_result(target)

    def write_extras(self, result: Result, mark: str) -> dict[str, Path]:
        """Write the extra files of a result; returns their paths by kind."""
        written = {kind: path if self.force else free_name(path) for kind, path in self.extras(mark).items()}
        writers: dict[str, Callable[[Path], object]] = {
            "wav": partial(result.save, sidecar=False), "envelope": result.save_envelope, "plot": result.plot,
            "onsets": lambda path: result.save_onsets(path, self.edl_fps)}
        for kind, path in written.items():
            writers[kind](path)
        return written
