"""Is the right thing heard: rank, score, and names of classes."""

from __future__ import annotations

import pytest
import torch

from postsync.metrics.heard import HEARD_AS, Heard, HeardScore, accepted_places, families_heard_as, heard_classes_of
from postsync.scenes.families import KNOWN

NAMES = ("Dog", "Bark", "Walk, footsteps", "Dishes, pots, and pans", "Howl", "Howl (wolf)", "Cat")


def test_a_class_counts_among_the_first_five_from_a_tenth_on() -> None:
    scores = torch.tensor([0.5, 0.4, 0.3, 0.2, 0.15, 0.12, 0.05])
    assert Heard().values(scores, [4]) == 1.0
    assert Heard().values(scores, [5]) == 0.0  # the sixth
    assert Heard().values(scores, [5, 0]) == 1.0
    assert Heard().values(0.1 * scores, [0]) == 0.0  # too faint
    assert float(HeardScore().values(scores, [2, 6])) == pytest.approx(0.3)


def test_means_over_clips() -> None:
    share, score = Heard(), HeardScore()
    for value in (0.9, 0.05):
        scores = torch.tensor([value, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        share.update(scores, [0])
        score.update(scores, [0])
    assert float(share.compute()) == 0.5
    assert float(score.compute()) == pytest.approx(0.475)


def test_names_are_whole_or_up_to_a_comma_or_bracket() -> None:
    assert accepted_places(["Walk"], NAMES) == [2]
    assert accepted_places(["Walk, footsteps", "Dishes, pots, and pans"], NAMES) == [2, 3]
    assert accepted_places(["Howl"], NAMES) == [4, 5]
    assert accepted_places(["Horse"], NAMES) == []


def test_classes_name_the_families_that_may_be_meant() -> None:
    assert families_heard_as(["Meow", "Bleat"], ("cat", "sheep", "cow")) == ("cat", "sheep")
    assert families_heard_as(["Kazoo"], tuple(KNOWN)) == ()


def test_every_family_is_heard_as_something() -> None:
    assert HEARD_AS.keys() == KNOWN.keys()
    assert all(heard_classes_of(name) for name in KNOWN)
    assert "Dishes, pots, and pans" in heard_classes_of("ceramic_strike")
    assert heard_classes_of(None) == heard_classes_of("kazoo") == ()
