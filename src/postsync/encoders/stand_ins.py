"""What stands in for a reference recording where none is given: the mean of GRAM's embeddings of recordings.

FoleyGRAM gives the audio token only in training. Here the words choose a family of sound (`scenes.captions.family_of`),
and the mean embedding of its recordings takes the token's place. Words of families that recordings teach alone, or
better than their drawn sound, are checked: where their own embedding lies far from the recordings', these speak alone,
since the words were taught with another sound, or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from ..errors import WeightsError
from ..media.audio import resample
from ..media.output import whole_file
from ..scenes.captions import family_of
from ..scenes.families import KNOWN, RECORDED
from ..weights import STAND_INS
from .gram import SAMPLE_RATE, GramEncoder

AGREEMENT = 0.6  # least cosine of words and recordings for the words to be heard too


class StandIns:
    """Unit embeddings (D,) of families of recordings, by name."""

    def __init__(self, embeddings: dict[str, Tensor]) -> None:
        self.embeddings = {name: functional.normalize(value.float(), dim=0) for name, value in embeddings.items()}

    @classmethod
    def of_folder(cls, folder: Path) -> StandIns | None:
        """Those stored beside GRAM's weights; None where there are none. Raises WeightsError for a damaged file."""
        path = folder / STAND_INS
        if not path.is_file():
            return None
        try:
            return cls(load_file(path))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: is damaged ({error}); copy it again, or make it anew with postsync data "
                               "embed.") from error

    @classmethod
    def of_sounds(cls, gram: GramEncoder, sounds: Mapping[str, Iterable[Tensor]], rate: int) -> StandIns:
        """The mean embeddings of sounds (N,) at `rate` Hz, by family."""
        with torch.no_grad():
            return cls({name: torch.cat([embed_recording(gram, sound, rate) for sound in of]).mean(0)
                        for name, of in sounds.items()})

    def save(self, folder: Path) -> Path:
        """Write them beside GRAM's weights, float16; returns the file."""
        path = folder / STAND_INS
        with whole_file(path) as temporary:
            save_file({name: value.half().contiguous() for name, value in self.embeddings.items()}, temporary)
        return path

    def tokens(self, prompts: Sequence[str | None], texts: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of the audio token and of the text token, (B, D) each, for prompts and their text embeddings:
        zeros where a prompt names no family, and zeros instead of words that disagree with the recordings."""
        audio, words = torch.zeros_like(texts), texts.clone()
        for row, prompt in enumerate(prompts):
            family = family_of(prompt or "") or ""
            found = self.embeddings.get(family)
            if found is None:
                continue
            audio[row] = found.to(texts)
            doubted = family in RECORDED or KNOWN[family].recordings_first
            agreement = float(functional.cosine_similarity(texts[row].float(), found.to(texts.device), dim=0))
            if doubted and agreement < AGREEMENT:
                words[row] = 0
        return audio, words


def embed_recording(gram: GramEncoder, audio: Tensor, rate: int, device: torch.device | None = None) -> Tensor:
    """Embedding (1, D) of a recording (N,) or (C, N) at `rate` Hz, mixed down and at full level; GRAM takes 16 kHz."""
    mono = at_gram_rate(audio.float().reshape(-1, audio.shape[-1]).mean(0), rate)
    return gram.encode_audio((mono / mono.abs().max().clamp(min=1e-4))[None].to(device or mono.device))


def at_gram_rate(sound: Tensor, rate: int) -> Tensor:
    """Sound (N,) at `rate` Hz resampled to GRAM's 16 kHz."""
    if rate == SAMPLE_RATE:
        return sound
    return torch.from_numpy(resample(sound.cpu().numpy()[None], rate, SAMPLE_RATE))[0].to(sound.device)
