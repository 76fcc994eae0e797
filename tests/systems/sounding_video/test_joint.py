"""The joint U-Net: official numbers of both variants, plain U-Nets without connectors, copies, the published layout."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file

from postsync.diffusion.schedule import Schedule
from postsync.errors import ConditionError
from postsync.systems.sounding_video.joint import Connectors, State, run_audio, run_video
from postsync.systems.sounding_video.timesteps import adjusted


def states(told: bool = True, frames: int = 6) -> tuple[State, State]:
    g = torch.Generator().manual_seed(1)
    audio, video = torch.randn(2, 8, 20, 4, generator=g), torch.randn(2, 4, frames, 8, 8, generator=g)
    times, other = torch.tensor([400, 30]), torch.tensor([700, 90])
    return (State(audio, times, torch.randn(2, 16, generator=g),
                  torch.randn(2, 16, 20, 4, generator=g) if told else None, other),
            State(video, times, torch.randn(2, 5, 24, generator=g),
                  torch.randn(2, 8, frames, 8, 8, generator=g) if told else None, other))


def given(case: dict, told: bool = True) -> tuple[State, State]:
    return (State(case["fwd.x_a"], case["fwd.t_a"], case["fwd.clap_a"], case["fwd.xcon_a"] if told else None,
                  case["fwd.tcon_a"]),
            State(case["fwd.x_v"], case["fwd.t_v"], case["fwd.text_v"], case["fwd.xcon_v"] if told else None,
                  case["fwd.tcon_v"]))


@pytest.mark.golden
@torch.no_grad()
def test_both_variants_are_the_official_ones(golden, official_model) -> None:
    joint, case, _ = official_model()
    heard, seen = joint(*given(case))
    torch.testing.assert_close(heard, case["fwd.eps_a"], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen, case["fwd.eps_v"], atol=1e-4, rtol=0)
    alone = joint(*given(case, told=False))
    torch.testing.assert_close(alone[0], case["single.eps_a"], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone[1], case["single.eps_v"], atol=1e-4, rtol=0)
    attended, _, _ = official_model("sv_joint_unet_crossattn")
    official = load_file(golden("sv_joint_unet_crossattn") / "case.safetensors")
    heard, seen = attended(*given(case))
    torch.testing.assert_close(heard, official["eps_a"], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen, official["eps_v"], atol=1e-4, rtol=0)


@pytest.mark.golden
def test_every_published_key_has_its_shape(golden) -> None:
    """At the paper's size: AudioLDM-m and AnimateDiff, without memory."""
    for variant, kind in (("additive", "additive"), ("crossattn", "attn")):
        listed = json.loads((golden("sv_full_keys") / f"unet_svg_{variant}.json").read_text())
        listed = listed.get("keys", listed)
        with torch.device("meta"):
            ours = Connectors(8, (192, 384, 576, 960), 4, (320, 640, 1280, 1280), (False, False, True, True),
                              connector_type=kind)
        assert {f"unet_svg.{key}": list(value.shape) for key, value in ours.state_dict().items()} == {
            key: list(shape) for key, shape in listed.items()}


@torch.no_grad()
def test_without_connectors_and_with_new_ones_it_is_the_plain_unets(new_joint) -> None:
    joint = new_joint()
    audio_unet, video_unet = joint.audio_unet, joint.video_unet
    audio, video = states()
    heard, seen = joint(audio, video)
    assert torch.equal(heard, run_audio(audio_unet, audio))
    assert torch.equal(seen, run_video(video_unet, video))
    plain = audio_unet(audio.latents, audio.timesteps, None, class_labels=audio.words).sample
    assert torch.equal(heard, plain)
    words = video.words.repeat_interleave(video.latents.shape[2], dim=0)
    assert torch.equal(seen, video_unet(video.latents, video.timesteps, words).sample)


