"""Every trainable, and one of tied parts, keeps the contract of `Objective`; in its tiny size where it has one."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

import postsync.encoders.training
import postsync.systems.foleygram.training
import postsync.systems.mgaudio.training  # noqa: F401  (all slow: not within a test)
from postsync import registry
from postsync.protocols.objective import Batch, Objective
from postsync.training.clips import scene_clips
from postsync.training.state import ExponentialMovingAverage, Position, SavedState
from tied_objective import TiedObjective

TIED = "tied"
NAMES = [*registry.TRAINABLES, TIED]


@dataclass(frozen=True)
class Case:
    """An objective that has measured its samples, and their batch."""

    objective: Objective
    samples: list[Batch]

    def batch(self, device: str = "cpu") -> Batch:
        return {name: torch.stack([sample[name] for sample in self.samples]).to(device) for name in self.samples[0]}


def untrained(name: str) -> Objective:
    if name == TIED:
        return TiedObjective()
    return registry.load_objective(name, "tiny" if "tiny" in registry.trainable(name).presets else "mini")


@cache
def case(name: str) -> Case:
    torch.manual_seed(0)
    objective = untrained(name)
    world = None if name == TIED else registry.trainable(name).world
    clips = scene_clips(objective.wants, 0, 3, world=registry.resolve(world)() if world else None)
    with torch.no_grad():
        samples = [objective.prepare(clips[index]) for index in range(3)]
    objective.fit(samples)
    for module in (objective.train(), *objective.frozen()):
        module.train(module is objective)
    return Case(objective, samples)


def loss_of(objective: Objective, batch: Batch, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)  # of drop-out
    return objective(batch, step=3, generator=torch.Generator().manual_seed(seed))["loss"]


each = pytest.mark.parametrize("name", NAMES)


@each
def test_it_says_what_it_reads(name: str) -> None:
    wants = case(name).objective.wants
    assert wants.needs
    assert wants.needs <= {"frames", "waveform"}
    assert wants.sample_rate == (16000 if "waveform" in wants.needs else None)
    assert 0.5 < wants.duration_s < 20
    assert case(name).objective.reads("any") == []


@each
def test_samples_of_different_clips_stack(name: str) -> None:
    first, *others = case(name).samples
    for sample in others:
        assert {k: (v.shape, v.dtype) for k, v in sample.items()} == {k: (v.shape, v.dtype) for k, v in first.items()}
    assert any(not torch.equal(first[k], others[0][k]) for k in first)
    assert all(v.device.type == "cpu" for v in first.values())


@each
def test_gradients_reach_what_is_trained_and_nothing_else(name: str) -> None:
    objective = case(name).objective
    objective.zero_grad()
    loss = loss_of(objective, case(name).batch(), 0)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    trained = [p for group in objective.parameter_groups() for p in group["params"]]
    assert len({id(p) for p in trained}) == len(trained)
    reached = [p for p in objective.parameters() if p.grad is not None]
    assert {id(p) for p in reached} <= {id(p) for p in trained}
    assert len(reached) > 0.9 * len(trained)
    assert all(torch.isfinite(p.grad).all() for p in reached)


@each
def test_a_generator_on_the_cpu_decides_the_loss(name: str) -> None:
    objective, batch = case(name).objective, case(name).batch()
    losses = [loss_of(objective, batch, seed).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@each
def test_the_saved_state_is_what_is_trained(name: str) -> None:
    objective = case(name).objective
    saved, whole = objective.trained_state(), objective.state_dict()
    assert saved.keys() <= whole.keys()
    trained = {id(p) for group in objective.parameter_groups() for p in group["params"]}
    parameters = {id(p) for p in objective.parameters()}
    held = [id(value) for value in saved.values()]
    assert len(set(held)) == len(held)
    assert set(held) & parameters == trained
    if any(True for module in objective.frozen() for _ in module.parameters()):
        assert sum(v.numel() for v in saved.values()) < sum(v.numel() for v in whole.values())


@each
def test_a_saved_state_comes_back(name: str, tmp_path: Path) -> None:
    objective = copy.deepcopy(case(name).objective)
    for parameter in (trained := [p for group in objective.parameter_groups() for p in group["params"]]):
        parameter.grad = torch.ones_like(parameter)
    accelerator = Accelerator(cpu=True)
    average = ExponentialMovingAverage(objective, 0.5, objective.frozen())
    _, optimizer = accelerator.prepare(objective, torch.optim.AdamW(trained, lr=0.1))
    state = SavedState(tmp_path / "state", accelerator, objective, average, Position())
    optimizer.step()
    average.update(objective, 0)
    state.save()
    kept = [{key: value.clone() for key, value in module.state_dict().items()}
            for module in (objective, average.teacher)]
    assert any(not torch.equal(kept[0][key], value) for key, value in kept[1].items())
    optimizer.step()
    average.update(objective, 1)
    state.load()
    for module, values in zip((objective, average.teacher), kept, strict=True):
        assert all(torch.equal(values[key], value) for key, value in module.state_dict().items())


@each
def test_the_export_is_safetensors(name: str, tmp_path: Path) -> None:
    objective = case(name).objective
    objective.export(tmp_path)
    files = list(tmp_path.rglob("*.safetensors"))
    assert files
    assert {v.dtype for file in files for v in load_file(file).values() if v.is_floating_point()} == {torch.float16}
    assert all(p.dtype == torch.float32 for group in objective.parameter_groups() for p in group["params"])


# istft has no meta kernel, and transformers looks at the values of a mask.
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("vocoder", "vatt_converter", "vatt_audio")])
def test_what_is_drawn_is_moved_to_the_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device, like a GPU, refuses to be mixed with the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_more: contextlib.nullcontext())  # knows no meta device
    loss = loss_of(untrained(name).to("meta").train(), case(name).batch("meta"), 0)
    assert loss.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each
def test_a_gpu_gives_the_loss_of_the_cpu(name: str) -> None:
    objective = case(name).objective
    expected = loss_of(objective, case(name).batch(), 0).item()
    try:
        loss = loss_of(objective.to("cuda"), case(name).batch("cuda"), 0)
        loss.backward()
        if not any(module.p for module in objective.modules() if isinstance(module, torch.nn.Dropout)):
            assert loss.item() == pytest.approx(expected, rel=2e-2, abs=2e-3)
    finally:
        objective.zero_grad()
        objective.to("cpu")
