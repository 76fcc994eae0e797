"""What a tagger hears in each family: python benchmarks/heard.py --recordings FOLDER [FOLDER ...] [--count 4].

For every family the mean score of the best class that is right (`postsync.metrics.heard`), and in brackets the share of
sounds in which one is heard, of: drawn sounds, the same through the codec, recordings placed on events, the same
through the codec, and what FoleyGRAM's mini makes of a caption with the envelope of the recording. Needs a converted
tagger: `postsync weights convert yamnet yamnet.h5`; or `--tagger recording_classifier`, our own, which has heard
recordings of folds 1 to 4 alone: give it `--folds 5`, and the column "recorded" shows how good it is.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import postsync
from postsync.evaluation.clip_inputs import tagger_scores
from postsync.evaluation.networks import Networks
from postsync.features.envelope import frame_rms
from postsync.metrics.heard import Heard, HeardScore, heard_classes_of
from postsync.scenes.captions import caption
from postsync.scenes.events import plan_score
from postsync.scenes.families import FAMILIES, KNOWN
from postsync.scenes.recordings import RecordingBank
from postsync.scenes.render import HELD_OUT_SEED
from postsync.scenes.sounds import SoundConfig, render_sound

RATE, DURATION_S = 16000, 8.16
ENOUGH = 0.5  # share of a family's recordings in which it is heard, for the family to count
DRAWN, RECORDED = SoundConfig(noise=0.0, room=0.3), SoundConfig(noise=0.0, room=0.3, recordings=1.0)
COLUMNS = ("drawn", "drawn, codec", "recorded", "recorded, codec", "generated")


class Ear:
    """A tagger and its judgement."""

    def __init__(self, name: str) -> None:
        self.network = Networks()[name]

    def judge(self, sounds: Sequence[Tensor], family: str) -> tuple[float, float] | None:
        """Mean score and share heard of sounds (N,) at 16 kHz; None without sounds."""
        if not sounds:
            return None
        score, heard = HeardScore(), Heard()
        places = self.network.places_of(family, heard_classes_of(family))
        for sound in sounds:
            scores = self.scores(sound)
            score.update(scores, places)
            heard.update(scores, places)
        return float(score.compute()), float(heard.compute())

    def scores(self, sound: Tensor) -> Tensor:
        """Scores (C,) in 0..1 of a sound (N,) at 16 kHz."""
        return tagger_scores(self.network.audio_features(sound))


def sounds_of(family: str, bank: RecordingBank, count: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Drawn sounds of a family, and recorded ones, of the same held-out scores."""
    drawn, recorded = [], []
    for index in range(count):
        rng = np.random.default_rng(HELD_OUT_SEED + 1000 * seed + index)
        score = plan_score(family, DURATION_S, rng)
        if family in FAMILIES:
            drawn.append(torch.from_numpy(render_sound(score, np.random.default_rng(index), config=DRAWN)))
        if family in bank.families:
            recorded.append(torch.from_numpy(render_sound(score, np.random.default_rng(index), bank=bank,
                                                          config=RECORDED)))
    return drawn, recorded


def generated_of(family: str, pipe, given: Sequence[Tensor], args: argparse.Namespace) -> list[Tensor]:  # type: ignore[no-untyped-def]
    """What the pipeline makes of a caption and the envelope of each sound."""
    made = []
    for index, sound in enumerate(given):
        prompt = caption(family, np.random.default_rng(index), args.held_out)
        curve = frame_rms(sound / sound.abs().max().clamp_min(1e-4), RATE)
        audio = pipe(prompt=prompt, envelope=curve, duration_s=DURATION_S, stand_in=args.stand_in,
                     generator=torch.Generator().manual_seed(args.seed + index)).audios
        made.append(audio[0].mean(0))
    return made


@torch.no_grad()
def main() -> None:
    """Prints a table, and how many families are heard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, nargs="+", required=True, help="folders of labelled recordings")
    parser.add_argument("--families", nargs="*", default=list(KNOWN))
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--preset", default="mini", help="of FoleyGRAM, or a folder")
    parser.add_argument("--tagger", default="yamnet")
    parser.add_argument("--stand-in", choices=("none", "recordings"), help="default: the preset's")
    parser.add_argument("--held-out", action="store_true", help="captions in wordings that training never had")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ear, bank = Ear(args.tagger), RecordingBank(*args.recordings, folds=args.folds)
    pipe = postsync.load("foleygram", args.preset)
    pipe.set_progress_bar_config(disable=True)
    print(f"{args.tagger}, seed {args.seed}, {args.count} sounds a family, {platform.machine()}, torch "
          f"{torch.__version__}")
    print(f"{'family':16}" + "".join(f"{name:>16}" for name in COLUMNS))
    known, both, total = [], [], []
    for family in args.families:
        drawn, recorded = sounds_of(family, bank, args.count, args.seed)
        coded = [[pipe.codec.decode(pipe.codec.encode(sound[None, None]).mean, len(sound))[0, 0] for sound in sounds]
                 for sounds in (drawn, recorded)]
        made = generated_of(family, pipe, recorded or drawn, args)
        found = [ear.judge(sounds, family) for sounds in (drawn, coded[0], recorded, coded[1], made)]
        total.append(found)
        print(f"{family:16}" + "".join(f"{'-':>16}" if one is None else f"{one[0]:9.2f} ({one[1]:4.2f})"
                                       for one in found), flush=True)
        truth = found[2] or found[0]
        if truth is not None and truth[1] >= ENOUGH and found[4] is not None:
            known.append(family)
            both += [family] if found[4][1] >= ENOUGH else []
    columns = [[one for one in column if one is not None] for column in zip(*total, strict=True)]
    print(f"{'all':16}" + "".join(f"{np.mean([s for s, _ in c]):9.2f} ({np.mean([h for _, h in c]):4.2f})" if c else
                                  f"{'-':>16}" for c in columns))
    print(f"heard in half of its recordings or more: {len(known)} families; of these heard when generated: {len(both)} "
          f"({len(both) / max(len(known), 1):.2f})")


if __name__ == "__main__":
    main()
