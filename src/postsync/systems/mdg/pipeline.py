"""MDG as a diffusers pipeline: AudioLDM under the volume guide.

Source: arXiv 2509.24550 and `Zulino/GRAM-LDM` (read, not copied). Longer clips are generated in overlapping windows,
and heard by the guide window by window (ours, not in the paper).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from ...backbones.audioldm import (
    AudioLDM,
    ClapWords,
    Denoiser,
    GramWords,
    ReadsWords,
    is_published,
    load_unet,
    load_words,
)
from ...codecs import load_codec
from ...diffusion.solvers import one_generator_each
from ...diffusion.windows import Window, average_windows, plan_windows
from ...encoders.gram import GramEncoder, load_gram
from ...errors import ConditionError, WeightsError
from ...features.envelope import Envelope
from ...protocols.codec import Codec
from ...protocols.guide import Guide
from ...protocols.pipeline import Callback, OutputType, Pictures, Prompt, SoundOutput
from ..latent_pipeline import LatentPipeline, Levels, StepHooks
from . import OPTIONS, SETTINGS, presets
from .guide import VolumeGuide
from .presets import MDGPreset, SamplerDefaults


class MDGPipeline(LatentPipeline):
    """Sound for a clip from words, drawn towards its picture while it is made.

    `codec` and `gram` are shared with other systems, see `SoundPipeline`. With `text_encoder` and `tokenizer` (CLAP)
    words are read as AudioLDM's are, without them by GRAM.
    """

    system = "mdg"
    accepts = frozenset({"video", "prompt", "negative_prompt", "duration_s", "num_inference_steps", "guidance_scale",
                         "num_waveforms_per_prompt", "generator", "latents", "guides", "callback_on_step_end",
                         "output_type"})
    options = OPTIONS
    shared = {"codec": load_codec, "gram": load_gram}  # noqa: RUF012 (never written to)

    unet: UNet2DConditionModel
    scheduler: DDIMScheduler
    gram: GramEncoder | None

    model_cpu_offload_seq = "text_encoder->gram->unet->codec"  # type: ignore[assignment]
    _optional_components = ["text_encoder", "tokenizer", "codec", "gram"]  # noqa: RUF012 (diffusers reads it)

    def __init__(self, unet: UNet2DConditionModel, scheduler: DDIMScheduler, text_encoder: Any = None,
                 tokenizer: Any = None, codec: Codec | None = None, gram: GramEncoder | None = None,
                 native_frames: int = 250, folded_bins: int = 1, text_gain: float = 1.0,
                 sampler: dict[str, Any] | None = None, codec_folder: str = "mel_codec", gram_folder: str = "gram",
                 sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer,
                              codec=codec, gram=gram)
        self.register_to_config(native_frames=native_frames, folded_bins=folded_bins, text_gain=text_gain,
                                sampler=sampler or asdict(SamplerDefaults()), codec_folder=codec_folder,
                                gram_folder=gram_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: MDGPreset, **parts: Any) -> MDGPipeline:
        """A pipeline with the preset's settings; a missing U-Net gets random weights, other parts stay absent."""
        if "unet" not in parts or "scheduler" not in parts:
            untrained = AudioLDM(preset.backbone)
            parts = {"unet": untrained.unet, "scheduler": untrained.scheduler} | parts
        backbone = preset.backbone
        return cls(**parts, native_frames=backbone.native_frames, folded_bins=backbone.folded_bins,
                   text_gain=backbone.text_gain, sampler=asdict(preset.sampler), sees_film=preset.sees_film)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], *,
                        parts: Mapping[str, str | PathLike[str]] | None = None,
                        torch_dtype: torch.dtype = torch.float32, **kwargs: Any) -> Self:
        """As `SoundPipeline.from_pretrained`, and from an AudioLDM's published folder just as it was fetched.

        The bundled towers guide the latter, in a gentler way, unless `parts` names the folder of GRAM's published ones.
        """
        folder = Path(pretrained_model_name_or_path)
        if (folder / "model_index.json").is_file() and not _is_audioldm(folder):
            return super().from_pretrained(folder, parts=parts, torch_dtype=torch_dtype, **kwargs)
        if not is_published(folder):
            raise WeightsError(f"{folder}: is neither a saved pipeline of mdg nor an AudioLDM's folder (unet/, "
                               "scheduler/, text_encoder/, tokenizer/, vae/, vocoder/); postsync weights fetch "
                               "audioldm.")
        named = {name: Path(part) for name, part in (parts or {}).items()}
        unet, scheduler = load_unet(folder, torch_dtype)
        preset = presets.paper() if "gram" in named else presets.paper_with_bundled_gram()
        pipe = cls.from_parts(preset, unet=unet, scheduler=scheduler, codec=load_codec(folder, torch_dtype),
                              **load_words(folder, torch_dtype))
        pipe.register_to_config(_name_or_path=str(folder))
        return pipe._completed(str(folder), named, kwargs.keys(), torch_dtype)

    @property
    def settings(self) -> SamplerDefaults:
        """The sampler's defaults."""
        return SamplerDefaults(**self.config["sampler"])

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """GRAM's pictures for each window; None where the guide does not look, see the option `picture`."""
        choice = self.options["picture"].checked("picture", asked.get("picture") or "auto")
        if choice == "never" or (choice == "auto" and not self.knows_film and asked.get("prompt") is not None):
            return None
        guide = self._guide(self._guide_settings(asked))
        return None if guide is None else guide.pictures_wanted(duration_s)

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

        video: frames (F, 3, H, W), uint8 or float in 0..1, spread evenly over the clip. prompt: a string, or a list,
        one sound each. negative_prompt: what to avoid. latents: unit-normal noise (B, 8, T, 16). generator: one, or one
        each; take k of one equals a run of its seed + k. guides: further ones, after the system's own. options:
        `OPTIONS`. The arguments missing from `accepts` are refused.

        Returns audios (B * num_waveforms_per_prompt, C, N), N = round(duration_s * sampling_rate), as a tensor ("pt")
        or array ("np"), or the clean latents ("latent"). The duration defaults to the native one. Raises ConditionError
        for conditions of a wrong form; a callback that raises Cancelled ends the run.
        """
        own = self._refuse({"envelope": envelope, "control_scale": control_scale, "reference_audio": reference_audio},
                           options)
        settings = self.settings
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        self._check_run(steps, num_waveforms_per_prompt, output_type, guides)
        prompts = [text for text in _prompts(prompt) for _ in range(num_waveforms_per_prompt)]
        num_samples = self._num_samples(self.native_s if duration_s is None else duration_s)
        generators = one_generator_each(generator, len(prompts))
        video = None if own.get("picture") == "never" else video
        guide = self._guide(self._guide_settings(own))
        if guide is not None and (any(prompts) or video is not None):
            guide.condition(prompts, video)
            guides = (guide, *guides)
        told, without = self.words(prompts), self.words([negative_prompt] * len(prompts))
        channels, frames, bins = self.codec.latent_shape(num_samples)
        native = self.config["native_frames"]
        windows = plan_windows(max(frames, native), native, settings.window_overlap)
        x = self._noise(latents, (len(prompts), channels, max(frames, native), bins), generators).float()
        scale = scale if any(prompts) else 1.0  # no condition to guide with
        x = self._denoise(x, steps, told, without, scale, windows, guides, callback_on_step_end, num_samples)
        return self._output(self._audios(x, num_samples, output_type), output_type)

    def words(self, prompts: Sequence[str | None]) -> Tensor:
        """What the U-Net is told of each sound (B, D)."""
        reads: ReadsWords
        if self.text_encoder is not None:
            reads = ClapWords(self.text_encoder, self.tokenizer)
        else:
            reads = GramWords(self._loaded_gram(), self.config["text_gain"])
        return reads(prompts)

    def _denoise(self, x: Tensor, steps: int, told: Tensor, without: Tensor, scale: float, windows: Sequence[Window],
                 guides: Sequence[Guide], callback: Callback | None, num_samples: int) -> Tensor:
        """Clean latents from noise (B, 8, T, 16), by DDIM without drawn noise."""
        scheduler: Any = DDIMScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(steps)
        denoiser = Denoiser(self.unet, scheduler, self.config["folded_bins"])
        alphas, sigmas = denoiser.levels(scheduler.timesteps)
        times = scheduler.timesteps.tolist()

        def clean_estimate(i: int, state: Tensor, output: Tensor) -> Tensor:
            alpha, sigma = torch.tensor(alphas[i]).to(state), torch.tensor(sigmas[i]).to(state)
            return denoiser.parameterization.clean_estimate(state, output, alpha, sigma)

        with self.progress_bar(total=steps) as bar:
            hooks = StepHooks(self, Levels(times, alphas, sigmas, clean_estimate), guides, callback, num_samples,
                              bar.update)
            for i, time in enumerate(times):
                x = x if hooks.before is None else hooks.before(i, x)

                def predict(part: Tensor, _window: Window, time: int = time) -> Tensor:
                    return denoiser.guided(part.mT, time, told, without, scale).float().mT

                output = average_windows(predict, x.mT, windows, self.settings.window_overlap).mT
                x = hooks.after(i, x, scheduler.step(output, time, x).prev_sample, output)
        return x

    def _guide_settings(self, own: Mapping[str, Any]) -> dict[str, Any] | None:
        """The guide's settings: the preset's, with those of the call; None: it is off."""
        settings = self.settings.guide
        if settings is None or own.get("guided") is False:
            return None
        return settings | {name: value for name, value in own.items() if name in SETTINGS}

    def _guide(self, settings: dict[str, Any] | None) -> VolumeGuide | None:
        if settings is None:
            return None
        self._loaded_gram().lighten()
        return VolumeGuide(self._loaded_gram(), **settings)

    def _loaded_gram(self) -> GramEncoder:
        """GRAM; raises ConditionError if this pipeline has none."""
        if self.gram is None:
            raise ConditionError("this pipeline was loaded without GRAM, which guides it; name its folder in `parts` "
                                 "when loading, or give guided=False.")
        return self.gram

    def _codec_latents(self, clean: Tensor) -> Tensor:
        """The codec's own latents are those of the model."""
        return clean


def _is_audioldm(folder: Path) -> bool:
    """Whether the pipeline saved in `folder` calls itself AudioLDM's."""
    return json.loads((folder / "model_index.json").read_text()).get("_class_name") == "AudioLDMPipeline"


def _prompts(prompt: Prompt) -> list[str | None]:
    """The words of each sound. Raises ConditionError for cues and anything else."""
    if prompt is None or isinstance(prompt, str):
        return [prompt]
    words = list(prompt)
    if not words or not all(isinstance(text, str) for text in words):
        raise ConditionError("mdg takes a prompt for the whole sound, a string or a list of strings; prompts over time "
                             "(cues) it does not take.")
    return [str(text) for text in words]
