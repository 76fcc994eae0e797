"""FoleyGRAM as a diffusers pipeline: GRAM tokens say what sounds, the envelope says when and how loud.

Source: arXiv 2510.05829; sampling as in Stable Audio Open. Unlike diffusers' StableAudioPipeline the latent length is
free, a control branch adds to the hidden states, and the context holds GRAM's tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import ceil
from os import PathLike
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import AudioPipelineOutput
from torch import Tensor

from ...codecs.mel_vae import MelCodec
from ...diffusion.guidance import Guide, Step, classifier_free_guidance, scale_at
from ...diffusion.parameterization import Parameterization, time_of_sigma, v_denoiser
from ...diffusion.solvers import draw_noise, one_generator_each, polyexponential_sigmas, sample
from ...diffusion.sound_pipeline import Callback, SoundPipeline
from ...diffusion.windows import average_windows, plan_windows
from ...encoders.gram import GramEncoder
from ...errors import ConditionError
from ...features.envelope import ENVELOPE_RATE
from ...timing.estimated import EstimatedEnvelope, curve_of
from ...weights import bundled
from .conditioning import FoleyConditioner
from .conditions import Conditions, WindowConditions
from .controlnet import DiTControlNet
from .dit import StableAudioDiT
from .fader import ride_fader
from .latents import LatentLayout
from .presets import FoleyGRAMPreset, SamplerDefaults
from .prompts import Prompt, read_prompt

V = Parameterization("v")


class FoleyGRAMPipeline(SoundPipeline):
    """Sound for a clip from its picture, words, a reference recording, and an envelope, each of them optional.

    `codec` and `gram` are shared with other systems: a folder saved without them loads them from the bundled folders
    named in its configuration.
    """

    transformer: StableAudioDiT
    conditioner: FoleyConditioner
    layout: LatentLayout
    controlnet: DiTControlNet | None
    codec: MelCodec
    gram: GramEncoder | None

    model_cpu_offload_seq = "gram->conditioner->controlnet->transformer->codec"  # type: ignore[assignment]
    _optional_components = ["controlnet", "codec", "gram"]  # noqa: RUF012 (the name and form diffusers reads)
    accepts = frozenset({"video", "prompt", "negative_prompt", "duration_s", "num_inference_steps", "guidance_scale",
                         "num_waveforms_per_prompt", "generator", "envelope", "control_scale", "latents",
                         "reference_audio", "guides", "callback_on_step_end", "output_type"})

    def __init__(self, transformer: StableAudioDiT, conditioner: FoleyConditioner, layout: LatentLayout,
                 controlnet: DiTControlNet | None = None, codec: MelCodec | None = None,
                 gram: GramEncoder | None = None, native_frames: int = 204, sampler: dict[str, Any] | None = None,
                 codec_folder: str = "mel_codec", gram_folder: str = "gram", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, conditioner=conditioner, layout=layout, controlnet=controlnet,
                              codec=codec, gram=gram)
        self.register_to_config(native_frames=native_frames, sampler=sampler or asdict(SamplerDefaults()),
                                codec_folder=codec_folder, gram_folder=gram_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: FoleyGRAMPreset, **parts: Any) -> FoleyGRAMPipeline:
        """A pipeline with the preset's sampler settings; parts that are not given are built with random weights
        (not so `controlnet`, `codec` and `gram`, which stay absent)."""
        parts.setdefault("transformer", StableAudioDiT(**preset.dit))
        parts.setdefault("conditioner", FoleyConditioner(**preset.conditioner))
        parts.setdefault("layout", LatentLayout(**preset.layout))
        return cls(**parts, native_frames=preset.native_frames, sampler=asdict(preset.sampler),
                   sees_film=preset.sees_film)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[Any], *, shared_parts: bool = True,
                        torch_dtype: torch.dtype = torch.float32,  # type: ignore[override]
                        **kwargs: Any) -> FoleyGRAMPipeline:
        """Load a saved folder. `shared_parts`: fetch codec and GRAM from the bundled folders where it has none.

        Raises WeightsError where those are absent.
        """
        pipe = super().from_pretrained(pretrained_model_name_or_path, torch_dtype=torch_dtype, **kwargs)
        if shared_parts and pipe.codec is None:
            folder = bundled(pipe.config["codec_folder"])
            pipe.register_modules(codec=MelCodec.from_pretrained(folder, torch_dtype=torch_dtype))
        if shared_parts and pipe.gram is None:
            folder = bundled(pipe.config["gram_folder"])
            pipe.register_modules(gram=GramEncoder.from_pretrained(folder, torch_dtype=torch_dtype).eval())
        return pipe

    @property
    def settings(self) -> SamplerDefaults:
        """What the pipeline does where the caller says nothing."""
        return SamplerDefaults(**self.config["sampler"])

    def frames_wanted(self, duration_s: float) -> tuple[int, int]:
        """Number of frames that are looked at of a clip of this length, and the side of the square they are seen in.

        Raises ConditionError where there is no tower to look.
        """
        if self.gram is None:
            raise ConditionError("this pipeline was loaded without GRAM, so it sees no video.")
        return self.gram.num_frames * max(1, ceil(duration_s / self.native_s)), self.gram.image_size

    @torch.no_grad()
    def __call__(self, video: Tensor | None = None, prompt: Prompt = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None,
                 envelope: Tensor | EstimatedEnvelope | None = None, control_scale: float | None = None,
                 latents: Tensor | None = None, reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: str = "pt") -> AudioPipelineOutput:
        """Generate sound; every argument left at None means the preset's default, or the absence of that condition.

        video: frames (F, 3, H, W), uint8 or float in 0..1, evenly spread over the clip. prompt: a string, a list (one
        sound each), or timed cues (start_s, end_s, text). negative_prompt: what to keep away from. envelope: (M,) or
        (B, M) centred linear RMS in 0..1 at 100 Hz, value m at time m / 100, followed to the letter; more freely as an
        `EstimatedEnvelope`. reference_audio: (N,) or (C, N) at `sampling_rate`, whose timbre is imitated. latents:
        unit-normal noise (B, C, T). generator: one, or one each; take k of one equals a run of its seed + k.

        Returns audios (B * num_waveforms_per_prompt, 1, N), N = round(duration_s * sampling_rate), as a tensor ("pt")
        or array ("np"), or the clean latents ("latent"). The duration defaults to the envelope's, else the native one.
        Raises ConditionError for conditions of a wrong form; a callback that raises Cancelled ends the run.
        """
        settings = self.settings
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        control_scale = settings.control_scale if control_scale is None else control_scale
        self._check_run(steps, num_waveforms_per_prompt, output_type)
        curve = curve_of(envelope)
        num_samples, frames = self._length(duration_s, curve)
        sounds = [cues for cues in read_prompt(prompt, num_samples / self.sampling_rate)
                  for _ in range(num_waveforms_per_prompt)]
        generators = one_generator_each(generator, len(sounds))
        total = max(frames, self.config["native_frames"])
        windows = plan_windows(total, self.config["native_frames"], settings.window_overlap)
        conditions = Conditions(self, windows, frames).read(sounds, negative_prompt, video, reference_audio, envelope)

        def network(x: Tensor, t: Tensor) -> Tensor:
            now = scale_at(scale, float(t[0]), settings.guidance_interval)
            outputs["v"] = average_windows(
                lambda part, window: self._predict(part, t, conditions[window], now, control_scale), x, windows,
                settings.window_overlap)
            return outputs["v"]

        outputs: dict[str, Tensor] = {}
        sigmas = polyexponential_sigmas(steps, settings.sigma_min, settings.sigma_max).to(self._execution_device)
        shape = (len(sounds), self.transformer.config["io_channels"], total)
        x = self._noise(latents, shape, generators).float() * sigmas[0]
        with self.progress_bar(total=steps) as bar:
            def after_step(i: int, before: Tensor, after: Tensor, denoised: Tensor) -> Tensor:
                after = self._guide(guides, callback_on_step_end, i, sigmas, before, after, outputs["v"], num_samples)
                bar.update()
                return after

            x = sample(v_denoiser(network), x, sigmas, solver=settings.solver, eta=settings.eta,
                       noise=lambda i: draw_noise(x.shape, generators, x), after_step=after_step)
        audios = x if output_type == "latent" else self._decode(x, num_samples)[:, None]
        if curve is not None and output_type != "latent":
            limit_db = settings.fader_db * min(control_scale, 1.0)
            audios = ride_fader(audios[:, 0], curve, self.sampling_rate, limit_db)[:, None]
        return self._output(audios, output_type)

    def _predict(self, x: Tensor, t: Tensor, given: WindowConditions, scale: float, control_scale: float) -> Tensor:
        """Guided v (B, C, T) in one window: all token sets and the unconditional half in one batch."""
        sets = list(given.tokens) if scale == 1 else [*given.tokens, given.unconditional]
        dtype, count = self.transformer.dtype, len(sets)
        inputs = {"x": x.to(dtype).repeat(count, 1, 1), "t": t.repeat(count), "cross_attn_cond": torch.cat(sets),
                  "global_cond": given.global_cond.repeat(count, 1)}
        controls: Sequence[Tensor] = ()
        if given.control is not None and given.unconditional_control is not None and self.controlnet is not None:
            control = torch.cat([*[given.control] * len(given.tokens), given.unconditional_control][:count])
            estimated = torch.full((len(control),), given.estimated, device=control.device)
            controls = self.controlnet(control=control, estimated=estimated, **inputs)
        output = self.transformer(**inputs, controls=controls, control_scale=control_scale).to(x.dtype)
        output = output.unflatten(0, (count, x.shape[0]))
        conditional = (output[:len(given.shares)] * given.shares[:, None, None]).sum(0)
        return conditional if scale == 1 else classifier_free_guidance(conditional, output[-1], scale)

    def _guide(self, guides: Sequence[Guide], callback: Callback | None, i: int, sigmas: Tensor, before: Tensor,
               after: Tensor, output: Tensor, num_samples: int) -> Tensor:
        """The latents after guides and callback, see `_after_guides`."""
        alpha = (sigmas[i] ** 2 + 1).rsqrt()
        return self._after_guides(guides, callback, Step(
            i, len(sigmas) - 1, float(time_of_sigma(sigmas[i])), before, after, output,
            clean_estimate=lambda z: V.clean_estimate(z * alpha, output, alpha, sigmas[i] * alpha),
            decode=lambda clean: self._decode(clean, num_samples)))

    def _decode(self, sequence: Tensor, num_samples: int) -> Tensor:
        """Clean sequence (B, C, T) -> waveform (B, num_samples); differentiable."""
        frames = self.codec.latent_shape(num_samples)[1]
        latents = self.layout.unfold(sequence[..., :frames].to(self.layout.mean.dtype))
        return self.codec.decode(latents.to(next(self.codec.parameters()).dtype), num_samples)

    def _length(self, duration_s: float | None, envelope: Tensor | None) -> tuple[int, int]:
        """Samples of the output and the latent frames that hold them."""
        if duration_s is None:
            duration_s = self.native_s if envelope is None else envelope.shape[-1] / ENVELOPE_RATE
        num_samples = self._num_samples(duration_s)
        return num_samples, self.codec.latent_shape(num_samples)[1]
