"""VATT's training losses: a language model learns to say what a clip that it is shown sounds like; a masked transformer
learns the sound's tokens from what the language model makes of clip and words.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text` (read, not copied). The first loss covers the
caption alone, as the paper writes it; the published scripts count the prompt as well (`count_prompt`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...codecs.chunking import native_sound
from ...codecs.residual_codes import QuantizedMelCodec
from ...data.instructions import INSTRUCTIONS
from ...encoders.gram import GramEncoder
from ...errors import ConditionError
from ...protocols.clip import Clip
from ...protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from ...scenes.render import NATIVE_S
from .converter import Told, VattConverter
from .decoder import MaskedTokenTransformer
from .eyes import blinded, picture_features
from .masking import MaskRatio, draw_mask
from .pairs import PICTURE_FPS, SILENCE, Part, audible, captions_of, draw_part, mixed, stilled
from .pipeline import VATTPipeline
from .presets import VATTPreset

IGNORED = -100  # of labels
CAPTIONS = 24  # kept of a clip, one of which is told at each step
PICTURES = int(NATIVE_S * PICTURE_FPS)  # kept of a clip
SHORTEST = 8  # pictures of a part that is to be captioned
OWN_LENGTH = 24  # tokens of a caption that the language model makes up for training


class ConverterObjective(Objective):
    """Next-token cross-entropy of the caption of a part of a clip, after a drawn question.

    A batch holds `video` (B, 32, E), features of four pictures a second; `audible` (B, 32), whether anything sounds
    while they are shown: a part without sound is told as `SILENCE`; `shown` (B,), whether the picture tells what is
    heard; and `captions` (B, 24, L), token ids with their end, padded with -1.
    """

    def __init__(self, converter: VattConverter, eyes: GramEncoder, *, count_prompt: bool = False,
                 worded: float = 0.3, blind: float = 0.5, still: float = 0.06,
                 unseen: frozenset[str] = frozenset()) -> None:
        """`eyes` see the pictures of a clip, and are frozen. `worded`: share of the samples where a caption stands in
        place of the question, as at VATT's second stage, and another is to be told; `blind`: share of those without
        picture. `still`: share whose picture stands still, of which nothing is heard. `unseen`: labels of clips whose
        pictures do not tell what is heard, so that they are told by words alone."""
        super().__init__()
        self.converter, self.eyes, self.count_prompt = converter, eyes.requires_grad_(False).eval(), count_prompt
        self.worded, self.blind, self.still, self.unseen = worded, blind, still, unseen
        self.silence = self._ids(SILENCE)

    @property
    def wants(self) -> ClipRequest:
        """Four pictures a second, and sound."""
        return ClipRequest(FrameRequest(self.eyes.image_size, PICTURE_FPS), 16_000, NATIVE_S)

    def frozen(self) -> list[nn.Module]:
        """The eyes."""
        return [self.eyes]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Words and eyes; the language model plays no part in it."""
        vocabulary = tuple(sorted(self.converter.tokenizer.get_vocab().items()))
        settings = {"vocabulary": vocabulary, "longest": self.converter.longest, "unseen": sorted(self.unseen)}
        return settings, {"eyes": self.eyes}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures or captions."""
        captions = captions_of(clip)
        if clip.frames is None or not captions:
            raise ConditionError(f"clip {clip.clip_id} needs pictures and a caption; add them, or drop it.")
        features = picture_features(self.eyes, clip.frames)
        shown = torch.arange(PICTURES).clamp_max(len(features) - 1)
        return {"video": features[shown].half(), "audible": audible(clip, PICTURES),
                "shown": torch.tensor(clip.label not in self.unseen),
                "captions": self._ids([captions[k % len(captions)] for k in range(CAPTIONS)])}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `accuracy`: the share of caption tokens that are the likeliest."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        converter = self.converter
        length = int(torch.randint(SHORTEST, PICTURES + 1, (), generator=generator))
        part = draw_part(batch, length, generator)
        still = torch.rand(len(part.video), generator=generator).to(part.shown.device) < self.still
        part = stilled(part, still & part.shown)
        (asked, worded), told = self._questions(batch, part, generator), self.told(batch, part, generator)
        blind = torch.rand(len(told), generator=generator).to(worded.device) < self.blind
        video = blinded(part.video, worded & (blind | ~part.shown))
        prompt, mask = converter.tokenize([converter.template(text) for text in asked], end=False)
        ids = torch.cat([prompt, told], dim=1)
        labels = torch.cat([prompt.masked_fill(mask == 0, IGNORED) if self.count_prompt else
                            torch.full_like(prompt, IGNORED), told.masked_fill(told < 0, IGNORED)], dim=1)
        out = converter(video, ids.clamp_min(0), torch.cat([mask, (told >= 0).long()], dim=1), labels)
        counted = labels[:, 1:] != IGNORED
        right = (out["logits"][:, :-1].argmax(-1) == labels[:, 1:]) & counted
        return {"loss": out["loss"], "accuracy": right.sum() / counted.sum()}

    def _questions(self, batch: Batch, part: Part, generator: torch.Generator) -> tuple[list[str], Tensor]:
        """What is asked of each part: a drawn instruction, or one of its captions, to be told anew; and of which parts
        (B,) it is a caption."""
        drawn = torch.randint(len(INSTRUCTIONS), (len(part.video),), generator=generator).tolist()
        drawn_worded = torch.rand(len(part.video), generator=generator).to(part.shown.device) < self.worded
        worded = drawn_worded | ~part.shown
        captions = self.texts(self.told(batch, part, generator))
        return [caption if given else INSTRUCTIONS[number]
                for caption, given, number in zip(captions, worded.tolist(), drawn, strict=True)], worded

    def texts(self, ids: Tensor) -> list[str]:
        """Token ids (B, L), padded with -1, as text."""
        return [self.converter.tokenizer.decode(row[row >= 0], skip_special_tokens=True) for row in ids]

    def told(self, batch: Batch, part: Part, generator: torch.Generator) -> Tensor:
        """Token ids (B, L) of a drawn caption of each part, as long as the longest."""
        captions, silence = batch["captions"].long(), self.silence.long().to(part.video.device)
        rows = torch.arange(len(captions), device=captions.device)
        drawn, still = (torch.randint(count, (len(captions),), generator=generator).to(captions.device)
                        for count in (captions.shape[1], len(silence)))
        told = torch.where(part.silent[:, None], silence[still], captions[rows, drawn])
        return told[:, :int((told >= 0).sum(1).max())]

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


@dataclass(frozen=True)
class Mixture:
    """What a training step of `AudioObjective` draws: `pictures` of a part; shares of the samples that are told by the
    neutral question, by the language model's own caption (the others: by a true one), and by nothing at all; share of
    those with a true caption that are told without the picture; and the shares that are masked coarse codebooks first,
    and masked whole: where neighbours are known, nothing need be learnt from what is told.

    `weights`: of the codebooks in the loss; none: all masked tokens count alike, as published.
    """

    pictures: int = 16
    neutral: float = 0.3
    own: float = 0.2
    nothing: float = 0.1
    blind: float = 0.5
    coarse: float = 0.5
    blank: float = 0.0
    weights: tuple[float, ...] = ()


class AudioObjective(Objective):
    """Cross-entropy of masked tokens of a part of a clip, label smoothing 0.1, told by the frozen language model.

    A batch holds what that of `ConverterObjective` does, and `tokens` (B, K, T) of the sound. Samples that are told by
    the neutral question are cut-mixed and rolled (`pairs.mixed`).
    """

    def __init__(self, transformer: MaskedTokenTransformer, converter: ConverterObjective, codec: QuantizedMelCodec, *,
                 preset: VATTPreset, ratio: MaskRatio | None = None, mixture: Mixture | None = None,
                 whole: bool = False) -> None:
        """`whole`: the export holds language model, eyes and codec as well, because they are not the bundled ones."""
        super().__init__()
        self.preset, self.whole = preset, whole
        self.transformer, self.told_by = transformer, converter
        self.ratio, self.mixture = ratio or MaskRatio(), mixture or Mixture()
        self.codec = codec
        for module in self.frozen():
            module.requires_grad_(False).eval()
        with torch.no_grad():
            transformer.codebooks.copy_(codec.codebooks)

    @property
    def wants(self) -> ClipRequest:
        """Four pictures a second, and sound."""
        return replace(self.told_by.wants, sample_rate=self.codec.sampling_rate)

    def frozen(self) -> list[nn.Module]:
        """Language model, eyes and codec."""
        return [self.told_by, self.codec]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Words, eyes and codec; both transformers play no part in it."""
        settings, modules = self.told_by.preparation()
        return settings, modules | {"codec": self.codec}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures, captions, or sound at the codec's
        rate."""
        sound = native_sound(clip, self.codec.mel_codec, round(NATIVE_S * self.codec.frame_rate))
        return self.told_by.prepare(clip) | {"tokens": self.codec.encode(sound[None])[0].int()}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `first`: the share of the first codebook's masked tokens that are the likeliest."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        mixture, transformer = self.mixture, self.transformer
        part = draw_part(batch, mixture.pictures, generator, self.codec.frame_rate)
        draws = torch.rand((2, len(part.video)), generator=generator).to(part.video.device)
        draws[0] = torch.where(part.shown, draws[0], 1.0)  # what the picture does not show is told by a true caption
        part = mixed(part, draws[0] < mixture.neutral, generator)
        told = self.tell(batch, part, draws[0], generator)
        tokens = cast("Tensor", part.tokens)
        mask = draw_mask((*tokens.shape,), self.ratio, generator, coarse_share=mixture.coarse,
                         blank_share=mixture.blank).to(tokens.device)
        logits = transformer(tokens.masked_fill(mask, transformer.mask_token), told.hidden.float(), told.mask,
                             draws[1] < mixture.nothing)
        losses = functional.cross_entropy(logits.permute(0, 3, 1, 2), tokens.masked_fill(~mask, IGNORED),
                                          label_smoothing=0.1, reduction="none")
        weights = (mask * torch.tensor(mixture.weights, device=mask.device)[:, None]
                   / mask.sum((0, 2), keepdim=True).clamp_min(1)) if mixture.weights else mask.float()
        loss = (losses * weights).sum() / weights.sum()
        right = (logits[:, 0].argmax(-1) == tokens[:, 0]) & mask[:, 0]
        return {"loss": loss, "first": right.sum() / mask[:, 0].sum().clamp_min(1)}

    @torch.no_grad()
    def tell(self, batch: Batch, part: Part, draws: Tensor, generator: torch.Generator) -> Told:
        """What the language model makes of the parts and of words: by `draws` (B,) in 0..1 the neutral question, its
        own caption, or a true one."""
        converter = self.told_by.converter
        neutral = draws < self.mixture.neutral
        own = ~neutral & (draws < self.mixture.neutral + self.mixture.own)
        true = self.told_by.texts(self.told_by.told(batch, part, generator))
        prompts: list[str | None] = [None if silent else text for text, silent in
                                     zip(true, neutral.tolist(), strict=True)]
        if own.any():
            chosen = own.nonzero()[:, 0].tolist()
            spoken = converter.captions(part.video[own], [None] * len(chosen), max_new_tokens=OWN_LENGTH)
            for index, caption in zip(chosen, spoken, strict=True):
                prompts[index] = caption or None
        blind = (torch.rand(len(draws), generator=generator).to(draws) < self.mixture.blind) & ~neutral & ~own
        return converter.tell(blinded(part.video, blind | ~part.shown), prompts)

    def export(self, folder: Path) -> None:
        """Write a pipeline with the transformer as float16; bundled parts stay in their folders."""
        told_by = self.told_by
        parts = {"codec": self.codec, "converter": told_by.converter, "eyes": told_by.eyes} if self.whole else {}
        VATTPipeline.from_parts(self.preset, copy.deepcopy(self.transformer).half(), **parts).save_pretrained(folder)
