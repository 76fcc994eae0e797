"""AnimateDiff's U-Net: a start without motion, stills before motion, learning, saving; other folders are refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from postsync.backbones.animatediff import animatediff, load_video_unet, mini, new_unet, tiny
from postsync.errors import WeightsError
from postsync.scenes.render import SceneConfig, impacts, render_scene


@pytest.fixture(scope="module")
def batch():
    objective = animatediff("tiny")
    samples = [objective.prepare(render_scene(seed, SceneConfig(duration_s=4.0, size=16, fps=8.0, **impacts()),
                                              needs=frozenset({"frames"}))) for seed in (1, 2)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


@torch.no_grad()
def test_a_new_unet_treats_frames_as_stills() -> None:
    torch.manual_seed(0)
    unet = new_unet(tiny()).eval()
    x, words = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 1, 8)
    whole = unet(x, torch.tensor([500]), words.repeat_interleave(3, 0)).sample
    for k in range(3):
        torch.testing.assert_close(unet(x[:, :, k:k + 1], torch.tensor([500]), words).sample[:, :, 0], whole[:, :, k],
                                   atol=1e-5, rtol=1e-5)


def test_samples_hold_latents_and_words(batch) -> None:
    assert batch["pictures"].shape == (2, 4, 32, 8, 8)
    assert batch["text"].shape == (2, 3, 128)


@pytest.mark.parametrize("frames", [1, 4])
def test_stills_leave_the_motion_alone_and_motion_trains_all(batch, frames: int, tmp_path) -> None:
    torch.manual_seed(0)
    objective = animatediff("tiny", frames=frames)
    optimiser = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    first = [objective(batch, step=step)["loss"].item() for step in range(4)]
    for step in range(24):
        loss = objective(batch, step=step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    again = [objective(batch, step=step)["loss"].item() for step in range(4)]
    assert sum(again) < 0.8 * sum(first)
    moved = [parameter.any() for name, parameter in objective.unet.named_parameters()
             if "motion_modules" in name and "proj_out.weight" in name]
    assert all(moved) == (frames > 1)
    objective.export(tmp_path)
    unet, scheduler = load_video_unet(tmp_path)
    assert scheduler.config["timestep_spacing"] == "linspace"
    assert torch.equal(unet.conv_in.weight, objective.unet.conv_in.weight.half().float())
    assert torch.equal(animatediff("tiny", start=tmp_path).unet.conv_in.weight, unet.conv_in.weight)
    written = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert not any(key.endswith("pos_embed.pe") for key in written)  # tables are computed, and nothing is said of them
    tables = {key: value for key, value in unet.state_dict().items() if key.endswith("pos_embed.pe")}
    assert tables
    assert all(torch.equal(value, objective.unet.state_dict()[key]) for key, value in tables.items())
    del written["conv_in.bias"]
    save_file(written, tmp_path / "unet" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"conv_in\.bias"):
        load_video_unet(tmp_path)


def test_drawn_frames_follow_each_other(batch) -> None:
    objective = animatediff("tiny", frames=5)
    places = torch.arange(32.0)[None, None, :, None, None].expand(2, 4, -1, 8, 8)
    drawn = objective._drawn(places, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 4, 5, 8, 8)
    assert torch.equal(drawn[:, 0, :, 0, 0].diff(dim=1), torch.ones(2, 4))
    assert drawn[0, 0, 0, 0, 0] != drawn[1, 0, 0, 0, 0]


def test_the_mini_has_its_size() -> None:
    with torch.device("meta"):
        unet = new_unet(mini())
    assert sum(parameter.numel() for parameter in unet.parameters()) == pytest.approx(8e6, rel=0.25)


def test_another_folder_is_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="no U-Net with motion modules"):
        load_video_unet(tmp_path)
