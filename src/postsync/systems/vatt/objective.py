"""VATT's training losses. The first stage: a language model learns to say what a clip that it is shown sounds like.

Source: arXiv 2411.05679, stage 1. The loss covers the caption alone, as the paper writes it; the published scripts
count the prompt as well (`count_prompt`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...encoders.eva_clip import normalize_images
from ...encoders.gram import GramEncoder
from ...errors import ConditionError
from ...protocols.clip import Clip
from ...protocols.objective import Batch, ClipRequest, Objective
from ...scenes.captions import paraphrases
from ...scenes.families import KNOWN
from ...scenes.render import NATIVE_S, SPARSE_FRAMES
from .converter import NEUTRAL, VIDEO_TOKENS, VattConverter

IGNORED = -100  # of labels
CAPTIONS = 24  # kept of a clip, one of which is told at each step


class ConverterObjective(Objective):
    """Next-token cross-entropy of a clip's caption, after the neutral question.

    A batch holds `video` (B, 10, E), picture features pooled to tenths of the clip, and `captions` (B, 24, L), token
    ids with their end, padded with -1.
    """

    def __init__(self, converter: VattConverter, eyes: GramEncoder, *, count_prompt: bool = False) -> None:
        """`eyes` see the pictures of a clip, and are frozen."""
        super().__init__()
        self.converter, self.eyes, self.count_prompt = converter, eyes.requires_grad_(False).eval(), count_prompt

    @property
    def wants(self) -> ClipRequest:
        """A few pictures."""
        return ClipRequest(SPARSE_FRAMES, None, NATIVE_S)

    def frozen(self) -> list[nn.Module]:
        """The eyes."""
        return [self.eyes]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Words and eyes; the language model plays no part in it."""
        vocabulary = tuple(sorted(self.converter.tokenizer.get_vocab().items()))
        return {"vocabulary": vocabulary, "longest": self.converter.longest}, {"eyes": self.eyes}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures or captions."""
        captions = captions_of(clip)
        if clip.frames is None or not captions:
            raise ConditionError(f"clip {clip.clip_id} needs pictures and a caption; add them, or drop it.")
        features = picture_features(self.eyes, clip.frames)
        return {"video": functional.adaptive_avg_pool1d(features.mT, VIDEO_TOKENS).mT.half(),
                "captions": self._ids([captions[k % len(captions)] for k in range(CAPTIONS)])}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `accuracy`: the share of caption tokens that are the likeliest."""
        captions, converter = batch["captions"], self.converter
        drawn = torch.randint(captions.shape[1], (len(captions),), generator=generator).to(captions.device)
        told = captions[torch.arange(len(captions), device=captions.device), drawn].long()
        prompt = converter.tokenize([converter.template(NEUTRAL)], end=False)[0].expand(len(told), -1)
        ids = torch.cat([prompt, told], dim=1)
        labels = torch.cat([prompt if self.count_prompt else torch.full_like(prompt, IGNORED),
                            told.masked_fill(told < 0, IGNORED)], dim=1)
        out = converter(batch["video"].float(), ids.clamp_min(0), (ids >= 0).long(), labels)
        asked = labels[:, 1:] != IGNORED
        right = (out["logits"][:, :-1].argmax(-1) == labels[:, 1:]) & asked
        return {"loss": out["loss"], "accuracy": right.sum() / asked.sum()}

    def export(self, folder: Path) -> None:
        """Write the converter as float16."""
        copy.deepcopy(self.converter).half().save_pretrained(folder)

    def _ids(self, captions: Sequence[str]) -> Tensor:
        """Captions -> token ids (C, longest) int16 with their end, without a beginning, padded with -1."""
        converter, rows = self.converter, []
        for caption in captions:
            ids = converter.tokenizer(caption, add_special_tokens=False)["input_ids"][:converter.longest - 1]
            rows.append([*ids, converter.tokenizer.eos_token_id] + [-1] * (converter.longest - 1 - len(ids)))
        return torch.tensor(rows, dtype=torch.int32)


def captions_of(clip: Clip) -> list[str]:
    """A clip's own captions, then its family's training paraphrases."""
    known = paraphrases(clip.label)[0] if clip.label is not None and clip.label in KNOWN else ()
    return list(dict.fromkeys((*clip.captions, *known)))


def picture_features(eyes: GramEncoder, frames: Tensor) -> Tensor:
    """Frames (F, 3, H, W) uint8 -> the video tower's feature of each (F, E), before its projection."""
    pixels = normalize_images(frames[None].float() / 255, eyes.image_size)
    return eyes.video_tokens(pixels)[0, :, 0]


