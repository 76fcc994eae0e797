"""Clips of Sounding Video's mini: python benchmarks/joint_clips.py [--rows codec given joint sheet] [--count 48]

"codec": the picture codec on held-out scenes: PSNR, and whether hits are still read after the round trip.
"given": sound for true pictures, pictures for true sounds (`--aims`): F1 of hits within 100 ms, with what true pairs
reach and what clips that belong to others do.
"joint": both from held-out sentences, over `--seeds` seeds: the sound's onsets against the hits read in the made
picture, AV-Align in three variants; Frechet distances to scenes of sound (scene classifier) and picture (picture
tower); and of the pictures whether the tower finds the sentence among 16, how much a frame changes, and of how many
frames the reader cannot tell whether something hits.
"sheet": frames over spectrogram of what is made, as a PNG (`--out`).
`--connectors NAME=FOLDER ...`: exports of train sounding_video to compare; NAME=none: without.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from guidance import interval
from torch import Tensor

from postsync.codecs.pictures import CLIP_S, FRAME_RATE, SIZE, PictureCodec, even_frames, psnr
from postsync.encoders.gram import load_gram, pick_frames
from postsync.features.onsets import audio_onsets, librosa_onsets
from postsync.metrics.alignment import Variant, av_align
from postsync.metrics.frechet import frechet_distance
from postsync.metrics.hit_reader import HitReader
from postsync.metrics.onsets import onset_scores
from postsync.metrics.scene_classifier import SceneClassifier
from postsync.protocols.clip import Clip, Event
from postsync.scenes.captions import paraphrases
from postsync.scenes.preview import preview
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, impacts, render_scene
from postsync.systems.sounding_video.joint import Connectors
from postsync.systems.sounding_video.pipeline import SoundingVideoPipeline
from postsync.weights import bundled

ROWS = ("codec", "given", "joint", "sheet")
VARIANTS: tuple[Variant, ...] = get_args(Variant)
RATE, TOLERANCE_S, AMONG = 16_000, 0.1, 16
Made = tuple[Tensor, list[float], list[float]]  # frames (T, 3, H, W) in 0..1, hits that are read, onsets of the sound


class Judge:
    """What looks at clips and hears them."""

    def __init__(self) -> None:
        self.reader = HitReader.from_pretrained(bundled("hit_reader")).float().eval()
        self.gram = load_gram(bundled("gram")).float().eval()
        self.scenes = SceneClassifier.from_pretrained(bundled("scene_classifier")).float().eval()

    def seen(self, frames: Tensor) -> Tensor:
        """The picture tower's vector of frames (T, 3, H, W) in 0..1."""
        return self.gram.encode_video(frames[pick_frames(len(frames), self.gram.num_frames)][None])[0]

    def finds(self, frames: Tensor, sentence: str, others: Sequence[str]) -> bool:
        """Whether the sentence is nearer to the picture than the others."""
        told = self.gram.encode_text([sentence, *others])
        return bool((told @ self.seen(frames)).argmax() == 0)

    def heard(self, sound: Tensor) -> Tensor:
        """Features of a sound (N,)."""
        return self.scenes.features((sound / sound.abs().amax().clamp_min(1e-4))[None])[0]


def scenes(count: int) -> list[Clip]:
    """Held-out scenes of four seconds in which something is seen to hit."""
    config = SceneConfig(duration_s=CLIP_S, size=SIZE, fps=FRAME_RATE, **impacts())
    return [render_scene(HELD_OUT_SEED + number, config) for number in range(count)]


def real_frames(clip: Clip) -> Tensor:
    """(T, 3, H, W) in 0..1."""
    return even_frames(clip, CLIP_S, FRAME_RATE).float() / 255


def real_hits(clip: Clip) -> list[float]:
    """Seconds."""
    return [event.t for event in clip.events if event.visible]


def sentences(clips: Sequence[Clip]) -> list[str]:
    """A wording of each clip's family that was not trained on."""
    return [paraphrases(str(clip.label))[1][number % 6] for number, clip in enumerate(clips)]


def change(frames: Tensor) -> float:
    """Mean absolute change from frame to frame, of pictures in 0..1."""
    return float(frames.diff(dim=0).abs().mean())


def mean(values: Iterable[float]) -> str:
    """The mean of a value of each clip, of those that are defined, with 95 % of those of clips drawn anew."""
    found = [float(value) for value in values if not math.isnan(value)]
    low, high = interval(found)
    return f"{sum(found) / len(found):.3f} ({low:.3f} .. {high:.3f})"


