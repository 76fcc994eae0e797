"""MGAudio as a diffusers pipeline: one vector of the picture, and a flow from noise to the codec's latents.

Source: arXiv 2510.24103; its 8.16 s are the native length. Longer clips are made in overlapping windows, each with the
32 features of its own time (ours, not in the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import AudioPipelineOutput
from torch import Tensor

from ...codecs.mel_vae import MelCodec
from ...diffusion.flow_solvers import exact, flow_times, sample_flow
from ...diffusion.guidance import Guide, Step, classifier_free_guidance, scale_at
from ...diffusion.parameterization import Parameterization
from ...diffusion.solvers import draw_noise, one_generator_each
from ...diffusion.sound_pipeline import Callback, SoundPipeline
from ...diffusion.windows import Window, average_windows, plan_windows
from ...encoders.cavp import FPS, Cavp, load_cavp
from ...errors import ConditionError
from ...weights import bundled
from .checkpoint import Sign, from_official, read_official
from .features import checked_features, looped, see, steps_in
from .presets import MGAudioPreset, SamplerDefaults
from .transformer import FBDT

FLOW = Parameterization("flow")


class MGAudioPipeline(SoundPipeline):
    """Sound for a clip from its picture alone.

    `codec` and `cavp` are shared with other systems: a folder saved without them loads them from the bundled folders
    named in its configuration, or from folders that the caller names.
    """

    transformer: FBDT
    codec: MelCodec
    cavp: Cavp | None

    frame_rate = FPS
    model_cpu_offload_seq = "cavp->transformer->codec"  # type: ignore[assignment]
    _optional_components = ["codec", "cavp"]  # noqa: RUF012 (the name and form diffusers reads)
    accepts = frozenset({"video", "duration_s", "num_inference_steps", "guidance_scale", "num_waveforms_per_prompt",
                         "generator", "latents", "guides", "callback_on_step_end", "output_type"})

    def __init__(self, transformer: FBDT, codec: MelCodec | None = None, cavp: Cavp | None = None,
                 native_frames: int = 204, latent_scale: float | None = None, sampler: dict[str, Any] | None = None,
                 codec_folder: str = "mel_codec", cavp_folder: str = "cavp", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, codec=codec, cavp=cavp)
        self.register_to_config(native_frames=native_frames, latent_scale=latent_scale,
                                sampler=sampler or asdict(SamplerDefaults()), codec_folder=codec_folder,
                                cavp_folder=cavp_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: MGAudioPreset, **parts: Any) -> MGAudioPipeline:
        """A pipeline with the preset's settings; a transformer that is not given has random weights, other parts stay
        absent."""
        parts.setdefault("transformer", FBDT(**preset.transformer | {"align_dim": None}))
        return cls(**parts, native_frames=preset.native_frames, latent_scale=preset.latent_scale,
                   sampler=asdict(preset.sampler), sees_film=preset.sees_film)

    @classmethod
    def from_official(cls, checkpoint: str | Path, preset: MGAudioPreset, *, sign: Sign = "velocity",
                      **parts: Any) -> MGAudioPipeline:
        """A checkpoint of the SiT family with `parts` (codec, cavp). `sign`: what it predicts, see `checkpoint.py`.

        Raises WeightsError where the file does not fit the preset.
        """
        transformer, _ = from_official(read_official(checkpoint), preset, sign=sign)
        return cls.from_parts(preset, transformer=transformer.float(), **parts)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[Any], *, shared_parts: bool = True,
                        codec_folder: str | PathLike[str] | None = None, cavp_folder: str | PathLike[str] | None = None,
                        torch_dtype: torch.dtype = torch.float32,  # type: ignore[override]
                        **kwargs: Any) -> MGAudioPipeline:
        """Load a saved folder. `shared_parts`: fetch the codec and CAVP where it has none, from `codec_folder` (such as
        AudioLDM's, with vae/ and vocoder/) and `cavp_folder`, by default the bundled ones.

        Raises WeightsError where those are absent.
        """
        pipe = super().from_pretrained(pretrained_model_name_or_path, torch_dtype=torch_dtype, **kwargs)
        if shared_parts and (pipe.codec is None or codec_folder is not None):
            folder = codec_folder or bundled(pipe.config["codec_folder"])
            pipe.register_modules(codec=MelCodec.from_pretrained(Path(folder), torch_dtype=torch_dtype))
        if shared_parts and (pipe.cavp is None or cavp_folder is not None):
            pipe.register_modules(cavp=load_cavp(cavp_folder or bundled(pipe.config["cavp_folder"])))
        if pipe.cavp is not None:
            pipe.cavp.float()  # it runs once: in full precision
        return pipe

    @property
    def settings(self) -> SamplerDefaults:
        """What the pipeline does where the caller says nothing."""
        return SamplerDefaults(**self.config["sampler"])

    def frames_wanted(self, duration_s: float) -> tuple[int, int]:
        """Number of frames that are looked at of a clip of this length, and the side of the square they are seen in.

        Raises ConditionError where there is no encoder to look.
        """
        return steps_in(duration_s), self._eye().image_size

    @torch.no_grad()
    def __call__(self, video: Tensor | None = None, prompt: Any = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None, envelope: Any = None,
                 control_scale: float | None = None, latents: Tensor | None = None,
                 reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: str = "pt") -> AudioPipelineOutput:
        """Generate sound; every argument left at None means the preset's default.

        video: frames (F, 3, H, W), uint8 or float in 0..1, four a second from the start on (as many as `frames_wanted`
        says) or any number that are shown equally long; or CAVP's features (S, E), four a second; None: sound of
        nothing in particular. latents: unit-normal noise (B, 8, T, 16) to start from.
        generator: one, or one for each sound; take k of a single one equals a run seeded with its seed + k. The
        arguments missing from `accepts` are refused.

        Returns audios (num_waveforms_per_prompt, 1, N), N = round(duration_s * sampling_rate), as a tensor ("pt") or
        array ("np"), or the clean latents ("latent"). The duration defaults to the native one. Raises ConditionError
        for conditions of a wrong form; a callback that raises Cancelled ends the run.
        """
        self._refuse(prompt=prompt, negative_prompt=negative_prompt, envelope=envelope, control_scale=control_scale,
                     reference_audio=reference_audio)
        settings, count = self.settings, num_waveforms_per_prompt
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        scale = 1.0 if video is None else scale  # nothing to be guided by
        self._check_run(steps, count, output_type)
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

        with self.progress_bar(total=steps) as bar:
            def after_step(i: int, before: Tensor, after: Tensor, output: Tensor) -> Tensor:
                after = self._guide(guides, callback_on_step_end, i, steps, before, after, output, num_samples)
                bar.update()
                return after

            x = sample_flow(velocity, x, steps, solver=settings.solver,
                            noise=lambda i: draw_noise(x.shape, generators, x), after_step=after_step).float()
        audios = x if output_type == "latent" else self._decode(x, num_samples)[:, None]
        return self._output(audios, output_type)

    def _refuse(self, **conditions: Any) -> None:
        """Raise ConditionError for conditions that were given although the model knows nothing of them."""
        given = sorted(name for name, value in conditions.items() if value is not None)
        if given:
            raise ConditionError(f"MGAudio follows the picture alone, so it does not take {', '.join(given)}; it takes "
                                 f"{', '.join(sorted(self.accepts))}.")

    def _conditions(self, video: Tensor | None, windows: Sequence[Window], duration_s: float) -> dict[Window, Tensor]:
        """The condition vector (1, width) of each window."""
        if video is None:
            return dict.fromkeys(windows, self.transformer.nothing(1))
        features = self._seen(video, duration_s)
        count = self.transformer.feature_shape[0]
        result = {}
        for window in windows:
            # to the nearest vector; a clip that ends within its only window is looped, others are seen up to the end
            first = min(round(window.start / self.codec.latent_rate * FPS), max(len(features) - count, 0))
            result[window] = self.transformer.reduce(looped(features[first:], count)[None])
        return result

    def _seen(self, video: Tensor, duration_s: float) -> Tensor:
        """Features (S, E) of the clip, given or from its frames."""
        width = self.transformer.feature_shape[1]
        if video.dim() == 2:
            return checked_features(video, duration_s, width, "video").to(self.transformer.device)
        if video.dim() != 4 or video.shape[1] != 3 or len(video) == 0:
            raise ConditionError(f"video is frames (F, 3, H, W) or features (S, {width}), not {tuple(video.shape)}.")
        spacing_s = 1 / FPS if len(video) == steps_in(duration_s) else duration_s / len(video)
        times_s = torch.arange(len(video)) * spacing_s
        return see(self._eye(), video.to(self._execution_device), times_s, duration_s)

    def _eye(self) -> Cavp:
        """CAVP, or ConditionError where this pipeline has none."""
        if self.cavp is None:
            raise ConditionError("this pipeline was loaded without CAVP; give its features as video, or name "
                                 "`cavp_folder` when loading.")
        return self.cavp

    def _predict(self, x: Tensor, time: float, condition: Tensor, scale: float) -> Tensor:
        """Guided velocity (B, C, T, F) in one window, float64; both halves in one batch, the second where needed."""
        dtype, count = self.transformer.dtype, len(x)
        guided = scale > 1
        condition = condition.expand(count, -1)
        if guided:
            x, condition = x.repeat(2, 1, 1, 1), torch.cat([condition, self.transformer.nothing(count)])
        t = torch.full((len(x),), time, device=x.device)
        output = exact(self.transformer(x.to(dtype), t, condition)[0])
        return classifier_free_guidance(output[:count], output[count:], scale) if guided else output

    def _guide(self, guides: Sequence[Guide], callback: Callback | None, i: int, steps: int, before: Tensor,
               after: Tensor, output: Tensor, num_samples: int) -> Tensor:
        """The latents after guides and callback, see `_after_guides`."""
        time = flow_times(steps, self.settings.solver)[i]
        return self._after_guides(guides, callback, Step(
            i, steps, float(time), before, after, output,
            clean_estimate=lambda z: FLOW.clean_estimate(z, output, 1 - time, time),
            decode=lambda clean: self._decode(clean, num_samples)))

    def _decode(self, latents: Tensor, num_samples: int) -> Tensor:
        """Clean latents (B, C, T, F) -> waveform (B, num_samples); differentiable."""
        frames = self.codec.latent_shape(num_samples)[1]
        scaled = latents[:, :, :frames] / latent_factor(self.codec, self.config["latent_scale"])
        return self.codec.decode(scaled.to(next(self.codec.parameters()).dtype), num_samples)


def latent_factor(codec: MelCodec, latent_scale: float | None) -> float:
    """From the codec's scaled latents to the model's: 1, but where a checkpoint was trained on another scale."""
    return 1.0 if latent_scale is None else latent_scale / codec.vae.config.scaling_factor
