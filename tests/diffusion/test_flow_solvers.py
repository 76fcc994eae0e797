"""Flow solvers against REPA's numbers, and on fields whose end is known."""

from __future__ import annotations

import json

import pytest
import torch
from postsync.diffusion.flow_solvers import flow_times, sample_flow
from safetensors.torch import load_file

from postsync.diffusion.guidance import classifier_free_guidance, scale_at
from postsync.diffusion.solvers import draw_noise


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
def test_official_samples(golden):
    folder = golden("flow_samplers")
    data, steps = load_file(folder / "io.safetensors"), json.loads((folder / "config.json").read_text())["num_steps"]
    names = [name for name in data if name.startswith("out.")]
    assert len(names) >= 8
    for name in names:
        solver, _, settings = name.removeprefix("out.").partition("_cfg")
        scale, _, interval = settings.partition("_interval_")
        low, high = (float(v) for v in interval.split("_")) if interval else (0.0, 1.0)
        out = sample_flow(guided(data, float(scale), (low, high)), data["in.x_noise"], steps, solver=solver,
                          noise=lambda i: data["in.sde_noise"][i])
        assert out.dtype == torch.float64
        torch.testing.assert_close(out, data[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_field_of_one_sample_leads_there(solver):
    target = torch.tensor([[3.0, -1.0]]).double()
    x = torch.randn(1, 2, generator=torch.Generator().manual_seed(0))
    out = sample_flow(lambda x, t, _: (x - target) / t, x, 12, solver=solver)
    torch.testing.assert_close(out, target, atol=1e-9, rtol=0)


def test_a_field_of_the_wrong_sign_moves_away_from_the_data():
    target, x = torch.zeros(1, 3).double(), torch.ones(1, 3)
    right, wrong = (sample_flow(lambda x, t, _, s=sign: s * (x - target) / t, x, 8) for sign in (1, -1))
    assert right.abs().max() < 1e-9 < 1 < wrong.abs().min()


def test_heun_is_closer_than_euler_where_the_field_bends():
    exact = torch.e**0.5  # dx/dt = -x/2 from 1 to 0

    def error(solver):
        return abs(sample_flow(lambda x, t, _: -x / 2, torch.ones(1), 6, solver=solver).item() - exact)

    assert error("heun") < error("euler") / 5


def test_the_sde_reaches_the_distribution_of_the_data():
    mean, std, generator = 2.0, 0.5, torch.Generator().manual_seed(0)

    def velocity(x, t, _):
        variance = (1 - t) ** 2 * std**2 + t**2
        gain = (t - (1 - t) * std**2) / variance
        return gain * (x - (1 - t) * mean) - mean

    x = draw_noise((1, 4000), generator)
    for solver in ("euler", "euler_maruyama"):
        out = sample_flow(velocity, x, 60, solver=solver, noise=lambda i: draw_noise(x.shape, generator))
        assert out.mean().item() == pytest.approx(mean, abs=0.05)
        assert out.std().item() == pytest.approx(std, abs=0.05)


def test_noise_is_asked_for_at_all_steps_but_the_last_and_required():
    asked = []
    sample_flow(lambda x, t, _: x, torch.zeros(1), 5, solver="euler_maruyama",
                noise=lambda i: asked.append(i) or torch.zeros(1))
    assert asked == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="draws noise"):
        sample_flow(lambda x, t, _: x, torch.zeros(1), 5, solver="euler_maruyama")


def test_a_guide_moves_the_latents_that_the_next_step_starts_from():
    seen = []

    def after_step(i, before, after, velocity):
        seen.append((i, before.item(), velocity.item()))
        return after.float() + (1.0 if i == 0 else 0.0)

    out = sample_flow(lambda x, t, _: torch.ones(1), torch.zeros(1), 2, after_step=after_step)
    assert seen == [(0, 0.0, 1.0), (1, 0.5, 1.0)]
    assert out.dtype == torch.float64
    assert out.item() == pytest.approx(0.0)


def test_times_and_interval():
    assert flow_times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    times = flow_times(3, "euler_maruyama")
    assert times.tolist() == pytest.approx([1, 0.52, 0.04, 0])
    with pytest.raises(ValueError, match="1 or more"):
        flow_times(0)
    assert [scale_at(1.45, t, (0.25, 0.75)) for t in (0.2, 0.25, 0.5, 0.75, 0.8)] == [1, 1.45, 1.45, 1.45, 1]
