"""What one metric has gathered of one system, clip by clip, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError
from .bootstrap import centred_interval, percentile_interval, set_resamples
from .observation import Pair
from .sides import Absent, LeftOut
from .spec import ClipMetric, Metric, SetMetric

Interval = tuple[float, float]


class ClipTally:
    """Sums of a metric that is added up over clips."""

    def __init__(self, metric: ClipMetric) -> None:
        self.metric = metric
        self.sums: dict[str, tuple[float, ...]] = {}
        self.left_out: dict[tuple[str, str], str] = {}  # (clip, side) -> reason

    def add(self, pair: Pair) -> None:
        """Measure a clip; what cannot be measured is noted with its reason."""
        try:
            sums = self.metric.measure(pair, **self.metric.settings)
            if not np.isfinite(sums).all():
                raise LeftOut("gives a value that is no number")
        except Absent:
            return
        except (LeftOut, ConditionError) as reason:
            self.left_out[pair.clip_id, "generated"] = str(reason)
        else:
            self.sums[pair.clip_id] = sums

    @property
    def count(self) -> int:
        """Clips behind the value."""
        return len(self.sums)

    @property
    def measured(self) -> set[str]:
        """The clips behind the value."""
        return set(self.sums)

    def value(self, ids: Sequence[str]) -> float | None:
        """The metric over the clips `ids`, each taken once; None where they give no number."""
        return _one_value(self, ids)

    def values(self, ids: Sequence[str], draws: np.ndarray) -> np.ndarray:
        """The metric for draws (R, N) of the clips `ids`, (R,); NaN where a draw gives none."""
        width = len(next(iter(self.sums.values()), (0.0, 0.0)))
        nothing = (0.0,) * width
        sums = np.array([self.sums.get(name, nothing) for name in ids], dtype=np.float64).reshape(len(ids), width)
        return self.metric.value(draws @ sums)

    def interval(self, ids: Sequence[str], draws: np.ndarray, value: float | None) -> Interval | None:
        """Bootstrap interval over the clips; `value`: the metric over all of them."""
        return percentile_interval(self.values(ids, draws)) if self.count > 1 and value is not None else None

    def per_clip(self) -> dict[str, float]:
        """The metric of each clip alone, where it has one."""
        values = {name: float(self.metric.value(np.array(sums))) for name, sums in self.sums.items()}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def note(self) -> str | None:
        """What must be known to read the value."""
        return None

    def without_value(self) -> str:
        """Why there is no value though clips were measured."""
        return f"nothing in the {self.count} measured clips to take it of, such as a sound, an event or a match"


class SetTally:
    """Rows of a metric of sets, by side and clip."""

    def __init__(self, metric: SetMetric) -> None:
        self.metric = metric
        self.rows: dict[str, dict[str, Tensor]] = {side: {} for side in self._sides()}
        self.left_out: dict[tuple[str, str], str] = {}  # (clip, side) -> reason

    def _sides(self) -> tuple[str, ...]:
        return ("generated", "reference") if self.metric.two_sides else ("generated",)

    def add(self, pair: Pair) -> None:
        """Take in a clip's rows of each side; what cannot be had is noted with its reason."""
        for side, rows in self.rows.items():
            try:
                found = self.metric.measure(pair, side, **self.metric.settings)
                if not torch.isfinite(found).all():
                    raise LeftOut("gives features that are no numbers")
            except Absent:
                continue
            except (LeftOut, ConditionError) as reason:
                self.left_out[pair.clip_id, side] = str(reason)
            else:
                rows[pair.clip_id] = found

    @property
    def count(self) -> int:
        """Generated clips behind the value; 0 where one side is empty."""
        return min(len(self.rows["generated"]), *(len(rows) for rows in self.rows.values())) and len(
            self.rows["generated"])

    @property
    def measured(self) -> set[str]:
        """The generated clips behind the value."""
        return set(self.rows["generated"])

    def value(self, ids: Sequence[str]) -> float | None:
        """The metric over the clips `ids`, each taken once; None where they give no number."""
        return _one_value(self, ids)

    def values(self, ids: Sequence[str], draws: np.ndarray) -> np.ndarray:
        """The metric for draws (R, N) of the clips `ids`, (R,); NaN where a draw gives none."""
        return np.array([self._value(ids, draw) for draw in draws])

    def resamples(self) -> int:
        """How many draws are taken, for each costs as much as the metric."""
        if not self.metric.resampled:
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
        """What must be known to read the value."""
        sides = [torch.cat([rows[name] for name in sorted(rows)]) for rows in self.rows.values()]
        return self.metric.note(sides[0], sides[1] if self.metric.two_sides else None)

    def without_value(self) -> str:
        """Why there is no value though clips were measured."""
        return f"too few clips: {' against '.join(str(len(rows)) for rows in self.rows.values())}"

    def _value(self, ids: Sequence[str], draw: np.ndarray) -> float:
        sides: list[Tensor | None] = []
        for rows in self.rows.values():
            taken = [rows[name] for name, times in zip(ids, draw.tolist()) if name in rows for _ in range(times)]
            if not taken:
                return float("nan")
            sides.append(torch.cat(taken))
        generated, reference = (*sides, None)[:2]
        assert generated is not None
        return self.metric.value(generated, reference)


Tally = ClipTally | SetTally


def _one_value(tally: Tally, ids: Sequence[str]) -> float | None:
    value = float(tally.values(ids, np.ones((1, len(ids)), int))[0]) if tally.count else np.nan
    return value if np.isfinite(value) else None


def tally_of(metric: Metric) -> Tally:
    """An empty tally for a metric."""
    return ClipTally(metric) if isinstance(metric, ClipMetric) else SetTally(metric)
