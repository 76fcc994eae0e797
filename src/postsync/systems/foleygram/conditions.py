"""From the caller's conditions to the model's inputs: tokens and control, cut for each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...diffusion.windows import Window
from ...encoders.gram import GramEncoder, pick_frames
from ...encoders.stand_ins import StandIns, embed_recording
from ...errors import ConditionError
from ...features.envelope import CAUSAL, CENTRED, ENVELOPE_RATE, Envelope, resample_linear, to_causal_window
from ...protocols.codec import Codec
from ...protocols.pipeline import Cue
from .conditioning import FoleyConditioner
from .controlnet import NO_CONTROL, DiTControlNet
from .latents import LatentLayout
from .prompts import cue_weights


@dataclass(frozen=True)
class WindowConditions:
    """Inputs of the model in one window: token sets (J, B, S, D) with their shares over time (J, T), the tokens of the
    unconditional half (B, S, D), the global condition (B, G), the control (B, M or C, T) and that of the unconditional
    half, if any, and whether the control is an estimate."""

    tokens: Tensor
    shares: Tensor
    unconditional: Tensor
    global_cond: Tensor
    control: Tensor | None
    unconditional_control: Tensor | None
    estimated: bool


@dataclass(frozen=True)
class RunConditions:
    """Conditions of one run: the cues of each sound of the batch, and arguments of the pipeline's call."""

    sounds: Sequence[Sequence[Cue]]
    negative_prompt: str | None
    video: Tensor | None
    reference_audio: Tensor | None
    envelope: Envelope | None


