"""BEATs: an audio transformer over 16 x 16 patches of a Kaldi filterbank, with gated relative positions.

Source: arXiv 2212.09058, `microsoft/unilm: beats`, as GRAM uses it (`ispamm/GRAM: model/audio_encoders/beats`).
Parameter names are the official ones but for the relative position table, which all layers share: official files repeat
it per layer, here it is stored once (`from_official`, `to_official`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError

SHARED_TABLE = "encoder.relative_attention_bias.weight"
LAYER_TABLE = re.compile(r"encoder\.layers\.(\d+)\.self_attn\.relative_attention_bias\.weight")


@dataclass(frozen=True)
class BeatsConfig:
    """Sizes under their official names; the defaults are BEATs base (iter3+)."""

    input_patch_size: int = 16
    embed_dim: int = 512
    conv_bias: bool = False
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    layer_wise_gradient_decay_ratio: float = 0.6
    deep_norm: bool = True
    encoder_layerdrop: float = 0.05
    conv_pos: int = 128
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800
    predictor_class: int | None = None  # None: no classifier, as in GRAM

    @classmethod
    def from_official(cls, cfg: Mapping[str, Any], predictor: bool = False) -> BeatsConfig:
        """From the `cfg` entry of an official file. Raises WeightsError for an unsupported variant."""
        required = {"layer_norm_first": False, "relative_position_embedding": True, "gru_rel_pos": True,
                    "activation_fn": "gelu"}
        for name, value in required.items():
            if cfg.get(name, value) != value:
                raise WeightsError(f"BEATs with {name}={cfg[name]!r} is not supported, only {value!r}; "
                                   "use an iter3+ checkpoint.")
        known = {f.name: cfg[f.name] for f in fields(cls) if f.name in cfg}
        return cls(**{**known, "predictor_class": cfg.get("predictor_class") if predictor else None})

    @property
    def residual_scale(self) -> float:
        """DeepNorm's alpha: the weight of the skip connection."""
        return (2 * self.encoder_layers) ** 0.25 if self.deep_norm else 1.0


class Beats(nn.Module):
    """Normalised filterbank -> tokens, time-major: token = time_patch * (mels / patch) + mel_patch."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        patch, width = config.input_patch_size, config.encoder_embed_dim
        self.patch_embedding = nn.Conv2d(1, config.embed_dim, patch, stride=patch, bias=config.conv_bias)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.post_extract_proj = nn.Linear(config.embed_dim, width)
        self.encoder = Encoder(config)
        self.predictor = nn.Linear(width, config.predictor_class) if config.predictor_class else None

    def forward(self, fbank: Tensor) -> Tensor:
        """fbank (B, frames, mels), normalised (`beats_normalise`) -> (B, tokens, width). An incomplete last patch of
        frames is dropped."""
        x = self.patch_embedding(fbank.unsqueeze(1)).flatten(2).transpose(1, 2)
        return self.encoder(self.post_extract_proj(self.layer_norm(x)))

    def classify(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, width) -> class probabilities (B, predictor_class). Raises WeightsError without a predictor."""
        if self.predictor is None:
            raise WeightsError("this BEATs has no predictor; load a fine-tuned checkpoint to classify.")
        return self.predictor(tokens).sigmoid().mean(1)


