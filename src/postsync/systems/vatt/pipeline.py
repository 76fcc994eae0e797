"""VATT as a pipeline: a language model is shown the clip and says what it sounds like; a masked transformer makes the
tokens of that sound in a few parallel steps.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text` (read, not copied), whose 10 s are the native
length. Longer sounds are made window by window, each of which is given the last tokens of the one before (ours).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from ...codecs import load_token_codec
from ...diffusion.solvers import one_generator_each
from ...diffusion.windows import Window, plan_windows
from ...errors import ConditionError
from ...features.envelope import Envelope
from ...protocols.codec import TokenCodec
from ...protocols.guide import Guide
from ...protocols.pipeline import Callback, OutputType, Pictures, Prompt, SoundOutput
from ..pipeline import SoundPipeline
from . import OPTIONS
from .converter import Told, VattConverter
from .decoder import MaskedTokenTransformer
from .eyes import Eyes, load_eyes, picture_features, within
from .masking import decode_in_parallel
from .presets import SamplerDefaults, VATTPreset


class VATTPipeline(SoundPipeline):
    """Sound for a clip from its picture, or from words and picture, with the caption that it was made from.

    `codec`, `converter` and `eyes` lie in folders of their own, see `SoundPipeline`. `native_frames` are token frames.
    """

    system = "vatt"
    accepts = frozenset({"video", "prompt", "duration_s", "num_inference_steps", "guidance_scale",
                         "num_waveforms_per_prompt", "generator", "callback_on_step_end", "output_type"})
    options = OPTIONS
    shared = {"codec": load_token_codec, "eyes": load_eyes,  # noqa: RUF012 (never written to)
              "converter": lambda folder, dtype: VattConverter.from_pretrained(folder, torch_dtype=dtype)}

    written_alone = ("codec", "converter")

    transformer: MaskedTokenTransformer
    codec: TokenCodec
    converter: VattConverter
    eyes: Eyes | None

    model_cpu_offload_seq = "eyes->converter->transformer->codec"  # type: ignore[assignment]
    _optional_components = ["codec", "converter", "eyes"]  # noqa: RUF012 (the name and form diffusers reads)

    def __init__(self, transformer: MaskedTokenTransformer, codec: TokenCodec | None = None,
                 converter: VattConverter | None = None, eyes: Eyes | None = None, native_frames: int = 500,
                 picture_fps: float = 5.0, sampler: dict[str, Any] | None = None, codec_folder: str = "codebooks",
                 converter_folder: str = "vatt_converter", eyes_folder: str = "gram", sees_film: bool = True) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, codec=codec, converter=converter, eyes=eyes)
        self.register_to_config(native_frames=native_frames, picture_fps=picture_fps,
                                sampler=sampler or asdict(SamplerDefaults()), codec_folder=codec_folder,
                                converter_folder=converter_folder, eyes_folder=eyes_folder, sees_film=sees_film)

    @classmethod
    def from_parts(cls, preset: VATTPreset, transformer: MaskedTokenTransformer, **parts: Any) -> VATTPipeline:
        """A pipeline with the preset's settings; missing parts stay absent."""
        return cls(transformer, **parts, native_frames=preset.native_frames, picture_fps=preset.picture_fps,
                   sampler=asdict(preset.sampler), sees_film=preset.sees_film)

    @property
    def settings(self) -> SamplerDefaults:
        """The sampler's defaults."""
        return SamplerDefaults(**self.config["sampler"])

    @property
    def native_s(self) -> float:
        """Length in seconds the model was trained on; longer sounds are made in windows."""
        return self.config["native_frames"] / self.codec.frame_rate

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """So many a second as it was trained on; None if the picture is not used, see the option `picture`. Raises
        ConditionError without eyes."""
        choice = self.options["picture"].checked("picture", asked.get("picture") or "auto")
        if choice == "never" or (choice == "auto" and not self.knows_film and asked.get("prompt") is not None):
            return None
        fps = self.config["picture_fps"]
        return Pictures(max(1, ceil(duration_s * fps - 1e-6)), self._loaded_eyes().image_size, fps)

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

        video: frames (F, 3, H, W), uint8 or float in 0..1, so many a second as `pictures_wanted` says, from the start
        on; or any number of equal duration. prompt: a string, or a list (one sound each): what is heard, used in place
        of what the language model says itself. generator: one, or one for each sound; take k of a single one equals a
        run seeded with its seed + k. callback_on_step_end: given the tokens (B, K, T) of the window as "latents".
        options: `OPTIONS`. The arguments missing from `accepts` are refused.

        Returns audios (B * num_waveforms_per_prompt, 1, N), N = round(duration_s * sampling_rate), as a tensor ("pt")
        or array ("np"), or the tokens ("latent"), with the caption of each. The duration defaults to the native one.
        Raises ConditionError without picture and prompt, and for conditions of a wrong form; a callback that raises
        Cancelled ends the run.
        """
        own = self._refuse({"negative_prompt": negative_prompt, "envelope": envelope, "control_scale": control_scale,
                            "latents": latents, "reference_audio": reference_audio, "guides": guides}, options)
        video = None if own.pop("picture", None) == "never" else video
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale} | own
        settings = replace(self.settings, **{name: value for name, value in given.items() if value is not None})
        self._check_run(settings.num_inference_steps, num_waveforms_per_prompt, output_type)
        num_samples = self._num_samples(self.native_s if duration_s is None else duration_s)
        features = None if video is None else self._features(video, num_samples / self.sampling_rate)
        captions = self._captions(features, texts_of(prompt), settings)
        takes = num_waveforms_per_prompt
        generators = one_generator_each(generator, takes * len(captions))
        # one prompt after another: in a batch the shorter ones would be padded, which moves the places of their sounds
        tokens = torch.cat([self._tokens(features, caption, num_samples, settings,
                                         generators[takes * k:takes * (k + 1)], callback_on_step_end)
                            for k, caption in enumerate(captions)])
        told = tuple(caption or "" for caption in captions for _ in range(takes)) if any(captions) else None
        audios = tokens if output_type == "latent" else self.codec.decode(tokens, num_samples).float()
        return self._output(audios, output_type, told)

    @torch.no_grad()
    def caption(self, video: Tensor, duration_s: float, instruction: str | None = None, **generation: Any) -> str:
        """What a clip sounds like, in words. video: as of the call; instruction: a question in place of the neutral
        one; generation: arguments of `VattConverter.captions`."""
        features = self._features(video, duration_s)
        return self.converter.captions(features[None], [instruction], **generation)[0]

    def _captions(self, features: Tensor | None, prompts: Sequence[str | None],
                  settings: SamplerDefaults) -> list[str | None]:
        """The words of each sound: those given, or the language model's own; None: it is told the neutral question."""
        if features is None and not all(prompts):
            raise ConditionError("there is neither a picture nor a prompt; give one of them.")
        if features is None or all(prompts) or not settings.own_caption:
            return list(prompts)
        own = self.converter.captions(features[None], [None])[0]
        return [prompt or own or None for prompt in prompts]

    def _features(self, video: Tensor, duration_s: float) -> Tensor:
        """Picture features (F, E), `picture_fps` a second from the start of the sound on."""
        eyes, fps = self._loaded_eyes(), self.config["picture_fps"]
        features = picture_features(eyes, video.to(self._execution_device))
        count = max(1, ceil(duration_s * fps - 1e-6))
        shown = (torch.arange(count) * len(features)) // count
        return features if len(features) == count else features[shown]

    def _tokens(self, features: Tensor | None, caption: str | None, num_samples: int, settings: SamplerDefaults,
                generators: Sequence[torch.Generator], callback: Callback | None) -> Tensor:
        """Tokens (B, K, T) of the whole sound, one of each generator, window by window."""
        native, overlap = self.config["native_frames"], settings.window_overlap
        total = ceil(num_samples / self.sampling_rate * self.codec.frame_rate - 1e-9)
        windows = plan_windows(max(total, native), native, overlap)
        shape = (len(generators), self.codec.num_codebooks, max(total, native))
        tokens = torch.full(shape, self.transformer.mask_token, device=self._execution_device)
        steps, count = settings.num_inference_steps, len(windows)
        blind = self._tell(None, caption, windows[0]) if features is None else None  # the same for all windows
        with self.progress_bar(total=steps * count) as bar:
            for number, window in enumerate(windows):
                told = blind or self._tell(features, caption, window)
                hidden = told.hidden.to(self.transformer.dtype)

                def predict(part: Tensor, hidden: Tensor = hidden, mask: Tensor = told.mask) -> Tensor:
                    return self.transformer.guided(part, hidden.expand(len(part), -1, -1), mask.expand(len(part), -1),
                                                   settings.guidance_scale)

                def after_step(step: int, made: Tensor, number: int = number) -> None:
                    if callback is not None:
                        callback(self, (number * steps + step) // count, float(step), {"latents": made})
                    bar.update()

                part = tokens[..., window.start:window.stop]
                tokens[..., window.start:window.stop] = decode_in_parallel(
                    predict, part, self.transformer.mask_token, settings, generators, after_step)
        return tokens[..., :total]

    def _tell(self, features: Tensor | None, caption: str | None, window: Window) -> Told:
        """What the language model makes of the pictures of a window, and of the words."""
        fps, rate = self.config["picture_fps"], self.codec.frame_rate
        count = max(1, round(window.length / rate * fps))
        if features is None:
            seen = torch.zeros(count, self.converter.projection.in_features, device=self._execution_device)
        else:
            seen = within(features, round(window.start / rate * fps), count)
        return self.converter.tell(seen[None], [caption])

    def _loaded_eyes(self) -> Eyes:
        """The eyes; raises ConditionError if this pipeline has none."""
        if self.eyes is None:
            raise ConditionError("this pipeline was loaded without eyes, so it takes no video.")
        return self.eyes


def texts_of(prompt: Prompt) -> list[str | None]:
    """The texts of a prompt, one for each sound. Raises ConditionError for cues over time."""
    if prompt is None or isinstance(prompt, str):
        return [prompt or None]
    texts = [text if isinstance(text, str) else None for text in prompt]
    if not texts or None in texts:
        raise ConditionError("vatt takes one text for the whole sound, not prompts over time; drop the cues.")
    return [text or None for text in texts]
