"""Common part of the pipelines of diffusion and flow systems: the initial noise, guides and callback, decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diffusion.guidance import guided_after, guided_before
from ..diffusion.solvers import draw_noise
from ..errors import ConditionError
from ..protocols.codec import Codec, MelDecoder
from ..protocols.guide import BeforeStep, Guide, Step
from ..protocols.pipeline import Callback, OutputType
from .pipeline import SoundPipeline


@dataclass(frozen=True)
class Levels:
    """Noise levels of a run of S steps: state i is `alphas[i]` * clean + `sigmas[i]` * noise, S + 1 of each, the last
    one clean. `timesteps` (S,) are the model's own times; `clean_estimate(i, state, output)` is the clean latents that
    an output of step i implies for a state, differentiable in both."""

    timesteps: Sequence[float]
    alphas: Sequence[float]
    sigmas: Sequence[float]
    clean_estimate: Callable[[int, Tensor, Tensor], Tensor]


class LatentPipeline(SoundPipeline):
    """A pipeline that denoises latents of its `codec`; `native_frames` and the defaults of its `sampler` are in its
    configuration."""

    codec: Codec

    @property
    def native_s(self) -> float:
        """Length in seconds the model was trained on; longer sounds are generated in overlapping windows."""
        return self.config["native_frames"] / self.codec.latent_rate

    def _codec_latents(self, clean: Tensor) -> Tensor:
        """Clean latents of the model (B, channels, T, ...), any range of them -> those of the codec; differentiable.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define how its latents become the codec's")

    def _noise(self, latents: Tensor | None, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Unit-normal start of `shape`, drawn or given."""
        if latents is None:
            return draw_noise(shape, generators).to(self._execution_device)
        if tuple(latents.shape) != shape:
            raise ConditionError(f"latents of shape {tuple(latents.shape)} do not fit this run; it needs {shape}.")
        return latents.to(self._execution_device)

    def _decode(self, clean: Tensor, num_samples: int, start_s: float = 0.0, end_s: float | None = None) -> Tensor:
        """Clean latents of a run of `num_samples` -> waveform (B, C, n) between two times; differentiable.

        A part is decoded with the codec's context around it. Raises ConditionError for an empty part.
        """
        codec, per_frame = self.codec, round(self.codec.sampling_rate / self.codec.latent_rate)
        first, last, left, right = self._part(num_samples, start_s, end_s)
        held = min(num_samples, right * per_frame) - left * per_frame
        waveform = codec.decode(self._codec_latents(clean[:, :, left:right]), held, first_frame=left)
        return waveform[..., first - left * per_frame:last - left * per_frame]

    def _decode_mel(self, codec: MelDecoder, clean: Tensor, num_samples: int, start_s: float = 0.0,
                    end_s: float | None = None) -> Tensor:
        """As `_decode`, but to the codec's log-mel (B, T, mels), in whole frames that cover the part."""
        first, last, left, right = self._part(num_samples, start_s, end_s)
        log_mel = codec.decode_mel(self._codec_latents(clean[:, :, left:right]))
        hop, shift = round(self.sampling_rate / codec.mel_rate), round(left * codec.mel_rate / self.codec.latent_rate)
        return log_mel[:, first // hop - shift:-(-last // hop) - shift]

    def _part(self, num_samples: int, start_s: float, end_s: float | None) -> tuple[int, int, int, int]:
        """First and last sample of a part of a run, and first and last latent frame of it with the codec's context.

        Raises ConditionError for an empty part.
        """
        codec, rate = self.codec, self.codec.sampling_rate
        first = round(start_s * rate)
        last = num_samples if end_s is None else min(round(end_s * rate), num_samples)
        if not 0 <= first < last:
            raise ConditionError(f"there is no sound from {start_s} to {end_s} s in {num_samples / rate} s.")
        per_frame = round(rate / codec.latent_rate)
        left = max(first // per_frame - codec.context_frames, 0)
        right = min(-(-last // per_frame) + codec.context_frames, codec.latent_shape(num_samples)[1])
        return first, last, left, right

    def _audios(self, clean: Tensor, num_samples: int, output_type: OutputType) -> Tensor:
        """The output of a run: its waveform (B, C, N), or the clean latents themselves."""
        return clean if output_type == "latent" else self._decode(clean, num_samples)


class StepHooks:
    """Guides and callback around the steps of one run of `pipe`; `done` is called after each."""

    def __init__(self, pipe: LatentPipeline, levels: Levels, guides: Sequence[Guide], callback: Callback | None,
                 num_samples: int, done: Callable[[], object]) -> None:
        self.pipe, self.levels, self.guides, self.callback = pipe, levels, guides, callback
        self.num_samples, self.done = num_samples, done

    @property
    def before(self) -> Callable[[int, Tensor], Tensor] | None:
        """The solver's callback before a step; None if no guide acts there."""
        return self._before if any(isinstance(guide, BeforeStep) for guide in self.guides) else None

    def _before(self, i: int, state: Tensor) -> Tensor:
        return guided_before(self.guides, self._step(i, state, state, None))

    def after(self, i: int, before: Tensor, after: Tensor, output: Tensor) -> Tensor:
        """The state after guides and callback; the same object if neither moved it."""
        state = guided_after(self.guides, self._step(i, before, after, output))
        if self.callback is not None:
            given = self.callback(self.pipe, i, self.levels.timesteps[i], {"latents": state}) or {}
            state = given.get("latents", state)
        self.done()
        return state

    def _step(self, i: int, before: Tensor, after: Tensor, output: Tensor | None) -> Step:
        """The `Step` for guides; before the step there is no output yet, and `after` is its initial state."""
        levels = self.levels

        def clean_estimate(latents: Tensor) -> Tensor:
            if output is None:
                raise ValueError("before a step there is no clean estimate; use it in after_step")
            return levels.clean_estimate(i, latents, output)

        def decode(clean: Tensor, start_s: float = 0.0, end_s: float | None = None) -> Tensor:
            return self.pipe._decode(clean, self.num_samples, start_s, end_s)

        def decode_mel(clean: Tensor, start_s: float = 0.0, end_s: float | None = None) -> Tensor:
            return self.pipe._decode_mel(codec, clean, self.num_samples, start_s, end_s)

        codec: Any = self.pipe.codec
        return Step(i, len(levels.timesteps), levels.timesteps[i], alpha=levels.alphas[i], sigma=levels.sigmas[i],
                    alpha_next=levels.alphas[i + 1], sigma_next=levels.sigmas[i + 1], latents_before=before,
                    latents=after, model_output=output, clean_estimate=clean_estimate, decode=decode,
                    duration_s=self.num_samples / self.pipe.sampling_rate,
                    decode_mel=decode_mel if isinstance(codec, MelDecoder) else None)
