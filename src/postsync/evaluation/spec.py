"""What a suite consists of: metrics named with their settings. Two kinds: added up over clips, and taken of sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from torch import Tensor

from .networks import Networks


def mean(sums: np.ndarray) -> np.ndarray:
    """(..., 2) sums of values and of their number -> (...); NaN where there are none."""
    return ratio(sums[..., 0], sums[..., 1])


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


@dataclass(frozen=True)
class Described:
    """What both kinds of metrics share."""

    name: str
    higher_is_better: bool | None
    unit: str | None = None
    networks: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()  # packages of the extra `eval`
    pictures: bool = False  # whether it looks at the picture
    reads: bool = False  # whether it reads captions
    settings: Mapping[str, Any] = field(default_factory=dict)  # arguments of `measure`
    about: Mapping[str, Any] = field(default_factory=dict)  # what else must be said for others to repeat it

    def obstacle(self, networks: Networks) -> str | None:
        """Why the metric cannot be computed here, with what to do about it; None where it can."""
        absent = [name for name in self.modules if find_spec(name) is None]
        if absent:
            return f"needs {', '.join(absent)}: pip install 'postsync[eval]'"
        return next((reason for name in self.networks if (reason := networks.missing(name, self.reads))), None)


@dataclass(frozen=True)
class ClipMetric(Described):
    """`measure(pair, **settings)` gives what a clip adds, K numbers; `value` turns sums (..., K) into values (...).

    By default a clip adds (x, 1), and the value is the mean.
    """

    measure: Callable[..., tuple[float, ...]] = field(kw_only=True)
    value: Callable[[np.ndarray], np.ndarray] = mean


@dataclass(frozen=True)
class SetMetric(Described):
    """`measure(pair, side, **settings)` gives a clip's rows (n, D); `value(generated, reference)` compares the sets.

    Rows of all clips are pooled in the order of their ids. Without `two_sides` there is no reference set, and `value`
    is given None.
    """

    measure: Callable[..., Tensor] = field(kw_only=True)
    value: Callable[[Tensor, Tensor | None], float] = field(kw_only=True)
    two_sides: bool = True
    resampled: bool = True  # False: too dear, or wrong with rows that repeat, so that there is no interval
    note: Callable[[Tensor, Tensor | None], str | None] = lambda generated, reference: None


Metric = ClipMetric | SetMetric


@dataclass(frozen=True)
class Suite:
    """Metrics under one protocol."""

    name: str
    summary: str
    metrics: tuple[Metric, ...]
    duration_s: float  # of each clip no more than its first seconds are measured
    picture_of: Literal["generated", "reference"] = "reference"  # whose picture counts where both have one


def frozen_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sorted(settings.items())}
