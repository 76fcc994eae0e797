"""Kullback-Leibler divergence of what a classifier hears in the real and in the generated sound of a clip, in nats.

All published forms (metrics.md section 6), always reference against generated:
- "softmax": sum q (ln q - ln(p + eps)); eps 1e-6 in audioldm_eval, SpecVQGAN and audiocraft, 0 (log domain) in
  av-benchmark;
- "sigmoid": the same terms of sigmoids, which is only the "on" half of a Bernoulli divergence and may be negative;
- "symmetric": softmax in both directions, added (audiocraft `kld_both`).
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from .mean import ClipMean, finite_rows

Form = Literal["softmax", "sigmoid", "symmetric"]
EPSILON = 1e-6


def kl_divergence(generated: Tensor, reference: Tensor, form: Form = "softmax", eps: float = EPSILON) -> Tensor:
    """Divergence of each clip from logits (N, C): (N,) float64. eps 0 computes in the log domain.

    Several generated sounds a clip, (N, K, C), are compared with one reference each and averaged (SpecVQGAN). Raises
    ValueError for an unknown form, shapes that do not pair, and values that are not finite.
    """
    if form not in get_args(Form):
        raise ValueError(f"unknown form '{form}'; choose one of {', '.join(get_args(Form))}")
    if generated.dim() not in (2, 3) or (generated.shape[0], generated.shape[-1]) != tuple(reference.shape):
        raise ValueError(f"logits of {tuple(generated.shape)} and {tuple(reference.shape)}; give (N, C) or (N, K, C) "
                         "generated ones and (N, C) of the reference")
    if generated.dim() == 3:
        reference = reference[:, None]
    generated, reference = finite_rows(generated, "logits"), finite_rows(reference, "logits")
    values = _terms(generated, reference, form, eps).sum(-1)
    if form == "symmetric":
        values = values + _terms(reference, generated, form, eps).sum(-1)
    return values if values.dim() == 1 else values.mean(1)


def _terms(generated: Tensor, reference: Tensor, form: Form, eps: float) -> Tensor:
    if form == "sigmoid":
        log_p, log_q = F.logsigmoid(generated), F.logsigmoid(reference)
    else:
        log_p, log_q = generated.log_softmax(-1), reference.log_softmax(-1)
    if eps:
        log_p = (log_p.exp() + eps).log()
    return log_q.exp() * (log_q - log_p)


class KLDivergence(ClipMean):
    """Divergence averaged over clips."""

    higher_is_better = False

    def __init__(self, form: Form = "softmax", eps: float = EPSILON) -> None:
        super().__init__()
        self.form, self.eps = form, eps

    def update(self, generated: Tensor, reference: Tensor) -> None:
        """Add logits of paired clips, (N, C) or (N, K, C) and (N, C)."""
        self.add_values(kl_divergence(generated, reference, self.form, self.eps))
