"""How well sound and picture belong together, by the GRAM towers."""

from __future__ import annotations

from pathlib import Path

import torch

from .. import weights
from ..data.clip import Clip
from ..errors import ConditionError
from ..media.hashing import sha256_of
from .gram import SAMPLE_RATE, GramEncoder, pick_frames


class GramCorrespondence:
    """The cosine between GRAM's embeddings of a clip's frames and of its sound.

    The bundled towers were trained on procedural scenes: of real pictures they tell little, and the name says so.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: saved towers, None for the bundled ones. Raises WeightsError where they are absent."""
        place = folder or weights.bundled("gram")
        self.encoder = GramEncoder.from_pretrained(place).float().eval()
        self.size = self.encoder.image_size
        digest = sha256_of(next(iter(sorted(place.rglob("*.safetensors")))))[:12]
        said = f"GRAM of {folder}" if folder else "the bundled GRAM mini, trained on procedural scenes"
        self.name = f"{said} ({digest})"

    @torch.no_grad()
    def __call__(self, clip: Clip) -> float:
        """Cosine, -1..1, of a clip with frames (F, 3, size, size) and sound at `sample_rate`.

        Raises ConditionError for a clip that lacks one of them.
        """
        if clip.frames is None or clip.waveform is None or clip.sample_rate != self.sample_rate:
            raise ConditionError(f"clip {clip.clip_id} has no frames or no sound at {self.sample_rate} Hz; sound and "
                                 "picture are compared")
        frames = clip.frames[pick_frames(len(clip.frames), self.encoder.num_frames)].float() / 255
        video, audio = self.encoder.encode_video(frames[None]), self.encoder.encode_audio(clip.waveform.mean(0)[None])
        return float((video * audio).sum())
