"""A metric of a suite: its inputs from a clip, what it accumulates for one system, and the resulting figures.

Two kinds: those of sums over clips (`metrics.accumulators.ClipSums`), and those of whole sets (`PooledRows`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError
from ..metrics.accumulators import ClipSums, PooledRows
from .bootstrap import centred_interval, percentile_interval, set_resamples
from .networks import Networks
from .observation import Pair
from .sides import Absent, Skipped

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Described:
    """Common fields of both kinds of metrics."""

    unit: str | None = None
    networks: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()  # packages of the extra `eval`
    pictures: bool = False  # whether it needs pictures
    picture_s: float = 0.0  # of pictures that it reads even where less is measured
    captions: bool = False  # whether its networks encode captions
    settings: Mapping[str, Any] = field(default_factory=dict)  # further arguments of `inputs` or `rows`
    about: Mapping[str, Any] = field(default_factory=dict)  # what else is needed to reproduce the figure

    def obstacle(self, networks: Networks) -> str | None:
        """Why the metric cannot be computed here, and what to do; None if it can."""
        absent = [name for name in self.modules if find_spec(name) is None]
        if absent:
            return f"needs {', '.join(absent)}: pip install 'postsync[eval]'"
        return next((reason for name in self.networks if (reason := networks.missing(name, self.captions))), None)


@dataclass(frozen=True)
class ClipMetric(Described):
    """A metric of sums over clips. `inputs(pair, **settings)` gives the arguments of its `update`."""

    name: str
    metric: ClipSums
    inputs: Callable[..., tuple[Any, ...]]
    remark: Callable[[Pair], str] | None = None  # what else is to be told of a clip

    @property
    def higher_is_better(self) -> bool | None:
        """None where neither direction is better."""
        return self.metric.higher_is_better


@dataclass(frozen=True)
class SetMetric(Described):
    """A metric of sets. `rows(pair, side, **settings)` gives a clip's rows (n, D); those of all clips are pooled in the
    order of their ids. `note` is given the pooled rows, None for a reference that the metric does not ask for.
    """

    name: str
    metric: PooledRows
    rows: Callable[..., Tensor]
    note: Callable[[Tensor, Tensor | None], str | None] = lambda generated, reference: None

    @property
    def higher_is_better(self) -> bool | None:
        """None where neither direction is better."""
        return self.metric.higher_is_better


Metric = ClipMetric | SetMetric


class ClipTally:
    """The terms of a metric of sums, by clip."""

    def __init__(self, metric: ClipMetric) -> None:
        self.metric = metric
        self.terms: dict[str, Tensor] = {}  # clip -> (num_terms,) float64
        self.skipped: dict[tuple[str, str], str] = {}  # (clip, side) -> reason
        self.remarks: dict[str, str] = {}  # by clip

    def add(self, pair: Pair) -> None:
        """Measure a clip; one that cannot be measured is recorded with the reason."""
        try:
            terms = self.metric.metric.terms(*self.metric.inputs(pair, **self.metric.settings)).double()
            if not self.metric.metric.defined(terms):
                raise Skipped("gives a value that is not a number")
        except Absent:
            return
        except (Skipped, ConditionError) as reason:
            self.skipped[pair.clip_id, "generated"] = str(reason)
        else:
            self.terms[pair.clip_id] = terms
            if self.metric.remark is not None:
                self.remarks[pair.clip_id] = self.metric.remark(pair)

    @property
    def count(self) -> int:
        """Number of clips in the value."""
        return len(self.terms)

    @property
    def measured(self) -> set[str]:
        """Ids of the clips in the value."""
        return set(self.terms)

    def value(self, ids: Sequence[str]) -> float | None:
        """The metric over the clips `ids`, each taken once; None if undefined."""
        return _one_value(self, ids)

    def values(self, ids: Sequence[str], draws: np.ndarray) -> np.ndarray:
        """The metric for draws (R, N) of the clips `ids`, (R,); NaN where undefined."""
        nothing = torch.zeros(self.metric.metric.num_terms, dtype=torch.float64)
        terms = torch.stack([self.terms.get(name, nothing) for name in ids])
        return self.metric.metric.value(torch.from_numpy(draws).double() @ terms).numpy()

    def interval(self, ids: Sequence[str], draws: np.ndarray, value: float | None) -> Interval | None:
        """Bootstrap interval over the clips; `value`: the metric over all of them."""
        return percentile_interval(self.values(ids, draws)) if self.count > 1 and value is not None else None

    def per_clip(self) -> dict[str, float]:
        """The metric of each single clip, where defined."""
        values = {name: float(self.metric.metric.value(terms)) for name, terms in self.terms.items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def note(self) -> str | None:
        """A caution for readers of the value."""
        return None

    def without_value(self) -> str:
        """Why there is no value although clips were measured."""
        return f"nothing in the {self.count} measured clips to take it of, such as a sound, an event or a match"


class SetTally:
    """Rows of a metric of sets, by side and clip."""

    def __init__(self, metric: SetMetric) -> None:
        self.metric = metric
        self.rows: dict[str, dict[str, Tensor]] = {side: {} for side in self._sides()}
        self.skipped: dict[tuple[str, str], str] = {}  # (clip, side) -> reason

    def _sides(self) -> tuple[str, ...]:
        return ("generated", "reference") if self.metric.metric.two_sides else ("generated",)

    def add(self, pair: Pair) -> None:
        """Add a clip's rows of each side; one without rows is recorded with the reason."""
        for side, rows in self.rows.items():
            try:
                found = self.metric.rows(pair, side, **self.metric.settings)
                if not torch.isfinite(found).all():
                    raise Skipped("gives features that are not numbers")
            except Absent:
                continue
            except (Skipped, ConditionError) as reason:
                self.skipped[pair.clip_id, side] = str(reason)
            else:
                rows[pair.clip_id] = found

    @property
    def count(self) -> int:
        """Number of generated clips in the value; 0 if one side is empty."""
        return min(len(self.rows["generated"]), *(len(rows) for rows in self.rows.values())) and len(
            self.rows["generated"])

    @property
    def measured(self) -> set[str]:
        """Ids of the generated clips in the value."""
        return set(self.rows["generated"])

    def value(self, ids: Sequence[str]) -> float | None:
        """The metric over the clips `ids`, each taken once; None if undefined."""
        return _one_value(self, ids)

    def values(self, ids: Sequence[str], draws: np.ndarray) -> np.ndarray:
        """The metric for draws (R, N) of the clips `ids`, (R,); NaN where undefined."""
        return np.array([self._value(ids, draw) for draw in draws])

    def resamples(self) -> int:
        """Number of draws, limited because each costs as much as the metric."""
        if not self.metric.metric.resampled:
            return 0
        return set_resamples(next(iter(self.rows["generated"].values())).shape[-1])

    def interval(self, ids: Sequence[str], draws: np.ndarray, value: float | None) -> Interval | None:
        """Bootstrap interval over the clips, from the first few draws; `value`: the metric over all clips."""
        if self.count < 2 or value is None:
            return None
        return centred_interval(value, self.values(ids, draws[:self.resamples()]))

    def per_clip(self) -> dict[str, float]:
        """A set has no values of single clips."""
        return {}

    def note(self) -> str | None:
        """A caution for readers of the value."""
        sides = [torch.cat([rows[name] for name in sorted(rows)]) for rows in self.rows.values()]
        return self.metric.note(sides[0], sides[1] if len(sides) > 1 else None)

    def without_value(self) -> str:
        """Why there is no value although clips were measured."""
        return f"too few clips: {' against '.join(str(len(rows)) for rows in self.rows.values())}"

    def _value(self, ids: Sequence[str], draw: np.ndarray) -> float:
        sides: list[Tensor] = []
        for rows in self.rows.values():
            taken = [rows[name] for name, times in zip(ids, draw.tolist()) if name in rows for _ in range(times)]
            if not taken:
                return float("nan")
            sides.append(torch.cat(taken))
        return float(self.metric.metric.value(*sides))


Tally = ClipTally | SetTally


def _one_value(tally: Tally, ids: Sequence[str]) -> float | None:
    value = float(tally.values(ids, np.ones((1, len(ids)), int))[0]) if tally.count else np.nan
    return value if np.isfinite(value) else None


def tally_of(metric: Metric) -> Tally:
    """An empty tally for a metric."""
    return ClipTally(metric) if isinstance(metric, ClipMetric) else SetTally(metric)
