"""An envelope that somebody guessed, as opposed to one that was measured or drawn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EstimatedEnvelope:
    """A predictor's envelope, (M,) or (B, M) linear RMS 0..1 at 100 Hz.

    What follows it may depart from it where predictors tend to err; a bare tensor is followed to the letter.
    """

    values: Tensor


def curve_of(envelope: Tensor | EstimatedEnvelope | None) -> Tensor | None:
    """The numbers of an envelope, measured or estimated."""
    return envelope.values if isinstance(envelope, EstimatedEnvelope) else envelope
