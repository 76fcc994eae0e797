"""Several systems side by side, and whether their differences would outlast another choice of clips."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from .bootstrap import draw_clips, paired_difference
from .document import SCHEMA, describe
from .job import Run
from .tally import SetTally, Tally


def compare(run: Run, command: str) -> dict[str, Any]:
    """The JSON of a run over several systems: each one's own under "systems", and "comparison", a row a metric.

    Differences are taken over the clips that both systems have, with the same resamples for both.
    """
    systems = [describe(run, system, command) for system in run.systems]
    by_metric = zip(*(system.tallies for system in run.systems))
    return {"schema": SCHEMA, "kind": "comparison", "suite": run.suite.name, "seed": run.settings.seed,
            "command": command, "systems": systems, "comparison": [_row(run, tallies) for tallies in by_metric]}


def _row(run: Run, tallies: tuple[Tally, ...]) -> dict[str, Any]:
    metric, ids = tallies[0].metric, run.systems[0].ids
    values = [tally.value(ids) for tally in tallies]
    pairs = [(i, k) for i, k in combinations(range(len(tallies)), 2) if tallies[i].count and tallies[k].count]
    return {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better, "values": values,
            "differences": [_difference(run, tallies, i, k) for i, k in pairs]}


def _difference(run: Run, tallies: tuple[Tally, ...], i: int, k: int) -> dict[str, Any]:
    """Value of system i minus that of system k over their common clips, with its interval."""
    first, second = tallies[i], tallies[k]
    ids = sorted(first.measured & second.measured)
    found: dict[str, Any] = {"first": i, "second": k, "count": len(ids), "difference": None, "interval": None,
                             "first_is_better": None}
    if len(ids) < 2:
        return found
    draws = draw_clips(len(ids), run.settings.resamples, run.settings.seed)
    if isinstance(first, SetTally):
        draws = draws[:first.resamples()]
    interval, greater = paired_difference(_statistic(first, ids), _statistic(second, ids), draws)
    wanted = first.metric.higher_is_better
    better = None if greater is None or wanted is None else greater if wanted else 1 - greater
    made, other = first.value(ids), second.value(ids)
    return found | {"difference": None if made is None or other is None else made - other,
                    "interval": None if interval is None else list(interval), "first_is_better": better}


def _statistic(tally: Tally, ids: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda draws: tally.values(ids, draws)
