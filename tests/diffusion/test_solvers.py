"""Solvers against the numbers of k-diffusion and REPA, and on models whose answer is known."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.diffusion.guidance import classifier_free_guidance, scale_at
from postsync.diffusion.parameterization import time_of_sigma, v_denoiser
from postsync.diffusion.solvers import (
    draw_noise,
    flow_times,
    frame_noise,
    one_generator_each,
    polyexponential_sigmas,
    sample,
    sample_flow,
)
from postsync.errors import ConditionError

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def toy_network(weight: torch.Tensor):
    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        t = t[:, None, None]
        return torch.tanh(torch.einsum("oc,bct->bot", weight, x)) * t.cos() + 0.3 * x * t.sin()

    return network


@pytest.fixture
def official(golden):
    folder = golden("stable_audio_sampler")
    return json.loads((folder / "config.json").read_text()), load_file(folder / "data.safetensors")


@pytest.mark.golden
def test_official_sigmas_and_denoiser(official):
    config, data = official
    for name in [n for n in data if n.startswith("sigmas.")]:
        count = int(name.removeprefix("sigmas."))
        sigmas = polyexponential_sigmas(count, config["sigma_min"], config["sigma_max"], config["rho"])
        torch.testing.assert_close(sigmas, data[name], **CLOSE)
        if f"t_of_{name}" in data:
            torch.testing.assert_close(time_of_sigma(sigmas), data[f"t_of_{name}"], **CLOSE)
    denoise = v_denoiser(toy_network(data["net.W"]))
    torch.testing.assert_close(denoise(data["denoiser.x"], data["denoiser.sigma"]), data["denoiser.denoised"], **CLOSE)


@pytest.mark.golden
@pytest.mark.parametrize("solver", ["dpmpp_2m_sde", "dpmpp_3m_sde"])
@pytest.mark.parametrize("eta", [0, 1])
def test_official_samples(official, solver, eta):
    config, data = official
    sigmas = polyexponential_sigmas(config["steps"], config["sigma_min"], config["sigma_max"], config["rho"])
    out = sample(v_denoiser(toy_network(data["net.W"])), data["in.noise"] * sigmas[0], sigmas, solver=solver, eta=eta,
                 noise=lambda i: data["in.step_noise"][i])
    torch.testing.assert_close(out, data[f"out.{solver}.eta{eta}"], **CLOSE)


def gaussian_denoiser(mean: float, std: float):
    """The exact denoiser of data that is normal with this mean and standard deviation."""
    return lambda x, sigma: (x * std**2 + mean * sigma**2) / (std**2 + sigma**2)


@pytest.mark.parametrize("solver", ["dpmpp_2m_sde", "dpmpp_3m_sde"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_reaches_the_distribution_of_the_data(solver, eta):
    generator = torch.Generator().manual_seed(0)
    sigmas = polyexponential_sigmas(60, 0.01, 50.0)
    x = draw_noise((1, 4000), generator) * sigmas[0]
    out = sample(gaussian_denoiser(2.0, 0.5), x, sigmas, solver=solver, eta=eta,
                 noise=lambda i: draw_noise((1, 4000), generator))
    assert abs(float(out.mean()) - 2.0) < 0.05
    assert abs(float(out.std()) - 0.5) < 0.05


def test_third_order_is_closer_than_second_on_few_steps():
    x = torch.linspace(-2, 2, 9)[None] * 50
    to_float64 = 2.0 + (x - 2.0) * 0.5 / (0.25 + 50.0**2) ** 0.5

    def error(solver):
        sigmas = polyexponential_sigmas(30, 0.02, 50.0)
        out = sample(gaussian_denoiser(2.0, 0.5), x, sigmas, solver=solver, eta=0.0, noise=lambda i: x)
        return float((out - to_float64).abs().max())

    assert error("dpmpp_3m_sde") < error("dpmpp_2m_sde") < 0.1


def test_a_guide_that_moves_latents_restarts_the_history():
    seen: list[float] = []

    def denoise(x, sigma):
        seen.append(float(x.mean()))
        return x / (1 + sigma**2)

    sigmas = torch.tensor([4.0, 2.0, 1.0, 0.0])
    x = torch.full((1, 2), 4.0)

    def run(after_step):
        seen.clear()
        sample(denoise, x, sigmas, noise=lambda i: x, eta=0.0, after_step=after_step)
        return list(seen)

    untouched, plain = run(lambda i, before, after, denoised: after), run(None)
    assert untouched == plain
    moved = run(lambda i, before, after, denoised: after + (0.5 if i == 0 else 0.0))
    first_order = 0.5 * moved[1] + 0.5 * moved[1] / 5
    assert moved[1] == pytest.approx(plain[1] + 0.5)
    assert moved[2] == pytest.approx(first_order)


def test_a_state_moved_before_a_step_is_the_one_the_model_is_asked_about():
    seen: list[float] = []

    def denoise(x, sigma):
        seen.append(float(x.mean()))
        return x / (1 + sigma**2)

    sigmas, x = torch.tensor([4.0, 2.0, 1.0, 0.0]), torch.full((1, 2), 4.0)

    def run(before_step):
        seen.clear()
        sample(denoise, x, sigmas, noise=lambda i: x, eta=0.0, before_step=before_step)
        return list(seen)

    plain = run(None)
    assert run(lambda i, state: state) == plain
    moved = run(lambda i, state: state + (0.5 if i == 1 else 0.0))
    assert moved[:2] == pytest.approx([plain[0], plain[1] + 0.5])
    assert moved[2] == pytest.approx(0.5 * moved[1] + 0.5 * moved[1] / 5)  # of first order: its history is forgotten
    times = flow_times(2)
    out = sample_flow(lambda x, t, _: torch.ones(1), torch.zeros(1), times,
                      before_step=lambda i, state: state + (1.0 if i == 1 else 0.0))
    assert out.item() == pytest.approx(0.0)


def test_one_generator_each_draws_what_it_draws_alone():
    both = draw_noise((2, 3, 4), [torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)])
    alone = draw_noise((1, 3, 4), torch.Generator().manual_seed(6))
    assert torch.equal(both[1:], alone)
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        draw_noise((3, 1), [torch.Generator(), torch.Generator()])


def test_frames_share_a_part_of_their_noise():
    shape = (400, 2, 5, 3, 3)
    plain = frame_noise(shape, torch.Generator().manual_seed(0), 0.0)
    assert torch.equal(plain, draw_noise(shape, torch.Generator().manual_seed(0)))
    mixed = frame_noise(shape, torch.Generator().manual_seed(0), 0.8)
    assert mixed.std() == pytest.approx(1, abs=0.02)
    assert (mixed[:, :, 0] * mixed[:, :, 4]).mean() == pytest.approx(0.8, abs=0.02)
    assert abs(float((mixed[:, 0] * mixed[:, 1]).mean())) < 0.02
    each = frame_noise((2, *shape[1:]), [torch.Generator().manual_seed(k) for k in (0, 7)], 0.8)
    alone = frame_noise((1, *shape[1:]), [torch.Generator().manual_seed(7)], 0.8)
    assert torch.equal(each[1:], alone)


def test_takes_have_seeds_in_a_row():
    first, second = one_generator_each(torch.Generator().manual_seed(5), 2)
    assert (first.initial_seed(), second.initial_seed()) == (5, 6)
    with pytest.raises(ConditionError, match="2 generators for 3 sounds"):
        one_generator_each([first, second], 3)


def test_recorded_sample():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(2, 2, generator=generator)
    sigmas = polyexponential_sigmas(8, 0.3, 500.0)
    x = draw_noise((1, 2, 3), generator) * sigmas[0]
    out = sample(v_denoiser(toy_network(weight)), x, sigmas, noise=lambda i: draw_noise(x.shape, generator))
    expected = [-0.6330606, 0.2065490, -0.3046586, 2.1507277, -2.7621622, 1.1031245]
    torch.testing.assert_close(out.flatten(), torch.tensor(expected), **CLOSE)


def guided(data, scale, interval=(0.0, 1.0)):
    """The analytic field of the golden numbers, guided; float32, as a network would be."""
    def field(x, t, rows):
        bent = torch.einsum("ij,bjhw->bihw", data["in.W"], torch.tanh(x)) * (1 + t)
        return bent + data["in.b_rows_5_7_null"][rows][:, :, None, None] * torch.cos(torch.tensor(t))

    def velocity(x, time, step_time):
        x = x.float()
        here = scale_at(scale, step_time, interval)
        conditional = field(x, time, data["in.y_rows"]).double()
        if here <= 1:
            return conditional
        return classifier_free_guidance(conditional, field(x, time, torch.full_like(data["in.y_rows"], 2)).double(),
                                        here)

    return velocity


@pytest.mark.golden
def test_official_flow_samples(golden):
    folder = golden("flow_samplers")
    data, steps = load_file(folder / "io.safetensors"), json.loads((folder / "config.json").read_text())["num_steps"]
    names = [name for name in data if name.startswith("out.")]
    assert len(names) >= 8
    for name in names:
        solver, _, settings = name.removeprefix("out.").partition("_cfg")
        scale, _, interval = settings.partition("_interval_")
        low, high = (float(v) for v in interval.split("_")) if interval else (0.0, 1.0)
        out = sample_flow(guided(data, float(scale), (low, high)), data["in.x_noise"], flow_times(steps, solver),
                          solver=solver, noise=lambda i: data["in.sde_noise"][i])
        assert out.dtype == torch.float64
        torch.testing.assert_close(out, data[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_field_of_one_sample_leads_there(solver):
    target = torch.tensor([[3.0, -1.0]]).double()
    x = torch.randn(1, 2, generator=torch.Generator().manual_seed(0))
    out = sample_flow(lambda x, t, _: (x - target) / t, x, flow_times(12), solver=solver)
    torch.testing.assert_close(out, target, atol=1e-9, rtol=0)


def test_a_field_of_the_wrong_sign_moves_away_from_the_data():
    target, x = torch.zeros(1, 3).double(), torch.ones(1, 3)
    right, wrong = (sample_flow(lambda x, t, _, s=sign: s * (x - target) / t, x, flow_times(8))
                    for sign in (1, -1))
    assert right.abs().max() < 1e-9 < 1 < wrong.abs().min()


def test_heun_is_closer_than_euler_where_the_field_bends():
    to_float64 = torch.e**0.5  # dx/dt = -x/2 from 1 to 0

    def error(solver):
        return abs(sample_flow(lambda x, t, _: -x / 2, torch.ones(1), flow_times(6), solver=solver).item() - to_float64)

    assert error("heun") < error("euler") / 5


def test_the_flow_sde_reaches_the_distribution_of_the_data():
    mean, std, generator = 2.0, 0.5, torch.Generator().manual_seed(0)

    def velocity(x, t, _):
        variance = (1 - t) ** 2 * std**2 + t**2
        gain = (t - (1 - t) * std**2) / variance
        return gain * (x - (1 - t) * mean) - mean

    x = draw_noise((1, 4000), generator)
    for solver in ("euler", "euler_maruyama"):
        out = sample_flow(velocity, x, flow_times(60, solver), solver=solver,
                          noise=lambda i: draw_noise(x.shape, generator))
        assert out.mean().item() == pytest.approx(mean, abs=0.05)
        assert out.std().item() == pytest.approx(std, abs=0.05)


def test_noise_is_asked_for_at_all_steps_but_the_last_and_required():
    asked = []
    times = flow_times(5, "euler_maruyama")
    sample_flow(lambda x, t, _: x, torch.zeros(1), times, solver="euler_maruyama",
                noise=lambda i: asked.append(i) or torch.zeros(1))
    assert asked == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="draws noise"):
        sample_flow(lambda x, t, _: x, torch.zeros(1), times, solver="euler_maruyama")


def test_a_flow_step_starts_from_where_a_callback_moved_the_last_one():
    seen = []

    def after_step(i, before, after, velocity):
        seen.append((i, before.item(), velocity.item()))
        return after.float() + (1.0 if i == 0 else 0.0)

    out = sample_flow(lambda x, t, _: torch.ones(1), torch.zeros(1), flow_times(2), after_step=after_step)
    assert seen == [(0, 0.0, 1.0), (1, 0.5, 1.0)]
    assert out.dtype == torch.float64
    assert out.item() == pytest.approx(0.0)


def test_flow_times_and_interval():
    assert flow_times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    times = flow_times(3, "euler_maruyama")
    assert times.tolist() == pytest.approx([1, 0.52, 0.04, 0])
    with pytest.raises(ValueError, match="1 or more"):
        flow_times(0)
    assert [scale_at(1.45, t, (0.25, 0.75)) for t in (0.2, 0.25, 0.5, 0.75, 0.8)] == [1, 1.45, 1.45, 1.45, 1]
