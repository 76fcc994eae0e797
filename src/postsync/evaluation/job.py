"""The evaluation job: folders of systems and a reference in, every figure of a suite out. Each file is decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConditionError
from .bootstrap import RESAMPLES
from .networks import BUNDLED, Networks
from .observation import Decoded, Observation, Pair, decode, prefetch
from .sides import ClipFiles, Missing, Side, read_side
from .suites import Suite
from .tally import Tally, tally_of

TOLERATED_S = 0.05  # by which a clip may be shorter than expected before it is reported
LONGEST_S = 600.0


@dataclass(frozen=True)
class Settings:
    """Settings of a run besides suite and folders. `duration_s`: None for the suite's. `parts`: folders of trained
    networks that replace the bundled ones, by name."""

    seed: int = 0
    duration_s: float | None = None
    resamples: int = RESAMPLES
    device: str = "cpu"
    parts: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.duration_s is not None and not 0 < self.duration_s <= LONGEST_S:
            raise ConditionError(f"a duration of {self.duration_s:g} s; it must be between 0 and {LONGEST_S:g} s")
        if unknown := sorted(set(self.parts) - set(BUNDLED)):
            raise ConditionError(f"no network {', '.join(unknown)} can be replaced; these can: {', '.join(BUNDLED)}")
        if self.seed < 0:
            raise ConditionError(f"seed {self.seed}; it must be 0 or more")
        if not 10 <= self.resamples <= 100_000:
            raise ConditionError(f"{self.resamples} resamples; give 10 to 100000")


@dataclass
class Measured:
    """Measurements of one system; `ids` are all clip ids of the run, `draws` are over them."""

    side: Side
    reference: Side
    ids: tuple[str, ...]
    tallies: list[Tally]
    problems: list[Missing] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)  # clip id -> the side whose picture counted


@dataclass(frozen=True)
class Run:
    """A finished run over one or several systems."""

    suite: Suite
    settings: Settings
    duration_s: float
    networks: Networks
    systems: list[Measured]
    obstacles: dict[str, str]  # metric -> why it could not be computed here


@dataclass(frozen=True)
class _Loaded:
    """A clip's decoded files; None for a missing side."""

    clip_id: str
    reference: Decoded | None
    generated: list[Decoded | None]


def run(systems: Sequence[Path], reference: Path, suite: Suite, settings: Settings | None = None,
        on_clip: Callable[[int, int], None] | None = None) -> Run:
    """Measure folders of generated clips against a reference.

    `on_clip(done, all)` is called after each clip. Raises MediaError where a folder holds no clips, ConditionError
    where the two sides have no clip in common.
    """
    settings = settings or Settings()
    duration_s, networks = settings.duration_s or suite.duration_s, Networks(settings.device, settings.parts)
    real, made = read_side(reference, "reference"), [read_side(folder, "generated") for folder in systems]
    for side in made:
        if not side.clips.keys() & real.clips.keys():
            raise ConditionError(
                f"{side.folder}: no clip has the name of a clip in {reference} (here {_example(side)}, there "
                f"{_example(real)}); clips are paired by clip id, which is the file name without its suffix")
    obstacles = {m.name: reason for m in suite.metrics if (reason := m.obstacle(networks))}
    metrics = [m for m in suite.metrics if m.name not in obstacles]
    ids = tuple(sorted(set(real.clips).union(*(side.clips for side in made))))
    measured = [Measured(side, real, ids, [tally_of(m) for m in metrics], [*side.problems, *real.problems])
                for side in made]
    picture_s = max((max(duration_s, m.picture_s) for m in metrics if m.pictures), default=0.0)
    loaded = prefetch(lambda name: _load(name, real, made, suite, duration_s, picture_s), ids)
    for number, clip in enumerate(loaded, 1):
        _measure(clip, measured, suite, duration_s, networks)
        if on_clip is not None:
            on_clip(number, len(ids))
    return Run(suite, settings, duration_s, networks, measured, obstacles)


def _example(side: Side) -> str:
    return repr(next(iter(side.clips), "none"))


def _load(clip_id: str, real: Side, made: Sequence[Side], suite: Suite, duration_s: float, picture_s: float) -> _Loaded:
    """Decode a clip's files; the first `picture_s` seconds of pictures, only of a side whose picture counts."""
    reference = real.clips.get(clip_id)
    only_reference = suite.picture_of == "reference" and reference is not None and reference.picture is not None

    def of(files: ClipFiles | None, picture: bool) -> Decoded | None:
        return None if files is None else decode(files, duration_s, picture_s if picture else 0.0)

    return _Loaded(clip_id, of(reference, True),
                   [of(side.clips.get(clip_id), not only_reference) for side in made])


def _measure(clip: _Loaded, measured: Sequence[Measured], suite: Suite, duration_s: float, networks: Networks) -> None:
    """Add a clip to all tallies of all systems; the reference is observed once for all of them."""

    def observe(decoded: Decoded | None, seconds: float) -> Observation | None:
        return None if decoded is None else Observation(decoded, networks, seconds)

    real = observe(clip.reference, duration_s)
    # what follows the end of the real clip, such as a codec's padding, is not measured
    made_s = duration_s if clip.reference is None else min(duration_s, clip.reference.duration_s or duration_s)
    for system, generated in zip(measured, clip.generated):
        facts = system.reference.clips.get(clip.clip_id) or system.side.clips.get(clip.clip_id)
        if facts is None:  # a clip of another system of this run only
            continue
        system.problems += _problems(clip.clip_id, generated, clip.reference, system, duration_s)
        sides = {"generated": observe(generated, made_s), "reference": real}
        names = sorted(sides, key=lambda name: name != suite.picture_of)
        shown = next((n for n in names if (one := sides[n]) is not None and one.decoded.frames is not None), None)
        if shown is not None:
            system.shown[clip.clip_id] = shown
        pair = Pair(clip.clip_id, sides["generated"], real, sides[shown] if shown else None, facts, duration_s,
                    networks)
        for tally in system.tallies:
            tally.add(pair)


def _problems(clip_id: str, generated: Decoded | None, reference: Decoded | None, system: Measured,
              duration_s: float) -> list[Missing]:
    """All problems of a clip of one system."""
    known = {(p.clip_id, p.side) for p in (*system.side.problems, *system.reference.problems)}
    found: list[Missing] = []
    for side, one in (("generated", generated), ("reference", reference)):
        if one is None:
            if (clip_id, side) not in known:
                found.append(Missing(clip_id, side, "no file of this clip id"))
            continue
        found += [Missing(clip_id, side, reason) for reason in one.problems]
        if one.silent:
            found.append(Missing(clip_id, side, "silent (peak below -80 dB full scale)", used=True))
    if generated is not None and generated.waveform is not None and reference is not None:
        made_s, real_s = generated.duration_s, min(duration_s, reference.duration_s)
        if made_s < real_s - TOLERATED_S:
            reason = f"shorter than the reference: {made_s:.3f} s against {real_s:.3f} s"
            found.append(Missing(clip_id, "generated", reason, used=True))
        elif made_s > real_s + TOLERATED_S and real_s > 0:
            reason = f"longer than the reference, whose length is measured: {made_s:.3f} s against {real_s:.3f} s"
            found.append(Missing(clip_id, "generated", reason, used=True))
    return found
