"""MGAudio as a diffusers pipeline: one vector of the picture, and a flow from noise to the codec's latents.

Source: arXiv 2510.24103; its 8.16 s are the native length. Longer clips are generated in overlapping windows, each with
the 32 features of its own time (ours, not in the paper).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from typing import Any, Self

import torch
from torch import Tensor

from ...codecs import load_codec
from ...codecs.mel_vae import MelCodec
from ...diffusion.guidance import classifier_free_guidance, scale_at
from ...diffusion.parameterization import Parameterization
from ...diffusion.solvers import draw_noise, flow_times, one_generator_each, sample_flow, to_float64
from ...diffusion.windows import Window, average_windows, plan_windows
from ...encoders.cavp import FPS, Cavp, load_cavp
from ...errors import ConditionError
from ...features.envelope import Envelope
from ...protocols.codec import Codec
from ...protocols.guide import Guide
from ...protocols.pipeline import Callback, OutputType, Pictures, Prompt, SoundOutput
from ..latent_pipeline import LatentPipeline, Levels, StepHooks
from . import OPTIONS
from .features import checked_features, repeated, steps_in, video_features
from .presets import MGAudioPreset, SamplerDefaults
from .transformer import FBDT

FLOW = Parameterization("flow")


class MGAudioPipeline(LatentPipeline):
    """Sound for a clip from its picture alone.

    `codec` and `cavp` are shared with other systems, see `SoundPipeline`.
    """

    system = "mgaudio"
    accepts = frozenset({"video", "duration_s", "num_inference_steps", "guidance_scale", "num_waveforms_per_prompt",
                         "generator", "latents", "guides", "callback_on_step_end", "output_type"})
    options = OPTIONS
    shared = {"codec": load_codec, "cavp": lambda folder, _: load_cavp(folder)}  # noqa: RUF012 (never written to)

    transformer: FBDT
    cavp: Cavp | None

    model_cpu_offload_seq = "cavp->transformer->codec"  # type: ignore[assignment]
    _optional_components = ["codec", "cavp"]  # noqa: RUF012 (the name and form diffusers reads)

    def __init__(self, transformer: FBDT, codec: Codec | None = None, cavp: Cavp | None = None,
                 native_frames: int = 204, latent_scale: float | None = None, sampler: dict[str, Any] | None = None,
                 codec_folder: str = "mel_codec", cavp_folder: str = "cavp", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, codec=codec, cavp=cavp)
        self.register_to_config(native_frames=native_frames, latent_scale=latent_scale,
                                sampler=sampler or asdict(SamplerDefaults()), codec_folder=codec_folder,
                                cavp_folder=cavp_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: MGAudioPreset, **parts: Any) -> MGAudioPipeline:
        """A pipeline with the preset's settings; a missing transformer gets random weights, other parts stay absent."""
        parts.setdefault("transformer", FBDT(**preset.transformer | {"align_dim": None}))
        return cls(**parts, native_frames=preset.native_frames, latent_scale=preset.latent_scale,
                   sampler=asdict(preset.sampler), sees_film=preset.sees_film)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], *,
                        parts: Mapping[str, str | PathLike[str]] | None = None,
                        torch_dtype: torch.dtype = torch.float32, **kwargs: Any) -> Self:
        """As every `SoundPipeline`; CAVP runs only once, hence in full precision whatever the others use."""
        pipe = super().from_pretrained(pretrained_model_name_or_path, parts=parts, torch_dtype=torch_dtype, **kwargs)
        if pipe.cavp is not None:
            pipe.cavp.float()
        return pipe

    @property
    def settings(self) -> SamplerDefaults:
        """The sampler's defaults."""
        return SamplerDefaults(**self.config["sampler"])

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures:
        """Four a second. Raises ConditionError without a video encoder."""
        return Pictures(steps_in(duration_s), self._loaded_cavp().image_size, FPS)

    @torch.no_grad()
    def __call__(self, video: Tensor | None = None, prompt: Prompt = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None,
                 envelope: Tensor | Envelope | None = None, control_scale: float | None = None,
                 latents: Tensor | None = None, reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: OutputType = "pt",
                 **options: Any) -> SoundOutput:
        """Generate sound; every argument left at None means the preset's default.

        video: frames (F, 3, H, W), uint8 or float in 0..1, four a second from the start on (as many as
        `pictures_wanted` says) or any number of equal duration; or CAVP's features (S, E), four a second;
        None: unconditional sound. latents: unit-normal noise (B, 8, T, 16) to start from. generator: one, or one for
        each sound; take k of a single one equals a run seeded with its seed + k. options: `OPTIONS`. The arguments
        missing from `accepts` are refused.

        Returns audios (num_waveforms_per_prompt, C, N), N = round(duration_s * sampling_rate), as a tensor ("pt") or
        array ("np"), or the clean latents ("latent"). The duration defaults to the native one. Raises ConditionError
        for conditions of a wrong form; a callback that raises Cancelled ends the run.
        """
        own = self._refuse({"prompt": prompt, "negative_prompt": negative_prompt, "envelope": envelope,
                            "control_scale": control_scale, "reference_audio": reference_audio}, options)
        settings, count = replace(self.settings, **own), num_waveforms_per_prompt
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        scale = 1.0 if video is None else scale  # no condition to guide with
        self._check_run(steps, count, output_type, guides)
        num_samples = self._num_samples(self.native_s if duration_s is None else duration_s)
        generators = one_generator_each(generator, count)
        channels, frames, bins = self.codec.latent_shape(num_samples)
        native = self.config["native_frames"]
        windows = plan_windows(max(frames, native), native, settings.window_overlap)
        conditions = self._conditions(video, windows, num_samples / self.sampling_rate)
        x = self._noise(latents, (count, channels, max(frames, native), bins), generators)

        def velocity(state: Tensor, time: float, step_time: float) -> Tensor:
            here = scale_at(scale, step_time, settings.guidance_interval)
            return average_windows(lambda part, window: self._predict(part.mT, time, conditions[window], here).mT,
                                   state.mT, windows, settings.window_overlap).mT

        times = flow_times(steps, settings.solver)
        with self.progress_bar(total=steps) as bar:
            hooks = StepHooks(self, _levels(times), guides, callback_on_step_end, num_samples, bar.update)
            x = sample_flow(velocity, x, times, noise=lambda i: draw_noise(x.shape, generators, x),
                            solver=settings.solver, before_step=hooks.before, after_step=hooks.after).float()
        return self._output(self._audios(x, num_samples, output_type), output_type)

    def _conditions(self, video: Tensor | None, windows: Sequence[Window], duration_s: float) -> dict[Window, Tensor]:
        """The condition vector (1, width) of each window."""
        if video is None:
            return dict.fromkeys(windows, self.transformer.null_condition(1))
        features = self._video_features(video, duration_s)
        count = self.transformer.feature_shape[0]
        result = {}
        for window in windows:
            # to the nearest vector; a clip that ends within its only window is repeated, others are used up to the end
            first = min(round(window.start / self.codec.latent_rate * FPS), max(len(features) - count, 0))
            result[window] = self.transformer.pool_features(repeated(features[first:], count)[None])
        return result

    def _video_features(self, video: Tensor, duration_s: float) -> Tensor:
        """Features (S, E) of the clip, given or from its frames."""
        width = self.transformer.feature_shape[1]
        if video.dim() == 2:
            return checked_features(video, duration_s, width, "video").to(self.transformer.device)
        if video.dim() != 4 or video.shape[1] != 3 or len(video) == 0:
            raise ConditionError(f"video is frames (F, 3, H, W) or features (S, {width}), not {tuple(video.shape)}.")
        spacing_s = 1 / FPS if len(video) == steps_in(duration_s) else duration_s / len(video)
        times_s = torch.arange(len(video)) * spacing_s
        return video_features(self._loaded_cavp(), video.to(self._execution_device), times_s, duration_s)

    def _loaded_cavp(self) -> Cavp:
        """CAVP; raises ConditionError if this pipeline has none."""
        if self.cavp is None:
            raise ConditionError("this pipeline was loaded without CAVP; give its features as video, or name "
                                 "its folder in `parts` when loading.")
        return self.cavp

    def _predict(self, x: Tensor, time: float, condition: Tensor, scale: float) -> Tensor:
        """Guided velocity (B, C, T, F) in one window, float64; both halves in one batch, the second only if needed."""
        dtype, count = self.transformer.dtype, len(x)
        guided = scale > 1
        condition = condition.expand(count, -1)
        if guided:
            x, condition = x.repeat(2, 1, 1, 1), torch.cat([condition, self.transformer.null_condition(count)])
        t = torch.full((len(x),), time, device=x.device)
        output = to_float64(self.transformer(x.to(dtype), t, condition)[0])
        return classifier_free_guidance(output[:count], output[count:], scale) if guided else output

    def _codec_latents(self, clean: Tensor) -> Tensor:
        """Clean latents (B, C, T, F) -> the codec's; differentiable."""
        return clean / latent_factor(self.codec, self.config["latent_scale"])


def _levels(times: Tensor) -> Levels:
    """States are (1 - t) clean + t noise; the network's output is the velocity."""
    return Levels(times[:-1].tolist(), (1 - times).tolist(), times.tolist(),
                  lambda i, state, output: FLOW.clean_estimate(state, output, 1 - times[i], times[i]))


def latent_factor(codec: Codec, latent_scale: float | None) -> float:
    """Factor from the codec's scaled latents to the model's: 1, unless a checkpoint was trained on another scale.

    Raises ConditionError for another scale if the codec has no factor to compare it with.
    """
    if latent_scale is None:
        return 1.0
    if not isinstance(codec, MelCodec):
        raise ConditionError(f"a latent scale of {latent_scale:g} is of a mel codec's latents; drop it for others.")
    return latent_scale / codec.vae.config.scaling_factor
