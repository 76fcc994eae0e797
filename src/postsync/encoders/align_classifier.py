"""Diff-Foley's evaluation classifier: does a sound match a clip in time and content? (Align-Acc)

Source: arXiv 2306.17203; luosiallen/Diff-Foley: evaluation/align_acc.py, diff_foley/modules/double_guidance. The mel,
as an image, goes through Stable Diffusion's autoencoder; half a U-Net takes the latents and attends to CAVP features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.models import Transformer2DModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution, Encoder
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from ..features.spectrogram import cavp_mel
from ..weights.layout import build, rename

SAMPLE_RATE = 16000
FPS = 4.0  # of the CAVP features
NUM_SAMPLES = 131072  # 8.192 s: 512 mel frames at hop 256, 32 steps of CAVP
HOP_LENGTH = 256
NUM_STEPS = int(FPS * NUM_SAMPLES / SAMPLE_RATE)

IGNORED = (
    (r"first_stage_model\.(decoder|post_quant_conv)\.", "the autoencoder's decoder: nothing is decoded here"),
    (r"(betas|(sqrt_)?(one_minus_)?alphas_cumprod(_prev)?|(log|sqrt)_one_minus_alphas_cumprod|sqrt_recipm?1?_alphas_"
     r"cumprod|posterior_(variance|log_variance_clipped|mean_coef[12]))$", "diffusion schedule: the metric has t = 0"),
    (r"scale_factor$", "a constant, set when the model is built"),
)
_RESNET = r"((?:input_blocks\.\d+|middle_block)\.\d+\.)"
KEYS = (
    (r"^first_stage_model\.encoder\.", "encoder."),
    (r"^first_stage_model\.quant_conv\.", "quant_conv."),
    (r"^encoder\.mid\.attn_1\.norm\.", "encoder.mid_block.attentions.0.group_norm."),
    (r"^encoder\.mid\.attn_1\.([qkv])\.", r"encoder.mid_block.attentions.0.to_\1."),
    (r"^encoder\.mid\.attn_1\.proj_out\.", "encoder.mid_block.attentions.0.to_out.0."),
    (r"^encoder\.mid\.block_1\.", "encoder.mid_block.resnets.0."),
    (r"^encoder\.mid\.block_2\.", "encoder.mid_block.resnets.1."),
    (r"^encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"^encoder\.down\.(\d+)\.downsample\.conv\.", r"encoder.down_blocks.\1.downsamplers.0.conv."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^encoder\.norm_out\.", "encoder.conv_norm_out."),
    (r"^cond_model\.embedder\.0\.", "condition_projection."),
    (r"^cond_model\.pos_emb\.", "condition_positions."),
    (r"^model\.", "backbone."),
    (_RESNET + r"in_layers\.0\.", r"\1norm1."),
    (_RESNET + r"in_layers\.2\.", r"\1conv1."),
    (_RESNET + r"emb_layers\.1\.", r"\1time_emb_proj."),
    (_RESNET + r"out_layers\.0\.", r"\1norm2."),
    (_RESNET + r"out_layers\.3\.", r"\1conv2."),
    (_RESNET + r"skip_connection\.", r"\1conv_shortcut."),
    (r"(input_blocks\.\d+\.\d+)\.op\.", r"\1."),
)


class Backbone(nn.Module):
    """The encoder half of a latent diffusion U-Net, averaged to one logit."""

    def __init__(self, in_channels: int, width: int, multipliers: Sequence[int], resnets: int, heads: int,
                 context_dim: int, attention_at: Sequence[int], groups: int = 32) -> None:
        super().__init__()
        self.width = width
        time_dim = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))

        def resnet(inputs: int, outputs: int) -> nn.Module:
            return ResnetBlock2D(in_channels=inputs, out_channels=outputs, temb_channels=time_dim, groups=groups,
                                 eps=1e-5)

        def transformer(channels: int) -> nn.Module:
            return Transformer2DModel(heads, channels // heads, channels, cross_attention_dim=context_dim,
                                      norm_num_groups=groups)

        blocks = [nn.ModuleList([nn.Conv2d(in_channels, width, 3, padding=1)])]
        widths = [width, *(width * factor for factor in multipliers)]
        for level, (before, after) in enumerate(pairwise(widths)):
            if level:
                blocks.append(nn.ModuleList([nn.Conv2d(before, before, 3, stride=2, padding=1)]))
            for i in range(resnets):
                parts = [resnet(after if i else before, after)]
                blocks.append(nn.ModuleList(parts + ([transformer(after)] if 2**level in attention_at else [])))
        last = widths[-1]
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = nn.ModuleList([resnet(last, last), transformer(last), resnet(last, last)])
        self.out = nn.Sequential(nn.GroupNorm(groups, last), nn.SiLU(), nn.Conv2d(last, width, 3, padding=1))
        self.classifier = nn.Linear(width, 1)

    def forward(self, latents: Tensor, context: Tensor, timestep: int = 0) -> Tensor:
        """latents (B, 4, H, W), context (B, F, context_dim) -> logits (B,)."""
        time = self.time_embed(_sinusoids(timestep, self.width).to(latents))[None]
        x = latents
        for block in [*self.input_blocks, self.middle_block]:
            for part in cast(nn.ModuleList, block):
                if isinstance(part, ResnetBlock2D):
                    x = part(x, time)
                elif isinstance(part, Transformer2DModel):
                    x = part(x, encoder_hidden_states=context, return_dict=False)[0]
                else:
                    x = part(x)
        return self.classifier(self.out(x).mean((2, 3)))[:, 0]


class AlignClassifier(ModelMixin, ConfigMixin):
    """Probability that a sound and a clip match. The defaults are the published sizes.

    autoencoder_widths: channels of each level; width, multipliers, resnets: of the classifier; feature_dim: of CAVP.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, autoencoder_widths: Sequence[int] = (128, 256, 512, 512), autoencoder_resnets: int = 2,
                 latent_channels: int = 4, width: int = 128, multipliers: Sequence[int] = (1, 2, 2), resnets: int = 1,
                 attention_at: Sequence[int] = (2, 4), heads: int = 8, feature_dim: int = 512, context_dim: int = 512,
                 max_steps: int = 40, scale_factor: float = 0.18215) -> None:
        super().__init__()
        self.register_to_config(
            autoencoder_widths=list(autoencoder_widths), autoencoder_resnets=autoencoder_resnets,
            latent_channels=latent_channels, width=width, multipliers=list(multipliers), resnets=resnets,
            attention_at=list(attention_at), heads=heads, feature_dim=feature_dim, context_dim=context_dim,
            max_steps=max_steps, scale_factor=scale_factor)
        self.scale_factor = scale_factor
        self.encoder = Encoder(3, latent_channels, ("DownEncoderBlock2D",) * len(autoencoder_widths),
                               tuple(autoencoder_widths), autoencoder_resnets)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.condition_projection = nn.Linear(feature_dim, context_dim)
        self.condition_positions = nn.Embedding(max_steps, context_dim)
        self.backbone = Backbone(latent_channels, width, multipliers, resnets, heads, context_dim, attention_at)

    def posterior(self, mel: Tensor) -> DiagonalGaussianDistribution:
        """CAVP mel at hop 256, (B, T, 128) in 0..1 -> posterior over latents (B, 4, 16, T / 8) before scaling."""
        picture = mel.transpose(1, 2)[:, None].expand(-1, 3, -1, -1)
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(picture)))

    def context(self, cavp_steps: Tensor) -> Tensor:
        """CAVP steps of the clip (B, F, feature_dim), of unit length -> (B, F, context_dim); F <= max_steps."""
        return self.condition_projection(cavp_steps) + self.condition_positions.weight[: cavp_steps.shape[1]]

    def forward(self, latents: Tensor, context: Tensor, timestep: int = 0) -> Tensor:
        """Scaled latents and context -> probabilities (B,). The metric is taken at timestep 0."""
        return self.backbone(latents, context, timestep).sigmoid()

    @torch.no_grad()
    def probability(self, waveform: Tensor, cavp_steps: Tensor, *, deterministic: bool = False,
                    generator: torch.Generator | None = None) -> Tensor:
        """Probabilities (B,) for waveforms (B, N) at 16 kHz in -1..1 and CAVP steps (B, F, 512) at 4 a second.

        The sound is cut or continued with silence to 8.192 s; the first 32 steps are used, fewer are repeated from
        their start. Official figures draw one sample of the posterior: so does this, from `generator`, or without one
        the same draw for every clip, so that no figure depends on the order. `deterministic` takes the mean.
        Raises ValueError for counts that differ.
        """
        if len(waveform) != len(cavp_steps) or cavp_steps.shape[1] == 0:
            raise ValueError(f"{len(waveform)} waveforms and CAVP steps {tuple(cavp_steps.shape)} do not pair")
        waveform = nn.functional.pad(waveform, (0, NUM_SAMPLES - waveform.shape[-1]))  # a negative padding cuts
        posterior = self.posterior(cavp_mel(waveform, HOP_LENGTH))
        latents = posterior.mean
        if not deterministic:
            source, count = (generator, len(latents)) if generator else (torch.Generator().manual_seed(0), 1)
            noise = torch.randn(count, *latents.shape[1:], generator=source, device=source.device)
            latents = latents + posterior.std * noise.to(latents)
        steps = cavp_steps.repeat(1, math.ceil(NUM_STEPS / cavp_steps.shape[1]), 1)[:, :NUM_STEPS]
        return self(latents * self.scale_factor, self.context(steps))


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> AlignClassifier:
    """Diff-Foley's `eval_classifier.ckpt` (its `state_dict`) -> AlignClassifier of the published or the given sizes.

    `IGNORED` lists the skipped keys. Raises WeightsError for another layout.
    """
    state, _ = rename(state_dict, KEYS, IGNORED)
    for key in [k for k in state if k.startswith("encoder.mid_block.attentions.0.to_")]:
        if state[key].dim() == 4:  # 1 x 1 convolutions there, linear layers here
            state[key] = state[key][:, :, 0, 0]
    return build(lambda: AlignClassifier(**sizes), state,  # type: ignore[arg-type]
                 "the alignment classifier (eval_classifier.ckpt)")


def _sinusoids(timestep: int, width: int) -> Tensor:
    """Sinusoidal embedding of a time step, cosines first: (width,)."""
    rates = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    return torch.cat([(timestep * rates).cos(), (timestep * rates).sin()])
