"""A joint U-Net of toy size, that of the golden numbers, and the published schedules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file

from postsync.diffusion.schedule import Schedule
from postsync.systems.sounding_video.joint import JointUNet, build

AUDIO = {"in_channels": 8, "out_channels": 8, "block_out_channels": (64, 32), "layers_per_block": 1,
         "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "norm_num_groups": 8,
         "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": (64, 32),
         "class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 16,
         "class_embeddings_concat": True}
VIDEO = {"in_channels": 4, "out_channels": 4, "block_out_channels": (64, 32), "layers_per_block": 1,
         "down_block_types": ("DownBlockMotion", "CrossAttnDownBlockMotion"), "norm_num_groups": 8,
         "up_block_types": ("CrossAttnUpBlockMotion", "UpBlockMotion"), "cross_attention_dim": 24,
         "motion_num_attention_heads": 4, "use_motion_mid_block": True, "motion_max_seq_length": 32}
SETTINGS = {"with_connector": (False, True), "connector_channel": 32, "multipliers": (1, 1)}


@pytest.fixture(scope="session")
def new_joint() -> Callable[..., JointUNet]:
    """`new_joint(**settings)`: U-Nets with random weights, and new connectors."""

    def make(**changes: Any) -> JointUNet:
        torch.manual_seed(0)
        unets = UNet2DConditionModel(**AUDIO).eval(), UNetMotionModel(**VIDEO).eval()
        return build(*unets, **SETTINGS | changes).eval()

    return make


@pytest.fixture(scope="session")
def schedules() -> tuple[Schedule, Schedule]:
    """Of sound and picture, as published."""
    return (Schedule(DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear",
                                   clip_sample=False, set_alpha_to_one=False, steps_offset=1)),
            Schedule(DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False,
                                   set_alpha_to_one=False, timestep_spacing="linspace")))


@pytest.fixture(scope="session")
def official_model(golden) -> Callable[..., tuple[JointUNet, dict[str, torch.Tensor], dict[str, Any]]]:
    """`official_model(variant)` -> the joint U-Net with the official weights, the numbers, and the settings."""

    def load(variant: str = "sv_joint_unet") -> tuple[JointUNet, dict[str, torch.Tensor], dict[str, Any]]:
        base, folder = golden("sv_joint_unet"), golden(variant)
        config = json.loads((base / "config.json").read_text())
        settings = json.loads((folder / "config.json").read_text())["connector_audio"]
        weights = {key: value for key, value in load_file(base / "weights.safetensors").items() if "svg" not in key}
        weights |= {key: value for key, value in load_file(folder / "weights.safetensors").items() if "svg" in key}
        joint = build(UNet2DConditionModel(**config["unet_a"]), UNetMotionModel(**config["unet_v"]),
                      with_connector=settings["with_connector"], connector_channel=settings["connector_channel"],
                      multipliers=settings["channel_mult_connector"], num_blocks=settings["num_blocks_connector"],
                      dim_head=config["connector_dim_head"], connector_type=settings["connector_in_type"])
        for part, prefix in ((joint.audio_unet, "unet_a."), (joint.video_unet, "unet_v."),
                             (joint.connectors, "unet_svg.")):
            missing, unexpected = part.load_state_dict(
                {key.removeprefix(prefix): value.float() for key, value in weights.items() if key.startswith(prefix)},
                strict=False)
            assert not unexpected
            assert all(key.endswith("pos_embed.pe") for key in missing)  # tables, not weights
        return joint.eval(), load_file(base / "case.safetensors"), config

    return load
