"""Sounding Video as a diffusers pipeline: sound and picture from one sentence, or either for a given other.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline` (read, not copied). That one modality can be given, and windows
over both for longer clips, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import ceil
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNetMotionModel
from torch import Tensor

from ...backbones.animatediff import load_video_unet, new_unet
from ...backbones.audioldm import AudioLDM, ClapWords, GramWords, folded, load_unet, unfolded
from ...codecs import load_codec
from ...codecs.pictures import PictureCodec
from ...diffusion.guidance import classifier_free_guidance
from ...diffusion.schedule import Schedule
from ...diffusion.solvers import draw_noise, frame_noise, one_generator_each
from ...diffusion.windows import TaperedMean, Window, plan_windows
from ...encoders.gram import GramEncoder, load_gram
from ...errors import ConditionError
from ...features.envelope import Envelope
from ...protocols.codec import Codec
from ...protocols.guide import Guide
from ...protocols.pipeline import Callback, OutputType, Pictures, Prompt, SoundOutput
from ..pipeline import SoundPipeline
from . import OPTIONS
from .joint import Connectors, JointUNet, State, build, coarsest
from .objective import padded
from .presets import SamplerDefaults, SoundingVideoPreset
from .timesteps import adjusted

Both = tuple[Tensor, Tensor]  # of sound, of picture


class SoundingVideoPipeline(SoundPipeline):
    """Sound and picture from words; sound for a given picture; picture for a given sound.

    U-Nets, codecs and the towers that read words are shared, see `SoundPipeline`. With text encoders (CLAP's, and
    CLIP's for the picture) words are read as the base models' are, without them by GRAM.
    """

    system = "sounding_video"
    accepts = frozenset({"video", "prompt", "negative_prompt", "duration_s", "num_inference_steps", "guidance_scale",
                         "num_waveforms_per_prompt", "generator", "callback_on_step_end", "output_type", "sound"})
    options = OPTIONS
    shared = {"codec": load_codec, "gram": load_gram,  # noqa: RUF012 (never written to)
              "pictures": lambda folder, dtype: PictureCodec.from_pretrained(folder, torch_dtype=dtype),
              "audio_unet": lambda folder, dtype: load_unet(folder, dtype)[0],
              "video_unet": lambda folder, dtype: load_video_unet(folder, dtype)[0]}
    written_alone = ("pictures",)

    audio_unet: UNet2DConditionModel
    video_unet: UNetMotionModel
    connectors: Connectors
    audio_scheduler: DDIMScheduler
    video_scheduler: DDIMScheduler
    codec: Codec
    pictures: PictureCodec
    gram: GramEncoder | None

    model_cpu_offload_seq = (  # type: ignore[assignment]
        "text_encoder->video_text_encoder->gram->connectors->audio_unet->video_unet->codec->pictures")
    _optional_components = ["text_encoder", "tokenizer", "video_text_encoder",  # noqa: RUF012 (diffusers reads it)
                            "video_tokenizer", "codec", "pictures", "gram", "audio_unet", "video_unet"]

    def __init__(self, connectors: Connectors, audio_scheduler: DDIMScheduler, video_scheduler: DDIMScheduler,
                 audio_unet: UNet2DConditionModel | None = None, video_unet: UNetMotionModel | None = None,
                 text_encoder: Any = None, tokenizer: Any = None, video_text_encoder: Any = None,
                 video_tokenizer: Any = None, codec: Codec | None = None, pictures: PictureCodec | None = None,
                 gram: GramEncoder | None = None, folded_bins: int = 1, audio_gain: float = 1.0,
                 video_gain: float = 1.0, native_s: float = 4.0, frame_rate: float = 8.0, size: int = 256,
                 shared_noise: float = 0.0, sampler: dict[str, Any] | None = None, codec_folder: str = "mel_codec",
                 pictures_folder: str = "picture_codec", gram_folder: str = "gram", audio_unet_folder: str = "mdg",
                 video_unet_folder: str = "animatediff", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(audio_unet=audio_unet, video_unet=video_unet, connectors=connectors,
                              audio_scheduler=audio_scheduler, video_scheduler=video_scheduler,
                              text_encoder=text_encoder, tokenizer=tokenizer, video_text_encoder=video_text_encoder,
                              video_tokenizer=video_tokenizer, codec=codec, pictures=pictures, gram=gram)
        self.register_to_config(folded_bins=folded_bins, audio_gain=audio_gain, video_gain=video_gain,
                                native_s=native_s, frame_rate=frame_rate, size=size, shared_noise=shared_noise,
                                sampler=sampler or asdict(SamplerDefaults()), codec_folder=codec_folder,
                                pictures_folder=pictures_folder, gram_folder=gram_folder,
                                audio_unet_folder=audio_unet_folder, video_unet_folder=video_unet_folder,
                                sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: SoundingVideoPreset, **parts: Any) -> SoundingVideoPipeline:
        """A pipeline with the preset's settings; U-Nets, schedules and connectors that are not named are new, other
        parts stay absent. Raises ConditionError where the preset has no sizes for the picture's."""
        if preset.video is None and "video_unet" not in parts:
            raise ConditionError("the paper's U-Net for pictures comes from published folders; give video_unet.")
        made: dict[str, Any] = {}
        if not {"audio_unet", "audio_scheduler"} <= parts.keys():
            audio = AudioLDM(preset.audio)
            made |= {"audio_unet": audio.unet, "audio_scheduler": audio.scheduler}
        gains, shared_noise = (preset.audio.text_gain, 1.0), 0.0
        if preset.video is not None:
            made |= {"video_scheduler": DDIMScheduler(**preset.video.scheduler)}
            made |= {} if "video_unet" in parts else {"video_unet": new_unet(preset.video)}
            gains, shared_noise = (preset.audio.text_gain, preset.video.text_gain), preset.video.shared_noise
        parts = made | parts
        if "connectors" not in parts:
            parts["connectors"] = build(parts["audio_unet"], parts["video_unet"], **preset.connectors).connectors
        return cls(**parts, folded_bins=preset.audio.folded_bins, audio_gain=gains[0], video_gain=gains[1],
                   shared_noise=shared_noise, native_s=preset.native_s, frame_rate=preset.frame_rate, size=preset.size,
                   sampler=asdict(preset.sampler), sees_film=not preset.reads_words)

    @property
    def settings(self) -> SamplerDefaults:
        """The sampler's defaults."""
        return SamplerDefaults(**self.config["sampler"])

    @property
    def native_s(self) -> float:
        """Length in seconds it was trained on; longer clips are made in overlapping windows."""
        return float(self.config["native_s"])

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """As many a second as it was trained on: a given picture gets its sound. None where a sound is given."""
        if asked.get("sound") is not None:
            return None
        fps = self.config["frame_rate"]
        return Pictures(max(1, ceil(duration_s * fps - 1e-6)), self.config["size"], fps)

    @torch.no_grad()
    def __call__(self, video: Tensor | None = None, prompt: Prompt = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None,
                 envelope: Tensor | Envelope | None = None, control_scale: float | None = None,
                 latents: Tensor | None = None, reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: OutputType = "pt",
                 sound: Tensor | None = None, **options: Any) -> SoundOutput:
        """Generate sound and picture; every argument left at None means the preset's default.

        prompt: a sentence, or a list, one clip each. negative_prompt: what to avoid, in both. guidance_scale: of the
        sound. video: frames (F, 3, H, W) uint8 or float in 0..1, at the pipeline's rate: they get a sound. sound:
        (C, N) at `sampling_rate`: it gets pictures. generator: one, or one each; take k of one equals a run of its seed
        + k; the sound's noise is drawn first. callback_on_step_end: given the sound's "latents" and "video_latents".
        options: `OPTIONS`. The arguments missing from `accepts` are refused.

        Returns audios (B, C, N), N = round(duration_s * sampling_rate), as a tensor ("pt") or array ("np"), or clean
        latents ("latent"); a given sound as it is; and frames (B, F, 3, H, W) uint8, where pictures were made. Raises
        ConditionError for an empty sentence and conditions of a wrong form; a callback that raises Cancelled ends the
        run.
        """
        own = self._refuse({"envelope": envelope, "control_scale": control_scale, "latents": latents,
                            "reference_audio": reference_audio, "guides": guides}, options)
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale} | own
        settings = replace(self.settings, **{name: value for name, value in given.items() if value is not None})
        self._check_run(settings.num_inference_steps, num_waveforms_per_prompt, output_type)
        prompts = [text for text in sentences(prompt, video is not None or sound is not None)
                   for _ in range(num_waveforms_per_prompt)]
        if video is not None and sound is not None:
            raise ConditionError("picture and sound are both given, so there is nothing to make; give one of them.")
        num_samples = self._num_samples(self.native_s if duration_s is None else duration_s)
        generators = one_generator_each(generator, len(prompts))
        held = self._held(video, sound, num_samples, len(prompts))
        clean = self._denoise(held, self.words(prompts), self.words([negative_prompt] * len(prompts)), num_samples,
                              settings, generators, callback_on_step_end)
        return self._made(clean, sound, video is not None, num_samples, output_type)

    def words(self, prompts: Sequence[str | None]) -> Both:
        """What the U-Nets are told: (B, D) for the sound, hidden states (B, L, E) for the picture."""
        if self.text_encoder is None:
            if self.gram is None:
                raise ConditionError("this pipeline was loaded without GRAM, which reads its words; name its folder in "
                                     "`parts` when loading.")
            heard, seen = (GramWords(self.gram, self.config[gain])(prompts) for gain in ("audio_gain", "video_gain"))
            return heard, seen[:, None]
        tokens = self.video_tokenizer([text or "" for text in prompts], padding="max_length", truncation=True,
                                      max_length=self.video_tokenizer.model_max_length, return_tensors="pt")
        ids = tokens.input_ids.to(self._execution_device)
        return ClapWords(self.text_encoder, self.tokenizer)(prompts), self.video_text_encoder(ids)[0]

    def _held(self, video: Tensor | None, sound: Tensor | None, num_samples: int,
              count: int) -> tuple[Tensor | None, Tensor | None]:
        """Clean latents of what is given, as long as the run, for `count` clips."""
        heard, seen = self._lengths(num_samples)
        if sound is not None:
            if sound.dim() != 2 or sound.shape[0] != self.codec.channels:
                raise ConditionError(f"a sound of shape {tuple(sound.shape)} is not ({self.codec.channels}, N).")
            latents = folded(self.codec.encode(sound[None].to(self._execution_device).float()).mean,
                             self.config["folded_bins"])
            return self._as_long(latents, heard).expand(count, -1, -1, -1), None
        if video is None:
            return None, None
        frames = video.to(self._execution_device).float() / (255 if video.dtype == torch.uint8 else 1)
        return None, self._as_long(self.pictures.encode(frames[None]), seen).expand(count, -1, -1, -1, -1)

    def _as_long(self, latents: Tensor, length: int) -> Tensor:
        """Latents (1, C, T, ...), cut, or going on as they end."""
        places = torch.arange(length, device=latents.device).clamp_max(latents.shape[2] - 1)
        return latents[:, :, places].float()

    def _lengths(self, num_samples: int) -> tuple[int, int]:
        """Latent frames of sound and of picture, of whole seconds, so that both are cut into the same windows."""
        seconds = max(ceil(num_samples / self.sampling_rate - 1e-6), ceil(self.native_s))
        return round(seconds * self.codec.latent_rate), round(seconds * self.config["frame_rate"])

    def _windows(self, num_samples: int, overlap_s: float) -> list[tuple[Window, Window]]:
        """Windows of sound and picture that cover the same time."""
        rates = self.codec.latent_rate, self.config["frame_rate"]
        seconds = round(self._lengths(num_samples)[1] / rates[1])
        planned = plan_windows(seconds, round(self.native_s), round(overlap_s))
        heard, seen = ([Window(round(window.start * rate), round(window.stop * rate)) for window in planned]
                       for rate in rates)
        return list(zip(heard, seen, strict=True))

    def _denoise(self, held: tuple[Tensor | None, Tensor | None], told: Both, without: Both, num_samples: int,
                 settings: SamplerDefaults, generators: Sequence[torch.Generator],
                 callback: Callback | None) -> tuple[Tensor | None, Tensor | None]:
        """Clean latents of what is made; None for what is held."""
        schedules = Schedule(self.audio_scheduler), Schedule(self.video_scheduler)
        times = adjusted(*schedules, settings.num_inference_steps, settings.gamma)
        levels = [of.run(list(steps)) for of, steps in zip(schedules, times, strict=True)]
        shapes = self._shapes(num_samples, len(generators))
        noise = draw_noise(shapes[0], generators), frame_noise(shapes[1], generators, self.config["shared_noise"])
        x = [drawn.to(self._execution_device) if latents is None else latents
             for drawn, latents in zip(noise, held, strict=True)]
        clean = [torch.zeros_like(latents) for latents in x]
        scales = settings.guidance_scale, settings.video_guidance_scale
        joint = JointUNet(self.audio_unet, self.video_unet, self.connectors)
        windows = self._windows(num_samples, settings.overlap_s)
        overlaps = [round(settings.overlap_s * rate) for rate in (self.codec.latent_rate, self.config["frame_rate"])]
        for i in self.progress_bar(range(settings.num_inference_steps)):
            means = [TaperedMean(latents.movedim(2, -1), overlap) for latents, overlap in zip(x, overlaps, strict=True)]
            for pair in windows:
                states = [self._state(x[k][:, :, part.start:part.stop], clean[k][:, :, part.start:part.stop],
                                      times[k][i], torch.cat([without[k], told[k]]), made=held[k] is None)
                          for k, part in enumerate(pair)]
                for k, output in enumerate(joint(*states)):
                    if output is not None:
                        unconditional, conditional = output.float().chunk(2)
                        guided = classifier_free_guidance(conditional, unconditional, scales[k])
                        means[k].add(pair[k], guided[:, :, :pair[k].length].movedim(2, -1))
            for k, of in enumerate(schedules):
                if held[k] is None:
                    x[k], clean[k] = of.step(x[k], means[k].result.movedim(-1, 2), *levels[k], i)
            if callback is not None:
                answer = callback(self, i, float(times[0][i]), {"latents": x[0], "video_latents": x[1]}) or {}
                x = [answer.get("latents", x[0]), answer.get("video_latents", x[1])]
        return (x[0] if held[0] is None else None), (x[1] if held[1] is None else None)

    def _shapes(self, num_samples: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the latents of sound and picture."""
        heard, seen = self._lengths(num_samples)
        channels, _, bins = self.codec.latent_shape(num_samples)
        fold, side = self.config["folded_bins"], self.config["size"] // self.pictures.factor
        return (count, channels * fold, heard, bins // fold), (count, self.pictures.latent_channels, seen, side, side)

    def _state(self, x: Tensor, clean: Tensor, time: int, words: Tensor, *, made: bool) -> State:
        """Of a window of one modality, for both halves of the guidance. What is given is told as clean as it is."""
        both = [2, *[1] * (x.dim() - 1)]
        if not made:
            return State(None, torch.tensor([0], device=x.device), words, torch.cat([x, x], dim=1).repeat(both))
        factor = coarsest(self.audio_unet) if x.dim() == 4 else 1
        x, clean = padded(x, factor), padded(clean, factor)
        return State(x.repeat(both), torch.tensor([time], device=x.device), words,
                     torch.cat([x, clean], dim=1).repeat(both))

    def _made(self, clean: tuple[Tensor | None, Tensor | None], sound: Tensor | None, silent: bool, num_samples: int,
              output_type: OutputType) -> SoundOutput:
        """Latents -> sound and pictures."""
        heard, seen = clean
        frames = None
        if seen is not None:
            count = max(1, int(num_samples / self.sampling_rate * self.config["frame_rate"] + 1e-6))
            frames = (255 * self.pictures.decode(seen[:, :, :count])).round().to(torch.uint8)
        if heard is None:
            assert sound is not None
            assert frames is not None
            audios = sound[None, :, :num_samples].expand(len(frames), -1, -1)
        else:
            latents = unfolded(heard, self.config["folded_bins"])
            audios = latents if output_type == "latent" else self.codec.decode(latents, num_samples)
        output = self._output(audios, output_type)
        return replace(output, frames=frames, frame_rate=None if frames is None else self.config["frame_rate"])


def sentences(prompt: Prompt, given: bool) -> list[str | None]:
    """The sentence of each clip. Raises ConditionError for an empty one, unless picture or sound are given, and for
    prompts over time."""
    texts: list[Any] = [prompt] if prompt is None or isinstance(prompt, str) else list(prompt)
    if not texts or not all(text is None or isinstance(text, str) for text in texts):
        raise ConditionError("sounding_video takes one sentence for the whole clip, not prompts over time.")
    if not given and not all(text and text.strip() for text in texts):
        raise ConditionError("the sentence is empty; say what is to be seen and heard.")
    return [text or None for text in texts]
