"""From what the caller gives to what the model is told: tokens and control, cut for each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...diffusion.windows import Window
from ...encoders.gram import GramEncoder, pick_frames
from ...errors import ConditionError
from ...features.envelope import ENVELOPE_RATE, to_causal_window
from ...timing.estimated import EstimatedEnvelope, curve_of
from .controlnet import NO_CONTROL
from .prompts import Cue, cue_weights


@dataclass(frozen=True)
class WindowConditions:
    """What the model is told in one window: token sets (J, B, S, D) with their shares over time (J, T), the tokens of
    the unconditional half (B, S, D), the global condition (B, G), the control (B, M or C, T) and that of the
    unconditional half, if any, and whether the control is an estimate."""

    tokens: Tensor
    shares: Tensor
    unconditional: Tensor
    global_cond: Tensor
    control: Tensor | None
    unconditional_control: Tensor | None
    estimated: bool


def _cut(control: Tensor | None, window: Window, total: int) -> Tensor | None:
    """The part of a control over `total` latent frames that falls into the window."""
    if control is None:
        return None
    per_frame = control.shape[-1] // total
    return control[..., window.start * per_frame:window.stop * per_frame]


class Conditions:
    """Reads the conditions of one run of `pipe` over `windows`, which hold a clip of `frames` latent frames."""

    def __init__(self, pipe: Any, windows: Sequence[Window], frames: int) -> None:
        self.pipe, self.windows, self.frames = pipe, windows, frames
        self.device, self.dtype = pipe._execution_device, pipe.transformer.dtype

    def read(self, sounds: Sequence[Sequence[Cue]], negative_prompt: str | None, video: Tensor | None,
             reference_audio: Tensor | None,
             envelope: Tensor | EstimatedEnvelope | None) -> dict[Window, WindowConditions]:
        """Everything the model is told, by window. `sounds` are the cues of each sound of the batch; the other
        arguments are the pipeline's. Raises ConditionError for what has a wrong form or cannot be followed."""
        conditioner, count = self.pipe.conditioner, len(sounds)
        audio = None if reference_audio is None else self._embed_reference(reference_audio)
        estimated = isinstance(envelope, EstimatedEnvelope)
        total = self.windows[-1].stop
        control = self._control(curve_of(envelope), total, count)
        absent = self._control(None, total, count) if self.pipe.settings.guide_envelope else control
        global_cond = conditioner.global_cond(0.0, self.pipe.native_s, count)
        unconditional = conditioner.tokens({"text": self._embed_texts([negative_prompt] * count)}, count)
        result = {}
        for window in self.windows:
            times = (torch.arange(window.start, window.stop) + 0.5) / self.pipe.codec.latent_rate
            texts, shares = zip(*(cue_weights(cues, times) for cues in sounds), strict=True)
            given = {"audio": audio, "video": self._embed_video(video, window)}
            tokens = [conditioner.tokens(given | {"text": self._embed_texts(row)}, count) for row in zip(*texts)]
            result[window] = WindowConditions(torch.stack(tokens), shares[0].to(self.device), unconditional,
                                              global_cond, _cut(control, window, total), _cut(absent, window, total),
                                              estimated)
        return result

    def _control(self, envelope: Tensor | None, total: int, count: int) -> Tensor | None:
        """The envelope as the branch takes it over `total` latent frames: silence after its end, -1 without one."""
        pipe = self.pipe
        if pipe.controlnet is None:
            if envelope is not None:
                raise ConditionError("these weights have no control branch, so they cannot follow an envelope.")
            return None
        length = round(total / pipe.codec.latent_rate * ENVELOPE_RATE)
        if envelope is None:
            curve = torch.full((count, length), NO_CONTROL)
        else:
            curve = envelope.float().cpu()
            if curve.dim() not in (1, 2) or curve.numel() == 0 or not (curve.min() >= 0 and curve.max() <= 1):
                raise ConditionError("an envelope is (M,) or (B, M) linear RMS in 0..1 at 100 Hz; this one has shape "
                                     f"{tuple(envelope.shape)} or values outside; divide it by its peak.")
            curve = functional.pad(curve[..., :length], (0, max(length - curve.shape[-1], 0))).expand(count, -1)
        if pipe.controlnet.config["control_encoder"] == "frames":
            return curve.to(self.device, self.dtype)
        samples = round(total / pipe.codec.latent_rate * pipe.sampling_rate)
        wave = curve if envelope is None else to_causal_window(curve, ENVELOPE_RATE, samples, pipe.sampling_rate)
        wave = wave if envelope is not None else torch.full((count, samples), NO_CONTROL)
        return pipe.layout.fold(pipe.codec.encode(wave.to(self.device)).mean).to(self.dtype)

    def _embed_texts(self, texts: Sequence[str | None]) -> Tensor:
        """Captions of the batch (B, D), zeros where there are no words."""
        silent = torch.zeros(1, self.pipe.conditioner.config["gram_dim"], device=self.device)
        known = {t: self._towers().encode_text([t]) if t and t.strip() else silent for t in dict.fromkeys(texts)}
        return torch.cat([known[t] for t in texts])

    def _embed_video(self, video: Tensor | None, window: Window) -> Tensor | None:
        """Embedding (1, D) of the frames that fall into the window."""
        if video is None:
            return None
        if video.dim() != 4 or video.shape[1] != 3 or len(video) == 0:
            raise ConditionError(f"video is frames (F, 3, H, W), not {tuple(video.shape)}.")
        first = min(window.start * len(video) // self.frames, len(video) - 1)
        part = video[first:max(round(window.stop / self.frames * len(video)), first + 1)]
        frames = part[pick_frames(len(part), self._towers().num_frames)]
        frames = frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()
        return self._towers().encode_video(frames[None].to(self.device))

    def _embed_reference(self, audio: Tensor) -> Tensor:
        """Embedding (1, D) of a recording (N,) or (C, N)."""
        mono = audio.float().reshape(-1, audio.shape[-1]).mean(0)
        return self._towers().encode_audio((mono / mono.abs().max().clamp(min=1e-4))[None].to(self.device))

    def _towers(self) -> GramEncoder:
        """GRAM, or ConditionError where this pipeline has none."""
        if self.pipe.gram is None:
            raise ConditionError("this pipeline was loaded without GRAM, so it takes no video, prompt or reference.")
        return self.pipe.gram