@dataclass(frozen=True)
class WindowConditioner:
    """The parts of a pipeline that read conditions. `guide_envelope`: the unconditional half has no envelope."""

    conditioner: FoleyConditioner
    layout: LatentLayout
    controlnet: DiTControlNet | None
    codec: Codec
    gram: GramEncoder | None
    device: torch.device
    dtype: torch.dtype
    native_s: float
    guide_envelope: bool
    stand_ins: StandIns | None = None  # for the audio token, where no reference is given

    def read(self, asked: RunConditions, windows: Sequence[Window], frames: int) -> dict[Window, WindowConditions]:
        """All inputs of the model, by window; the windows hold a clip of `frames` latent frames.

        Raises ConditionError for conditions of a wrong form or that cannot be followed.
        """
        conditioner, count, total = self.conditioner, len(asked.sounds), windows[-1].stop
        audio = None if asked.reference_audio is None else self._embed_reference(asked.reference_audio)
        control = self._control(asked.envelope, total, count)
        absent = self._control(None, total, count) if self.guide_envelope else control
        global_cond = conditioner.global_cond(0.0, self.native_s, count)
        unconditional = conditioner.tokens({"text": self._embed_texts([asked.negative_prompt] * count)}, count)
        result = {}
        for window in windows:
            times = (torch.arange(window.start, window.stop) + 0.5) / self.codec.latent_rate
            texts, shares = zip(*(cue_weights(cues, times) for cues in asked.sounds), strict=True)
            video = self._embed_video(asked.video, window, frames)
            tokens = [conditioner.tokens({"video": video} | self._sound(row, audio), count) for row in zip(*texts)]
            result[window] = WindowConditions(torch.stack(tokens), shares[0].to(self.device), unconditional,
                                              global_cond, _cut(control, window, total), _cut(absent, window, total),
                                              asked.envelope is not None and asked.envelope.estimated)
        return result

    def _sound(self, prompts: Sequence[str | None], audio: Tensor | None) -> dict[str, Tensor | None]:
        """Embeddings of words and of the reference, or of what stands in for one."""
        texts = self._embed_texts(prompts)
        if audio is None and self.stand_ins is not None:
            audio, texts = self.stand_ins.tokens(prompts, texts)
        return {"audio": audio, "text": texts}

    def _control(self, envelope: Envelope | None, total: int, count: int) -> Tensor | None:
        """The branch's input envelope over `total` latent frames: silence after its end, -1 without one."""
        if self.controlnet is None:
            if envelope is not None:
                raise ConditionError("these weights have no control branch, so they cannot follow an envelope.")
            return None
        seconds = total / self.codec.latent_rate
        if self.controlnet.config["control_encoder"] == "vae":
            wave = self._envelope_wave(envelope, round(seconds * self.codec.sampling_rate)).expand(count, -1)
            return self.layout.fold(envelope_latents(self.codec, wave.to(self.device))).to(self.dtype)
        length = round(seconds * ENVELOPE_RATE)
        if envelope is None:
            curve = torch.full((length,), NO_CONTROL)
        else:
            self._check_recipe(envelope)
            curve = _padded(at_rate(envelope, ENVELOPE_RATE), length)
        return curve.expand(count, -1).to(self.device, self.dtype)

    def _envelope_wave(self, envelope: Envelope | None, samples: int) -> Tensor:
        """The envelope at the codec's rate, (samples,) or (B, samples), by the branch's recipe."""
        rate = self.codec.sampling_rate
        if envelope is None:
            return torch.full((samples,), NO_CONTROL)
        self._check_recipe(envelope)
        if envelope.recipe != self._known_recipe():
            curve = _padded(envelope.values.float().cpu(), round(samples / rate * envelope.rate))
            return to_causal_window(curve, envelope.rate, samples, rate)
        return _padded(at_rate(envelope, rate), samples)

    def _check_recipe(self, envelope: Envelope) -> None:
        """Raise ConditionError for an envelope of a recipe that the branch was not trained on."""
        known = self._known_recipe()
        if envelope.recipe != known and (envelope.recipe, known) != (CENTRED, CAUSAL):
            raise ConditionError(f"these weights follow envelopes of the recipe '{known}', not '{envelope.recipe}'; "
                                 f"give a {CENTRED} envelope.")

    def _known_recipe(self) -> str:
        return "" if self.controlnet is None else self.controlnet.config["envelope_recipe"]

    def _embed_texts(self, texts: Sequence[str | None]) -> Tensor:
        """Embeddings of the batch's captions (B, D), zeros without words."""
        silent = torch.zeros(1, self.conditioner.config["gram_dim"], device=self.device)
        known = {t: self._towers().encode_text([t]) if t and t.strip() else silent for t in dict.fromkeys(texts)}
        return torch.cat([known[t] for t in texts])

    def _embed_video(self, video: Tensor | None, window: Window, frames: int) -> Tensor | None:
        """Embedding (1, D) of the pictures that fall into the window."""
        if video is None:
            return None
        if video.dim() != 4 or video.shape[1] != 3 or len(video) == 0:
            raise ConditionError(f"video is frames (F, 3, H, W), not {tuple(video.shape)}.")
        first = min(window.start * len(video) // frames, len(video) - 1)
        part = video[first:max(round(window.stop / frames * len(video)), first + 1)]
        pictures = part[pick_frames(len(part), self._towers().num_frames)]
        pictures = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
        return self._towers().encode_video(pictures[None].to(self.device))

    def _embed_reference(self, audio: Tensor) -> Tensor:
        """Embedding (1, D) of a recording (N,) or (C, N) at the codec's rate."""
        return embed_recording(self._towers(), audio, self.codec.sampling_rate, self.device)

    def _towers(self) -> GramEncoder:
        """GRAM; raises ConditionError if this pipeline has none."""
        if self.gram is None:
            raise ConditionError("this pipeline was loaded without GRAM, so it takes no video, prompt or reference.")
        return self.gram


def envelope_latents(codec: Codec, wave: Tensor) -> Tensor:
    """The codec's latents of an envelope at its rate (B, N), as a sound that is the same in all channels."""
    return codec.encode(wave[:, None].expand(-1, codec.channels, -1)).mean


def read_envelope(envelope: Tensor | Envelope | None) -> Envelope | None:
    """The envelope of a call; a bare tensor is centred RMS at 100 Hz. Raises ConditionError for an empty one."""
    if envelope is not None and not isinstance(envelope, Envelope):
        envelope = Envelope(envelope)
    if envelope is not None and envelope.values.numel() == 0:
        raise ConditionError("an envelope without values has no length; drop it, or give a duration's worth of them.")
    return envelope


def at_rate(envelope: Envelope, rate: float) -> Tensor:
    """Values (M,) or (B, M), float32 on the CPU, of the envelope resampled linearly to `rate` Hz."""
    values = envelope.values.float().cpu()
    if envelope.rate == rate:
        return values
    positions = torch.arange(round(envelope.duration_s * rate), dtype=torch.float64) * (envelope.rate / rate)
    return resample_linear(values, positions)


def _padded(curve: Tensor, length: int) -> Tensor:
    """The first `length` values of a curve (..., M), silent after its end."""
    return functional.pad(curve[..., :length], (0, max(length - curve.shape[-1], 0)))


def _cut(control: Tensor | None, window: Window, total: int) -> Tensor | None:
    """The part of a control over `total` latent frames that falls into the window."""
    if control is None:
        return None
    per_frame = control.shape[-1] // total
    return control[..., window.start * per_frame:window.stop * per_frame]
