"""GRAM's training loss: the volume contrastive loss, and the matching loss on hard negatives.

Source: arXiv 2412.11959, `ispamm/GRAM: model/gram.py`. The defaults are the official ones; `mini()` names where the
bundled model differs.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConditionError
from ..features.spectrogram import BEATS_STD
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from ..scenes.render import NATIVE_S, SPARSE_FRAMES
from ..weights.layout import blended
from .eva_clip import normalize_images
from .gram import SAMPLE_RATE, GramEncoder, pick_frames
from .volume import cosine_contrastive_loss, hard_negative_weights, pairwise_volume, volume_contrastive_loss


@dataclass(frozen=True)
class GramObjectiveConfig:
    """Weights and choices of the loss."""

    label_smoothing: float = 0.1
    detached_gather: bool = True  # the searched side of the volume loss carries no gradient
    matching_weight: float = 0.1  # of the matching (DAM) loss; needs an encoder with matching=True
    exclude_same_label: bool = False  # clips of one label are not each other's negatives
    cosine_warmup_steps: int = 0  # steps that train plain cosine InfoNCE instead: the volume is sign-blind
    cosine_weight: float = 0.0  # of the cosine loss after these steps
    frame_pool: int = 8  # frames kept of a clip; each step draws its frames from them
    captions_per_clip: int = 1  # captions kept of a clip; each step draws one
    trained: Sequence[str] = ("video", "audio", "text")  # trained towers; the others are frozen and serve as the target
    seen_frames: int | None = None  # pictures used at a step; None: the encoder's num_frames
    shift_pixels: int = 0  # each clip's pictures are moved by up to this much, and half of them mirrored (in training)
    heard_frames: int | None = None  # filterbank frames used at a step, cropped at random (in training); None: all
    gain_db: float = 0.0  # loudness of each sound is changed by up to this much, either way
    video_lr: float | None = 5e-7  # learning rate of the video tower; None: the loop's
    temperature_lr: float | None = None  # of the temperature; None: the loop's


def paper() -> GramObjectiveConfig:
    """The official loss (run with learning rate 2e-5)."""
    return GramObjectiveConfig()


def mini() -> GramObjectiveConfig:
    """From scratch on the procedural world, whose batches hold several clips of one family; learning rate 1e-3."""
    return GramObjectiveConfig(label_smoothing=0.0, detached_gather=False, matching_weight=0.0, exclude_same_label=True,
                               cosine_warmup_steps=200, cosine_weight=0.5, captions_per_clip=24, heard_frames=400,
                               gain_db=6.0, video_lr=None, temperature_lr=2e-5)


def mini_pictures() -> GramObjectiveConfig:
    """The mini's second stage: the video tower alone, towards the frozen audio and text embeddings."""
    return replace(mini(), trained=("video",), cosine_warmup_steps=0, seen_frames=2, shift_pixels=6)


def clip_captions(clip: Clip) -> Sequence[str]:
    """The captions a clip comes with."""
    return clip.captions


