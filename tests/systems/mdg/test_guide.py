"""The guide: official numbers, what moves, and what it needs to be told."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors.torch import load_file
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from postsync.codecs.mel_vae import MelCodec
from postsync.encoders import gram as towers
from postsync.encoders.beats import BeatsConfig, from_official
from postsync.encoders.gram import GramEncoder
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.guide import Step
from postsync.protocols.pipeline import ConditionedGuide, Pictures
from postsync.systems.mdg.guide import VolumeGuide, build

GUIDED = 23  # of 30 iterations, in the published code


class Official:
    """The toy chain of the golden folder: codec, audio tower, schedule."""

    def __init__(self, folder, dtype):
        self.step, self.loop = load_file(folder / "step.safetensors"), load_file(folder / "loop_float64.safetensors")
        self.config = json.loads((folder / "config.json").read_text())
        vae = AutoencoderKL(**self.config["vae"])
        vae.load_state_dict(self.state("vae."))
        vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**self.config["vocoder"]))
        vocoder.load_state_dict(self.state("vocoder."))
        self.codec = MelCodec(vae, vocoder).to(dtype).eval().requires_grad_(False)
        preset = replace(towers.tiny(), audio=BeatsConfig.from_official(self.config["beats"]),
                         contra_dim=self.config["contra_dim"], mel_bins=self.config["audio_melbins"],
                         slice_frames=self.config["audio_target_length"])
        self.gram = GramEncoder.from_preset(preset)
        self.gram.audio_tower.load_state_dict(from_official(self.state("beats.")))
        self.gram.audio_projection.load_state_dict(self.state("contra_head_a.linear."))
        self.gram.to(dtype).eval().requires_grad_(False)
        self.schedule = DDIMScheduler(**self.config["scheduler"])
        self.schedule.set_timesteps(self.config["num_inference_steps"])
        self.alphas = self.schedule.alphas_cumprod.to(dtype)

    def state(self, prefix):
        start = f"state_dict.{prefix}"
        return {k.removeprefix(start): v for k, v in self.step.items() if k.startswith(start)}

    def guide(self, text, video, **settings):
        guide = VolumeGuide(self.gram, step_size=self.config["learning_rate"], warmup=self.config["warmup_fraction"],
                            stop=1.0, objective="determinant_volume", optimizer="adam", full_scale=False, **settings)
        guide._text, guide._video = text, video
        return guide

    def at(self, index, before, after, eps):
        """The step from `before` to `after` at a place of the schedule, of a prediction of the noise."""
        time = int(self.schedule.timesteps[index])
        following = time - 1000 // len(self.schedule.timesteps)
        now = float(self.alphas[time])
        later = float(self.alphas[following] if following >= 0 else self.schedule.final_alpha_cumprod)
        samples = before.shape[2] * 4 * 160

        def decode(clean, start_s=0.0, end_s=None):
            return self.codec.decode(clean, samples)

        return Step(index, len(self.schedule.timesteps), time, sqrt(now), sqrt(1 - now), sqrt(later), sqrt(1 - later),
                    before, after, eps, lambda z: (z - sqrt(1 - now) * eps) / sqrt(now), decode, samples / 16000)


@pytest.fixture(scope="module")
def chain(golden):
    folder = golden("mdg_chain")
    return lambda dtype=torch.float32: Official(folder, dtype)


def near(found, expected):
    """98 % of the elements within 1e-3: Adam's sign may differ where the gradient is tiny."""
    assert (found - expected).abs().lt(1e-3).float().mean() > 0.98


@pytest.mark.golden
def test_a_step_in_the_order_of_the_code(chain):
    toy = chain()
    io = {k.removeprefix("io."): v for k, v in toy.step.items() if k.startswith("io.")}
    step = toy.at(int(io["timestep_index"]), io["latents_t"], io["latents_prev_unguided"], io["eps_guided"])
    guide = toy.guide(io["feat_t"], io["feat_v"], order="code")
    torch.testing.assert_close(step.clean_estimate(step.latents), io["code_order.x0"], atol=1e-4, rtol=1e-4)
    gradient, values = guide.gradient(step, step.latents)
    torch.testing.assert_close(values, io["code_order.volume"], atol=1e-5, rtol=0)
    official = io["grad_latents"]
    assert torch.cosine_similarity(gradient.flatten(), official.flatten(), dim=0) > 0.999
    assert (gradient - official).norm() < 0.01 * official.norm()
    near(guide.after_step(step), io["latents_prev_after_adam"])


