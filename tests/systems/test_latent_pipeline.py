"""What all pipelines share, and those that denoise latents, on one without a network."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from postsync.errors import ConditionError
from postsync.protocols.guide import Step
from postsync.protocols.system import Option
from postsync.systems.latent_pipeline import LatentPipeline, Levels, StepHooks


class Steps:
    """A codec without a network: two channels, four samples a latent frame, each sample the sum of three frames."""

    sampling_rate, channels, latent_rate, context_frames = 8000, 2, 2000.0, 1

    def latent_shape(self, num_samples: int) -> tuple[int, int]:
        return 2, -(-num_samples // 4)

    def decode(self, latents: torch.Tensor, num_samples: int | None = None, *,
               first_frame: int = 0) -> torch.Tensor:
        padded = torch.nn.functional.pad(latents, (1, 1))
        frames = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]
        return frames.repeat_interleave(4, dim=-1)[..., :num_samples]


class Bare(LatentPipeline):
    system = "bare"
    accepts = frozenset({"video", "generator"})
    options = {"loud": Option(float, "how loud", low=0.0, high=1.0)}  # noqa: RUF012
    codec = Steps()

    def __init__(self, native_frames: int = 4000, sees_film: bool = False) -> None:
        super().__init__()
        self.register_to_config(native_frames=native_frames, sees_film=sees_film)

    def _codec_latents(self, clean: torch.Tensor) -> torch.Tensor:
        return 2 * clean


@pytest.fixture
def bare() -> Bare:
    return Bare()


LEVELS = Levels([0.9, 0.5], [1.0, 1.0, 1.0], [3.0, 2.0, 0.0],
                lambda i, state, output: state - LEVELS.sigmas[i] * output)


def hooks(bare, guides=(), callback=None) -> StepHooks:
    return StepHooks(bare, LEVELS, guides, callback, 40, lambda: None)


def test_rate_length_and_film(bare):
    assert (bare.sampling_rate, bare.channels, bare.native_s, bare.knows_film) == (8000, 2, 2.0, False)
    assert (bare.origin, bare.weights) == (None, {})
    assert bare.pictures_wanted(1.0, {}) is None
    assert bare._num_samples(0.5) == 4000
    with pytest.raises(ConditionError, match="holds no sample"):
        bare._num_samples(0.00001)


def test_tables_of_options_import_nothing_heavy():
    code = ("import sys; from postsync.systems import foleygram, mgaudio; "
            "print(sorted({*foleygram.OPTIONS, *mgaudio.OPTIONS}), 'torch' in sys.modules)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['eta', 'fader_db', 'picture', 'sharp_attacks', 'solver', 'stand_in'] False"


def test_arguments_and_options_are_checked_in_one_place(bare):
    assert bare._refuse({"prompt": None, "guides": ()}, {"loud": "0.5"}) == {"loud": 0.5}
    assert bare._refuse({}, {"loud": None}) == {}
    with pytest.raises(ConditionError, match="bare does not take guides, prompt; it takes generator, video"):
        bare._refuse({"prompt": "rain", "guides": [1], "video": torch.zeros(1)}, {})
    with pytest.raises(ConditionError, match="bare has no option soud; its options are loud"):
        bare._refuse({}, {"soud": 1})
    with pytest.raises(ConditionError, match="from 0 to 1"):
        bare._refuse({}, {"loud": 2.0})


@pytest.mark.parametrize("run", [(0, 1, "pt"), (1, 0, "pt"), (1, 1, "mp3")])
def test_runs_that_cannot_be_are_refused(bare, run):
    bare._check_run(1, 1, "latent", ())
    with pytest.raises(ConditionError, match="1 or more"):
        bare._check_run(*run)
    with pytest.raises(ConditionError, match="not a guide"):
        bare._check_run(1, 1, "pt", [print])


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

    start, output = torch.ones(1), torch.full((1,), 0.25)
    assert hooks(bare).after(0, start, start, output) is start
    assert hooks(bare, callback=lambda *given: None).after(0, start, start, output) is start
    assert hooks(bare, (Add(1.0), Add(5.0)), callback).after(1, start, start, output).item() == 10
    assert told == [(bare, 1, 0.5, 11.0)]
    assert hooks(bare, (Add(1.0),)).before is None


def test_a_guide_sees_the_levels_and_before_the_step_no_output(bare):
    seen: list[Step] = []

    class Watch:
        def before_step(self, step: Step) -> torch.Tensor:
            seen.append(step)
            return step.latents

        def after_step(self, step: Step) -> torch.Tensor:
            seen.append(step)
            return step.latents

    run, start, end = hooks(bare, [Watch()]), torch.ones(1), torch.zeros(1)
    assert run.before(1, start) is start
    assert run.after(1, start, end, torch.full((1,), 0.25)) is end
    early, late = seen
    for step in seen:
        assert (step.index, step.num_steps, step.timestep) == (1, 2, 0.5)
        assert (step.alpha, step.sigma, step.alpha_next, step.sigma_next) == (1.0, 2.0, 1.0, 0.0)
        assert step.latents_before is start
    assert early.latents is start
    assert early.model_output is None
    assert late.latents is end
    assert late.clean_estimate(torch.ones(1)).item() == 0.5
    with pytest.raises(ValueError, match="before a step"):
        early.clean_estimate(start)


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, None), (0.0, 0.001), (0.0021, 0.0034), (0.004, 0.01)])
def test_a_part_is_decoded_as_in_the_whole(bare, start_s, end_s):
    clean = torch.randn(1, 2, 12, generator=torch.Generator().manual_seed(0))
    whole = bare._decode(clean, 39)
    assert whole.shape == (1, 2, 39)
    last = 39 if end_s is None else min(round(8000 * end_s), 39)
    part = bare._decode(clean, 39, start_s, end_s)
    torch.testing.assert_close(part, whole[..., round(8000 * start_s):last])
    with pytest.raises(ConditionError, match="no sound from"):
        bare._decode(clean, 39, 0.003, 0.003)


class Mels(Steps):
    """The same, whose sounds are twice their mels of two frames a latent one."""

    mel_rate = 4000.0

    def decode_mel(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decode(latents)[..., ::2].mT / 2


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, None), (0.0, 0.001), (0.0021, 0.0034), (0.004, 0.01)])
def test_the_mels_of_a_part_are_those_of_the_sound(bare, monkeypatch, start_s, end_s):
    assert hooks(bare)._step(0, torch.zeros(1), torch.zeros(1), None).decode_mel is None
    monkeypatch.setattr(Bare, "codec", Mels())
    clean = torch.randn(1, 2, 12, generator=torch.Generator().manual_seed(0))
    step = hooks(bare)._step(0, clean, clean, None)
    part = step.decode_mel(clean, start_s, end_s)
    last = 40 if end_s is None else min(round(8000 * end_s), 40)
    whole = step.decode(clean)[..., ::2].mT / 2
    torch.testing.assert_close(part, whole[:, round(8000 * start_s) // 2:-(-last // 2)])


def test_arrays_on_request(bare):
    audios = torch.zeros(1, 1, 4)
    assert bare._output(audios, "pt").audios is audios
    assert bare._output(audios, "np").audios.shape == (1, 1, 4)
