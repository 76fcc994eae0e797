"""The schedule of a DDIM scheduler: official steps along any list, predictions, what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file

from postsync.diffusion.schedule import Schedule
from postsync.errors import WeightsError

LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False,
          "set_alpha_to_one": False, "timestep_spacing": "linspace"}


def schedule(settings: dict, **changes) -> Schedule:
    return Schedule(DDIMScheduler(**settings | changes))


@pytest.mark.golden
def test_a_whole_run_of_steps_is_the_official_one(golden) -> None:
    folder = golden("sv_ddim_step")
    config, case = json.loads((folder / "config.json").read_text()), load_file(folder / "case.safetensors")
    for name in ("audio", "video"):
        of = schedule(config[f"{name}_scheduler"])
        times = case[f"{name}.timesteps"].tolist()
        alphas, sigmas = of.run(times)
        assert alphas[-1] ** 2 == pytest.approx(float(case[f"{name}.final_alpha_cumprod"]), abs=1e-6)
        x = case[f"{name}.x_init"]
        for i, eps in enumerate(case[f"{name}.eps"]):
            x, clean = of.step(x, eps, alphas, sigmas, i)
            for made, official in ((x, case[f"{name}.prev_sample"][i]), (clean, case[f"{name}.pred_x0"][i])):
                torch.testing.assert_close(made, official, atol=1e-5 * float(official.abs().max()), rtol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_network_that_knows_the_noise_reaches_the_clean_latents(prediction: str) -> None:
    of = schedule(LINEAR, prediction_type=prediction)
    g = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 4, generator=g), torch.randn(2, 3, 4, generator=g)
    times = of.timesteps(7, 1.3)
    alphas, sigmas = of.run(times)
    x = of.add_noise(clean, noise, torch.tensor([times[0]] * 2))
    for i, time in enumerate(times):
        at = torch.tensor([time] * 2)
        output = of.target(clean, noise, at)
        torch.testing.assert_close(of.clean_estimate(x, output, at), clean, atol=1e-4, rtol=1e-4)
        x, _ = of.step(x, output, alphas, sigmas, i)
    torch.testing.assert_close(x, alphas[-1] * clean + sigmas[-1] * noise, atol=1e-4, rtol=1e-4)


def test_a_network_that_predicts_the_sample_is_refused() -> None:
    with pytest.raises(WeightsError, match="type sample"):
        schedule(LINEAR, prediction_type="sample")