class GramObjective(Objective):
    """GRAM encoder with its losses."""

    def __init__(self, encoder: GramEncoder, config: GramObjectiveConfig,
                 captions: Callable[[Clip], Sequence[str]] = clip_captions) -> None:
        """captions: gives the sentences that describe a clip (all its paraphrases, where known)."""
        super().__init__()
        if config.matching_weight and encoder.matching_head is None:
            raise ConditionError("the matching loss needs an encoder with matching=True; build one, or set "
                                 "matching_weight to 0.")
        self.encoder = encoder
        self.config = config
        self.captions = captions
        self._texts: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self.blend = 1.0
        still = {"audio", "text"} - set(config.trained)
        self.embedded = set() if config.matching_weight else still  # what `prepare` can embed once for all steps
        for module in self.frozen():
            module.requires_grad_(False).eval()

    def blend_with_start(self, blend: float) -> None:
        """Export the share `blend` of the trained weights; the rest is what they are now, before training
        (`weights.layout.blended`)."""
        self.start, self.blend = {name: value.clone() for name, value in self.encoder.state_dict().items()}, blend

    @property
    def wants(self) -> ClipRequest:
        """A few pictures, and sound."""
        return ClipRequest(SPARSE_FRAMES, SAMPLE_RATE, NATIVE_S)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch: stacked outputs of `prepare`. Returns "loss" and its parts, "temperature", and "accuracy": how often
        the clip of a text has the smallest volume in the batch, in 0..1."""
        encoder, config = self.encoder, self.config
        captions = self._draw_captions(batch["text" if "text" in self.embedded else "input_ids"], generator)
        text = captions if "text" in self.embedded else encoder.project_text(encoder.text_tower(captions))
        frames = self._vary_pictures(self._draw_frames(batch["frames"], generator), generator)
        video_tokens = encoder.video_tokens(normalize_images(frames.float() / 255, encoder.image_size))
        video = encoder.project_video(video_tokens)
        if "audio" in self.embedded:
            audio = batch["audio"]
        else:
            audio_tokens = encoder.audio_tokens(self._vary_sound(batch["fbank"].float(), generator))
            audio = encoder.project_audio(audio_tokens)
        excluded = self._same_label(batch["label"]) if config.exclude_same_label else None
        losses = self._contrastive(text, video, audio, excluded, step)
        if config.matching_weight:
            losses["matching_loss"] = self._matching(
                captions, video_tokens, audio_tokens, (text, video, audio), excluded, generator)
            losses["loss"] = losses["loss"] + config.matching_weight * losses["matching_loss"]
        with torch.no_grad():
            volumes = pairwise_volume(text, video, audio)
            if excluded is not None:
                volumes = volumes.masked_fill(excluded, math.inf)
            hits = volumes.argmin(1) == torch.arange(len(volumes), device=volumes.device)
        return losses | {"accuracy": hits.float().mean(), "temperature": encoder.temperature.detach()}

    def prepare(self, clip: Clip) -> Batch:
        """One clip -> frames (pool, 3, S, S) uint8, fbank (slice_frames, mels) float16, input_ids (captions, L) int64,
        label () int64; of frozen towers the embeddings instead: audio (D,), text (captions, D).

        Raises ConditionError where the clip lacks a part."""
        if clip.frames is None or clip.waveform is None:
            raise ConditionError(f"clip {clip.clip_id} has no frames or no sound; GRAM learns from both.")
        if clip.sample_rate != SAMPLE_RATE:
            raise ConditionError(f"clip {clip.clip_id} has a sample rate of {clip.sample_rate}; "
                                 f"resample it to {SAMPLE_RATE}.")
        captions = self.captions(clip)
        if not captions:
            raise ConditionError(f"clip {clip.clip_id} has no caption; GRAM learns from captions.")
        size = self.encoder.image_size
        frames = clip.frames[pick_frames(len(clip.frames), self.config.frame_pool)]
        if frames.shape[-2:] != (size, size):
            frames = F.interpolate(frames.float(), (size, size), mode="bilinear", antialias=True)
            frames = frames.round().to(torch.uint8)
        kept = [captions[i % len(captions)] for i in range(self.config.captions_per_clip)]
        sample = {"frames": frames, "label": torch.tensor(zlib.crc32((clip.label or clip.clip_id).encode()))}
        waveform = clip.waveform.mean(0, keepdim=True).cpu()
        with torch.no_grad():
            if "audio" in self.embedded:
                sample["audio"] = self.encoder.encode_audio(waveform)[0]
            else:
                sample["fbank"] = self.encoder.filterbank(waveform)[0].half()
            if "text" in self.embedded:
                sample["text"] = torch.stack([self._embed_once(caption) for caption in kept])
            else:
                sample["input_ids"] = self.encoder.tokenize(kept)
        return sample

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for AdamW: no weight decay on biases and norms; video tower and temperature at their own rates."""
        rates = {"encoder.video_tower.": self.config.video_lr, "encoder.temperature": self.config.temperature_lr}
        groups: dict[tuple[float | None, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), None)
            groups.setdefault((rate, parameter.ndim < 2), []).append(parameter)
        return [{"params": parameters} | ({} if rate is None else {"lr": rate})
                | ({"weight_decay": 0.0} if plain else {}) for (rate, plain), parameters in groups.items()]

    def frozen(self) -> list[nn.Module]:
        """The towers that are not trained, with their projections."""
        encoder = self.encoder
        parts = {"video": (encoder.video_tower, encoder.video_projection),
                 "audio": (encoder.audio_tower, encoder.audio_projection),
                 "text": (encoder.text_tower, encoder.text_projection)}
        return [module for name, modules in parts.items() if name not in self.config.trained for module in modules]

    def export(self, folder: Path) -> None:
        """Write float16 weights, configuration and vocabulary into `folder`."""
        encoder = copy.deepcopy(self.encoder).cpu()
        encoder.load_state_dict(blended(self.start, encoder.state_dict(), self.blend))
        encoder.half().save_pretrained(folder)

    def _embed_once(self, caption: str) -> Tensor:
        if caption not in self._texts:
            self._texts[caption] = self.encoder.encode_text([caption])[0]
        return self._texts[caption]

    def _contrastive(self, text: Tensor, video: Tensor, audio: Tensor, excluded: Tensor | None,
                     step: int) -> dict[str, Tensor]:
        config, temperature = self.config, self.encoder.temperature
        losses = {"volume_loss": volume_contrastive_loss(
            text, video, audio, temperature=temperature, label_smoothing=config.label_smoothing,
            detached_gather=config.detached_gather, excluded=excluded)}
        warming_up = step < config.cosine_warmup_steps
        loss = torch.zeros_like(losses["volume_loss"]) if warming_up else losses["volume_loss"]
        cosine_weight = 1.0 if warming_up else config.cosine_weight
        if cosine_weight:
            pairs = ((text, audio), (text, video), (audio, video))
            cosine = [cosine_contrastive_loss(a, b, temperature, config.label_smoothing, excluded) for a, b in pairs]
            losses["cosine_loss"] = torch.stack(cosine).mean()
            loss = loss + cosine_weight * losses["cosine_loss"]
        return losses | {"loss": loss}

    def _matching(self, input_ids: Tensor, video_tokens: Tensor, audio_tokens: Tensor,
                  embeddings: tuple[Tensor, Tensor, Tensor], excluded: Tensor | None,
                  generator: torch.Generator | None) -> Tensor:
        """Cross-entropy over (true pairs; texts with a wrong condition; wrong texts with a condition)."""
        assert self.encoder.matching_head is not None
        condition = self.encoder.matching_head.condition(video_tokens, audio_tokens)
        with torch.no_grad():
            text, video, audio = embeddings
            volumes, temperature = pairwise_volume(text, video, audio), self.encoder.temperature
            weights = [hard_negative_weights(v, temperature, excluded).cpu() for v in (volumes, volumes.T)]
            if (weights[0].sum(1) == 0).any():
                raise ConditionError("a clip of the batch has no negative in it; use larger batches or more labels.")
            wrong_condition, wrong_text = (torch.multinomial(w, 1, generator=generator)[:, 0] for w in weights)
        return matching_loss(self.encoder, input_ids, condition, wrong_condition.to(input_ids.device),
                             wrong_text.to(input_ids.device))

    def _draw_captions(self, captions: Tensor, generator: torch.Generator | None) -> Tensor:
        """One of the captions (B, count, ...) of each clip."""
        batch, count = captions.shape[:2]
        chosen = torch.randint(count, (batch,), generator=generator).to(captions.device)
        return captions[torch.arange(batch, device=captions.device), chosen]

    def _draw_frames(self, frames: Tensor, generator: torch.Generator | None) -> Tensor:
        drawing = generator if self.training else None
        count = self.config.seen_frames or self.encoder.num_frames
        return frames[:, pick_frames(frames.shape[1], count, drawing).to(frames.device)]

    def _vary_pictures(self, frames: Tensor, generator: torch.Generator | None) -> Tensor:
        """Pictures (B, n, 3, S, S), those of a clip moved together (edges repeated), half of the clips mirrored."""
        reach = self.config.shift_pixels
        if not self.training or not reach:
            return frames
        size = frames.shape[-1]
        across, down = torch.randint(-reach, reach + 1, (2, len(frames), 1), generator=generator)
        mirrored = torch.rand(len(frames), 1, generator=generator) < 0.5
        place = torch.arange(size)
        columns = (place + across).clamp(0, size - 1)
        columns = torch.where(mirrored, columns.flip(1), columns)[:, None, None, None, :].expand(frames.shape)
        rows = (place + down).clamp(0, size - 1)[:, None, None, :, None].expand(frames.shape)
        return frames.gather(-2, rows.to(frames.device)).gather(-1, columns.to(frames.device))

    def _vary_sound(self, fbank: Tensor, generator: torch.Generator | None) -> Tensor:
        """A random part of (B, frames, mels), louder or softer by a random gain; in training only."""
        if not self.training:
            return fbank
        length = min(self.config.heard_frames or fbank.shape[1], fbank.shape[1])
        start = int(torch.randint(fbank.shape[1] - length + 1, (), generator=generator))
        fbank = fbank[:, start:start + length]
        gain_db = (2 * torch.rand(len(fbank), 1, 1, generator=generator) - 1) * self.config.gain_db
        return fbank + (gain_db * math.log(10) / 10 / (2 * BEATS_STD)).to(fbank)

    @staticmethod
    def _same_label(label: Tensor) -> Tensor:
        own = torch.eye(len(label), dtype=torch.bool, device=label.device)
        return (label[:, None] == label[None, :]) & ~own


def matching_loss(encoder: GramEncoder, input_ids: Tensor, condition: Tensor, wrong_condition: Tensor,
                  wrong_text: Tensor) -> Tensor:
    """Matching loss, unweighted scalar: text i with condition i (label 1), with condition wrong_condition[i], and
    text wrong_text[i] with condition i (label 0). input_ids (B, L), condition (B, N, width), indices (B,)."""
    texts = torch.cat([input_ids, input_ids, input_ids[wrong_text]])
    logits = encoder.match_logits(texts, torch.cat([condition, condition[wrong_condition], condition]))
    labels = torch.arange(len(texts), device=logits.device) < len(input_ids)
    return F.cross_entropy(logits, labels.long())
