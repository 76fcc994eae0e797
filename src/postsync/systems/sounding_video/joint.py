"""The joint U-Net: two frozen U-Nets of diffusers, and what carries each one's state to the other.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline` (read, not copied). The U-Nets' own blocks are called one after
another, with a connector after some of them; without connectors the outputs are those of the plain U-Nets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel, UNetMotionModel
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from ...errors import ConditionError
from .connectors import CMCPEBlock, CrossAttentionBlock
from .sequences import LatentEncoder, as_sequence, as_vector

ConnectorType = Literal["additive", "attn"]
"""As published: "additive" is CMC-PE, "attn" the cross-attention of the ablation."""
Connect = Callable[[int, int, Tensor], Tensor]
"""(0 down or 1 up, number of the block, features in the block's layout) -> features."""


class Connectors(ModelMixin, ConfigMixin):
    """All that is trained, in the published layout: `connector_in_*` after the U-Nets' blocks, `connector_out_*` from
    latents."""

    @register_to_config
    def __init__(self, audio_channels: int, audio_widths: Sequence[int], video_channels: int,
                 video_widths: Sequence[int], with_connector: Sequence[bool], connector_channel: int = 1280,
                 multipliers: Sequence[int] = (2, 4), num_blocks: Sequence[int] = (1, 1), dim_head: int = 8,
                 connector_type: ConnectorType = "additive", sees_estimate: bool = True) -> None:
        """`with_connector`: by level of the U-Nets, from the outermost; `sees_estimate`: besides the noisy latents the
        encoders are given the clean estimate (self-conditioning). Raises ConditionError for U-Nets of other depths."""
        super().__init__()
        if not len(audio_widths) == len(video_widths) == len(with_connector):
            raise ConditionError(f"U-Nets of {len(audio_widths)} and {len(video_widths)} levels do not fit "
                                 f"{len(with_connector)} connectors; give as many of each.")
        block = CMCPEBlock if connector_type == "additive" else CrossAttentionBlock
        for name, channels, widths in (("video", video_channels, video_widths), ("audio", audio_channels,
                                                                                 audio_widths)):
            sides = [[(k, width) for k, width in enumerate(order) if here[k]]
                     for order, here in ((widths, with_connector), (widths[::-1], with_connector[::-1]))]
            setattr(self, f"connector_in_{name}", nn.ModuleList(
                nn.ModuleDict({str(k): nn.ModuleList([block(width, dim_head, connector_channel)])
                               for k, width in side}) for side in sides))
            setattr(self, f"connector_out_{name}", LatentEncoder(
                channels * (2 if sees_estimate else 1), widths[0], 4 * widths[0], connector_channel, multipliers,
                num_blocks, video=name == "video"))

    def told(self, name: Literal["audio", "video"], latents: Tensor, emb: Tensor) -> Tensor:
        """What the modality `name` tells the other one: of latents (B, C, ...) and time embedding (B, E)."""
        features = getattr(self, f"connector_out_{name}")(latents, emb)
        return as_sequence(features) if self.config["connector_type"] == "additive" else as_vector(features)

    def connect(self, name: Literal["audio", "video"], told: Tensor) -> Connect:
        """The connectors of the U-Net of `name`, which are `told` of the other modality."""
        sides = getattr(self, f"connector_in_{name}")

        def connect(side: int, place: int, x: Tensor) -> Tensor:
            if str(place) not in sides[side]:
                return x
            block = sides[side][str(place)][0]
            if name == "audio":
                return block(x, told)
            frames = rearrange(x, "(b t) c h w -> b c t h w", b=len(told))
            return rearrange(block(frames, told), "b c t h w -> (b t) c h w")

        return connect


@dataclass(frozen=True)
class State:
    """Of one modality: latents (B, C, ...), or none where it is not to be made, timesteps (B,), the words' embedding;
    and for its `connector_out` the latents to be told, with the clean estimate on further channels, at timesteps of
    their own (none: those of the latents)."""

    latents: Tensor | None
    timesteps: Tensor
    words: Tensor
    told: Tensor | None = None
    told_timesteps: Tensor | None = None

    @property
    def given(self) -> Tensor:
        """The latents, of a modality that is made."""
        assert self.latents is not None
        return self.latents


class JointUNet(nn.Module):
    """Predicts for sound (B, 8, F, M) and picture (B, 4, T, H, W) at once, each told by the other one."""

    def __init__(self, audio_unet: UNet2DConditionModel, video_unet: UNetMotionModel, connectors: Connectors) -> None:
        super().__init__()
        self.audio_unet, self.video_unet, self.connectors = audio_unet, video_unet, connectors

    def forward(self, audio: State, video: State) -> tuple[Tensor | None, Tensor | None]:
        """Outputs for both, in their latents' shapes, none where there are no latents. Where a state has nothing
        `told`, the other modality is not told of it."""
        heard = None if video.latents is None else self._tells("audio", self.audio_unet, audio)
        seen = None if audio.latents is None else self._tells("video", self.video_unet, video)
        to_audio = None if seen is None else self.connectors.connect("audio", seen)
        to_video = None if heard is None else self.connectors.connect("video", heard)
        return (None if audio.latents is None else run_audio(self.audio_unet, audio, to_audio),
                None if video.latents is None else run_video(self.video_unet, video, to_video))

    def _tells(self, name: Literal["audio", "video"], unet: Any, state: State) -> Tensor | None:
        if state.told is None:
            return None
        times = state.timesteps if state.told_timesteps is None else state.told_timesteps
        return self.connectors.told(name, state.told, time_embedding(unet, times, len(state.told)))


def coarsest(unet: UNet2DConditionModel | UNetMotionModel) -> int:
    """Places of the latents to one of the U-Net's innermost level: what must divide their length."""
    return int(2 ** (len(unet.config["block_out_channels"]) - 1))


def time_embedding(unet: Any, timesteps: Tensor, count: int) -> Tensor:
    """(B, E) of a U-Net of diffusers, without what it adds of words."""
    return unet.time_embedding(unet.time_proj(timesteps.to(unet.device).expand(count)).to(unet.dtype))


def run_audio(unet: UNet2DConditionModel, state: State, connect: Connect | None = None) -> Tensor:
    """AudioLDM's U-Net, told a vector of words (B, D); `connect` acts after blocks."""
    emb = time_embedding(unet, state.timesteps, len(state.given))
    told = unet.class_embedding(state.words.to(emb))
    emb = torch.cat([emb, told], dim=-1) if unet.config["class_embeddings_concat"] else emb + told
    return _through_blocks(unet, state.given.to(emb), {"temb": emb}, {"encoder_hidden_states": None}, connect)


def run_video(unet: UNetMotionModel, state: State, connect: Connect | None = None) -> Tensor:
    """AnimateDiff's U-Net, told hidden states of words (B, L, D); `connect` acts after blocks."""
    count, _, frames = state.given.shape[:3]
    emb = time_embedding(unet, state.timesteps, count).repeat_interleave(frames, dim=0)
    words = state.words.to(emb).repeat_interleave(frames, dim=0)
    x = rearrange(state.given.to(emb), "b c t h w -> (b t) c h w")
    out = _through_blocks(unet, x, {"temb": emb, "num_frames": frames}, {"encoder_hidden_states": words}, connect)
    return rearrange(out, "(b t) c h w -> b c t h w", b=count)


def _through_blocks(unet: Any, x: Tensor, given: dict[str, Any], words: dict[str, Any],
                    connect: Connect | None) -> Tensor:
    """The U-Net's own blocks in their order. The output of a connector is also what its block hands to the way up."""
    connect = connect or (lambda side, place, features: features)

    def arguments(block: Any) -> dict[str, Any]:
        return given | (words if getattr(block, "has_cross_attention", False) else {})

    x = unet.conv_in(x)
    skips = [x]
    for place, block in enumerate(unet.down_blocks):
        x, outputs = block(hidden_states=x, **arguments(block))
        x = connect(0, place, x)
        skips += [*outputs[:-1], x]
    mid = given if hasattr(unet.mid_block, "motion_modules") else {"temb": given["temb"]}
    x = unet.mid_block(x, **mid, **words)
    for place, block in enumerate(unet.up_blocks):
        count = len(block.resnets)
        handed, skips = tuple(skips[-count:]), skips[:-count]
        size = skips[-1].shape[2:] if skips else None
        x = block(hidden_states=x, res_hidden_states_tuple=handed, upsample_size=size, **arguments(block))
        x = connect(1, place, x)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def build(audio_unet: UNet2DConditionModel, video_unet: UNetMotionModel, **settings: Any) -> JointUNet:
    """U-Nets with new connectors, see `Connectors`, which change nothing until they are trained."""
    connectors = Connectors(audio_unet.config["in_channels"], tuple(audio_unet.config["block_out_channels"]),
                            video_unet.config["in_channels"], tuple(video_unet.config["block_out_channels"]),
                            **settings)
    return JointUNet(audio_unet, video_unet, cast("Connectors", connectors))
