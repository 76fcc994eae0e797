"""Words for a picture, or for a sound, by models of transformers in a folder.

MDG takes a caption from an image-to-text model (BLIP, GIT, ViT-GPT2, ...) where the user gives none (arXiv 2509.24550,
section 4). VATT's data are captions that an audio language model wrote (arXiv 2411.05679, section 3.4).
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightsError
from ..weights.layout import readable

LONGEST = 30  # tokens of a caption


class Captioner:
    """Describes pictures, always in the same words. Raises WeightsError for a folder without a model, picture
    processor and tokenizer that transformers can load."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        with readable(folder, "image-to-text model that transformers can load",
                      "name the folder of one such as BLIP, with its tokenizer and preprocessor_config.json."):
            self.processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True).eval()
        self.folder = folder

    @torch.no_grad()
    def captions(self, pictures: Tensor) -> list[str]:
        """Pictures (n, 3, H, W) uint8 -> a caption of each. Raises WeightsError for a model that needs more than a
        picture, or says nothing."""
        inputs = self.processor(images=list(pictures), return_tensors="pt")
        try:
            told = self.model.generate(pixel_values=inputs["pixel_values"], max_new_tokens=LONGEST, do_sample=False,
                                       num_beams=1)
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise WeightsError(f"{self.folder}: this model does not caption a picture alone "
                               f"({' '.join(str(error).split())[:200]}); name another, such as BLIP.") from error
        captions = [text.strip() for text in self.tokenizer.batch_decode(told, skip_special_tokens=True)]
        if not all(captions):
            raise WeightsError(f"{self.folder}: this model finds no words for the picture; give a prompt.")
        return captions


class SoundCaptioner:
    """Describes sounds, always in the same words: any model of transformers that writes text about audio, such as a
    Whisper that was trained to caption, or Qwen2-Audio with a `question`. Raises WeightsError for a folder without
    model and processor."""

    def __init__(self, folder: str | PathLike[str], question: str | None = None) -> None:
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoProcessor

        with readable(folder, "audio-to-text model that transformers can load",
                      "name the folder of one such as Whisper, with its processor."):
            self.processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            kind = AutoConfig.from_pretrained(folder, local_files_only=True)
            speech = type(kind) in AutoModelForSpeechSeq2Seq._model_mapping
            auto = AutoModelForSpeechSeq2Seq if speech else AutoModelForSeq2SeqLM
            self.model: Any = auto.from_pretrained(folder, local_files_only=True).eval()
        self.sample_rate = int(self.processor.feature_extractor.sampling_rate)
        self.folder, self.question = folder, question

    @torch.no_grad()
    def caption(self, waveform: np.ndarray) -> str:
        """Sound (N,) at `sample_rate` -> a sentence. Raises WeightsError for a model that needs more, or says nothing.
        """
        asked = {} if self.question is None else {"text": self.question}
        try:
            inputs = self.processor(audio=waveform, sampling_rate=self.sample_rate, return_tensors="pt", **asked)
            told = self.model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False, num_beams=1)
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise WeightsError(f"{self.folder}: this model does not caption a sound this way "
                               f"({' '.join(str(error).split())[:200]}); name another, or its --question.") from error
        given = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        text = str(self.processor.batch_decode(told[:, given:], skip_special_tokens=True)[0]).strip()
        if not text:
            raise WeightsError(f"{self.folder}: this model finds no words for the sound; name another.")
        return text
