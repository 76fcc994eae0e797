"""The table of readers: which one is taken, which are refused, and that all keep the contract."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from postsync import weights
from postsync.errors import ConditionError, WeightsError
from postsync.timing.motion import MotionEnvelope
from postsync.timing.predictor import TimingPredictor
from postsync.timing.readers import ANALYSIS_SIZE, READERS, open_reader, reader_name
from postsync.timing.timing import Timing


def knocks(count: int = 75):
    """A bright block that falls and stops, once a second at 25 frames a second."""
    ground = np.random.default_rng(0).uniform(80, 120, (ANALYSIS_SIZE, ANALYSIS_SIZE))
    for k in range(count):
        frame = ground.copy()
        top = round(60 * min(1.0, (k % 25) / 12) ** 2)
        frame[top:top + 20, 40:60] = 230
        yield frame.astype(np.uint8), k / 25


@pytest.mark.parametrize("name", READERS)
def test_every_reader_keeps_the_contract(name):
    reader = open_reader(name)
    for frame, time_s in knocks():
        reader.push(frame, time_s)
    timing = reader.finish(3.0)
    assert isinstance(timing, Timing)
    assert timing.envelope.values.shape == (300,)
    assert timing.envelope.values.max() > 0.1
    assert timing.estimated == (name == "motion")
    assert torch.equal(open_reader(name).finish(1.0).envelope.values, torch.zeros(100))
    assert READERS[name].name == name


def test_the_preferred_reader_is_the_first_whose_weights_are_there(monkeypatch):
    assert reader_name() == reader_name("predicted") == "predicted"
    assert reader_name("motion") == "motion"
    monkeypatch.setattr(weights, "available", lambda: [])
    assert reader_name() == "motion"
    assert isinstance(open_reader("motion"), MotionEnvelope)
    with pytest.raises(WeightsError, match="use --timing motion"):
        open_reader("predicted")
    for attempt in (reader_name, open_reader):
        with pytest.raises(ConditionError, match="there are: predicted, motion"):
            attempt("guess")


def test_a_reader_may_be_given_weights_of_its_own(tmp_path, monkeypatch):
    TimingPredictor(num_members=1, width=8, hidden=8).save_pretrained(tmp_path)
    monkeypatch.setattr(weights, "available", lambda: [])
    reader = open_reader("predicted", tmp_path)
    assert len(reader.predictor.members) == 1


def test_the_table_is_read_without_torch():
    code = "import sys, postsync.timing.readers as r; r.reader_name(); raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
