"""What all sound pipelines share, on one without a network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from postsync.diffusion.sound_pipeline import SoundPipeline

from postsync.diffusion.guidance import Step
from postsync.errors import ConditionError


class Bare(SoundPipeline):
    codec = SimpleNamespace(sampling_rate=8000, latent_rate=25.0)

    def __init__(self, native_frames: int = 50, sees_film: bool = False) -> None:
        super().__init__()
        self.register_to_config(native_frames=native_frames, sees_film=sees_film)


@pytest.fixture
def bare() -> Bare:
    return Bare()


def step(latents: torch.Tensor) -> Step:
    return Step(3, 10, 0.5, latents, latents, latents, clean_estimate=lambda z: z, decode=lambda z: z)


def test_rate_length_and_film(bare):
    assert (bare.sampling_rate, bare.native_s, bare.sees_film) == (8000, 2.0, False)
    assert bare._num_samples(0.5) == 4000
    with pytest.raises(ConditionError, match="holds no sample"):
        bare._num_samples(0.00001)


@pytest.mark.parametrize("run", [(0, 1, "pt"), (1, 0, "pt"), (1, 1, "mp3")])
def test_runs_that_cannot_be_are_refused(bare, run):
    bare._check_run(1, 1, "latent")
    with pytest.raises(ConditionError, match="1 or more"):
        bare._check_run(*run)


def test_the_start_is_drawn_or_given_and_fits(bare):
    drawn = bare._noise(None, (1, 2, 3), [torch.Generator().manual_seed(0)])
    assert torch.equal(drawn, torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(bare._noise(drawn, (1, 2, 3), []), drawn)
    with pytest.raises(ConditionError, match="do not fit"):
        bare._noise(drawn, (1, 2, 4), [])


def test_each_guide_sees_what_the_last_one_left_and_the_callback_all_of_it(bare):
    class Add:
        def __init__(self, amount: float) -> None:
            self.amount = amount

        def after_step(self, step: Step) -> torch.Tensor:
            return step.latents * 2 + self.amount

    told = []

    def callback(pipe, index, timestep, values):
        told.append((pipe, index, timestep, values["latents"].item()))
        return {"latents": values["latents"] - 1}

    start = torch.ones(1)
    assert bare._after_guides((), None, step(start)) is start
    assert bare._after_guides((), lambda *given: None, step(start)) is start
    assert bare._after_guides((Add(1.0), Add(5.0)), callback, step(start)).item() == 10
    assert told == [(bare, 3, 0.5, 11.0)]


def test_arrays_on_request(bare):
    audios = torch.zeros(1, 1, 4)
    assert bare._output(audios, "pt").audios is audios
    assert bare._output(audios, "np").audios.shape == (1, 1, 4)
