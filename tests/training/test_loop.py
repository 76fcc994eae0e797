"""The loop on a line to fit: it learns, resumes exactly, saves on Ctrl-C, keeps frozen parts still, exports the EMA."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.tensorboard  # slow: not within a test
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from postsync.errors import PostsyncError
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective
from postsync.protocols.train_config import TrainConfig
from postsync.training.loop import batch_indices, dropout_seed, forget_origins, move, noise_seed, train
from tied_objective import TiedObjective

CONFIG = TrainConfig(steps=6, batch_size=4, lr=0.05, warmup=2, weight_decay=0.0, ema_decay=0.9, log_every=1)


class Lines:
    """Clips whose sound is y = 3 x - 1 in disguise."""

    def __init__(self, count: int = 16) -> None:
        self.count, self.read = count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Clip:
        self.read += 1
        x = torch.linspace(-1, 1, 8) + index / self.count
        return Clip(str(index), 1.0, waveform=torch.stack([x, 3 * x - 1]), sample_rate=8)


class LineObjective(Objective):
    def __init__(self, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.drop = nn.Dropout(0.2)
        self.tower = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)
        self.interrupt_at = interrupt_at
        self.teachers: list[float] = []
        self.noises: list[float] = []

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, 8, 1.0)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        if step == self.interrupt_at:
            raise KeyboardInterrupt
        assert teacher is not None
        assert not self.tower.training
        self.teachers.append(float(teacher.line.weight))
        assert generator is not None
        assert generator.device.type == "cpu"
        noise = 0.01 * torch.randn(batch["y"].shape, generator=generator)
        self.noises.append(noise[0, 0].item())
        error = self.line(self.drop(batch["x"])) - batch["y"] + noise
        return {"loss": error.square().mean(), "bias": self.line.bias.mean()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.line.weight]}, {"params": [self.line.bias], "lr": 0.1}]

    def frozen(self) -> list[nn.Module]:
        return [self.tower]

    def prepare(self, clip: Clip) -> Batch:
        assert clip.waveform is not None
        return {"x": clip.waveform[0, :, None], "y": clip.waveform[1, :, None]}

    def export(self, folder: Path) -> None:
        save_file(self.line.state_dict(), folder / "model.safetensors")


def test_learns_the_line(tmp_path: Path) -> None:
    objective = LineObjective()
    objective.drop.p = 0.0
    export = train(objective, Lines(), replace(CONFIG, steps=100, lr=0.15, log_every=50), tmp_path, cpu=True)
    line = load_file(export / "model.safetensors")
    assert line["weight"].item() == pytest.approx(3.0, abs=0.1)
    assert line["bias"].item() == pytest.approx(-1.0, abs=0.1)


def test_resumed_run_equals_the_straight_one(tmp_path: Path) -> None:
    straight = train(LineObjective(), Lines(), CONFIG, tmp_path / "a", cpu=True)
    with pytest.raises(KeyboardInterrupt):
        train(LineObjective(interrupt_at=3), Lines(), CONFIG, tmp_path / "b", cpu=True)
    assert not (tmp_path / "b" / "export").exists()
    resumed = train(LineObjective(), Lines(), CONFIG, tmp_path / "b", cpu=True, resume=True)
    a, b = load_file(straight / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    steps = [json.loads(line)["step"] for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_frozen_parts_do_not_move_and_export_is_the_average(tmp_path: Path) -> None:
    objective = LineObjective()
    tower = [p.clone() for p in objective.tower.parameters()]
    export = train(objective, Lines(), CONFIG, tmp_path, cpu=True)
    assert all(torch.equal(a, b) for a, b in zip(tower, objective.tower.parameters(), strict=True))
    assert objective.teachers[0] == 0.0
    assert 0.0 < objective.teachers[-1] < load_file(export / "model.safetensors")["weight"].item()


def test_trained_part_of_a_frozen_module_is_trained_and_averaged(tmp_path: Path) -> None:
    class Mixed(LineObjective):  # a frozen module may hold a projection that is trained
        def frozen(self) -> list[nn.Module]:
            return [self.tower, nn.ModuleList([self.line])]

    objective = Mixed()
    train(objective, Lines(), CONFIG, tmp_path, cpu=True)
    assert objective.line.weight.item() > 0
    assert objective.teachers[-1] < objective.line.weight.item()
    assert not any(p.requires_grad for p in objective.tower.parameters())


def test_fit_sees_the_features_before_the_first_step(tmp_path: Path) -> None:
    class Fitted(LineObjective):
        mean = 0.0

        def fit(self, samples: Iterable[Batch]) -> None:
            assert not self.teachers
            self.mean = float(torch.stack([s["x"] for s in samples]).mean())

    objective = Fitted()
    train(objective, Lines(), CONFIG, tmp_path, cpu=True)
    assert objective.mean == pytest.approx(15 / 32)
    resumed = Fitted()
    train(resumed, Lines(), replace(CONFIG, steps=7), tmp_path, cpu=True, resume=True)
    assert resumed.mean == objective.mean


def test_features_are_prepared_once_and_read_again(tmp_path: Path) -> None:
    first, second = Lines(), Lines()
    train(LineObjective(), first, CONFIG, tmp_path / "a", cpu=True, features=tmp_path / "c", key="lines 16")
    train(LineObjective(), second, CONFIG, tmp_path / "b", cpu=True, features=tmp_path / "c", key="lines 16")
    assert (first.read, second.read) == (16, 0)
    train(LineObjective(), second, CONFIG, tmp_path / "b", cpu=True, features=tmp_path / "c", key="lines 17")
    assert second.read == 16


def test_noise_never_repeats_however_many_batches_make_a_step(tmp_path: Path) -> None:
    objective = LineObjective()
    train(objective, Lines(), replace(CONFIG, steps=2, accumulation=150), tmp_path, cpu=True, tracker="none")
    assert len(set(objective.noises)) == len(objective.noises) == 300
    seeds = [noise_seed(seed, place) for seed in range(5) for place in range(1000)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in (*seeds, noise_seed(0, 2**32 - 1)))


def test_drop_out_does_not_follow_the_noise(tmp_path: Path) -> None:
    class Draws(LineObjective):
        def forward(self, batch: Batch, *, generator: torch.Generator | None = None, **rest: Any) -> Batch:
            noise, dropped = torch.rand(64, generator=generator), torch.rand(64)  # as drop-out draws
            assert not torch.equal(noise, dropped)
            assert torch.corrcoef(torch.stack([noise, dropped]))[0, 1].abs() < 0.5
            self.draws.append(dropped[0].item())
            return super().forward(batch, generator=generator, **rest)

    first, second = Draws(), Draws()
    for name, objective in (("a", first), ("b", second)):
        objective.draws = []
        train(objective, Lines(), CONFIG, tmp_path / name, cpu=True, tracker="none")
    assert len(set(first.draws)) == len(first.draws) == CONFIG.steps
    assert first.draws == second.draws
    noise, dropped = ([seeds(3, place) for place in range(1000)] for seeds in (noise_seed, dropout_seed))
    assert len({*noise, *dropped}) == 2000
    assert all(0 <= seed < 2**32 for seed in dropped)


def sounds() -> list[Clip]:
    generator = torch.Generator().manual_seed(0)
    rises = [torch.linspace(0, 1, 16000).roll(999 * i) for i in range(8)]
    return [Clip(str(i), 1.0, waveform=torch.rand(1, 16000, generator=generator) * rise, sample_rate=16000)
            for i, rise in enumerate(rises)]


def test_tied_parts_are_trained_resumed_averaged_and_exported(tmp_path: Path) -> None:
    objectives = []
    for name, budgets in (("straight", (6,)), ("resumed", (3, 6))):
        for steps in budgets:
            torch.manual_seed(0)
            objectives.append(objective := TiedObjective())
            config = replace(CONFIG, steps=steps, schedule="constant")
            export = train(objective, sounds(), config, tmp_path / name, cpu=True, resume=steps != budgets[0],
                           tracker="none")
    straight, _, resumed = objectives
    a, b = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(a[name], value) for name, value in b.items())
    assert resumed.head.weight is resumed.embedding.weight
    assert resumed.adapter.weight is resumed.tower.weight
    assert resumed.before.level is resumed.after.level
    assert resumed.peek.item() == resumed.before.level.item() != 1.0
    published = load_file(export / "model.safetensors")
    assert torch.equal(next(v for name, v in published.items() if name.endswith("weight")),
                       resumed.embedding.weight.half())
    saved = load_file(tmp_path / "resumed" / "state" / "trained.safetensors")
    assert torch.equal(saved["average.embedding.weight"], resumed.embedding.weight)
    assert not torch.equal(saved["trained.embedding.weight"], saved["average.embedding.weight"])
    assert {name for name in saved if "head" in name or "adapter" in name} == {
        f"{kind}.{name}" for kind in ("trained", "average") for name in ("head.bias", "adapter.bias")}


def test_shared_buffers_stay_shared_when_they_move() -> None:
    objective = TiedObjective()
    move(objective, torch.device("meta"))
    assert objective.before.level is objective.after.level
    assert objective.before.level.device.type == "meta"


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    one, other = LineObjective(), LineObjective()
    train(one, Lines(), replace(CONFIG, steps=1), tmp_path / "a", cpu=True)
    train(other, Lines(), replace(CONFIG, steps=1, seed=1), tmp_path / "b", cpu=True)
    assert one.noises != other.noises
    with pytest.raises(PostsyncError, match="seed is -1"):
        replace(CONFIG, seed=-1)


def test_time_budget_ends_the_run(tmp_path: Path) -> None:
    train(LineObjective(), Lines(), replace(CONFIG, steps=10**9, max_minutes=0.001), tmp_path, cpu=True)
    assert 1 <= json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] < 10**5


def test_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    lines = Lines()
    objective = LineObjective()
    nn.init.constant_(objective.line.weight, float("nan"))
    with pytest.raises(PostsyncError, match="lower --lr"):
        train(objective, lines, CONFIG, tmp_path, cpu=True)
    assert not (tmp_path / "state").exists()


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match="without --resume"):
        train(LineObjective(), Lines(), CONFIG, tmp_path, cpu=True, resume=True)


def test_no_clips(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match="--count"):
        train(LineObjective(), Lines(0), CONFIG, tmp_path, cpu=True)


def test_every_clip_comes_once_per_epoch() -> None:
    seen = torch.cat([batch_indices(step, 4, 10, seed=1) for step in range(5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_precision_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match="fp8 is not known"):
        replace(CONFIG, mixed_precision="fp8")
    with pytest.raises(PostsyncError, match="fp16 takes a CUDA device"):
        train(LineObjective(), Lines(), replace(CONFIG, mixed_precision="fp16"), tmp_path, cpu=True)


def test_schedule() -> None:
    config = TrainConfig(steps=100, warmup=10)
    assert config.lr_factor(0) == pytest.approx(0.1)
    assert config.lr_factor(50) == pytest.approx(0.5)
    assert config.lr_factor(100) == pytest.approx(0.0, abs=1e-9)
    assert replace(config, max_minutes=1.0).lr_factor(10, elapsed_s=30) == pytest.approx(0.5)
    constant = replace(config, schedule="constant")
    assert [constant.lr_factor(step) for step in (0, 9, 50, 99)] == pytest.approx([0.1, 1.0, 1.0, 1.0])


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    class Quiet(LineObjective):  # neither drop-out nor noise
        def forward(self, batch: Batch, **rest: object) -> Batch:
            return {"loss": (self.line(batch["x"]) - batch["y"]).square().mean()}

    def weight(batch_size: int, accumulation: int = 1) -> Tensor:
        config = replace(CONFIG, batch_size=batch_size, accumulation=accumulation, lr=0.5)
        folder = tmp_path / f"{batch_size}-{accumulation}"
        return load_file(train(Quiet(), Lines(), config, folder, cpu=True) / "model.safetensors")["weight"]

    large = weight(8)
    torch.testing.assert_close(weight(2, 4), large, atol=3e-6, rtol=0)
    assert (weight(2) - large).abs() > 2e-5


def test_an_export_does_not_tell_where_its_parts_came_from(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "config.json").write_text('{"_name_or_path": "/home/someone/start", "width": 3}')
    (tmp_path / "config.json").write_text('{"width": 4}')
    forget_origins(tmp_path)
    assert json.loads((tmp_path / "part" / "config.json").read_text()) == {"width": 3}
    assert (tmp_path / "config.json").read_text() == '{"width": 4}'
