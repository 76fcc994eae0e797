"""What the pipelines of all diffusion and flow systems share: time and rate, start, guides and callback, loading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import torch
from diffusers.pipelines.pipeline_utils import AudioPipelineOutput, DiffusionPipeline
from torch import Tensor

from ..errors import ConditionError
from .guidance import Guide, Step
from .solvers import draw_noise

Callback = Callable[[Any, int, float, dict[str, Tensor]], dict[str, Tensor] | None]


class SoundPipeline(DiffusionPipeline):
    """A diffusers pipeline with a `codec` (design: encode, decode, sampling_rate, latent_rate) among its parts, and
    `native_frames` and `sees_film` in its configuration."""

    codec: Any
    frame_rate: float | None = None  # frames a second that are looked at; None: some, spread evenly over the clip

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[Any], *,
                        torch_dtype: torch.dtype = torch.float32,  # type: ignore[override]
                        **kwargs: Any) -> Self:
        """Load a saved folder."""
        if torch_dtype != torch.float32:  # what diffusers gives where it is told nothing
            kwargs["torch_dtype"] = torch_dtype
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @property
    def sampling_rate(self) -> int:
        """Samples a second of what the pipeline gives."""
        return self.codec.sampling_rate

    @property
    def sees_film(self) -> bool:
        """Whether its video encoder knows real pictures; if not, words or a reference say more than the picture."""
        return bool(self.config["sees_film"])

    @property
    def native_s(self) -> float:
        """Length in seconds the model was trained on; longer sounds are made in overlapping windows."""
        return self.config["native_frames"] / self.codec.latent_rate

    def _check_run(self, steps: int, takes: int, output_type: str) -> None:
        if steps < 1 or takes < 1 or output_type not in ("pt", "np", "latent"):
            raise ConditionError("num_inference_steps and num_waveforms_per_prompt are 1 or more, output_type is 'pt', "
                                 "'np' or 'latent'.")

    def _num_samples(self, duration_s: float) -> int:
        """Samples of the output."""
        if not 0.5 / self.sampling_rate < duration_s < math.inf:
            raise ConditionError(f"a duration of {duration_s} s holds no sample; give one above 0.")
        return round(duration_s * self.sampling_rate)

    def _noise(self, latents: Tensor | None, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Unit-normal start of `shape`, drawn or given."""
        if latents is None:
            return draw_noise(shape, generators).to(self._execution_device)
        if tuple(latents.shape) != shape:
            raise ConditionError(f"latents of shape {tuple(latents.shape)} do not fit this run; it needs {shape}.")
        return latents.to(self._execution_device)

    def _after_guides(self, guides: Sequence[Guide], callback: Callback | None, step: Step) -> Tensor:
        """The latents after guides and callback; the same object where neither moved them."""
        for guide in guides:
            step = replace(step, latents=guide.after_step(step))
        if callback is None:
            return step.latents
        told = callback(self, step.index, step.timestep, {"latents": step.latents}) or {}
        return told.get("latents", step.latents)

    def _output(self, audios: Tensor, output_type: str) -> AudioPipelineOutput:
        self.maybe_free_model_hooks()
        return AudioPipelineOutput(audios=audios.float().cpu().numpy() if output_type == "np" else audios)
