"""The control branch: a copy of the DiT's first layers that reads the envelope and adds to the DiT's hidden states.

Source: EmilianPostolache/stable-audio-controlnet and riccardofosco95/Stable-Video2Audio (MIT, read, not copied);
FoleyGRAM (arXiv 2510.05829) section on the envelope ControlNet. The outputs start at zero, so a fresh branch changes
nothing.
"""

from __future__ import annotations

from math import log1p
from typing import Literal

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin as ModelMixin  # diffusers looks for it in the class's module
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConditionError
from ...features.envelope import CAUSAL, CENTRED
from .dit import DiTTrunk, GlobalCondType, StableAudioDiT

NO_CONTROL = -1.0
"""A value that no real envelope has: the code for "no envelope given"."""

RECIPES = {"vae": (CAUSAL, CENTRED), "frames": (CENTRED,)}
"""Recipes of an envelope that each control encoder can be trained on; the first is the default."""


class EnvelopeFrames(nn.Module):
    """Envelope (B, M) -> (B, channels, M / values): the `values` numbers of a latent frame through a linear layer.

    Loudness is compressed by mu-law first (mu 0: not at all), since latents follow the logarithm of the spectrum.
    Envelopes that are estimates have a linear layer of their own: with one for both, the branch, trained on true and
    perturbed envelopes alike, would follow true ones as loosely as perturbed ones.
    """

    def __init__(self, channels: int, values: int, mu: float) -> None:
        super().__init__()
        self.values, self.mu = values, mu
        self.linear = nn.Linear(values, channels)
        self.estimated = nn.Linear(values, channels)

    def forward(self, envelope: Tensor, estimated: Tensor | None = None) -> Tensor:
        if envelope.shape[-1] % self.values:
            raise ConditionError(f"an envelope of {envelope.shape[-1]} values does not fill latent frames of "
                                 f"{self.values}; pad it to a multiple.")
        if self.mu:
            loud = torch.log1p(self.mu * envelope.clamp(min=0)) / log1p(self.mu)
            envelope = torch.where(envelope < 0, envelope, loud)
        frames = rearrange(envelope, "b (t v) -> b t v", v=self.values)
        frames = frames.to(self.linear.weight.dtype)
        latents = self.linear(frames)
        if estimated is not None:
            latents = torch.where(estimated[:, None, None], self.estimated(frames), latents)
        return latents.transpose(1, 2)


class DiTControlNet(DiTTrunk):
    """The branch; the defaults are Stable Audio Open's with four layers (depth factor 0.2: 193.0 M values).

    `control_encoder` "vae" takes the envelope as latents of the system's own codec, as the paper does; "frames" takes
    the envelope itself, `envelope_values` numbers a latent frame. `envelope_recipe` names the envelopes it was trained
    on (see `features/envelope.py`); by default, and in configurations that do not name it, "causal_window" at audio
    rate for "vae" and centred RMS for "frames".
    """

    @register_to_config
    def __init__(self, io_channels: int = 64, embed_dim: int = 1536, depth: int = 4, num_heads: int = 24,
                 cond_token_dim: int = 768, global_cond_dim: int = 1536, ff_mult: float = 4.0,
                 global_cond_type: GlobalCondType = "prepend", pooled_cond: bool = False,
                 control_encoder: Literal["vae", "frames"] = "vae", envelope_values: int = 4,
                 envelope_mu: float = 255.0, envelope_recipe: str | None = None) -> None:
        super().__init__()
        known = RECIPES[control_encoder]
        if envelope_recipe is None:
            self.register_to_config(envelope_recipe=known[0])
        elif envelope_recipe not in known:
            raise ConditionError(f"control_encoder '{control_encoder}' reads envelopes of the recipe "
                                 f"{' or '.join(known)}, not {envelope_recipe}.")
        self._build(io_channels, embed_dim, depth, num_heads, cond_token_dim, global_cond_dim, ff_mult,
                    global_cond_type, pooled_cond)
        self.transformer.project_out.requires_grad_(False)  # in the checkpoints, but never used
        self.conv_in = nn.Conv1d(io_channels, io_channels, 1, bias=False)
        self.conv_outs = nn.ModuleList(nn.Conv1d(embed_dim, embed_dim, 1, bias=False) for _ in range(depth))
        for conv in (self.conv_in, *self.conv_outs):
            nn.init.zeros_(conv.weight)
        if control_encoder == "frames":
            self.control_frames = EnvelopeFrames(io_channels, envelope_values, envelope_mu)
            # zero outputs already make a fresh branch neutral; with an input from the first step the envelope is
            # learnt in a third of the steps (the published branch has zeros here as well)
            nn.init.normal_(self.conv_in.weight, std=10 * io_channels**-0.5)

    @classmethod
    def from_dit(cls, dit: StableAudioDiT, depth_factor: float = 0.2,
                 control_encoder: Literal["vae", "frames"] = "vae", envelope_values: int = 4,
                 envelope_mu: float = 255.0, envelope_recipe: str | None = None) -> DiTControlNet:
        """A branch of int(depth_factor * depth) layers that starts from the DiT's own weights."""
        names = ("io_channels", "embed_dim", "num_heads", "cond_token_dim", "global_cond_dim", "ff_mult",
                 "global_cond_type", "pooled_cond")
        branch = cls(**{n: dit.config[n] for n in names}, depth=int(depth_factor * dit.config["depth"]),
                     control_encoder=control_encoder, envelope_values=envelope_values, envelope_mu=envelope_mu,
                     envelope_recipe=envelope_recipe)
        own = branch.state_dict()
        branch.load_state_dict({k: v for k, v in dit.state_dict().items() if k in own}, strict=False)
        return branch

    def encode_control(self, control: Tensor, estimated: Tensor | None = None) -> Tensor:
        """Envelope (B, M) in 0..1, or -1 for none ("frames"), or its latents (B, C, T) ("vae") -> (B, C, T).

        `estimated` (B,), for "frames": which envelopes are a predictor's and may be followed loosely.
        """
        if self.config["control_encoder"] == "frames":
            return self.control_frames(control, estimated)
        return control

    def forward(self, x: Tensor, t: Tensor, control: Tensor, cross_attn_cond: Tensor, global_cond: Tensor,
                condition_scale: float = 1.0, estimated: Tensor | None = None) -> list[Tensor]:
        """Latents (B, C, T), time (B,), control and `estimated` as in `encode_control` -> one (B, T + 1, E) each layer.

        Under adaLN there is no token in front: (B, T, E).
        """
        x = self._preprocess(x) + self.conv_in(condition_scale * self.encode_control(control, estimated))
        hidden, given = self._enter(x, t, cross_attn_cond, global_cond)
        outputs = []
        for layer, conv in zip(self.transformer.layers, self.conv_outs, strict=True):
            hidden = layer(hidden, *given)
            assert isinstance(conv, nn.Conv1d)
            outputs.append(functional.linear(hidden, conv.weight[..., 0]))  # kernel 1: no transposition needed
        return outputs
