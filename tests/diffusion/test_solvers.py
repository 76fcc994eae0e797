"""Solvers against k-diffusion's numbers, and their behaviour on a model whose answer is known."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.diffusion.parameterization import time_of_sigma, v_denoiser
from postsync.diffusion.solvers import draw_noise, one_generator_each, polyexponential_sigmas, sample
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
    exact = 2.0 + (x - 2.0) * 0.5 / (0.25 + 50.0**2) ** 0.5

    def error(solver):
        sigmas = polyexponential_sigmas(30, 0.02, 50.0)
        out = sample(gaussian_denoiser(2.0, 0.5), x, sigmas, solver=solver, eta=0.0, noise=lambda i: x)
        return float((out - exact).abs().max())

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


def test_one_generator_each_draws_what_it_draws_alone():
    both = draw_noise((2, 3, 4), [torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)])
    alone = draw_noise((1, 3, 4), torch.Generator().manual_seed(6))
    assert torch.equal(both[1:], alone)
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        draw_noise((3, 1), [torch.Generator(), torch.Generator()])


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
