"""How well sound and picture of a clip match, by the GRAM towers or by CAVP."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .. import weights
from ..errors import ConditionError, PostsyncError
from ..media.container import sha256_of
from ..protocols.clip import Clip
from .cavp import SAMPLE_RATE as CAVP_RATE
from .cavp import WINDOW_STEPS, load_cavp
from .gram import SAMPLE_RATE, GramEncoder, pick_frames


class GramCorrespondence:
    """The cosine between GRAM's embeddings of a clip's frames and of its sound.

    The bundled towers were trained on procedural scenes: they say little about real pictures, which the name states.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: saved towers, None for the bundled ones. Raises WeightsError where they are absent."""
        place = folder or weights.bundled("gram")
        self.encoder = GramEncoder.from_pretrained(place).float().eval()
        self.size = self.encoder.image_size
        self.name = _named("GRAM", folder, place)

    @torch.no_grad()
    def __call__(self, clip: Clip) -> float:
        """Cosine, -1..1, of a clip with frames (F, 3, size, size) and sound at `sample_rate`.

        Raises ConditionError for a clip that lacks one of them.
        """
        shown, sound = _both(clip, self.sample_rate)
        frames = shown[pick_frames(len(shown), self.encoder.num_frames)].float() / 255
        video, audio = self.encoder.encode_video(frames[None]), self.encoder.encode_audio(sound[None])
        return float((video * audio).sum())


class CavpCorrespondence:
    """The mean cosine of CAVP's vectors of picture and sound over all complete 4 s windows of a clip."""

    sample_rate = CAVP_RATE

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: a saved CAVP, None for the bundled one. Raises WeightsError where it is absent."""
        place = folder or weights.bundled("cavp")
        self.encoders = load_cavp(place)
        self.size = self.encoders.image_size
        self.name = _named("CAVP", folder, place)

    @torch.no_grad()
    def __call__(self, clip: Clip) -> float:
        """Cosine, -1..1, of a clip with frames (F, 3, size, size), four a second, and sound at `sample_rate`.

        Raises ConditionError for a clip that lacks one of them or is shorter than 4 s.
        """
        shown, sound = _both(clip, self.sample_rate)
        seen = self.encoders.video_features(shown)["windows"]
        audio = self.encoders.audio_features(sound[None])["windows"][0] if len(seen) else seen
        count = min(len(seen), len(audio))
        if count == 0:
            raise ConditionError(f"clip {clip.clip_id} is shorter than the {WINDOW_STEPS / 4:g} s that CAVP compares")
        return float((seen[:count] * audio[:count]).sum(1).mean())


def correspondence_by(name: str) -> GramCorrespondence | CavpCorrespondence:
    """The scorer `name`: "gram" or "cavp", the bundled ones, or a CAVP in the folder of this name.

    Raises PostsyncError for another name, WeightsError where weights are absent.
    """
    if name == "gram":
        return GramCorrespondence()
    if name != "cavp" and not (Path(name) / "config.json").is_file():
        raise PostsyncError(f"sound and picture cannot be compared by '{name}'; name gram, cavp, or the folder of a "
                            "CAVP that postsync weights convert wrote.")
    return CavpCorrespondence(None if name == "cavp" else Path(name))


def _both(clip: Clip, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Frames and mono sound (N,) of a clip; ConditionError where one of them is missing."""
    if clip.frames is None or clip.waveform is None or clip.sample_rate != sample_rate:
        raise ConditionError(f"clip {clip.clip_id} has no frames or no sound at {sample_rate} Hz; sound and picture "
                             "are compared")
    return clip.frames, clip.waveform.mean(0)


def _named(kind: str, folder: Path | None, place: Path) -> str:
    """The scorer's description, with the beginning of its weights' hash."""
    digest = sha256_of(next(iter(sorted(place.rglob("*.safetensors")))))[:12]
    description = f"{kind} of {folder}" if folder else f"the bundled {kind} mini, trained on procedural scenes"
    return f"{description} ({digest})"
