"""VATT's mini on held-out scenes: python benchmarks/vatt.py [--count 48] [--seeds 3] [--rows sound steps captions ...]

Rows of "sound" (three seeds, 95 % intervals over clips): told by the true caption with and without picture, by its own
caption, by the neutral question, by a wrong caption; and FoleyGRAM's mini from the true caption. Family: what the scene
classifier names. KL: of the classifier's distributions, real against generated. FAD: Frechet distance in its space.
GRAM: cosine of picture and sound. "steps": the same from the true caption in 4 to 32 rounds, and one token a round.
"true": from the true caption alone, to compare trainings (`FOLDER`).
"orders": the published order of filling in, and its temperature. "captions": what is said of clips, of clips whose
picture stands still, and how their words compare.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from guidance import interval
from torch import Tensor

import postsync
from postsync.encoders.gram import load_gram, pick_frames
from postsync.metrics.frechet import frechet_distance
from postsync.metrics.scene_classifier import SceneClassifier
from postsync.protocols.clip import Clip
from postsync.scenes.captions import family_of
from postsync.scenes.render import HELD_OUT_SEED, full_scenes, render_scene
from postsync.scenes.sounds import SoundConfig
from postsync.systems.vatt.pairs import SILENCE
from postsync.weights import bundled

DURATION_S, FPS, BATCH = 8.16, 4.0, 8
FEW = 6  # scenes of the slowest row
ROWS = ("sound", "true", "steps", "orders", "captions")


class Judge:
    """What is measured of sounds (B, N) beside their clips."""

    def __init__(self) -> None:
        self.scenes = SceneClassifier.from_pretrained(bundled("scene_classifier")).float().eval()
        self.gram = load_gram(bundled("gram")).float().eval()

    def look(self, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the families (B, C), and features (B, D)."""
        features = self.scenes.features(sounds / sounds.abs().amax(-1, keepdim=True).clamp_min(1e-4))
        return self.scenes.head(features).log_softmax(-1), features

    def agreement(self, sounds: Tensor, clips: Sequence[Clip]) -> Tensor:
        """Cosine of each sound with its picture in GRAM's space (B,)."""
        pictures = torch.stack([clip.frames[pick_frames(len(clip.frames), self.gram.num_frames)] for clip in clips])
        loud = sounds / sounds.abs().amax(-1, keepdim=True).clamp_min(1e-4)
        return (self.gram.encode_audio(loud) * self.gram.encode_video(pictures.float() / 255)).sum(-1)


Make = Callable[[Sequence[Clip], Sequence[torch.Generator]], Tensor]


def told(pipe: Any, words: Callable[[Clip], str | None] | None, picture: bool = True, **settings: Any) -> Make:
    """How VATT makes sounds of clips, one after another, each from its own picture and words."""

    def make(clips: Sequence[Clip], generators: Sequence[torch.Generator]) -> Tensor:
        return torch.cat([pipe(
            video=clip.frames if picture else None, prompt=None if words is None else words(clip),
            duration_s=DURATION_S, generator=generator, **settings).audios[:, 0]
            for clip, generator in zip(clips, generators, strict=True)])

    return make


def by_foleygram() -> Make:
    """How FoleyGRAM's mini makes them, from the caption alone."""
    pipe: Any = postsync.load("foleygram", progress_bar=False)
    return lambda clips, generators: pipe(
        prompt=[clip.captions[0] for clip in clips], duration_s=DURATION_S, generator=generators,
        stand_in="none").audios[:, 0]


def row(name: str, make: Make, clips: Sequence[Clip], real: tuple[Tensor, Tensor], judge: Judge, seeds: int) -> None:
    """Print a row: means over seeds, with intervals over clips."""
    right, divergence, distance, agreement, spent = [], [], [], [], 0.0
    labels = torch.tensor([judge.scenes.families.index(clip.label) for clip in clips])
    for seed in range(seeds):
        started, sounds = time.perf_counter(), []
        for start in range(0, len(clips), BATCH):
            part = clips[start:start + BATCH]
            sounds.append(make(part, [torch.Generator().manual_seed(1000 * seed + start + k)
                                      for k in range(len(part))]))
        spent += time.perf_counter() - started
        made = torch.cat(sounds)
        logs, features = judge.look(made)
        right.append((logs.argmax(-1) == labels).float())
        divergence.append((real[0].exp() * (real[0] - logs)).sum(-1))
        distance.append(frechet_distance(features, real[1]).item())
        agreement.append(judge.agreement(made, clips))
    cells = [f"{values.mean():.3f} ({interval(values.tolist())[0]:.3f}..{interval(values.tolist())[1]:.3f})"
             for values in (torch.stack(found).mean(0) for found in (right, divergence, agreement))]
    print(f"| {name} | {cells[0]} | {cells[1]} | {sum(distance) / seeds:.1f} | {cells[2]} | "
          f"{spent / seeds / len(clips):.2f} |", flush=True)


