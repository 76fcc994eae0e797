"""Synchformer: how early or late is a sound relative to its pictures? The network of DeSync.

Source: Iashin et al., arXiv 2401.16423; v-iashin/Synchformer (MIT). Preparation of pictures and sound, and the two
windows of a clip, follow hkchengrex/av-benchmark: av_bench/synchformer and extract.py, as published tables do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn

from ..features.resize import resize_pictures
from ..features.spectrogram import synchformer_mel
from ..weights.layout import build, rename
from .synchformer_towers import AUDIO_COLUMNS, AudioTower, VideoTower
from .vit import Block, positions

SAMPLE_RATE = 16000
FPS = 25.0
SEGMENTS = 14  # of a window, 4.8 s
FRAMES, FRAME_STEP = 16, 8  # of a segment
SAMPLES, SAMPLE_STEP = 10240, 5120
OFFSETS_S = tuple(round(-2 + 0.2 * k, 1) for k in range(21))  # of the classes; the middle one is in sync
_AT_A_TIME = 4  # segments of pictures in memory, 1569 tokens each

RENAMED = (
    (r"^module\.", ""),
    (r"^vfeat_extractor\.patch_embed_3d\.proj\.", "video_tower.patch_embed."),
    (r"^vfeat_extractor\.", "video_tower."),
    (r"^afeat_extractor\.ast\.embeddings\.patch_embeddings\.projection\.", "audio_tower.patch_embed."),
    (r"^afeat_extractor\.ast\.embeddings\.distillation_token", "audio_tower.dist_token"),
    (r"^afeat_extractor\.ast\.embeddings\.position_embeddings", "audio_tower.pos_embed"),
    (r"^afeat_extractor\.ast\.embeddings\.", "audio_tower."),
    (r"^afeat_extractor\.ast\.encoder\.layer\.", "audio_tower.blocks."),
    (r"^afeat_extractor\.ast\.layernorm\.", "audio_tower.norm."),
    (r"^afeat_extractor\.", "audio_tower."),
    (r"\.(spatial|freq)_attn_agg\.", ".aggregation."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^transformer\.pos_emb_cfg\.pos_emb$", "head.pos_embed"),
    (r"^transformer\.blocks\.(\d+)\.ln([12])\.", r"head.blocks.\1.norm\2."),
    (r"^transformer\.blocks\.(\d+)\.mlp\.0\.", r"head.blocks.\1.mlp.fc1."),
    (r"^transformer\.blocks\.(\d+)\.mlp\.2\.", r"head.blocks.\1.mlp.fc2."),
    (r"^transformer\.", "head."),
    (r"^(vproj|aproj)\.", r"head.\1."),
)
IGNORED = ((r"(module\.)?vfeat_extractor\.patch_embed\.", "patches of single frames, which the network never reads"),)


class OffsetHead(nn.Module):
    """The vectors of 14 segments of both towers, two tokens and positions -> 21 classes of offset."""

    def __init__(self, width: int, depth: int, heads: int, times: int) -> None:
        super().__init__()
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        self.vis_in_lnorm, self.aud_in_lnorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.OFF_tok, self.MOD_tok = positions(1, 1, width), positions(1, 1, width)
        self.pos_embed = positions(1, 2 + SEGMENTS * (times + AUDIO_COLUMNS), width)
        self.blocks = nn.ModuleList(Block(width, heads, eps=1e-5) for _ in range(depth))
        self.ln_f = nn.LayerNorm(width)
        self.off_head = nn.Linear(width, len(OFFSETS_S))

    def tokens(self, video: Tensor, audio: Tensor) -> Tensor:
        """(B, 14, 8, width), (B, 14, 6, width) -> (B, 198, width), the input of the first block."""
        video = self.vis_in_lnorm(self.vproj(video).flatten(1, 2))
        audio = self.aud_in_lnorm(self.aproj(audio).flatten(1, 2))
        offset, modality = (token.expand(len(video), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        return torch.cat([offset, video, modality, audio], dim=1) + self.pos_embed

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        x = self.tokens(video, audio)
        for block in self.blocks:
            x = block(x)
        return self.off_head(self.ln_f(x)[:, 0])


class Synchformer(ModelMixin, ConfigMixin):
    """Two towers over segments of 0.64 s and a head over 14 segments. `crop`: pixels a side of the pictures."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12, head_depth: int = 3, head_heads: int = 8,
                 crop: int = 224, patch: int = 16, tubelet: int = 2) -> None:
        super().__init__()
        self.register_to_config(width=width, depth=depth, heads=heads, head_depth=head_depth, head_heads=head_heads,
                                crop=crop, patch=patch, tubelet=tubelet)
        times = FRAMES // tubelet
        self.crop = crop
        self.video_tower = VideoTower(width, depth, heads, crop, patch, tubelet, times)
        self.audio_tower = AudioTower(width, depth, heads)
        self.head = OffsetHead(width, head_depth, head_heads, times)

    @torch.no_grad()
    def features(self, frames: Tensor, waveform: Tensor) -> dict[str, Tensor]:
        """One clip: pictures (F, 3, H, W) uint8 at 25 fps and its sound (1, N) at 16 kHz in -1..1.

        Returns "video" (S, 8, width), "audio" (S, 6, width), "logits" (2, 21) and "offsets_s" (2,): for the first and
        the last 14 of the S segments that both have. DeSync is the mean of |offsets_s|. Raises ValueError for less than
        4.8 s (120 frames, 76800 samples).
        """
        video, audio = self.video_features(frames), self.audio_features(waveform)[0]
        segments = min(len(video), len(audio))
        video, audio = video[:segments], audio[:segments]
        logits = self.offset_logits(video[None], audio[None])[0]
        return {"video": video, "audio": audio, "logits": logits, "offsets_s": offsets(logits)}

    @torch.no_grad()
    def video_features(self, frames: Tensor) -> Tensor:
        """Pictures (F, 3, H, W) uint8 at 25 fps -> (S, 8, width), S = (F - 16) // 8 + 1."""
        pictures = _square(frames, self.crop).to(self.device, self.dtype) / 127.5 - 1
        segments = _segments(pictures, FRAMES, FRAME_STEP, "frames").movedim(-1, 2)
        return torch.cat([self.video_tower(part) for part in segments.split(_AT_A_TIME)])

    @torch.no_grad()
    def audio_features(self, waveform: Tensor) -> Tensor:
        """Waveform (B, N) at 16 kHz in -1..1 -> (B, S, 6, width), S = (N - 10240) // 5120 + 1."""
        segments = _segments(waveform.T, SAMPLES, SAMPLE_STEP, "samples").transpose(0, 1)
        mel = synchformer_mel(segments.flatten(0, 1)).to(self.dtype)
        return self.audio_tower(mel).unflatten(0, segments.shape[:2])

    @torch.no_grad()
    def offset_logits(self, video: Tensor, audio: Tensor) -> Tensor:
        """(B, S, 8, width), (B, S, 6, width), S of 14 or more -> (B, 2, 21) for the first and the last 14 segments.

        Raises ValueError for different numbers of segments or fewer than 14.
        """
        if video.shape[1] != audio.shape[1] or video.shape[1] < SEGMENTS:
            raise ValueError(f"{video.shape[1]} segments of pictures and {audio.shape[1]} of sound; Synchformer needs "
                             f"as many of both, {SEGMENTS} (4.8 s) or more")
        windows = (slice(SEGMENTS), slice(-SEGMENTS, None))
        return torch.stack([self.head(video[:, part], audio[:, part]) for part in windows], dim=1)


