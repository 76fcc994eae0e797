"""Metrics of sets: rows of features of every clip, pooled, and what the two sets have to do with each other."""

from __future__ import annotations

from torch import Tensor

from ..metrics.frechet import frechet_distance
from .observation import LeftOut, Observation, Pair


def side_of(pair: Pair, side: str) -> Observation:
    """One side of a pair; LeftOut where it is missing."""
    return pair.generated if side == "generated" else pair.reference


def heard_rows(pair: Pair, side: str, network: str, key: str) -> Tensor:
    """Rows (n, D) that a network gives for the sound: one a clip, or one a window."""
    rows = side_of(pair, side).heard(network)[key].flatten(0, -2)
    if not len(rows):
        raise LeftOut(f"is shorter than the window of {network}")
    return rows


def frechet(generated: Tensor, reference: Tensor | None) -> float:
    """Frechet distance of two sets of rows, unbiased covariances."""
    assert reference is not None
    if min(len(generated), len(reference)) < 2:
        return float("nan")
    return float(frechet_distance(generated, reference))


def few_rows(generated: Tensor, reference: Tensor | None) -> str | None:
    """What it does to a Frechet distance that there are fewer rows than features."""
    assert reference is not None
    fewest, width = min(len(generated), len(reference)), generated.shape[1]
    if fewest > width:
        return None
    return (f"{fewest} rows of {width} features: the covariances are singular and the distance is too large; compare "
            "it only with distances of as many rows")
