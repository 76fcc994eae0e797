"""FoleyGRAM as a diffusers pipeline: GRAM tokens determine what sounds, the envelope when and how loud.

Source: arXiv 2510.05829; sampling as in Stable Audio Open. Unlike diffusers' StableAudioPipeline the latent length is
free, a control branch adds to the hidden states, and the context holds GRAM's tokens only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from ...codecs import load_codec
from ...diffusion.guidance import classifier_free_guidance, scale_at
from ...diffusion.parameterization import Parameterization, time_of_sigma, v_denoiser
from ...diffusion.solvers import draw_noise, one_generator_each, polyexponential_sigmas, sample
from ...diffusion.windows import average_windows, plan_windows
from ...encoders.gram import GramEncoder, load_gram
from ...encoders.stand_ins import StandIns
from ...errors import ConditionError
from ...features.attacks import sharpen_attacks
from ...features.envelope import CENTRED, ENVELOPE_RATE, Envelope
from ...protocols.codec import Codec
from ...protocols.guide import Guide
from ...protocols.pipeline import Callback, OutputType, Pictures, Prompt, SoundOutput
from ..latent_pipeline import LatentPipeline, Levels, StepHooks
from . import OPTIONS
from .conditioning import FoleyConditioner
from .conditions import RunConditions, WindowConditioner, WindowConditions, at_rate, read_envelope
from .controlnet import DiTControlNet
from .dit import StableAudioDiT
from .latents import LatentLayout, ride_fader
from .presets import FoleyGRAMPreset, SamplerDefaults
from .prompts import read_prompt

V = Parameterization("v")


class FoleyGRAMPipeline(LatentPipeline):
    """Sound for a clip from its picture, words, a reference recording, and an envelope, each of them optional.

    `codec` and `gram` are shared with other systems, see `SoundPipeline`.
    """

    system = "foleygram"
    accepts = frozenset({"video", "prompt", "negative_prompt", "duration_s", "num_inference_steps", "guidance_scale",
                         "num_waveforms_per_prompt", "generator", "envelope", "control_scale", "latents",
                         "reference_audio", "guides", "callback_on_step_end", "output_type"})
    options = OPTIONS
    shared = {"codec": load_codec, "gram": load_gram}  # noqa: RUF012 (never written to)

    transformer: StableAudioDiT
    conditioner: FoleyConditioner
    layout: LatentLayout
    controlnet: DiTControlNet | None
    gram: GramEncoder | None

    model_cpu_offload_seq = "gram->conditioner->controlnet->transformer->codec"  # type: ignore[assignment]
    _optional_components = ["controlnet", "codec", "gram"]  # noqa: RUF012 (the name and form diffusers reads)

    def __init__(self, transformer: StableAudioDiT, conditioner: FoleyConditioner, layout: LatentLayout,
                 controlnet: DiTControlNet | None = None, codec: Codec | None = None,
                 gram: GramEncoder | None = None, native_frames: int = 204, sampler: dict[str, Any] | None = None,
                 codec_folder: str = "mel_codec", gram_folder: str = "gram", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, conditioner=conditioner, layout=layout, controlnet=controlnet,
                              codec=codec, gram=gram)
        self.register_to_config(native_frames=native_frames, sampler=sampler or asdict(SamplerDefaults()),
                                codec_folder=codec_folder, gram_folder=gram_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: FoleyGRAMPreset, **parts: Any) -> FoleyGRAMPipeline:
        """A pipeline with the preset's sampler settings; missing parts are built with random weights (except
        `controlnet`, `codec` and `gram`, which stay absent)."""
        made: dict[str, Callable[[], Any]] = {  # called only where missing: the paper's transformer alone takes 4 GB
            "transformer": lambda: StableAudioDiT(**preset.dit),
            "conditioner": lambda: FoleyConditioner(**preset.conditioner),
            "layout": lambda: LatentLayout(**preset.layout)}
        parts |= {name: make() for name, make in made.items() if name not in parts}
        return cls(**parts, native_frames=preset.native_frames, sampler=asdict(preset.sampler),
                   sees_film=preset.sees_film)

    @property
    def settings(self) -> SamplerDefaults:
        """The sampler's defaults."""
        return SamplerDefaults(**self.config["sampler"])

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """GRAM's number of frames for every native length, spread evenly over the whole clip; None if the picture is
        not used, see the option `picture`. Raises ConditionError without a video tower.
        """
        choice = self.options["picture"].checked("picture", asked.get("picture") or "auto")
        silent = not self.knows_film and any(asked.get(name) is not None for name in ("prompt", "reference_audio"))
        if choice == "never" or (choice == "auto" and silent):
            return None
        if self.gram is None:
            raise ConditionError("this pipeline was loaded without GRAM, so it takes no video.")
        return Pictures(self.gram.num_frames * max(1, ceil(duration_s / self.native_s)), self.gram.image_size)

    @torch.no_grad()
    def __call__(self, video: Tensor | None = None, prompt: Prompt = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None,
                 envelope: Tensor | Envelope | None = None, control_scale: float | None = None,
                 latents: Tensor | None = None, reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: OutputType = "pt",
                 **options: Any) -> SoundOutput:
        """Generate sound; every argument left at None means the preset's default, or the absence of that condition.

        video: frames (F, 3, H, W), uint8 or float in 0..1, evenly spread over the clip. prompt: a string, a list (one
        sound each), or timed cues (start_s, end_s, text). negative_prompt: what to avoid. envelope: (M,) or (B, M)
        centred linear RMS in 0..1 at 100 Hz, value m at time m / 100, followed exactly; or an `Envelope`, whose rate
        may differ, and which is followed more loosely if it is an estimate. reference_audio: (N,) or (C, N) at
        `sampling_rate`, whose timbre is imitated. latents: unit-normal noise (B, C, T). generator: one, or one each;
        take k of one equals a run of its seed + k. options: `OPTIONS`; picture "never": video is not used.

        Returns audios (B * num_waveforms_per_prompt, C, N), N = round(duration_s * sampling_rate), as a tensor ("pt")
        or array ("np"), or the clean latents ("latent"). The duration defaults to the envelope's, else the native one.
        Raises ConditionError for conditions of a wrong form; a callback that raises Cancelled ends the run.
        """
        own = self._refuse({}, options)
        video = None if own.pop("picture", None) == "never" else video
        settings = replace(self.settings, **own)
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        control_scale = settings.control_scale if control_scale is None else control_scale
        self._check_run(steps, num_waveforms_per_prompt, output_type, guides)
        curve = read_envelope(envelope)
        num_samples, frames = self._length(duration_s, curve)
        sounds = [cues for cues in read_prompt(prompt, num_samples / self.sampling_rate)
                  for _ in range(num_waveforms_per_prompt)]
        generators = one_generator_each(generator, len(sounds))
        total = max(frames, self.config["native_frames"])
        windows = plan_windows(total, self.config["native_frames"], settings.window_overlap)
        conditions = self._conditioner(settings).read(
            RunConditions(sounds, negative_prompt, video, reference_audio, curve), windows, frames)

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
            hooks = StepHooks(self, _levels(sigmas), guides, callback_on_step_end, num_samples, bar.update)
            x = sample(v_denoiser(network), x, sigmas, noise=lambda i: draw_noise(x.shape, generators, x),
                       solver=settings.solver, eta=settings.eta, before_step=hooks.before,
                       after_step=lambda i, before, after, _: hooks.after(i, before, after, outputs["v"]))
        audios = self._audios(x, num_samples, output_type)
        if curve is not None and curve.recipe == CENTRED and output_type != "latent":
            limit_db = settings.fader_db * min(control_scale, 1.0)
            audios = ride_fader(audios, at_rate(curve, ENVELOPE_RATE), self.sampling_rate, limit_db)
            if curve.hits_s is not None and settings.sharp_attacks:
                audios = sharpen_attacks(audios, curve.hits_s, self.sampling_rate)
        return self._output(audios, output_type)

    def _conditioner(self, settings: SamplerDefaults) -> WindowConditioner:
        """The conditioner of a run."""
        folder = self._part_folders.get("gram")
        stand_ins = StandIns.of_folder(folder) if settings.stand_in == "recordings" and folder is not None else None
        return WindowConditioner(self.conditioner, self.layout, self.controlnet, self.codec, self.gram,
                                 self._execution_device, self.transformer.dtype, self.native_s, settings.guide_envelope,
                                 stand_ins)

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

    def _codec_latents(self, clean: Tensor) -> Tensor:
        """Clean sequence (B, C, T) -> latents of the codec; differentiable."""
        return self.layout.unfold(clean.to(self.layout.mean.dtype))

    def _length(self, duration_s: float | None, envelope: Envelope | None) -> tuple[int, int]:
        """Samples of the output and its latent frames."""
        if duration_s is None:
            duration_s = self.native_s if envelope is None else envelope.duration_s
        num_samples = self._num_samples(duration_s)
        return num_samples, self.codec.latent_shape(num_samples)[1]


def _levels(sigmas: Tensor) -> Levels:
    """States are clean + sigma * noise; the network takes them scaled to unit variance, and its output is v there."""
    def clean_estimate(i: int, state: Tensor, output: Tensor) -> Tensor:
        alpha = (sigmas[i] ** 2 + 1).rsqrt()
        return V.clean_estimate(state * alpha, output, alpha, sigmas[i] * alpha)

    times = [float(time_of_sigma(sigma)) for sigma in sigmas[:-1]]
    return Levels(times, [1.0] * len(sigmas), sigmas.tolist(), clean_estimate)
