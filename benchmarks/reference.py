"""Does a reference bring the timbre nearer? python benchmarks/reference.py --recordings FOLDER ... [--count 20].

For recordings that nothing was trained on (fold 5), one of each family first: FoleyGRAM's mini follows the recording's
envelope, with its family's caption or without words, with the recording as reference and without one. Printed is how
like the recording the results are: cosine of GRAM's embeddings, of the tagger's scores (their roots), and the distance
of the mean log-mels in dB; and in how many cases the reference brought them nearer. Needs a converted tagger.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from math import log
from pathlib import Path

import numpy as np
import torch
from heard import DURATION_S, RATE, Ear
from torch import Tensor
from torch.nn import functional

import postsync
from postsync.encoders.stand_ins import embed_recording
from postsync.features.envelope import frame_rms
from postsync.features.spectrogram import audioldm_log_mel
from postsync.scenes.captions import caption
from postsync.scenes.families import KNOWN
from postsync.scenes.recordings import RecordingBank

MEASURES = ("GRAM cosine", "tagger cosine", "mel distance, dB")


def references(bank: RecordingBank, count: int) -> Iterator[tuple[str, Tensor]]:
    """(family, sound (N,)) of recordings, one of each family before a second of any, sounds of 8.16 s at most."""
    by_family = {family: [r for r in bank.recordings if r.family == family] for family in bank.families
                 if family in KNOWN}
    rows = [(family, own[turn]) for turn in range(count) for family, own in by_family.items() if turn < len(own)]
    for family, recording in rows[:: max(1, len(by_family) // count)][:count]:
        sound = torch.from_numpy(bank.load(recording))[: round(DURATION_S * RATE)]
        yield family, sound / sound.abs().max().clamp_min(1e-4)


class Likeness:
    """How like two sounds are in timbre, by `MEASURES`."""

    def __init__(self, pipe, ear: Ear) -> None:  # type: ignore[no-untyped-def]
        self.gram, self.ear = pipe.gram, ear

    def __call__(self, made: Tensor, real: Tensor) -> list[float]:
        embeddings = [embed_recording(self.gram, sound, RATE).flatten() for sound in (made, real)]
        scores = [self.ear.scores(sound).sqrt() for sound in (made, real)]
        mels = [self.mean_mel(sound) for sound in (made, real)]
        distance = float((mels[0] - mels[1]).abs().mean()) * 10 / log(10)
        return [*(float(functional.cosine_similarity(*pair, dim=0)) for pair in (embeddings, scores)), distance]

    @staticmethod
    def mean_mel(sound: Tensor) -> Tensor:
        """(64,) log of the mean power of each band, its mean at 0."""
        mel = (2 * audioldm_log_mel(sound[None])[0]).exp().mean(0).clamp_min(1e-9).log()
        return mel - mel.mean()


@torch.no_grad()
def main() -> None:
    """Prints the means, and how often the reference helped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, nargs="+", required=True, help="folders of labelled recordings")
    parser.add_argument("--preset", default="mini", help="of FoleyGRAM, or a folder")
    parser.add_argument("--tagger", default="yamnet")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pipe = postsync.load("foleygram", args.preset)
    pipe.set_progress_bar_config(disable=True)
    likeness = Likeness(pipe, Ear(args.tagger))
    found: dict[str, list[tuple[list[float], list[float]]]] = {"with a caption": [], "without words": []}
    for index, (family, sound) in enumerate(references(RecordingBank(*args.recordings, folds=(5,)), args.count)):
        prompts = {"with a caption": caption(family, np.random.default_rng(index)), "without words": None}
        for case, prompt in prompts.items():
            pair = []
            for reference in (None, sound[None]):
                audio = pipe(prompt=prompt, envelope=frame_rms(sound, RATE), duration_s=len(sound) / RATE,
                             reference_audio=reference,
                             generator=torch.Generator().manual_seed(args.seed + index)).audios
                pair.append(likeness(audio[0, 0], sound))
            found[case].append((pair[0], pair[1]))
    for case, pairs in found.items():
        values = np.array(pairs)  # (recordings, without or with, measures)
        for place, name in enumerate(MEASURES):
            before, after = values[:, 0, place], values[:, 1, place]
            nearer = np.mean(after < before if name.endswith("dB") else after > before)
            print(f"{case:15} {name:17} without {before.mean():6.3f}  with {after.mean():6.3f}  nearer in {nearer:.2f}")
    print(f"{args.tagger}, {len(found['without words'])} recordings, seed {args.seed}, {platform.machine()}, torch "
          f"{torch.__version__}")


if __name__ == "__main__":
    main()
