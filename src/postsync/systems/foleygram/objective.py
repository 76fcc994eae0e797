"""FoleyGRAM's training stages: the base transformer, then the control branch on the frozen base; or both at once.

Source: arXiv 2510.05829; riccardofosco95/Stable-Video2Audio for what the paper leaves open (v prediction, logit-normal
time, whole-token drop, the -1 envelope). The other stages exist because the mini has no published backbone to freeze:
trained with its branch, the transformer need not spend itself on guessing when something sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...codecs.chunking import native_sound
from ...diffusion.parameterization import Parameterization, cosine_path
from ...encoders.caption_vectors import CaptionVectors, draw_caption
from ...encoders.gram import GramEncoder, pick_frames
from ...encoders.stand_ins import at_gram_rate
from ...errors import PostsyncError
from ...features.envelope import causal_window, frame_rms
from ...features.perturb import perturb_envelope
from ...protocols.clip import Clip
from ...protocols.codec import Codec
from ...protocols.objective import Batch, ClipRequest, Objective
from ...scenes.render import NATIVE_S, SPARSE_FRAMES
from .conditioning import FoleyConditioner
from .conditions import envelope_latents
from .controlnet import NO_CONTROL, DiTControlNet
from .dit import StableAudioDiT
from .latents import LatentLayout
from .pipeline import FoleyGRAMPipeline
from .presets import FoleyGRAMPreset

V = Parameterization("v")
AUDIBLE = 0.003
"""Loudness, as linear RMS of a sound whose peak is 1, from which a frame counts as sounding."""


class FoleyGRAMObjective(Objective):
    """Stage "base" trains transformer and conditioner without envelope; "control" trains the branch alone (and the
    conditioner's projections, if the preset says so); "joint" trains all three.

    A batch holds `latents` (B, *codec), `envelope` of the peak-normalised sound, which is (B, M) linear RMS at 100 Hz
    or, where the branch takes it through the codec ("vae"), latents of the causal one, and unit embeddings `video`,
    `audio` (B, D) and `text` (B, K, D), zeros if there is none.
    """

    def __init__(self, preset: FoleyGRAMPreset, *, stage: Literal["base", "control", "joint"] = "base",
                 base: FoleyGRAMPipeline | None = None, codec: Codec | None = None,
                 gram: GramEncoder | None = None) -> None:
        """`base` holds the trained parts that a stage starts from; `codec` and `gram` serve `prepare`.

        Raises PostsyncError for a control stage without a base.
        """
        super().__init__()
        if stage == "control" and base is None:
            raise PostsyncError("the control stage builds on a trained base; train foleygram_base first, then name its "
                                "folder.")
        self.preset, self.stage = preset, stage
        self.transformer = base.transformer if base else StableAudioDiT(**preset.dit)
        self.conditioner = base.conditioner if base else FoleyConditioner(**preset.conditioner)
        self.layout = base.layout if base else LatentLayout(**preset.layout)
        self.controlnet: DiTControlNet | None = None
        if stage != "control":  # a pipeline that training starts from was loaded frozen
            self.transformer.requires_grad_(True)
            self.conditioner.requires_grad_(True)
        if stage != "base":
            self.controlnet = DiTControlNet.from_dit(
                self.transformer, preset.control_depth_factor, preset.control_encoder, preset.envelope_values,
                preset.envelope_mu)
            if stage == "joint" and base is not None and base.controlnet is not None:
                self.controlnet.load_state_dict(base.controlnet.state_dict())
        self.codec, self.gram = codec, gram
        self._captions = CaptionVectors(preset.training.num_captions)
        self._no_control: Tensor | None = None
        for module in self.frozen():
            module.requires_grad_(False).eval()
        if stage == "control" and preset.training.train_projections:
            for projection in self.conditioner.projections():
                projection.requires_grad_(True)

    @property
    def wants(self) -> ClipRequest:
        """A few pictures, and sound at the codec's rate, of the native length."""
        codec = self.codec
        if codec is None:
            return ClipRequest(SPARSE_FRAMES, 16000, NATIVE_S)
        duration_s = self.preset.native_frames / codec.latent_rate
        return ClipRequest(SPARSE_FRAMES, codec.sampling_rate, duration_s, codec.channels)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """Mean squared error of v at one drawn time for each sample, frames of silence with `silence_weight`; `teacher`
        is not used. Without a generator the draws are those of the seed `step`."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        clean, envelope = self._crop(self.layout.fold(batch["latents"].float()), self._controls(batch), generator)
        size = clean.shape[0]
        t = self._times(size, generator).to(clean.device)
        alpha, sigma = cosine_path(t[:, None, None])
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        tokens = self.conditioner.tokens(self._embeddings(batch, generator), size)
        start_s, total_s = 0.0, self._seconds(batch)
        inputs = {"x": alpha * clean + sigma * noise, "t": t, "cross_attn_cond": tokens,
                  "global_cond": self.conditioner.global_cond(start_s, total_s, size)}
        controls: Sequence[Tensor] = ()
        weights = clean.new_ones(size, 1, clean.shape[-1])
        if self.controlnet is not None:
            control, estimated = self._envelope(envelope, generator)
            controls = self.controlnet(control=control, estimated=estimated, **inputs)
            weights = self._weights(control, weights)
        predicted = self.transformer(**inputs, controls=controls)
        errors = (predicted - V.target(clean, noise, alpha, sigma)).square()
        return {"loss": (weights * errors).mean() / weights.mean()}

    def frozen(self) -> list[nn.Module]:
        """Parts kept in eval mode, without gradients (but for the projections, if the preset trains them)."""
        parts: list[object] = [self.codec, self.gram]
        if self.stage == "control":
            parts += [self.transformer, self.conditioner, self.layout]
        return [part for part in parts if isinstance(part, nn.Module)]

    def fit(self, samples: Iterable[Batch]) -> None:
        """Measure the latents' mean and deviation; the control stage keeps the base's."""
        if self.stage != "control":
            self.layout.fit(s["latents"] for s in samples)

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample (see the class) of a clip, cut or padded with silence to the native length.

        Raises PostsyncError if codec or GRAM are missing, ConditionError for a clip without sound at the codec's rate.
        """
        codec, gram = self.codec, self.gram
        if codec is None or gram is None:
            raise PostsyncError("preparing clips needs the codec and the GRAM towers; give both to FoleyGRAMObjective.")
        sound = native_sound(clip, codec, self.preset.native_frames)
        mono = sound.mean(0)
        envelope = (envelope_latents(codec, causal_window(mono)[None])[0].half() if self._through_codec else
                    frame_rms(mono, codec.sampling_rate))
        sample = {
            "latents": codec.encode(sound[None]).mean[0].half(),
            "envelope": envelope,
            "audio": gram.encode_audio(at_gram_rate(mono, codec.sampling_rate)[None])[0],
            "text": self._captions(clip, gram),
        }
        sample["video"] = torch.zeros_like(sample["audio"])
        if clip.frames is not None:
            frames = clip.frames[pick_frames(len(clip.frames), gram.num_frames)].float() / 255
            sample["video"] = gram.encode_video(frames[None])[0]
        return sample

    def export(self, folder: Path) -> None:
        """Write the pipeline's own parts as float16; codec and GRAM stay in their own folders."""
        parts = {"transformer": self.transformer, "conditioner": self.conditioner, "layout": self.layout,
                 "controlnet": self.controlnet}
        copies = {name: None if part is None else _published(part) for name, part in parts.items()}
        FoleyGRAMPipeline.from_parts(self.preset, **copies).save_pretrained(folder)

    @property
    def _through_codec(self) -> bool:
        return self.preset.control_encoder == "vae"

    def _controls(self, batch: dict[str, Tensor]) -> Tensor:
        """The controls, cropped with the latents: curves (B, M), or, through the codec, sequences (B, 2 C, T) of the
        envelopes and, below them, of the "no control" code."""
        envelope = batch["envelope"].float()
        if not self._through_codec:
            return envelope
        sequence = self.layout.fold(envelope)
        if self._no_control is None:
            codec = self._needed_codec()
            wave = sequence.new_full((1, round(self._seconds(batch) * codec.sampling_rate)), NO_CONTROL)
            with torch.no_grad():
                self._no_control = self.layout.fold(envelope_latents(codec, wave))
        return torch.cat([sequence, self._no_control.to(sequence).expand_as(sequence)], dim=1)

    def _seconds(self, batch: dict[str, Tensor]) -> float:
        """Length of the samples."""
        if not self._through_codec:
            return batch["envelope"].shape[-1] / 100
        return batch["latents"].shape[2] / self._needed_codec().latent_rate

    def _needed_codec(self) -> Codec:
        if self.codec is None:
            raise PostsyncError("an envelope that goes through the codec needs it; give it to FoleyGRAMObjective.")
        return self.codec

    def _crop(self, clean: Tensor, envelope: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """In a share of the steps, a random crop of all samples: sequence (B, C, T) and envelope (B, 4 T) alike."""
        frames, values = self.preset.training.crop_frames, envelope.shape[-1] // clean.shape[-1]
        drawn, place = torch.rand(2, generator=generator).tolist()
        if not frames or drawn >= self.preset.training.crop_share:
            return clean, envelope
        start = int(place * (clean.shape[-1] - frames + 1))
        return clean[..., start:start + frames], envelope[..., start * values:(start + frames) * values]

    def _times(self, size: int, generator: torch.Generator) -> Tensor:
        """Times (B,): sigmoid of a normal number, a share of them uniform over 0..1."""
        t = torch.sigmoid(self.preset.training.time_mean + torch.randn(size, generator=generator))
        even = torch.rand(size, generator=generator)
        return torch.where(torch.rand(size, generator=generator) < self.preset.training.uniform_time, even, t)

    def _embeddings(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One caption of each sample; each modality dropped on its own, all of them together for guidance."""
        text = batch["text"].float()
        caption = draw_caption(text, generator)
        embeddings = {"video": batch["video"].float(), "audio": batch["audio"].float(), "text": caption}
        training = self.preset.training
        kept = torch.rand(len(text), 1, generator=generator) >= training.token_drop
        drops = {"video": training.video_drop, "audio": training.audio_drop, "text": training.text_drop}
        return {name: value * (kept & (torch.rand(kept.shape, generator=generator) >= drops[name])).to(value.device)
                for name, value in embeddings.items()}

    def _envelope(self, envelope: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The control (B, M), with some envelopes perturbed like predicted ones (flagged in the second result (B,)),
        some replaced by the "no control" code. Through the codec (B, C, T): none is perturbed."""
        if self._through_codec:
            control, none = envelope.chunk(2, dim=1)
            dropped = torch.rand(len(control), generator=generator) < self.preset.training.envelope_drop
            dropped = dropped.to(control.device)
            return torch.where(dropped[:, None, None], none, control), torch.zeros_like(dropped)
        control = perturb_envelope(envelope, generator, self.preset.training.envelope_perturbed)
        perturbed = control.ne(envelope).any(-1)
        dropped = torch.rand(len(control), generator=generator) < self.preset.training.envelope_drop
        dropped = dropped.to(control.device)
        return torch.where(dropped[:, None], NO_CONTROL, control), perturbed & ~dropped

    def _weights(self, control: Tensor, ones: Tensor) -> Tensor:
        """Weights (B, 1, T) of the latent frames: 1 where the control (B, M) sounds, one frame around it included, and
        `silence_weight` elsewhere. They follow the control that the branch is given, nothing else: the best prediction
        stays what it was."""
        if self._through_codec or self.preset.training.silence_weight == 1:
            return ones
        loud = functional.max_pool1d(control[:, None], self.preset.envelope_values)
        sounding = functional.max_pool1d((loud > AUDIBLE).to(ones), 3, stride=1, padding=1)
        return torch.where(sounding > 0, 1.0, self.preset.training.silence_weight)


def _published(part: Any) -> Any:
    """A float16 copy of a part, without the folder it was loaded from in its configuration."""
    copy = type(part).from_config({name: value for name, value in part.config.items() if not name.startswith("_")})
    copy.load_state_dict(part.state_dict())
    return copy.half()