@pytest.mark.golden
def test_a_step_in_the_order_of_the_paper(chain):
    toy = chain()
    io = {k.removeprefix("io."): v for k, v in toy.step.items() if k.startswith("io.")}
    step = toy.at(int(io["timestep_index"]), io["latents_t"], io["latents_prev_unguided"], io["eps_guided"])
    guide = toy.guide(io["feat_t"], io["feat_v"], order="paper")
    gradient, values = guide.gradient(step, step.latents_before)
    torch.testing.assert_close(values, io["paper_order.volume"], atol=1e-5, rtol=0)
    official = io["paper_order.grad_latents"]
    assert torch.cosine_similarity(gradient.flatten(), official.flatten(), dim=0) > 0.999
    near(guide.after_step(step), io["paper_order.latents_prev"])


@pytest.mark.golden
def test_the_loop_has_the_official_volumes(chain):
    toy = chain(torch.float64)
    io, scale = toy.loop, toy.config["guidance_scale"]
    guide = toy.guide(io["feat_t"], io["feat_v"], order="code")
    guide._hear = lambda sound: toy.gram.encode_audio(sound)  # in float64 throughout
    latents = io["latents_init"]
    for index, time in enumerate(toy.schedule.timesteps.tolist()):
        free, told = (0.9 * torch.tanh(0.7 * latents + 0.2 * torch.cos(torch.tensor(time / 150)) * c)
                      for c in (0.0, io["condition"]))
        eps = free + scale * (told - free)
        after = toy.schedule.step(eps, time, latents).prev_sample
        latents = guide.after_step(toy.at(index, latents, after, eps))
        if index in (0, 6):
            torch.testing.assert_close(latents, io[f"latents_after_iteration_{index}"], atol=1e-6, rtol=0)
        if index == 7:
            assert (latents - io["latents_after_iteration_7"]).abs().lt(1e-3).float().mean() > 0.99
    assert len(guide.values) == int(io["number_of_guided_iterations"])
    torch.testing.assert_close(torch.stack(guide.values).double(), io["volumes_of_guided_iterations"], atol=1e-3,
                               rtol=0)


class Ear(torch.nn.Module):
    """Stands in for GRAM: hears the energy of eight stretches of time, and reads and sees what it is told."""

    num_frames, image_size, device = 2, 16, torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.config = {"slice_frames": 50}

    def encode_audio(self, sound):
        return torch.nn.functional.normalize(sound.unflatten(-1, (8, -1)).square().mean(-1).sqrt(), dim=-1)

    def encode_text(self, words):
        return torch.eye(8)[[int(word) for word in words]]

    def encode_video(self, frames):
        return torch.eye(8)[[round(7 * float(frames.mean()))]]


def guide_of(**settings):
    return VolumeGuide(Ear(), **{"warmup": 0.0, "stop": 1.0, **settings})


def step_of(latents, index=1, seconds=0.5, output=0.0, alpha=0.8, sigma=0.6):
    """A step of v to a state of less noise, whose latents are the sound."""
    def decode(clean, start_s=0.0, end_s=None):
        last = clean.shape[-1] if end_s is None else round(end_s * 16000)
        return clean[..., round(start_s * 16000):last]

    def clean(state):
        return alpha * state - sigma * output

    after = 0.9 * clean(latents) + sqrt(1 - 0.81) * (sigma * latents + alpha * output)
    return Step(index, 10, 0.5, alpha, sigma, 0.9, sqrt(1 - 0.81), latents, after, torch.tensor(output), clean, decode,
                seconds)


def sound(seed, size=1, samples=8000):
    return torch.randn(size, 1, samples, generator=torch.Generator().manual_seed(seed))


def test_it_is_a_guide_that_is_told_what_to_follow():
    guide = guide_of()
    assert isinstance(guide, ConditionedGuide)
    assert guide.pictures_wanted(0.5) == Pictures(2, 16)
    assert guide.pictures_wanted(1.3) == Pictures(6, 16)
    assert guide_of(modalities="text").pictures_wanted(1.0) is None
    with pytest.raises(ConditionError, match="neither words nor a picture"):
        guide.condition([None], None)
    with pytest.raises(ConditionError, match="give each a prompt"):
        guide.condition(["1", None], None)
    with pytest.raises(ConditionError, match="was not told"):
        guide_of().after_step(step_of(sound(0)))


@pytest.mark.parametrize("order", ["code", "paper"])
@pytest.mark.parametrize("optimizer", ["adam", "soft_sign"])
@pytest.mark.parametrize("objective", ["volume", "cosine_to_audio", "signed_volume", "triangle_area", "mahalanobis"])
def test_what_is_lowered_falls(order, optimizer, objective):
    guide = guide_of(order=order, optimizer=optimizer, objective=objective, step_size=0.05)
    pictures = torch.full((4, 3, 16, 16), 255, dtype=torch.uint8)
    guide.condition(["3"], pictures)
    latents = sound(1)
    for _ in range(6):
        latents = guide.after_step(step_of(latents)) / 0.95
    values = torch.cat(guide.values)
    assert values[-1] < values[0] - 0.05
    assert torch.equal(values.sort(descending=True).values, values)