class Encoder(nn.Module):
    """Convolutional positions, then post-norm transformer layers that share one table of relative positions."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_conv = nn.ModuleList([PositionalConv(config)])
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.encoder_layers))
        self.relative_attention_bias = nn.Embedding(config.num_buckets, config.encoder_attention_heads)
        nn.init.normal_(self.relative_attention_bias.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv[0](x))
        bias = self.position_bias(x.shape[1])
        for layer in self.layers:
            x = scale_gradient(x, self.config.layer_wise_gradient_decay_ratio)
            if self.training and torch.rand(()) < self.config.encoder_layerdrop:
                continue
            x = layer(x, bias)
        return x

    def position_bias(self, length: int) -> Tensor:
        """Bias of every (query, key) pair before the gate, (heads, length, length)."""
        table = self.relative_attention_bias.weight
        buckets = relative_position_buckets(length, self.config.num_buckets, self.config.max_distance)
        return F.embedding(buckets.to(table.device), table).permute(2, 0, 1)


class PositionalConv(nn.Module):
    """Grouped convolution over tokens with weight norm (one gain per tap), exact GELU: (B, N, width) -> same."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.taps, self.groups = config.encoder_embed_dim, config.conv_pos, config.conv_pos_groups
        self.weight_v = nn.Parameter(torch.empty(width, width // self.groups, self.taps))
        nn.init.normal_(self.weight_v, std=math.sqrt(4 / (self.taps * width)))
        self.weight_g = nn.Parameter(torch.ones(1, 1, self.taps))
        if not self.weight_v.is_meta:  # there, while weights are only allocated, it would import the compiler
            self.weight_g.data = self.weight_v.detach().norm(dim=(0, 1), keepdim=True)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=self.taps // 2, groups=self.groups)
        return F.gelu(y[..., :x.shape[1]]).transpose(1, 2)  # an even kernel yields one sample too many


class SelfAttention(nn.Module):
    """Attention whose relative position bias is gated by each query (`gru_rel_pos`)."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.grep_linear = nn.Linear(width // self.heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, self.heads, 1, 1))
        gain = (8 * config.encoder_layers) ** -0.25 if config.deep_norm else 1.0
        for linear, scale in ((self.q_proj, 1.0), (self.k_proj, 1.0), (self.v_proj, gain), (self.out_proj, gain)):
            nn.init.xavier_normal_(linear.weight, gain=scale)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in projections)
        a, b = self.grep_linear(q).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        gate = a * (b * self.grep_a - 1) + 2
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=gate * bias)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm transformer layer with DeepNorm residuals."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, hidden = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.residual_scale = config.residual_scale
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.final_layer_norm = nn.LayerNorm(width)
        gain = (8 * config.encoder_layers) ** -0.25 if config.deep_norm else 1.0
        for linear in (self.fc1, self.fc2):
            nn.init.xavier_normal_(linear.weight, gain=gain)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(self.residual_scale * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.residual_scale * x + self.fc2(F.gelu(self.fc1(x))))


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:  # type: ignore[override]
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """The identity; its gradient is multiplied by `factor` (in eval mode too, as official BEATs does)."""
    return x if factor == 1.0 else _ScaleGradient.apply(x, factor)


def relative_position_buckets(length: int, num_buckets: int, max_distance: int) -> Tensor:
    """T5's bidirectional buckets of key - query, (length, length) int64: near distances one by one, far ones by log."""
    position = torch.arange(length)
    distance = position[None, :] - position[:, None]
    half = num_buckets // 2
    exact = half // 2
    magnitude = distance.abs()
    log_ratio = torch.log(magnitude.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (log_ratio * (half - exact)).long()).clamp_max(half - 1)
    return (distance > 0).long() * half + torch.where(magnitude < exact, magnitude, far)


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official BEATs keys -> ours. Weight norm is accepted under its old or its new names.

    Raises WeightsError if the layers do not share one table of relative positions.
    """
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        for new, old in names.items():
            key = key.replace(new, old)
        if LAYER_TABLE.fullmatch(key):
            if not value.is_meta and SHARED_TABLE in ours and not torch.equal(ours[SHARED_TABLE], value):
                raise WeightsError(f"{key} differs from that of the first layer; BEATs shares one table. "
                                   "Is the file a BEATs checkpoint?")
            key = SHARED_TABLE
        ours[key] = value
    return ours


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our BEATs keys -> official ones; the shared table is repeated for every layer."""
    official = {k: v for k, v in state.items() if k != SHARED_TABLE}
    layers = {int(m[1]) for k in state if (m := re.match(r"encoder\.layers\.(\d+)\.", k))}
    for i in sorted(layers):
        official[f"encoder.layers.{i}.self_attn.relative_attention_bias.weight"] = state[SHARED_TABLE]
    return official
