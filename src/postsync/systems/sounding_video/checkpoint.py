"""Published connectors <-> ours: the names are the same; every key is used, or skipped for a named reason. And the
pipeline that stands on published base models, or on those of the mini.

Source: the layout of `SonyResearch/SVG_baseline` (read for its names).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn

from ... import weights
from ...backbones.animatediff import SCHEDULE, load_video_unet
from ...backbones.audioldm import load_unet, load_words
from ...codecs import load_codec
from ...codecs.pictures import PictureCodec
from ...errors import WeightsError
from ...weights.foreign import read_state
from ...weights.layout import build, readable
from . import presets
from .joint import Connectors
from .pipeline import SoundingVideoPipeline

SIZES = {"paper": presets.paper, "mini": presets.mini}
PREFIX = "unet_svg."  # in the training wrapper; files of the added modules alone have none
MOTION = re.compile(r"unet_v\.(.*motion_modules\..*)")
FILES = (".bin", ".pt", ".pth", ".ckpt", ".safetensors")
CHANGED = {key: SCHEDULE[key] for key in ("beta_schedule", "timestep_spacing", "clip_sample")}
"""What the published script changes in the schedule of the image model's folder."""


def assemble(checkpoint: Path, audio: Path | None = None, video: Path | None = None, motion: Path | None = None, *,
             size: str = "paper", fps: float = 8.0, head_dim: int = 8) -> SoundingVideoPipeline:
    """The pipeline of connectors, in a file or folder as published, or an export of `postsync train sounding_video`.

    audio: AudioLDM's folder. video: one of Stable Diffusion's family with `unet/`, `scheduler/`, `vae/`,
    `text_encoder/` and `tokenizer/`; motion: the motion adapter's, unless the video's U-Net has motion modules. Of the
    mini all may stay away: the bundled ones serve. `fps`: 8 of the weights for hits, 4 of those for landscapes;
    `head_dim`: of the connectors (inferred). Raises WeightsError for parts that are missing or do not fit.
    """
    if size == "paper" and (audio is None or video is None):
        raise WeightsError("the published connectors lie between two base models; name --part audio=FOLDER (AudioLDM) "
                           "and --part video=FOLDER (Stable Diffusion 1.5).")
    preset = SIZES[size]()
    heard, audio_scheduler = load_unet(audio or weights.bundled("mdg"))
    seen, video_scheduler = _video(video or weights.bundled("animatediff"), motion)
    connectors, motion_modules, _ = from_official(read_official(checkpoint), heard, seen, head_dim=head_dim)
    if motion_modules:
        _replace(seen, motion_modules, checkpoint)
    if preset.reads_words:  # as exports are
        connectors, heard, seen = connectors.half(), heard.half(), seen.half()
    parts: dict[str, Any] = {"connectors": connectors, "audio_scheduler": audio_scheduler,
                             "video_scheduler": video_scheduler, "audio_unet": heard if audio else None,
                             "video_unet": seen if video or motion_modules else None}
    if audio is not None and video is not None and not preset.reads_words:
        preset = replace(preset, frame_rate=fps)
        parts |= load_words(audio) | {"codec": load_codec(audio, torch.float32)} | _image_parts(video)
    return SoundingVideoPipeline.from_parts(preset, **parts)


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file, or of all files of a folder, those of subfolders under the folder's name.

    Raises WeightsError where there is none.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in FILES)
    state: dict[str, Tensor] = {}
    for file in files:
        inside = file.parent.relative_to(path).parts[:1] if path.is_dir() else ()
        for key, value in read_state(file).items():
            named = key.startswith(("unet_", "connector_"))
            state[key if named else ".".join((*inside, key))] = value
    if not state:
        raise WeightsError(f"{path}: holds no weights ({', '.join(FILES)}); name the published file or its folder.")
    return state


