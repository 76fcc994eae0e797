"""BERTScore: captions against references by the likeness of their words in context (Zhang et al. 2020).

Layer 17 of roberta-large without rescaling, as `bert_score.score(lang="en")`; computed by torchmetrics (metrics.md
section 15). The network is not fetched: it is read from a folder, or from the cache of Hugging Face where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import WeightsError
from .mean import ClipMean

NETWORK = "FacebookAI/roberta-large"
LAYER = 17


def bert_scores(candidates: Sequence[str], references: Sequence[str], folder: Path | None = None,
                layer: int = LAYER) -> dict[str, Tensor]:
    """"precision", "recall" and "f1" of each caption, (N,) float32 about 0..1, against one reference each.

    Raises WeightsError where the network is not at hand, ValueError for lists of different length.
    """
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} captions and {len(references)} references; give one reference each")
    path = str(folder or network_folder())
    from torchmetrics.functional.text.bert import bert_score

    scores = bert_score(list(candidates), list(references), model_name_or_path=path, num_layers=layer)
    return {name: torch.as_tensor(scores[name]).reshape(-1) for name in ("precision", "recall", "f1")}


def network_folder() -> Path:
    """Where roberta-large lies in the cache of Hugging Face. Raises WeightsError where it does not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(NETWORK, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise WeightsError(f"BERTScore needs {NETWORK} (MIT licence), which is not in the cache; fetch it with "
                           f"`hf download {NETWORK}`, or give the folder it lies in") from error


class BertScore(ClipMean):
    """F1 of BERTScore averaged over clips."""

    higher_is_better = True

    def __init__(self, folder: Path | None = None, layer: int = LAYER) -> None:
        super().__init__()
        self.folder, self.layer = folder or network_folder(), layer

    def update(self, candidates: Sequence[str], references: Sequence[str]) -> None:
        """Add captions and one reference each."""
        self.add_values(bert_scores(candidates, references, self.folder, self.layer)["f1"])
