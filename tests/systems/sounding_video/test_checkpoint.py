"""Published connectors: names, files and folders, sizes told by shapes, base models put together; what does not fit."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import UNetMotionModel
from safetensors.torch import load_file, save_file

from postsync import registry
from postsync.errors import WeightsError
from postsync.systems.sounding_video.checkpoint import MOTION, assemble, from_official, read_official, to_official
from postsync.systems.sounding_video.joint import JointUNet, build
from postsync.systems.sounding_video.pipeline import SoundingVideoPipeline
from postsync.weights import bundled
from tiny_published import audioldm_folder, stable_diffusion_folder


@pytest.mark.parametrize("settings", [
    {}, {"connector_type": "attn"}, {"sees_estimate": False},
    {"with_connector": (True, True), "multipliers": (2, 1), "num_blocks": (2, 1), "connector_channel": 64}])
def test_shapes_tell_the_settings(new_joint, settings) -> None:
    joint = new_joint(**settings)
    ours, motion, skipped = from_official(to_official(joint.connectors), joint.audio_unet, joint.video_unet)
    assert {key: ours.config[key] for key in settings} == settings
    assert (motion, skipped) == ({}, {})
    expected = joint.connectors.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())


@pytest.mark.golden
@torch.no_grad()
def test_the_official_file_is_read(golden, official_model) -> None:
    joint, case, config = official_model()
    state = read_official(golden("sv_joint_unet") / "weights.safetensors")
    ours, motion, skipped = from_official(state, joint.audio_unet, joint.video_unet,
                                          head_dim=config["connector_dim_head"])
    assert len(ours.state_dict()) + len(motion) + len(skipped) == len(state)
    assert all("motion_modules" in key for key in motion)
    assert set(skipped.values()) == {"of a base model, which is loaded from its own folder"}
    latents, emb = case["fwd.xcon_a"], torch.randn(len(case["fwd.xcon_a"]), 4 * config["unet_a"][
        "block_out_channels"][0])
    assert torch.equal(ours.told("audio", latents, emb), joint.connectors.told("audio", latents, emb))


@pytest.mark.golden
def test_every_published_motion_module_has_its_place(golden) -> None:
    """At the paper's size, without memory."""
    listed = json.loads((golden("sv_full_keys") / "unet_v_motion_modules.json").read_text())
    with torch.device("meta"):
        unet = UNetMotionModel(cross_attention_dim=768, motion_max_seq_length=32, motion_num_attention_heads=8)
    shapes = {key: list(value.shape) for key, value in unet.state_dict().items() if "motion_modules" in key}
    found = {key: MOTION.fullmatch(key) for key in listed}
    assert {match[1]: list(listed[key]) for key, match in found.items() if match} == shapes


def test_files_and_folders(new_joint, tmp_path) -> None:
    joint = new_joint()
    state = dict(joint.connectors.state_dict())
    torch.save(state, tmp_path / "added.bin")
    whole = tmp_path / "whole"
    (whole / "unet_v").mkdir(parents=True)
    torch.save(state, whole / "pytorch_model.bin")
    moving = {key: value for key, value in joint.video_unet.state_dict().items() if "mid_block" in key}
    save_file(moving, whole / "unet_v" / "model.safetensors")
    assert read_official(tmp_path / "added.bin").keys() == state.keys()
    _, motion, skipped = from_official(read_official(whole), joint.audio_unet, joint.video_unet)
    assert motion.keys() == {key for key in moving if "motion_modules" in key}
    assert skipped.keys() == {f"unet_v.{key}" for key in moving if "motion_modules" not in key}
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no weights"):
        read_official(tmp_path / "empty")
    with pytest.raises(WeightsError, match=r"tensors differ, first 'connector_in_audio"):
        from_official({key: value for key, value in state.items() if not key.endswith("1.0.0.proj_out.bias")},
                      joint.audio_unet, joint.video_unet)