def offsets(logits: Tensor) -> Tensor:
    """Logits (..., 21) -> the most likely offset (...) in seconds, -2..2 in steps of 0.2; 0 is in sync."""
    return torch.tensor(OFFSETS_S, device=logits.device)[logits.argmax(-1)]


def from_official(state_dict: Mapping[str, Tensor], heads: int | None = None,
                  head_heads: int | None = None) -> Synchformer:
    """Synchformer from `synchformer_state_dict.pth` (or the `model` of `24-01-04T16-39-21.pt`); sizes are read from it.

    Not in the state dict: the `heads` of the towers (default: 64 wide each) and the `head_heads` of the head (96 wide
    each). Raises WeightsError for another network.
    """
    ours, _ = rename(state_dict, RENAMED, IGNORED)
    ours = _fused(ours)
    return build(lambda: Synchformer(**_sizes(ours, heads, head_heads)), ours, "Synchformer")


def _fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of their own -> the rows of one projection, in this order."""
    fused = {}
    for key, value in state.items():
        match = re.fullmatch(r"(.*\.attn)\.(query|key|value)\.(weight|bias)", key)
        if match is None:
            fused[key] = value
        elif match[2] == "query":
            rows = [state.get(f"{match[1]}.{name}.{match[3]}") for name in ("query", "key", "value")]
            fused[f"{match[1]}.qkv.{match[3]}"] = torch.cat([row for row in rows if row is not None])
    return fused


def _sizes(state: Mapping[str, Tensor], heads: int | None, head_heads: int | None) -> dict:
    """The arguments of `Synchformer` that a state dict was made with; none where it is another network's."""
    patches, places = state.get("video_tower.patch_embed.weight"), state.get("video_tower.pos_embed")
    if patches is None or places is None or patches.dim() != 5 or places.dim() != 3:
        return {}
    width, _, tubelet, patch, _ = patches.shape
    depth, head_depth = (len({key.split(".")[2] for key in state if key.startswith(f"{part}.blocks.")})
                         for part in ("video_tower", "head"))
    return {"width": width, "depth": depth, "heads": heads or max(1, width // 64), "head_depth": head_depth,
            "head_heads": head_heads or max(1, width // 96), "patch": patch, "tubelet": tubelet,
            "crop": patch * round((places.shape[1] - 1) ** 0.5)}


def _segments(x: Tensor, length: int, step: int, what: str) -> Tensor:
    """(N, ...) -> (segments, ..., length); an incomplete last one is dropped."""
    if len(x) < length:
        raise ValueError(f"{len(x)} {what}; a segment of Synchformer has {length}")
    return x.unfold(0, length, step)


def _square(frames: Tensor, side: int) -> Tensor:
    """uint8 pictures (F, 3, H, W) -> (F, 3, side, side): short side resized (bicubic, antialiased), then the middle."""
    height, width = frames.shape[-2:]
    short = min(height, width)
    size = side * height // short, side * width // short
    top, left = (round((length - side) / 2) for length in size)  # rounds as torchvision's CenterCrop does
    return resize_pictures(frames, size, "bicubic")[..., top : top + side, left : left + side]
