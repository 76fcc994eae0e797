"""The objective: what it prepares, what it minimises, what it exports."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from postsync.errors import ConditionError, WeightsError
from postsync.protocols.clip import Event
from postsync.scenes.render import clean_scenes, render_scene
from postsync.timing.motion_features import FEATURE_RATE
from postsync.timing.objective import TimingObjective, smoothed_rise, timing
from postsync.timing.predictor import INPUT_CHANNELS, NUM_CELLS, TimingPredictor

SCENES = clean_scenes(duration_s=2.0, size=48, fps=20.0, families=("wood_strike",))


@pytest.fixture(scope="module")
def clips():
    return [render_scene(seed, SCENES) for seed in range(4)]


@pytest.fixture
def objective() -> TimingObjective:
    torch.manual_seed(0)
    return TimingObjective(TimingPredictor(num_members=2, width=8, hidden=8))


@pytest.fixture(scope="module")
def batch(clips):
    prepared = [TimingObjective(TimingPredictor(num_members=1, width=4, hidden=4)).prepare(clip) for clip in clips]
    return {name: torch.stack([sample[name] for sample in prepared]) for name in prepared[0]}


def test_prepared_features(batch, clips):
    length = round(2 * FEATURE_RATE)
    assert batch["cells"].shape == (4, INPUT_CHANNELS, NUM_CELLS, length)
    assert batch["envelope"].amax(1).tolist() == pytest.approx([1.0] * 4, abs=0.05)
    for row, clip in zip(batch["onsets"].float(), clips, strict=True):
        for event in clip.events:
            if event.visible:
                assert row[round(event.t * FEATURE_RATE)] > 0.8
    assert all(value.dtype == torch.float16 for value in batch.values())


def test_what_has_no_visible_cause_is_left_out(objective, clips):
    unseen = dataclasses.replace(clips[0], events=(Event(0.5, 0.7, "wood_strike", visible=False),
                                                   Event(1.2, 1.4, "wood_strike")))
    sample = objective.prepare(unseen)
    assert sample["seen"][round(0.6 * FEATURE_RATE)] == 0
    assert sample["seen"][round(1.3 * FEATURE_RATE)] == 1
    assert sample["onsets"][round(0.5 * FEATURE_RATE)] < 0.01
    data = {name: value[None].float() for name, value in sample.items()}
    objective.eval()
    before = objective(data, step=0)
    data["envelope"] = torch.where(data["seen"] > 0, data["envelope"], 0.7)
    for name, value in objective(data, step=0).items():
        torch.testing.assert_close(value, before[name], atol=2e-2, rtol=2e-2)


def test_it_learns(objective, batch):
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=1e-2)
    losses = []
    for step in range(30):
        loss = objective(batch, step=step, generator=torch.Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_variation_comes_from_the_generator_and_only_in_training(objective, batch):
    for member in objective.modules():
        if isinstance(member, torch.nn.Dropout):
            member.p = 0.0
    losses = [float(objective(batch, step=0, generator=torch.Generator().manual_seed(seed))["loss"].detach())
              for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    objective.eval()
    assert float(objective(batch, step=0)["loss"]) == float(objective(batch, step=0)["loss"])


def test_silent_clips_teach_silence_alone(objective, clips):
    silent = dataclasses.replace(clips[0], events=(), envelope=torch.zeros(200))
    data = {name: value[None] for name, value in objective.prepare(silent).items()}
    values = objective.eval()(data, step=0)
    assert values["loudness"] == values["rise"] == 0
    assert values["onset"] > 0
    assert values["sounding"] > 0


def test_clips_that_cannot_teach_are_refused(objective, clips):
    with pytest.raises(ConditionError, match="no frames"):
        objective.prepare(dataclasses.replace(clips[0], frames=None))
    with pytest.raises(ConditionError, match="no sound"):
        objective.prepare(dataclasses.replace(clips[0], envelope=None, waveform=None))
    from_sound = objective.prepare(dataclasses.replace(clips[0], envelope=None, events=()))
    assert from_sound["envelope"].max() > 0.9
    assert from_sound["onsets"].max() > 0.5


def test_export_loads(objective, tmp_path):
    objective.export(tmp_path)
    loaded = TimingPredictor.from_pretrained(tmp_path).eval()
    cells = torch.rand(1, INPUT_CHANNELS, NUM_CELLS, 20)
    torch.testing.assert_close(loaded(cells), objective.predictor.eval()(cells), atol=5e-3, rtol=2e-2)


def test_rise_is_of_loudness_and_never_negative():
    level = torch.zeros(1, 20)
    level[:, 8:] = 1
    rise = smoothed_rise(level)
    assert rise.min() == 0
    assert rise[0, 7:9].min() > 0.5
    assert smoothed_rise(-level).amax() == 0


def test_members_trained_earlier_join_the_new_ones(objective, tmp_path):
    objective.export(tmp_path / "first")
    later = timing("tiny", beside=tmp_path / "first")
    assert sum(1 for _ in later.parameters()) == sum(1 for _ in timing("tiny").parameters())  # they are not trained
    later.export(tmp_path / "both")
    both = TimingPredictor.from_pretrained(tmp_path / "both")
    assert both.config["num_members"] == 3
    cells = torch.rand(1, INPUT_CHANNELS, NUM_CELLS, 40)
    alone = [TimingPredictor.from_pretrained(tmp_path / "first").float(), later.predictor]
    mean = (2 * alone[0].eval()(cells) + alone[1].eval()(cells)) / 3
    assert torch.allclose(both.float().eval()(cells), mean, atol=2e-3)
    TimingPredictor(num_members=1, width=4, hidden=4).save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="members of different shapes"):
        timing("tiny", beside=tmp_path / "other")
    with pytest.raises(WeightsError, match="no timing predictor"):
        timing("tiny", beside=tmp_path / "none")
