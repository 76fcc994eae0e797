"""Words for a picture, by any image-to-text model of transformers in a folder (BLIP, GIT, ViT-GPT2, ...).

MDG takes a caption from such a model where the user gives none (arXiv 2509.24550, section 4).
"""

from __future__ import annotations

from os import PathLike
from typing import Any

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
