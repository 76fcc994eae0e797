"""Measures the mel codec on held-out sounds: python benchmarks/codec.py [--codec FOLDER] [--recordings FOLDER].

Multi-resolution log-STFT distance (512/1024/2048, floor 1e-5; smaller is better) of Griffin-Lim (mel inverted by NNLS,
60 rounds, momentum 0.99), of the vocoder on true mels, and of codec and vocoder together.

With `--ear CASES.jsonl` (a line a recording: its file below `--recordings`, and `accept`, the classes that are right)
it prints, by class, a tagger's score of the right one instead, real and through the codec, beside the distance.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from postsync.codecs.mel_vae import HOP_LENGTH, MelCodec
from postsync.codecs.stft import griffin_lim, invert_mel, log_stft_distance
from postsync.encoders import published
from postsync.features.spectrogram import audioldm, mel_filters
from postsync.metrics.heard import accepted_places
from postsync.metrics.signals import LogSTFTDistance
from postsync.scenes.events import plan_score
from postsync.scenes.families import FAMILIES
from postsync.scenes.recordings import read_mono
from postsync.scenes.render import HELD_OUT_SEED
from postsync.scenes.sounds import SoundConfig, render_sound
from postsync.weights import bundled

NUM_SAMPLES = 65280  # 4.08 s: whole latent frames, so that every method gives the same length
VALIDATION_FOLD = 5


def scene_sounds(count: int, seed: int, noise: float) -> Iterator[Tensor]:
    """Sounds of held-out scenes (N,), the families in turn."""
    names = list(FAMILIES)
    for index in range(count):
        rng = np.random.default_rng(HELD_OUT_SEED + seed * 1_000_000 + index)
        score = plan_score(names[index % len(names)], NUM_SAMPLES / 16000, rng)
        yield torch.from_numpy(render_sound(score, rng, config=SoundConfig(noise=noise)))


def recorded_sounds(folder: Path, count: int, seed: int) -> Iterator[Tensor]:
    """Recordings of the validation fold (N,), drawn without repetition as long as they last."""
    rows = [json.loads(line) for line in (folder / "sounds.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["fold"] == VALIDATION_FOLD]
    order = np.random.default_rng(seed).permutation(len(rows))
    for index in range(count):
        sound = read_mono(folder / rows[order[index % len(rows)]]["file"], 16000)
        yield torch.from_numpy(sound.astype(np.float32))


@torch.no_grad()
def measure(codec: MelCodec, sounds: Iterator[Tensor], generator: torch.Generator) -> dict[str, float]:
    """Mean distance of each method."""
    filterbank = mel_filters(audioldm()).float()
    metrics = {name: LogSTFTDistance() for name in ("griffin_lim", "vocoder", "codec_vocoder")}
    for sound in sounds:
        waveform = functional.pad(sound, (0, max(0, NUM_SAMPLES - len(sound))))[None, :NUM_SAMPLES]
        log_mel = codec.log_mel(waveform)
        # Griffin-Lim gets one frame more, as the vocoder makes for itself: centred frames 0..T span T hops.
        centred = torch.cat([log_mel, log_mel[:, -1:]], dim=1)
        magnitude = invert_mel(centred.exp(), filterbank).transpose(1, 2)
        inverted = griffin_lim(magnitude, HOP_LENGTH, NUM_SAMPLES, generator=generator)
        metrics["griffin_lim"].update(inverted, waveform)
        metrics["vocoder"].update(codec.vocode(log_mel)[:, :NUM_SAMPLES], waveform)
        metrics["codec_vocoder"].update(codec.decode(codec.encode(waveform[:, None]).mean, NUM_SAMPLES)[:, 0],
                                        waveform)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=Path, help="folder of a mel codec; the bundled one without it")
    parser.add_argument("--recordings", type=Path, help="folder of labelled recordings; half of the sounds then")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--noise", type=float, default=1.0, help="background noise of the scenes, 0..1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ear", type=Path, help="cases for a converted tagger (postsync weights list)")
    parser.add_argument("--tagger", default="yamnet")
    args = parser.parse_args()
    codec = MelCodec.from_pretrained(args.codec or bundled("mel_codec"))
    if args.ear is not None:
        listen(codec, args.ear, args.recordings, args.tagger)
        return
    recorded = args.count // 2 if args.recordings else 0
    sources = {"scenes": (args.count - recorded, scene_sounds(args.count - recorded, args.seed, args.noise))}
    if args.recordings:
        sources["recordings"] = (recorded, recorded_sounds(args.recordings, recorded, args.seed))
    generator = torch.Generator().manual_seed(args.seed)
    print(f"seed {args.seed}, {args.count} sounds, scene noise {args.noise}, {platform.machine()}, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("sounds       count  Griffin-Lim   vocoder  codec+voc.  voc./G-L  codec/voc.")
    totals = dict.fromkeys(("griffin_lim", "vocoder", "codec_vocoder"), 0.0)
    for name, (count, sounds) in sources.items():
        found = measure(codec, sounds, generator)
        totals = {key: totals[key] + count * found[key] for key in totals}
        _row(name, count, found)
    if len(sources) > 1:
        _row("all", args.count, {key: value / args.count for key, value in totals.items()})


@torch.no_grad()
def listen(codec: MelCodec, cases: Path, folder: Path, tagger: str) -> None:
    """Prints, by the first class that each case accepts, the tagger's mean scores and the log-STFT distance."""
    network, names = published.load(tagger), published.class_names(tagger)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for line in cases.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        sound = torch.from_numpy(read_mono(folder / case["file"], 16000).astype(np.float32))
        made = codec.decode(codec.encode(sound[None, None]).mean, len(sound))[0, 0]
        places = accepted_places(case["accept"], names)
        scores = [float(network.features(one[None])["scores"][0][places].max()) for one in (sound, made)]
        distance = float(log_stft_distance(made[None], sound[None]))
        found.setdefault(case["accept"][0], []).append((*scores, distance))
    print(f"{tagger}, {len(cases.read_text().splitlines())} recordings")
    print("class             count   real  codec  log-STFT")
    found["all"] = [row for rows in found.values() for row in rows]
    for name, rows in found.items():
        real, made, distance = np.mean(rows, axis=0)
        print(f"{name:16} {len(rows):6d} {real:6.2f} {made:6.2f} {distance:9.3f}", flush=True)


def _row(name: str, count: int, found: dict[str, float]) -> None:
    baseline, vocoder, both = found["griffin_lim"], found["vocoder"], found["codec_vocoder"]
    ratios = f"{vocoder / baseline:9.2f} {both / vocoder:11.2f}"
    print(f"{name:12} {count:5d} {baseline:12.3f} {vocoder:9.3f} {both:11.3f} {ratios}", flush=True)


if __name__ == "__main__":
    main()
