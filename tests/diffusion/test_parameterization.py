"""Whatever a network predicts, the clean estimate is the clean signal if the prediction is right."""

from __future__ import annotations

from math import pi, tan

import pytest
import torch

from postsync.diffusion.parameterization import Parameterization, cosine_path, time_of_sigma, v_denoiser


@pytest.mark.parametrize("prediction", ["eps", "v", "flow"])
def test_a_perfect_prediction_gives_back_clean_and_noise(prediction):
    g = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 4, generator=g)
    t = torch.tensor([0.2, 0.7])[:, None, None]
    alpha, sigma = (1 - t, t) if prediction == "flow" else cosine_path(t)
    kind = Parameterization(prediction)
    state = alpha * clean + sigma * noise
    output = kind.target(clean, noise, alpha, sigma)
    torch.testing.assert_close(kind.clean_estimate(state, output, alpha, sigma), clean)
    torch.testing.assert_close(kind.noise_estimate(state, output, alpha, sigma), noise)


def test_time_of_sigma_inverts_the_cosine_path():
    alpha, sigma = cosine_path(torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(time_of_sigma(sigma / alpha), torch.tensor([0.1, 0.5, 0.9]))
    assert float(time_of_sigma(torch.tensor(tan(0.3 * pi / 2)))) == pytest.approx(0.3)


def test_v_denoiser_feeds_the_network_its_own_scale_and_time():
    clean, noise = torch.randn(2, 3, 1, 50, generator=torch.Generator().manual_seed(1))
    seen = {}

    def network(x, t):
        seen.update(std=float(x.std()), t=t)
        alpha, sigma = cosine_path(t[:, None, None])
        return alpha * noise - sigma * clean

    denoised = v_denoiser(network)(clean + 7.0 * noise, torch.tensor(7.0))
    torch.testing.assert_close(denoised, clean, atol=1e-4, rtol=1e-4)
    assert seen["std"] == pytest.approx(1.0, abs=0.2)
    assert seen["t"].tolist() == pytest.approx([float(time_of_sigma(torch.tensor(7.0)))] * 3)