def f1(found: Sequence[float], truth: Sequence[float]) -> float:
    """Of one clip, within 100 ms."""
    return onset_scores(found, truth, TOLERANCE_S).f1


def shifted(items: Sequence[Any]) -> list[Any]:
    """Those of the next clip: what agrees with them does so by chance."""
    return [*items[1:], items[0]]


def pipelines(named: Sequence[str]) -> dict[str, Any]:
    """The bundled mini, or with other connectors: name -> pipeline."""
    loaded: dict[str, Any] = {}
    for text in named or ["bundled="]:
        name, _, folder = text.partition("=")
        pipe: Any = SoundingVideoPipeline.from_pretrained(bundled("sounding_video"))
        pipe.set_progress_bar_config(disable=True)
        if folder == "none":
            for parameter in (p for key, p in pipe.connectors.named_parameters() if "proj_out" in key):
                parameter.zero_()
        elif folder:
            pipe.register_modules(connectors=Connectors.from_pretrained(Path(folder) / "connectors").float().eval())
        loaded[name] = pipe
    return loaded


def codec(judge: Judge, clips: Sequence[Clip], folder: Path) -> None:
    """Print the row."""
    coder = PictureCodec.from_pretrained(folder)
    real = [real_frames(clip) for clip in clips]
    back = [coder.decode(coder.encode(frames[None]))[0] for frames in real]
    print("| | PSNR, dB | F1 of the reader | undecided | change |\n|---|---|---|---|---|")
    for name, all_frames in (("real", real), ("after the codec", back)):
        ratio = "" if name == "real" else mean(float(psnr(a, b)) for a, b in zip(back, real, strict=True))
        print(f"| {name} | {ratio} | " + mean(f1(judge.reader.hits(frames[None])[0], real_hits(clip))
                                             for frames, clip in zip(all_frames, clips, strict=True))
              + " | " + mean(float(judge.reader.undecided(frames[None])) for frames in all_frames)
              + " | " + mean(change(frames) for frames in all_frames) + " |", flush=True)


def create(pipe: Any, words: Sequence[str], seed: int, **settings: Any) -> list[tuple[Tensor, Tensor]]:
    """Frames in 0..1 and sound (N,) of each sentence."""
    made = []
    for number, text in enumerate(words):
        out = pipe(prompt=text, duration_s=CLIP_S, generator=torch.Generator().manual_seed(seed + number), **settings)
        made.append((out.frames[0].float() / 255, out.audios[0, 0]))
    return made


def given(judge: Judge, clips: Sequence[Clip], pipes: dict[str, Any], seed: int, aims: Sequence[str]) -> None:
    """Print the rows of either modality given, all told the true caption."""
    truth = [real_hits(clip) for clip in clips]

    def row(name: str, found: Sequence[Sequence[float]]) -> list[float]:
        scores = [f1(*pair) for pair in zip(found, truth, strict=True)]
        chance = [f1(*pair) for pair in zip(found, shifted(truth), strict=True)]
        print(f"| {name} | {mean(scores)} | {mean(chance)} |", flush=True)
        return scores

    print("| given | F1 at 100 ms | against another clip |\n|---|---|---|")
    row("true sound, onsets", [audio_onsets(clip.waveform[0], RATE).tolist() for clip in clips])
    row("true picture, read", [judge.reader.hits(real_frames(clip)[None])[0] for clip in clips])
    for aim in aims:
        make = {"sound": sound_for, "picture": picture_for}[aim]
        kept: dict[str, list[float]] = {}
        for name, pipe in pipes.items():
            kept[name] = row(f"{aim} made, {name}", [make(pipe, clip, seed + number, judge)
                                                for number, clip in enumerate(clips)])
            first = next(iter(kept))
            if name != first:
                print(f"| {first} ahead of {name} | " + mean(a - b for a, b in zip(kept[first], kept[name],
                                                                                   strict=True)) + " | |", flush=True)


def sound_for(pipe: Any, clip: Clip, seed: int, judge: Judge) -> list[float]:
    """Onsets of the sound of a true picture."""
    made = pipe(video=real_frames(clip), prompt=clip.captions[0], duration_s=CLIP_S,
                generator=torch.Generator().manual_seed(seed))
    return [float(time) for time in audio_onsets(made.audios[0, 0], RATE)]


def picture_for(pipe: Any, clip: Clip, seed: int, judge: Judge) -> list[float]:
    """Hits read in the picture of a true sound."""
    assert clip.waveform is not None
    made = pipe(sound=clip.waveform, prompt=clip.captions[0], duration_s=CLIP_S,
                generator=torch.Generator().manual_seed(seed))
    return judge.reader.hits(made.frames.float() / 255)[0]


