"""MGAudio's two losses: the flow target shifted by a teacher (audio model guidance), and the alignment of token states.

Source: arXiv 2510.24103; VMG (arXiv 2502.12154) for what the paper leaves open, REPA's `loss.py` (MIT) for the cosine.
Sign: everything here is v = noise - clean, the derivative of the state (1 - t) clean + t noise by t. The paper writes
u = clean - noise = -v; the loss is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .presets import Granularity, GuidanceTraining
from .transformer import FBDT


def guidance_weights(t: Tensor, dropped: Tensor, step: int, settings: GuidanceTraining) -> Tensor:
    """w of each sample (B,): `settings.weight` below t_high, 0 for samples without condition and before the start."""
    started = settings.start_step >= 0 and step >= settings.start_step
    return settings.weight * ((t < settings.t_high) & ~dropped & started).to(t.dtype)


@torch.no_grad()
def guided_target(plain: Tensor, state: Tensor, t: Tensor, features: Tensor, weights: Tensor,
                  teacher: FBDT | None) -> Tensor:
    """`plain` + w * (teacher's velocity with the picture - without), (B, C, T, F) float32, without gradient.

    features (B, S, E) go through the teacher's own reducer; "without" is its `null_condition`. Both passes are batched,
    over the samples whose w is not 0.
    """
    if teacher is None:
        return plain
    chosen = weights.nonzero()[:, 0]
    if len(chosen) == 0:
        return plain
    condition = teacher.pool_features(features[chosen])
    both, _ = teacher(state[chosen].repeat(2, 1, 1, 1), t[chosen].repeat(2),
                      torch.cat([condition, teacher.null_condition(len(chosen))]))
    seeing, blind = both.float().chunk(2)
    return plain.index_add(0, chosen, weights[chosen, None, None, None] * (seeing - blind))


def alignment_loss(projected: Tensor, audio: Tensor, grid: tuple[int, int], mode: Granularity = "tokens") -> Tensor:
    """Minus the mean cosine of projected tokens (B, N, E) and audio features (B, S, E), over time-major tokens.

    "tokens": each with the sound at its time. "time": their mean over frequency, `grid` being (times, frequencies).
    "global": the mean of all with the mean of the sound. The audio features are stretched linearly.
    """
    projected, audio = projected.float(), audio.float()
    if mode == "time":
        projected = projected.unflatten(1, grid).mean(2)
    elif mode == "global":
        projected, audio = projected.mean(1, keepdim=True), audio.mean(1, keepdim=True)
    target = functional.interpolate(audio.mT, size=projected.shape[1], mode="linear", align_corners=False).mT
    return -(functional.normalize(projected, dim=-1) * functional.normalize(target, dim=-1)).sum(-1).mean()
