"""What VATT is taught with: a part of a clip's pictures, what is answered about it, and its sound.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text: vatt/vt2a/data/vt2a_mlm_mix_encodec_dataset.py`
(read, not copied). That parts which do not sound are told as such is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ...protocols.clip import Clip
from ...protocols.objective import Batch
from ...scenes.captions import paraphrases
from ...scenes.families import KNOWN

SILENCE = ("nothing is heard", "nothing can be heard", "there is no sound", "silence", "it is silent")
PICTURE_FPS = 4.0
AUDIBLE = 0.02  # of a clip's peak, -34 dB: a quarter of a second without such a sample is silent


def captions_of(clip: Clip) -> list[str]:
    """A clip's own captions, then its family's training paraphrases."""
    known = paraphrases(clip.label)[0] if clip.label is not None and clip.label in KNOWN else ()
    return list(dict.fromkeys((*clip.captions, *known)))


def audible(clip: Clip, count: int) -> Tensor:
    """Whether anything sounds while each of `count` pictures is shown, (count,) booleans: all, for a clip whose sound
    is not known."""
    if clip.waveform is None or clip.sample_rate is None:
        return torch.ones(count, dtype=torch.bool)
    level = clip.waveform.abs().amax(0)
    edges = [round(k / PICTURE_FPS * clip.sample_rate) for k in range(count + 1)]
    loudest = torch.stack([level[first:last].max() if first < len(level) else level.new_zeros(())
                           for first, last in pairwise(edges)])
    return loudest > AUDIBLE * level.max().clamp_min(1e-4)


@dataclass(frozen=True)
class Part:
    """Parts of the clips of a batch, all of one length."""

    video: Tensor  # (B, F, E)
    silent: Tensor  # (B,)
    shown: Tensor  # (B,), whether the picture tells what is heard
    tokens: Tensor | None  # (B, K, T)


def draw_part(batch: Batch, pictures: int, generator: torch.Generator, frame_rate: float = 0.0) -> Part:
    """`pictures` successive pictures of each clip, from a drawn one on, with the tokens (`frame_rate` a second) that
    sound along with them."""
    video, sounds = batch["video"], batch["audible"]
    starts = torch.randint(video.shape[1] - pictures + 1, (len(video),), generator=generator).to(video.device)
    rows, shown = torch.arange(len(video), device=video.device)[:, None], torch.arange(pictures, device=video.device)
    places = starts[:, None] + shown
    tokens = batch.get("tokens")
    if tokens is not None:
        length = round(pictures / PICTURE_FPS * frame_rate)
        first = (starts / PICTURE_FPS * frame_rate).round().long().clamp_max(tokens.shape[2] - length)
        heard = first[:, None] + torch.arange(length, device=tokens.device)
        tokens = tokens.mT[rows, heard].mT.long()
    return Part(video[rows, places].float(), ~sounds[rows, places].any(1), batch["shown"].bool(), tokens)


def stilled(part: Part, chosen: Tensor) -> Part:
    """The `chosen` samples (B,) show their first picture all along, and nothing sounds."""
    video = torch.where(chosen[:, None, None], part.video[:, :1], part.video)
    return replace(part, video=video, silent=part.silent | chosen)


def mixed(part: Part, chosen: Tensor, generator: torch.Generator) -> Part:
    """Cut-mix and roll of the `chosen` samples (B,): half of them go on as another clip from a drawn time on, a tenth
    are rolled around; pictures and tokens alike."""
    if part.tokens is None:
        raise ValueError("what is mixed has tokens")
    count, pictures, length = len(part.video), part.video.shape[1], part.tokens.shape[2]
    draw = torch.rand(count, generator=generator).to(chosen.device)
    cut = torch.randint(1, pictures, (count,), generator=generator).to(chosen.device)
    other = torch.randperm(count, generator=generator).to(chosen.device)
    cutting = chosen & (draw < 0.5) & part.shown[other]
    rolling = chosen & (draw >= 0.5) & (draw < 0.6)
    shown, heard = (torch.arange(n, device=chosen.device)[None] for n in (pictures, length))
    at = (cut * length / pictures).round().long()
    rows = torch.arange(count, device=chosen.device)[:, None]
    source = [torch.where(cutting[:, None] & (time >= edge[:, None]), other[:, None], rows)
              for time, edge in ((shown, cut), (heard, at))]
    places = [torch.where(rolling[:, None], (time + edge[:, None]) % time.shape[1], time)
              for time, edge in ((shown, cut), (heard, at))]
    return Part(part.video[source[0], places[0]], part.silent & ~cutting, part.shown,
                part.tokens.mT[source[1], places[1]].mT)