def joint(judge: Judge, clips: Sequence[Clip], pipes: dict[str, Any], seeds: int, gammas: Sequence[float]) -> None:
    """Print the rows of both made from sentences."""
    words = sentences(clips)
    heard = torch.stack([judge.heard(clip.waveform[0]) for clip in clips])
    seen = torch.stack([judge.seen(real_frames(clip)) for clip in clips])
    print("| both from sentences | F1 at 100 ms | against another clip | " + " | ".join(
        f"AV-Align, {variant}" for variant in VARIANTS) + " | FAD | Frechet, picture | found among 16 | change | "
        "undecided |\n" + "|---" * (8 + len(VARIANTS)) + "|")
    rows: list[tuple[str, Callable[[int], list[tuple[Tensor, Tensor]]]]] = [
        ("scenes", lambda seed: [(real_frames(clip), clip.waveform[0]) for clip in clips])]
    rows += [(f"{name}, gamma {gamma:g}", lambda seed, pipe=pipe, gamma=gamma: create(pipe, words, seed, gamma=gamma))
             for name, pipe in pipes.items() for gamma in gammas]
    for name, make in rows:
        count = 1 if name == "scenes" else seeds
        made = [pair for k in range(count) for pair in make(1000 * k)]
        hits = [judge.reader.hits(frames[None])[0] for frames, _ in made]
        onsets = [audio_onsets(sound, RATE).tolist() for _, sound in made]
        peaks = [librosa_onsets(sound, RATE).tolist() for _, sound in made]
        distances = (frechet_distance(torch.stack([judge.heard(sound) for _, sound in made]), heard),
                     frechet_distance(torch.stack([judge.seen(frames) for frames, _ in made]), seen))
        cells = [mean(map(f1, onsets, hits)), mean(map(f1, onsets, shifted(hits))),
                 *(mean(av_align(a, v, FRAME_RATE, variant) for a, v in zip(peaks, hits, strict=True))
                   for variant in VARIANTS),
                 *(f"{float(value):.3g}" for value in distances),
                 mean(judge.finds(frames, text, others_of(clip)) for (frames, _), text, clip in
                      zip(made, words * count, [*clips] * count, strict=True)),
                 mean(change(frames) for frames, _ in made),
                 mean(float(judge.reader.undecided(frames[None])) for frames, _ in made)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def others_of(clip: Clip) -> list[str]:
    """Sentences of fifteen other families."""
    return [paraphrases(name)[1][0] for name in impacts()["families"] if name != clip.label][:AMONG - 1]


def sheet(judge: Judge, clips: Sequence[Clip], pipe: Any, seed: int, out: Path) -> None:
    """Draw what is made of the first sentences; lines: hits that are read."""
    words = sentences(clips)[:6]
    shown = []
    for number, (frames, sound) in enumerate(create(pipe, words, seed)):
        events = tuple(Event(time, time, "hit") for time in judge.reader.hits(frames[None])[0])
        shown.append(Clip(f"seed {seed + number}", CLIP_S, (255 * frames).round().to(torch.uint8),
                          torch.arange(len(frames)) / FRAME_RATE, sound[None], RATE, label=clips[number].label,
                          captions=(words[number],), events=events))
    print(f"wrote {preview(shown, out, spectrogram=True)}")


@torch.no_grad()
def main() -> None:
    """Print the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=ROWS)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--aims", nargs="*", default=["sound", "picture"], choices=["sound", "picture"])
    parser.add_argument("--gammas", nargs="*", type=float, default=[1.5])
    parser.add_argument("--connectors", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--pictures", type=Path, help="another picture codec")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    asked = parser.parse_args()
    print(f"{asked.count} scenes, seed {asked.seed}; {platform.machine()}, {os.cpu_count()} cores")
    judge, clips = Judge(), scenes(asked.count)
    pipes = pipelines(asked.connectors) if set(asked.rows) - {"codec"} else {}
    if "codec" in asked.rows:
        codec(judge, clips, asked.pictures or bundled("picture_codec"))
    if "given" in asked.rows:
        given(judge, clips, pipes, asked.seed, asked.aims)
    if "joint" in asked.rows:
        joint(judge, clips, pipes, asked.seeds, asked.gammas)
    if "sheet" in asked.rows:
        sheet(judge, clips, next(iter(pipes.values())), asked.seed, asked.out)


if __name__ == "__main__":
    main()
