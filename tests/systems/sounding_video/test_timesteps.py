"""Timestep adjustment: official lists, an automatic gamma on curves whose gamma is known, wrong settings."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file

from postsync.diffusion.schedule import Schedule
from postsync.errors import ConditionError
from postsync.systems.sounding_video.timesteps import (
    adjusted,
    exponents,
    fit_gamma,
    interpolated,
    log_snr,
    relative_loss,
)

AUDIO = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "clip_sample": False,
         "set_alpha_to_one": False, "steps_offset": 1}
VIDEO = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False,
         "set_alpha_to_one": False, "timestep_spacing": "linspace"}


def schedule(settings: dict, **changes) -> Schedule:
    return Schedule(DDIMScheduler(**settings | changes))


@pytest.mark.golden
def test_lists_and_levels_are_the_official_ones(golden) -> None:
    folder = golden("sv_timesteps")
    config = json.loads((folder / "config.json").read_text())
    audio, video = (schedule(config[f"{name}_scheduler"]) for name in ("audio", "video"))
    levels = load_file(folder / "case.safetensors")
    torch.testing.assert_close(audio.scheduler.alphas_cumprod, levels["audio.alphas_cumprod"], atol=1e-6, rtol=0)
    torch.testing.assert_close(video.scheduler.alphas_cumprod, levels["video.alphas_cumprod"], atol=1e-6, rtol=0)
    for key, official in json.loads((folder / "timesteps.json").read_text()).items():
        gamma, steps, name = (part.split("=")[-1] for part in key.split("/"))
        both = dict(zip(("audio", "video"), adjusted(audio, video, int(steps), float(gamma)), strict=True))
        assert both[name] == official, key


def test_gamma_one_is_diffusers_own_list_and_above_one_the_picture_is_ahead() -> None:
    audio, video = schedule(AUDIO), schedule(VIDEO)
    plain = DDIMScheduler(**AUDIO)
    plain.set_timesteps(20)
    assert adjusted(audio, video, 20)[0] == plain.timesteps.tolist()
    heard, seen = adjusted(audio, video, 20, 2.0)
    assert all(n > m for n, m in zip(heard[1:], seen[1:], strict=True))
    assert exponents(4.0) == (0.5, 2.0)


def test_gamma_is_found_where_it_is_known() -> None:
    ramp = interpolated(torch.linspace(0, 1, 2001).double())
    for known in (0.5, 2.0):
        fit = fit_gamma(lambda t, known=known: ramp(t) ** known, ramp)  # n^gamma = m along the run
        assert fit.gamma == pytest.approx(known, rel=0.03)
        assert min(fit.distances) < 1e-4 < max(fit.distances)
    assert fit_gamma(log_snr(schedule(AUDIO)), log_snr(schedule(AUDIO))).gamma == 1.0
    of_schedules = fit_gamma(log_snr(schedule(AUDIO)), log_snr(schedule(VIDEO)))
    assert of_schedules.gamma == pytest.approx(0.805, abs=0.001)  # of the published schedules
    assert relative_loss(torch.tensor([4.0, 2.0, 1.0]))(torch.tensor([0.0, 0.25]).double()).tolist() == [1.0, 0.75]


def test_settings_out_of_range_are_refused() -> None:
    audio, video = schedule(AUDIO), schedule(VIDEO)
    with pytest.raises(ConditionError, match="gamma is 0"):
        adjusted(audio, video, 10, 0.0)
    with pytest.raises(ConditionError, match="1 to 1000"):
        adjusted(audio, video, 0)
    with pytest.raises(ConditionError, match="1000 and 500 timesteps"):
        adjusted(audio, schedule(VIDEO, num_train_timesteps=500), 10)