def test_the_order_of_the_paper_is_the_step_from_the_moved_state():
    guide = guide_of()
    guide.condition(["3"], None)
    latents = sound(2)
    step = step_of(latents, output=0.3)
    moved = guide._moved(step, latents, 0.1 * 1.0)
    torch.testing.assert_close(guide.after_step(step), step_of(moved, output=0.3).latents)


def test_batches_agree_with_single_runs_and_repeat():
    guide = guide_of(objective="volume")
    together = sound(3, size=3)
    guide.condition(["1", "4", "6"], None)
    moved = guide.after_step(step_of(together))
    again = guide.after_step(step_of(together))
    assert torch.equal(moved, again)
    for index, word in enumerate(("1", "4", "6")):
        guide.condition([word], None)
        torch.testing.assert_close(guide.after_step(step_of(together[index:index + 1])), moved[index:index + 1],
                                   atol=1e-5, rtol=0)


def test_it_acts_after_the_warm_up_until_the_stop_and_every_so_often():
    latents = sound(4)
    acting = [i for i in range(10) if guide_of(warmup=0.2, stop=0.75).acts(step_of(latents, i))]
    assert acting == [3, 4, 5, 6, 7]
    assert [i for i in range(10) if guide_of(warmup=0.2, stop=1.0, every=3).acts(step_of(latents, i))] == [3, 6, 9]
    step, guide = step_of(latents, 0), guide_of()
    guide.condition(["3"], None)
    assert guide.after_step(step) is step.latents


def test_its_time_is_told_once_before_the_first_guided_step(caplog, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    guide = guide_of(warmup=0.2, stop=0.75, inner_steps=2)
    guide.condition(["3"], None)
    step = step_of(sound(4), 0)
    assert guide.after_step(step) is step.latents
    assert guide.seconds_ahead == pytest.approx(5 * 2 * 2)  # steps 3 to 7, each of two gradients of two seconds
    assert "guiding 5 of 10 steps takes about 20 s more" in caplog.text
    caplog.clear()
    guide.after_step(step)
    assert caplog.text == ""
    assert guide.values == []


def test_long_sounds_are_heard_window_by_window():
    guide = guide_of(objective="cosine_to_audio")
    latents = sound(5, samples=16000)
    pictures = torch.cat([torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)])  # two windows, two things
    guide.condition([None], pictures)
    change = guide.after_step(step := step_of(latents, seconds=1.0)) - step.latents
    energy = (step.latents + change).square().unflatten(-1, (16, -1)).mean(-1) / step.latents.square().unflatten(
        -1, (16, -1)).mean(-1)
    assert int(energy[0, 0, :8].argmax()) == 0
    assert int(energy[0, 0, 8:].argmax()) == 7


def test_the_gradient_is_that_of_finite_differences():
    guide = guide_of(full_scale=False)
    guide.gram.double()
    guide.condition(["3"], torch.ones(2, 3, 4, 4))
    latents = sound(6, samples=800).double()
    guide._hear = lambda x: guide.gram.encode_audio(x)
    step = step_of(latents)
    gradient, _ = guide.gradient(step, latents)
    direction = torch.randn(latents.shape, generator=torch.Generator().manual_seed(7)).double()
    ahead, behind = (guide.objective(guide.gram.encode_audio(step.clean_estimate(latents + shift * direction).mean(1)),
                                     [other.double() for other in guide._others(0, 1)]) for shift in (1e-4, -1e-4))
    assert float((gradient * direction).sum()) == pytest.approx(float((ahead - behind) / 2e-4), rel=1e-3)


def test_a_gradient_that_is_not_finite_moves_nothing(caplog):
    guide = guide_of()
    guide.condition(["3", "3"], None)
    latents = sound(8, size=2)
    latents[1, 0, 5] = torch.nan
    step = step_of(latents)
    moved = guide.after_step(step)
    assert "not finite for 1 sounds" in caplog.text
    assert not torch.equal(moved[0], step.latents[0])
    torch.testing.assert_close(moved[1], step.latents[1], equal_nan=True)


@pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"inner_steps": 0}, {"warmup": 1.5}, {"stop": -0.1},
                                   {"every": 0}, {"objective": "hope"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConditionError, match=str(next(iter(wrong.values())))):
        guide_of(**wrong)


def test_a_codec_of_another_rate_and_another_model_are_refused(tmp_path):
    class Other:
        system, sampling_rate, origin = "other", 44100, None

    with pytest.raises(ConditionError, match="other has 44100 Hz"):
        build(Other())
    Other.sampling_rate = 16000
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(WeightsError, match="no readable GRAM towers"):
        build(Other(), gram=str(tmp_path))
