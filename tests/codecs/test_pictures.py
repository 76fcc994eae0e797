"""Picture codecs: shapes, scale, saving, learning; what cannot be encoded or loaded is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL

from postsync.codecs.pictures import PictureCodec, even_frames, picture_codec, psnr, residual_network
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.clip import Clip
from postsync.scenes.render import SceneConfig, impacts, render_scene


def variational() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
                         down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)


def clip(seed: int = 3) -> Clip:
    return render_scene(seed, SceneConfig(duration_s=4.0, size=16, fps=25.0, **impacts()), needs=frozenset({"frames"}))


@pytest.mark.parametrize("kind", ["kl", "dc"])
@torch.no_grad()
def test_pictures_go_in_and_out_frame_by_frame_and_a_saved_codec_is_the_same(kind: str, tmp_path) -> None:
    torch.manual_seed(0)
    codec = PictureCodec(variational() if kind == "kl" else residual_network((8, 8), (0, 1), 4)).eval()
    frames = torch.rand(2, 5, 3, 16, 24)
    latents = codec.encode(frames)
    assert latents.shape == (2, codec.latent_channels, 5, 8, 12)
    torch.testing.assert_close(codec.encode(frames[1:, 3:4])[0, :, 0], latents[1, :, 3])
    made = codec.decode(latents)
    assert made.shape == frames.shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    codec.save_pretrained(tmp_path)
    again = PictureCodec.from_pretrained(tmp_path)
    torch.testing.assert_close(again.decode(again.encode(frames)), made)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_it_learns_and_its_latents_have_unit_scale(tmp_path) -> None:
    torch.manual_seed(0)
    objective = picture_codec("tiny")
    sample = objective.prepare(clip())
    assert sample["frames"].shape == (32, 3, 16, 16)
    batch = {"frames": torch.stack([sample["frames"], objective.prepare(clip(4))["frames"]])}
    optimiser = torch.optim.Adam(objective.parameters(), lr=1e-2)
    for step in range(60):
        out = objective(batch, step=step)
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
    assert out["psnr"] > 17
    objective.eval().export(tmp_path)
    codec = PictureCodec.from_pretrained(tmp_path)
    frames = batch["frames"].float() / 255
    latents = codec.encode(frames)
    assert float(latents.std()) == pytest.approx(1.0, abs=0.35)
    assert psnr(codec.decode(latents), frames) > 17


def test_frames_are_those_shown_at_even_times() -> None:
    given = clip()
    frames = even_frames(given, 4.0, 8.0)
    assert torch.equal(frames[3], given.frames[int((given.times <= 3 / 8 + 1e-6).sum()) - 1])
    with pytest.raises(ConditionError, match="has no pictures"):
        even_frames(replace(given, frames=None), 4.0, 8.0)


def test_the_ratio_is_that_of_peak_and_error() -> None:
    assert float(psnr(torch.full((4,), 0.6), torch.full((4,), 0.5))) == pytest.approx(20.0, abs=1e-4)


def test_other_pictures_and_folders_are_refused(tmp_path) -> None:
    codec = PictureCodec(variational())
    for frames in (torch.rand(1, 5, 3, 15, 16), torch.rand(5, 3, 16, 16), torch.rand(1, 5, 4, 16, 16)):
        with pytest.raises(ConditionError, match="sides that 2 divides"):
            codec.encode(frames)
    with pytest.raises(WeightsError, match="holds no codec of pictures"):
        PictureCodec.from_pretrained(tmp_path)