@torch.no_grad()
def test_odd_lengths_pass(new_joint) -> None:
    joint = new_joint()
    audio = State(torch.randn(1, 8, 19, 4), torch.tensor([10]), torch.randn(1, 16))
    assert run_audio(joint.audio_unet, audio).shape == (1, 8, 19, 4)
    video = State(torch.randn(1, 4, 3, 8, 6), torch.tensor([10]), torch.randn(1, 5, 24))
    assert run_video(joint.video_unet, video).shape == (1, 4, 3, 8, 6)


@pytest.mark.parametrize("kind", ["additive", "attn"])
def test_each_is_told_of_the_other_a_copy_works_alike_and_gradients_reach_all(new_joint, kind: str) -> None:
    joint = new_joint(connector_type=kind)
    joint.audio_unet.requires_grad_(False)
    joint.video_unet.requires_grad_(False)
    g = torch.Generator().manual_seed(5)
    for parameter in joint.connectors.parameters():
        if not parameter.any():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=g)
    audio, video = states()
    heard, seen = joint(audio, video)
    (heard.square().mean() + seen.square().mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for name, parameter in
               joint.connectors.named_parameters() if "attn_s.to_k" not in name)
    assert all(parameter.grad is None for parameter in joint.audio_unet.parameters())
    other = State(video.latents, video.timesteps, video.words, -video.told, video.told_timesteps)
    with torch.no_grad():
        heard, seen = joint(audio, video)
        assert not torch.equal(joint(audio, other)[0], heard)  # the sound hears of the picture
        assert torch.equal(joint(audio, other)[1], seen)  # which itself is as it was
        copied = copy.deepcopy(joint)
        for parameter in joint.parameters():
            parameter.zero_()
        assert torch.equal(copied(audio, video)[0], heard)


def test_connectors_are_saved_and_read(new_joint, tmp_path) -> None:
    joint = new_joint()
    joint.connectors.save_pretrained(tmp_path)
    again = Connectors.from_pretrained(tmp_path)
    assert again.config["connector_type"] == "additive"
    for key, value in joint.connectors.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_unets_of_other_depths_are_refused(new_joint) -> None:
    with pytest.raises(ConditionError, match="2 and 2 levels do not fit 3"):
        new_joint(with_connector=(False, True, True))


@pytest.mark.golden
@torch.no_grad()
def test_a_run_with_guidance_is_the_official_one(official_model) -> None:
    joint, case, config = official_model()
    settings = config["sample"]
    audio, video = (Schedule(DDIMScheduler(**settings[f"{name}_scheduler"])) for name in ("audio", "video"))
    lists = adjusted(audio, video, settings["num_inference_steps"], settings["gamma"])
    assert lists == (case["sample.timesteps_a"].tolist(), case["sample.timesteps_v"].tolist())
    words = (torch.cat([case["sample.neg_clap_a"], case["fwd.clap_a"]]),
             torch.cat([case["sample.neg_text_v"], case["fwd.text_v"]]))
    latents, clean = [case["sample.init_a"], case["sample.init_v"]], [torch.zeros(1), torch.zeros(1)]
    runs = audio.run(lists[0]), video.run(lists[1])
    for i in range(settings["num_inference_steps"]):
        doubled = [State(x.repeat(2, *[1] * (x.dim() - 1)), torch.tensor([times[i]]), word,
                         torch.cat([x, estimate.expand_as(x)], 1).repeat(2, *[1] * (x.dim() - 1)))
                   for x, estimate, times, word in zip(latents, clean, lists, words, strict=True)]
        for k, (of, output, scale) in enumerate(zip((audio, video), joint(*doubled), (
                settings["guidance_scale_a"], settings["guidance_scale_v"]), strict=True)):
            official = case[f"sample.step{i}.eps_{'av'[k]}"]
            torch.testing.assert_close(output, official, atol=1e-3 * float(official.abs().max()), rtol=0)
            without, told = output.chunk(2)
            latents[k], clean[k] = of.step(latents[k], without + scale * (told - without), *runs[k], i)
    for made, name in zip(latents, "av", strict=True):
        official = case[f"sample.final_{name}"]
        torch.testing.assert_close(made, official, atol=1e-3 * float(official.abs().max()), rtol=0)