def wrong_caption(clips: Sequence[Clip]) -> dict[str, str]:
    """For each clip the caption of the next one of another family."""
    return {clip.clip_id: next(other.captions[0] for other in (*clips[k + 1:], *clips) if other.label != clip.label)
            for k, clip in enumerate(clips)}


def print_captions(pipe: Any, clips: Sequence[Clip], num_beams: int) -> None:
    """What is said of clips, and of the same ones standing still."""
    def say(clip: Clip, frames: Tensor) -> str:
        return str(pipe.caption(frames, DURATION_S, num_beams=num_beams))

    said = [say(clip, clip.frames) for clip in clips]
    still = [say(clip, clip.frames[:1].expand_as(clip.frames)) for clip in clips]
    moving, resting = (torch.tensor([float(text in SILENCE) for text in texts]) for texts in (said, still))
    right = torch.tensor([float(family_of(text) == clip.label) for text, clip in zip(said, clips, strict=True)])
    for name, values in (("names the family", right), ("says that nothing is heard, of a clip that sounds", moving),
                         ("the same, of one picture that stands still", resting)):
        low, high = interval(values.tolist())
        print(f"| {name} | {values.mean():.3f} ({low:.3f}..{high:.3f}) |")
    for clip, text in list(zip(clips, said, strict=True))[:6]:
        print(f"  {clip.label}: true '{clip.captions[0]}', said '{text}'")


@torch.no_grad()
def main() -> None:
    """Print the tables with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="mini", help="default: the bundled pipeline")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=[row for row in ROWS if row != "true"],
                        choices=ROWS)
    args = parser.parse_args()
    pipe = postsync.load("vatt", args.folder, progress_bar=False)
    config = full_scenes(fps=FPS, duration_s=DURATION_S, sound=SoundConfig(noise=0.0, room=0.5), held_out_captions=True)
    clips = [render_scene(args.seed + index, config) for index in range(args.count)]
    judge = Judge()
    real = judge.look(torch.cat([clip.waveform for clip in clips if clip.waveform is not None]))
    others = [render_scene(args.seed + args.count + index, config, needs=frozenset({"waveform"}))
              for index in range(args.count)]
    other = judge.look(torch.cat([clip.waveform for clip in others if clip.waveform is not None]))[1]
    print(f"two real halves: FAD {frechet_distance(other, real[1]).item():.1f}\n"
          "| | family | KL | FAD | GRAM | s a clip |\n|---|---|---|---|---|---|")

    def true(clip: Clip) -> str:
        return clip.captions[0]

    def table(rows: dict[str, Make], seeds: int = args.seeds, count: int = args.count) -> None:
        for name, make in rows.items():
            row(name, make, clips[:count], (real[0][:count], real[1]), judge, seeds)

    table({"real sound": lambda part, _: torch.cat([clip.waveform for clip in part if clip.waveform is not None]),
           "through the codec": lambda part, _: torch.cat([pipe.codec.decode(pipe.codec.encode(
               clip.waveform[None]), clip.waveform.shape[-1])[0] for clip in part if clip.waveform is not None])}, 1)
    if "sound" in args.rows:
        wrong = wrong_caption(clips)
        table({"true caption": told(pipe, true, picture=False), "true caption and picture": told(pipe, true),
               "picture, own caption": told(pipe, None), "picture alone": told(pipe, None, own_caption=False),
               "wrong caption and picture": told(pipe, lambda clip: wrong[clip.clip_id]), "FoleyGRAM": by_foleygram()})
    if "true" in args.rows:
        table({args.folder: told(pipe, true, picture=False)})
    if "steps" in args.rows:
        table({f"{steps} steps": told(pipe, true, picture=False, num_inference_steps=steps)
               for steps in (4, 8, 16, 32)})
        table({f"{name}, {FEW} scenes": told(pipe, true, picture=False, num_inference_steps=steps)
               for name, steps in (("16 steps", 16), ("a token a step", 10_000))}, 1, FEW)
    if "orders" in args.rows:
        table({"published order": told(pipe, true, picture=False, order="free", remask_temperature=25.5,
                                       guidance_scale=5.0),
               "free order": told(pipe, true, picture=False, order="free"),
               "guidance 1": told(pipe, true, picture=False, guidance_scale=1.0),
               "guidance 5": told(pipe, true, picture=False, guidance_scale=5.0)})
    if "captions" in args.rows:
        for beams in (1, 4):
            print(f"captions, {beams} beams:")
            print_captions(pipe, clips, beams)
    print(f"{args.count} scenes of {DURATION_S} s from seed {args.seed}, {args.seeds} seeds, {platform.machine()}, "
          f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