def from_official(state: Mapping[str, Tensor], audio_unet: UNet2DConditionModel, video_unet: UNetMotionModel, *,
                  head_dim: int = 8) -> tuple[Connectors, dict[str, Tensor], dict[str, str]]:
    """Connectors in eval mode between these U-Nets, the motion modules that were trained with them, by their names in
    the U-Net, and the skipped keys, each with the reason. Raises WeightsError for another layout."""
    ours: dict[str, Tensor] = {}
    motion: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for key, value in state.items():
        moving = MOTION.fullmatch(key)
        if moving:
            motion[moving[1]] = value.float()
        elif key.startswith(("unet_a.", "unet_v.")):
            skipped[key] = "of a base model, which is loaded from its own folder"
        else:
            ours[key.removeprefix(PREFIX)] = value.float()
    settings = sizes(ours, audio_unet, video_unet) | {"dim_head": head_dim}
    return build(lambda: Connectors(**settings), ours, "Sounding Video's connectors"), motion, skipped


def to_official(connectors: Connectors) -> dict[str, Tensor]:
    """The connectors by their names in the official training wrapper."""
    return {f"{PREFIX}{key}": value for key, value in connectors.state_dict().items()}


def sizes(state: Mapping[str, Tensor], audio_unet: UNet2DConditionModel, video_unet: UNetMotionModel) -> dict[str, Any]:
    """The arguments of `Connectors`, as the U-Nets and the shapes of the tensors tell them. Raises WeightsError where
    they do not."""
    widths = tuple(audio_unet.config["block_out_channels"])
    last = max((int(key.split(".")[1]) for key in state if key.startswith("connector_out_audio.")), default=0)
    blocks = [(int(place), int(number), len(value)) for key, value in state.items()
              for place, number in re.findall(r"^connector_out_audio\.(\d+)\.(\d+)\.out_layers\.3\.bias$", key)]
    try:
        channel = len(state[f"connector_out_audio.{last}.2.bias"])
        told = state["connector_out_audio.0.0.weight"].shape[1]
    except KeyError as error:
        raise WeightsError(f"this is not a checkpoint of Sounding Video's connectors: {error} is missing; name the "
                           "published file of the added modules.") from error
    places = sorted({place for place, _, _ in blocks})
    counts = tuple(sum(place == other for other, _, _ in blocks) for place in places)
    multipliers = tuple(next(width for other, _, width in blocks if other == place) // widths[0] for place in places)
    levels = {int(key.split(".")[2]) for key in state if key.startswith("connector_in_audio.0.")}
    attends = any(".attn2." in key for key in state)
    return {"audio_channels": audio_unet.config["in_channels"], "audio_widths": widths,
            "video_channels": video_unet.config["in_channels"],
            "video_widths": tuple(video_unet.config["block_out_channels"]),
            "with_connector": tuple(level in levels for level in range(len(widths))), "connector_channel": channel,
            "multipliers": multipliers, "num_blocks": counts, "connector_type": "attn" if attends else "additive",
            "sees_estimate": told == 2 * audio_unet.config["in_channels"]}


def _video(folder: Path, motion: Path | None) -> tuple[UNetMotionModel, DDIMScheduler]:
    """A U-Net with motion modules, its own or an adapter's, and its schedule."""
    if motion is None:
        return load_video_unet(folder)
    with readable(folder, "U-Net of Stable Diffusion's family", "name a folder with unet/ and scheduler/."):
        image = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", **CHANGED)
    with readable(motion, "motion adapter that fits", "name the adapter of this family."):
        adapter = MotionAdapter.from_pretrained(motion)
        unet = UNetMotionModel.from_unet2d(image, adapter)
    return cast("UNetMotionModel", unet), cast("DDIMScheduler", scheduler)


def _image_parts(folder: Path) -> dict[str, Any]:
    """CLIP's text tower and tokenizer, and the picture codec, of a folder of Stable Diffusion's family."""
    from transformers import CLIPTextModel, CLIPTokenizer

    with readable(folder, "text_encoder/ and tokenizer/ of CLIP", "download the whole folder."):
        words = {"video_text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True),
                 "video_tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)}
    return words | {"pictures": PictureCodec.from_pretrained(folder / "vae")}


def _replace(unet: nn.Module, motion: Mapping[str, Tensor], checkpoint: Path) -> None:
    """Put in the motion modules that were trained with the connectors."""
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    with readable(folder, "motion modules of this base model's size", "name the base model that it was "
                  "trained on."):
        unknown = unet.load_state_dict(motion, strict=False).unexpected_keys
        if unknown:
            raise ValueError(f"{unknown[0]} is none of its U-Net's")
