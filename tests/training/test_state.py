"""What a run keeps: the average (slow start, right value, nothing copied that stands still), and the saved state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.utils.tensorboard  # slow: not within a test
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from postsync.errors import PostsyncError
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective
from postsync.training.state import FILE, ExponentialMovingAverage, Position, SavedState


def parts() -> nn.ModuleDict:
    module = nn.ModuleDict({"trained": nn.Linear(2, 2), "frozen": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2)})
    module["frozen"].requires_grad_(False)
    return module


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_average_follows_with_a_decay_that_grows() -> None:
    module = parts()
    fill(module["trained"], 0.0)
    ema = ExponentialMovingAverage(module, 0.5, [module["frozen"]])
    fill(module["trained"], 1.0)
    ema.update(module, step=0)
    assert float(ema.teacher["trained"].weight[0, 0]) == pytest.approx(0.9)  # decay 1 / 10
    ema.update(module, step=1000)
    assert float(ema.teacher["trained"].weight[0, 0]) == pytest.approx(0.95)  # decay 0.5


def test_frozen_parts_are_shared_and_the_teacher_needs_no_gradient() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9, [module["frozen"]])
    assert ema.teacher["frozen"] is module["frozen"]
    assert ema.teacher["trained"] is not module["trained"]
    assert not any(p.requires_grad for p in ema.teacher.parameters())
    assert all(p.requires_grad for p in module["trained"].parameters())
    assert not ema.teacher.training


def test_frozen_parameters_and_buffers_are_shared_where_a_part_of_their_module_is_trained() -> None:
    module = nn.ModuleDict({"tower": nn.ModuleDict({"body": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2)}),
                            "norm": nn.BatchNorm1d(2)})
    module["tower"]["body"].weight.requires_grad_(False)
    ema = ExponentialMovingAverage(module, 0.9, [module["tower"]])
    mine, theirs = ema.teacher["tower"], module["tower"]
    assert mine["body"].weight is theirs["body"].weight
    assert mine["body"].bias is not theirs["body"].bias
    assert mine["norm"].running_mean is theirs["norm"].running_mean
    assert ema.teacher["norm"].running_mean is not module["norm"].running_mean
    ema.update(module, step=0)


def test_buffers_are_copied() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9)
    module["norm"](torch.randn(8, 2) + 5)
    ema.update(module, step=0)
    assert torch.equal(ema.teacher["norm"].running_mean, module["norm"].running_mean)


def test_state_is_restored() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9)
    state = {name: value.clone() for name, value in ema.state_dict().items()}
    assert not any(name.startswith("frozen") for name in state)
    fill(module["trained"], 7.0)
    ema.update(module, step=5)
    ema.load_state_dict(state)
    ema.copy_to(module)
    assert torch.equal(module["trained"].weight, state["trained.weight"])


class Tower(Objective):
    """A trained line and a norm beside a frozen tower."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.line, self.norm, self.tower = nn.Linear(width, 1), nn.BatchNorm1d(1), nn.BatchNorm1d(500)
        self.tower.requires_grad_(False)

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, None, 1.0)

    def frozen(self) -> list[nn.Module]:
        return [self.tower]

    def prepare(self, clip: Clip) -> Batch:
        return {"x": torch.zeros(2)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        return {"loss": self.norm(self.line(batch["x"])).square().mean() + step}

    def export(self, folder: Path) -> None:
        raise AssertionError("nothing is exported here")


def state_of(folder: Path, objective: Objective) -> SavedState:
    accelerator = Accelerator(cpu=True)
    average = ExponentialMovingAverage(objective, 0.5, objective.frozen())
    accelerator.prepare(objective, torch.optim.AdamW(objective.parameter_groups()))
    return SavedState(folder / "state", accelerator, objective, average, Position())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    objective = Tower()
    state = state_of(tmp_path, objective)
    objective(({"x": torch.randn(8, 2)}), step=0)["loss"].backward()
    with torch.no_grad():
        objective.line.bias.fill_(5.0)
    state.average.update(objective, 3)
    state.position.step, state.position.elapsed_s = 7, 1 / 3
    state.save()
    return tmp_path


def test_a_saved_state_holds_what_is_trained_and_comes_back(saved: Path) -> None:
    tensors = load_file(saved / "state" / FILE)
    assert {name.split(".")[1] for name in tensors} == {"line", "norm"}
    assert sum(path.stat().st_size for path in (saved / "state").rglob("*")) < 40_000
    torch.manual_seed(1)
    state = state_of(saved, objective := Tower())
    state.load()
    assert (state.position.step, state.position.elapsed_s) == (7, 1 / 3)
    assert objective.line.bias.item() == 5.0
    assert torch.equal(objective.norm.running_mean, tensors["trained.norm.running_mean"])
    assert torch.equal(state.average.teacher.norm.running_mean, objective.norm.running_mean)
    assert torch.equal(state.average.teacher.line.bias, tensors["average.line.bias"])
    assert 0 < state.average.teacher.line.bias.item() < 5


def test_a_state_replaces_the_one_before_and_what_a_killed_save_left(saved: Path) -> None:
    (saved / ".state.123.part").mkdir()
    state = state_of(saved, Tower())
    state.position.step = 8
    state.save()
    state.load()
    assert state.position.step == 8
    assert [path.name for path in saved.iterdir()] == ["state"]


@pytest.mark.parametrize("name", [FILE, "optimizer.bin"])
@pytest.mark.parametrize("spoil", [lambda data: data[:-40], lambda data: b"", None], ids=["cut", "empty", "missing"])
def test_a_damaged_state_is_one_sentence(saved: Path, name: str, spoil) -> None:
    path = saved / "state" / name
    if spoil is None:
        path.unlink()
    else:
        path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(PostsyncError, match=r"damaged.*without --resume"):
        state_of(saved, Tower()).load()


@pytest.mark.parametrize("name", [FILE, "optimizer.bin"])
def test_a_damaged_byte_anywhere_is_one_sentence_or_harmless(saved: Path, name: str) -> None:
    path = saved / "state" / name
    data = path.read_bytes()
    refused = 0
    for at in range(0, min(len(data), 600), 12):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:])
        try:
            state_of(saved, Tower()).load()
        except PostsyncError as error:
            refused += "restart without --resume" in " ".join(str(error).split()) or "another objective" in str(error)
    assert refused


def test_states_of_others_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match="damaged, or another run's"):
        state_of(saved, Tower(width=3)).load()
    longer = Tower()
    longer.more = nn.Linear(1, 1)
    with pytest.raises(PostsyncError, match="state of another objective"):
        state_of(saved, longer).load()
    (saved / "state" / FILE).unlink()
    save_file({"line.bias": torch.zeros(1)}, saved / "state" / "model.safetensors")
    with pytest.raises(PostsyncError, match="saved by an earlier version"):
        state_of(saved, Tower()).load()
    with pytest.raises(PostsyncError, match="nothing to resume"):
        state_of(tmp_path / "none", Tower()).load()
