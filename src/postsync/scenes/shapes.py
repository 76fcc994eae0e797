"""How a single sound of each family rises and rings: what a hit that is given as a time alone is drawn with.

Medians over the recordings of the training folds, `python benchmarks/shapes.py`; of families without recordings the
middle of the lengths that their synthesis has.
"""

from __future__ import annotations

from dataclasses import dataclass

from .events import LENGTHS_S

FALL_40_DB = 4.6  # decay times until a sound has fallen by 40 dB
IMPULSIVE_S = 0.04  # families that rise faster are hits


@dataclass(frozen=True)
class Shape:
    """Seconds from the onset to the peak, and the decay time (to 1/e of the amplitude) after it."""

    rise_s: float
    ring_s: float

    @property
    def impulsive(self) -> bool:
        """Whether it is a hit, which sounds at once."""
        return self.rise_s < IMPULSIVE_S


_MEASURED = {  # family: (rise_s, ring_s)
    "wood_strike": (0.005, 0.052), "metal_strike": (0.015, 0.109), "glass_strike": (0.0, 0.04),
    "plastic_strike": (0.035, 0.055), "stone_strike": (0.0, 0.043), "drum_strike": (0.005, 0.064),
    "gravel_strike": (0.03, 0.087), "footsteps": (0.03, 0.057), "door_knock": (0.005, 0.05),
    "clock_tick": (0.02, 0.037), "bell": (0.03, 0.534), "splash": (0.1, 0.212), "bark": (0.065, 0.059),
    "cymbal": (0.01, 0.443), "clap": (0.01, 0.028), "bang": (0.005, 0.061), "door_slam": (0.03, 0.091),
    "door_creak": (0.115, 0.072), "gun_shot": (0.015, 0.12), "gun_handling": (0.03, 0.02), "explosion": (0.025, 0.487),
    "fireworks": (0.002, 0.2), "thunder": (0.332, 0.361), "glass_break": (0.0, 0.167), "ceramic_break": (0.005, 0.1),
    "wood_break": (0.125, 0.054), "coins": (0.03, 0.109), "punch": (0.03, 0.062), "whoosh": (0.038, 0.047),
    "step_grass": (0.14, 0.063), "step_gravel": (0.065, 0.05), "step_metal": (0.01, 0.072), "step_snow": (0.11, 0.062),
    "step_water": (0.145, 0.102), "hi_hat": (0.005, 0.052), "snare_drum": (0.008, 0.066), "bass_drum": (0.03, 0.079),
    "cat": (0.16, 0.187), "rooster": (0.17, 0.418), "cow": (0.4, 0.3), "horse": (0.3, 0.3), "sheep": (0.2, 0.15),
    "duck": (0.095, 0.053), "bird": (0.175, 0.107), "roar": (0.185, 0.174), "baby_cry": (0.27, 0.167),
    "sneeze": (0.065, 0.109), "laugh": (0.09, 0.2), "scream": (0.092, 0.2), "bite": (0.125, 0.128),
    "car_horn": (0.05, 0.3),
}

SHAPES: dict[str, Shape] = {family: Shape(0.0, sum(lengths) / 2 / FALL_40_DB) for family, lengths in LENGTHS_S.items()
                            } | {family: Shape(*values) for family, values in _MEASURED.items()}
