"""VATT's training losses: a language model learns to say what a clip that it is shown sounds like; a masked transformer
learns the sound's tokens from what the language model makes of clip and words.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text` (read, not copied). The first loss covers the
caption alone, as the paper writes it; the published scripts count the prompt as well (`count_prompt`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...codecs.chunking import native_sound
from ...codecs.residual_codes import QuantizedMelCodec
from ...encoders.eva_clip import normalize_images
from ...encoders.gram import GramEncoder
from ...errors import ConditionError
from ...protocols.clip import Clip
from ...protocols.objective import Batch, ClipRequest, Objective
from ...scenes.captions import paraphrases
from ...scenes.families import KNOWN
from ...scenes.render import NATIVE_S, SPARSE_FRAMES
from .converter import NEUTRAL, VIDEO_TOKENS, Told, VattConverter
from .decoder import MaskedTokenTransformer
from .masking import MaskRatio, draw_mask

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


class AudioObjective(Objective):
    """Cross-entropy of masked tokens, label smoothing 0.1, told by the frozen language model.

    A batch holds `video` and `captions` as of `ConverterObjective`, and `tokens` (B, K, T) of the sound. Samples are
    told by their caption, or with `neutral_share` by the neutral question alone; `condition_drop` of them by nothing.
    """

    def __init__(self, transformer: MaskedTokenTransformer, converter: ConverterObjective, codec: QuantizedMelCodec, *,
                 ratio: MaskRatio | None = None, neutral_share: float = 0.3, condition_drop: float = 0.1) -> None:
        super().__init__()
        self.transformer, self.told_by, self.ratio = transformer, converter, ratio or MaskRatio()
        self.neutral_share, self.condition_drop = neutral_share, condition_drop
        self.mel_codec, self.quantizer, self.codec = codec.mel_codec, codec.quantizer, codec
        for module in self.frozen():
            module.requires_grad_(False).eval()
        with torch.no_grad():
            transformer.codebooks.copy_(codec.codebooks)

    @property
    def wants(self) -> ClipRequest:
        """A few pictures, and sound."""
        return ClipRequest(SPARSE_FRAMES, self.codec.sampling_rate, NATIVE_S)

    def frozen(self) -> list[nn.Module]:
        """Language model, eyes and codec."""
        return [self.told_by, self.mel_codec, self.quantizer]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Words, eyes and codec; both transformers play no part in it."""
        settings, modules = self.told_by.preparation()
        return settings, modules | {"mel_codec": self.mel_codec, "quantizer": self.quantizer}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures, captions, or sound at the codec's
        rate."""
        sound = native_sound(clip, self.mel_codec, round(NATIVE_S * self.codec.frame_rate))
        return self.told_by.prepare(clip) | {"tokens": self.codec.encode(sound[None])[0].int()}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `first`: the share of the first codebook's masked tokens that are the likeliest."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        tokens, transformer = batch["tokens"].long(), self.transformer
        mask = draw_mask((*tokens.shape,), self.ratio, generator).to(tokens.device)
        draws = torch.rand((2, len(tokens)), generator=generator).to(tokens.device)
        told = self.tell(batch, draws[0] < self.neutral_share, generator)
        logits = transformer(tokens.masked_fill(mask, transformer.mask_token), told.hidden.float(), told.mask,
                             draws[1] < self.condition_drop)
        loss = functional.cross_entropy(logits.permute(0, 3, 1, 2), tokens.masked_fill(~mask, IGNORED),
                                        label_smoothing=0.1)
        right = (logits[:, 0].argmax(-1) == tokens[:, 0]) & mask[:, 0]
        return {"loss": loss, "first": right.sum() / mask[:, 0].sum().clamp_min(1)}

    @torch.no_grad()
    def tell(self, batch: Batch, neutral: Tensor, generator: torch.Generator) -> Told:
        """What the language model makes of clips and a drawn caption of each, or of the neutral question."""
        captions, converter = batch["captions"], self.told_by.converter
        drawn = torch.randint(captions.shape[1], (len(captions),), generator=generator).tolist()
        prompts = [None if silent else converter.tokenizer.decode(row[k][row[k] >= 0], skip_special_tokens=True)
                   for row, k, silent in zip(captions, drawn, neutral.tolist(), strict=True)]
        return converter.tell(batch["video"].float(), prompts)

    def export(self, folder: Path) -> None:
        """Write the transformer as float16."""
        copy.deepcopy(self.transformer).half().save_pretrained(folder)


def captions_of(clip: Clip) -> list[str]:
    """A clip's own captions, then its family's training paraphrases."""
    known = paraphrases(clip.label)[0] if clip.label is not None and clip.label in KNOWN else ()
    return list(dict.fromkeys((*clip.captions, *known)))


def picture_features(eyes: GramEncoder, frames: Tensor) -> Tensor:
    """Frames (F, 3, H, W) uint8 -> the video tower's feature of each (F, E), before its projection."""
    pixels = normalize_images(frames[None].float() / 255, eyes.image_size)
    return eyes.video_tokens(pixels)[0, :, 0]