@pytest.fixture(scope="module")
def published(codec, tmp_path_factory):
    """Folders of both base models, and connectors between them with motion modules, as the published script saves."""
    folder = tmp_path_factory.mktemp("published")
    audioldm_folder(folder / "audio", codec, widths=(64, 32))
    stable_diffusion_folder(folder / "video")
    from postsync.backbones.audioldm import load_unet
    from postsync.systems.sounding_video.checkpoint import _video

    torch.manual_seed(6)
    seen = _video(folder / "video", folder / "video" / "motion")[0]
    joint: JointUNet = build(load_unet(folder / "audio")[0], seen, with_connector=(False, True), connector_channel=32,
                             multipliers=(1,), num_blocks=(1,))
    for parameter in joint.connectors.parameters():
        parameter.data = 0.1 * torch.randn_like(parameter)
    motion = {f"unet_v.{key}": value + 1 for key, value in seen.state_dict().items() if "motion_modules" in key}
    torch.save(to_official(joint.connectors) | motion, folder / "added.bin")
    return folder


def test_published_parts_become_one_folder_that_makes_clips(published, tmp_path) -> None:
    entry = registry.system("sounding_video").assembly
    assert registry.resolve(entry.function) is assemble
    pipe = assemble(published / "added.bin", published / "audio", published / "video", published / "video" / "motion",
                    fps=4.0)
    assert pipe.video_scheduler.config["beta_schedule"] == "linear"
    assert pipe.video_scheduler.config["timestep_spacing"] == "linspace"
    trained = load_file(published / "video" / "motion" / "diffusion_pytorch_model.safetensors")
    key = next(key for key in trained if key.endswith("proj_in.weight"))
    assert torch.equal(pipe.video_unet.state_dict()[key], trained[key] + 1)
    pipe.register_to_config(size=16)
    pipe.save_pretrained(tmp_path / "whole")
    again = SoundingVideoPipeline.from_pretrained(tmp_path / "whole")
    again.set_progress_bar_config(disable=True)
    assert again.knows_film
    made = [each(prompt="a bell", negative_prompt="bad", duration_s=1.0, num_inference_steps=2,
                 generator=torch.Generator().manual_seed(0)) for each in (pipe, again)]
    assert made[0].audios.shape == (1, 1, 16000)
    assert made[0].frames.shape == (1, 4, 3, 16, 16)
    assert torch.equal(made[0].audios, made[1].audios)
    assert torch.equal(made[0].frames, made[1].frames)


def test_the_mini_is_assembled_from_its_export(tmp_path) -> None:
    """Its U-Nets, codecs and towers stay where they are bundled."""
    pipe = assemble(bundled("sounding_video") / "connectors", size="mini")
    pipe.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio_scheduler", "connectors", "model_index.json",
                                                                "video_scheduler"]
    names = [folder / "connectors" / "diffusion_pytorch_model.safetensors"
             for folder in (tmp_path, bundled("sounding_video"))]
    ours, theirs = map(load_file, names)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index == json.loads((bundled("sounding_video") / "model_index.json").read_text())


def test_what_does_not_fit_is_named(published, tmp_path) -> None:
    with pytest.raises(WeightsError, match="between two base models"):
        assemble(published / "added.bin")
    with pytest.raises(WeightsError, match="takes no vector of words"):
        assemble(published / "added.bin", published / "video", published / "video", published / "video" / "motion")
    with pytest.raises(WeightsError, match="no motion adapter that fits"):
        assemble(published / "added.bin", published / "audio", published / "video", published / "audio" / "unet")
    stable_diffusion_folder(tmp_path / "wider", widths=(64, 64))
    with pytest.raises(WeightsError, match="tensors differ"):
        assemble(published / "added.bin", published / "audio", tmp_path / "wider", tmp_path / "wider" / "motion")
    (tmp_path / "torn.bin").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"torn\.bin"):
        assemble(tmp_path / "torn.bin", published / "audio", published / "video", published / "video" / "motion")
