"""CAVP's training: where segments lie, what the two contrasts reward, what is prepared, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync.encoders.cavp import Cavp
from postsync.encoders.cavp_objective import CavpObjective, info_nce, mini, paper, tiny
from postsync.errors import ConditionError
from postsync.protocols.clip import Clip, frames_at


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(index: int = 0, duration_s: float = 2.0, **changes) -> Clip:
    g, count = seeded(index), round(10 * duration_s)
    return Clip(**{"clip_id": str(index), "duration_s": duration_s, "times": torch.arange(count) / 10,
                   "frames": torch.randint(0, 255, (count, 3, 20, 24), generator=g, dtype=torch.uint8),
                   "waveform": torch.rand(2, round(16000 * duration_s), generator=g) - 0.5, "sample_rate": 16000}
                | changes)


def batch(objective: CavpObjective, size: int = 3) -> dict[str, torch.Tensor]:
    samples = [objective.prepare(clip(i)) for i in range(size)]
    return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}


@pytest.mark.parametrize("settings", [paper(), mini(), tiny()])
def test_segments_lie_in_the_clip_and_apart(settings):
    objective = CavpObjective(replace(tiny(), **{n: getattr(settings, n) for n in (
        "clip_steps", "segment_steps", "segments", "min_gap")}))
    starts = objective._starts(300, seeded())
    assert starts.min() == 0
    assert starts.max() == settings.clip_steps - settings.segment_steps
    assert starts.diff(dim=1).min() == settings.min_gap
    with pytest.raises(ValueError, match="do not fit"):
        CavpObjective(replace(tiny(), segments=9))._starts(1, seeded())


def test_info_nce():
    assert info_nce(torch.zeros(2, 5, 5)).item() == pytest.approx(torch.tensor(5.0).log().item())
    assert info_nce(50 * torch.eye(4)[None]).item() < 1e-6
    assert info_nce(50 * torch.eye(4).flip(0)[None]).item() == pytest.approx(50, abs=1e-3)
    rows = torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    columns = torch.nn.functional.cross_entropy(rows.T, torch.tensor([0, 1]))
    lines = torch.nn.functional.cross_entropy(rows, torch.tensor([0, 1]))
    assert info_nce(rows[None]).item() == pytest.approx((lines + columns).item() / 2)


def test_prepared_samples_hold_four_pictures_a_second_and_their_mel():
    objective = CavpObjective(tiny())
    given = clip()
    sample = objective.prepare(given)
    assert sample["pictures"].shape == (8, 3, 32, 32)
    assert sample["mel"].shape == (128, 128)
    same = objective.prepare(replace(given, frames=given.frames.clone().index_fill_(0, torch.tensor([1, 3, 4]), 0)))
    assert torch.equal(same["pictures"], sample["pictures"])  # at 0, 0.25, 0.5 s frames 0, 2 and 5 are shown
    shown = frames_at(torch.arange(3), torch.tensor([0.0, 0.5, 0.9]), torch.tensor([0.0, 0.6, 5.0]))
    assert shown.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("broken", "message"), [
    ({"frames": None}, "both pictures and sound"), ({"waveform": None}, "both"), ({"sample_rate": 8000}, "16000 Hz"),
    ({"duration_s": 1.5}, r"lasts 1\.50 s.*2 s")])
def test_clips_that_cannot_be_prepared_are_named(broken, message):
    with pytest.raises(ConditionError, match=message):
        CavpObjective(tiny()).prepare(clip(**broken))


def test_the_temperature_stays_in_its_bounds_and_the_temporal_weight_counts():
    objective = CavpObjective(tiny()).eval()
    given = batch(objective)
    values = objective(given, step=0, generator=seeded())
    assert values["loss"].item() == pytest.approx((values["semantic"] + values["temporal"]).item())
    with torch.no_grad():
        objective.cavp.logit_scale.fill_(20.0)
    hot = objective(given, step=0, generator=seeded())["loss"]
    with torch.no_grad():
        objective.cavp.logit_scale.fill_(torch.tensor(100.0).log())
    assert objective(given, step=0, generator=seeded())["loss"].item() == pytest.approx(hot.item(), rel=1e-4)


def test_learns_which_sound_belongs_to_which_moment(tmp_path):
    torch.manual_seed(0)
    objective = CavpObjective(tiny())
    given = batch(objective, 2)
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=1e-2)
    losses = []
    for _ in range(15):
        values = objective(given, step=0)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(values["loss"].item())
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    objective.export(tmp_path)
    stored = Cavp.from_pretrained(tmp_path)
    assert stored.config["embed_dim"] == 12
    torch.testing.assert_close(stored.logit_scale.float(), objective.cavp.logit_scale.data, atol=1e-2, rtol=1e-2)
