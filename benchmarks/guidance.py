"""What guidance by GRAM adds: python benchmarks/guidance.py [--system foleygram] [--count 200] [--rows volume ...].

Held-out scenes are generated from their captions (MGAudio: from their pictures; the guide is told the captions too),
once with a null guide, which moves nothing but makes the solver forget its history as the others do, and once with each
guide of `ROWS`. Printed are the means with the null guide, and paired differences with 95 % intervals (bootstrap over
clips): what the guide sees (volume, GRAM-AT), and what it does not: family and log-probability of the true family by
the scene classifier and by the classifier of recordings (top 5 there), Frechet distance in the scene classifier's
space.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import postsync
from postsync.encoders.gram import GramEncoder, pick_frames
from postsync.features.envelope import frame_rms
from postsync.metrics.frechet import frechet_distance
from postsync.metrics.scene_classifier import SceneClassifier
from postsync.metrics.signals import envelope_correlation
from postsync.protocols.guide import Step
from postsync.scenes.render import HELD_OUT_SEED, full_scenes, render_scene
from postsync.scenes.sounds import SoundConfig
from postsync.systems.mdg.guide import VolumeGuide
from postsync.systems.mdg.objectives import volume
from postsync.weights import bundled

DURATION_S = 8.16
ROWS: dict[str, dict[str, Any] | None] = {
    "volume": {}, "cosine": {"objective": "cosine_to_audio"}, "signed": {"objective": "signed_volume"},
    "mahalanobis": {"objective": "mahalanobis"}, "text": {"modalities": "text"}, "video": {"modalities": "video"},
    "warmup 0": {"warmup": 0.0}, "warmup 10": {"warmup": 0.1}, "warmup 50": {"warmup": 0.5},
    "eta .03": {"step_size": 0.03}, "eta .3": {"step_size": 0.3}, "eta 1": {"step_size": 1.0},
    "three inner": {"inner_steps": 3}, "mel": {"hears": "mel"}, "code": {"order": "code"},
    "adam": {"optimizer": "adam"},
    "published": {"order": "code", "optimizer": "adam", "stop": 1.0}, "random signs": None,
}


REAL, NULL = "real", "null guide"


class Null:
    """Moves nothing."""

    def after_step(self, step: Step) -> Tensor:
        """A copy of the state."""
        return step.latents.clone()


class RandomSigns(VolumeGuide):
    """Moves as far as the volume guide does, anywhere."""

    def gradient(self, step: Step, latents: Tensor, windows: int | None = None) -> tuple[Tensor, Tensor]:
        """Random numbers, of the step's place alone."""
        drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(step.index))
        return drawn.to(latents), torch.zeros(len(latents))


class Judges:
    """What is measured of a sound beside its caption and picture."""

    def __init__(self, gram: GramEncoder) -> None:
        self.gram = gram
        self.scenes, self.recordings = (SceneClassifier.from_pretrained(bundled(name)).float().eval()
                                        for name in ("scene_classifier", "recording_classifier"))

    def __call__(self, sound: Tensor, clip: Any, envelope: Tensor) -> tuple[dict[str, float], Tensor]:
        """Figures of a sound (N,), and its features."""
        loud = (sound / sound.abs().max().clamp_min(1e-4))[None]
        frames = clip.frames[pick_frames(len(clip.frames), self.gram.num_frames)][None].float() / 255
        text, video, audio = (self.gram.encode_text(clip.captions[:1]), self.gram.encode_video(frames),
                              self.gram.encode_audio(loud))
        features = self.scenes.features(loud)
        scenes = self.scenes.head(features)[0].log_softmax(-1)
        recordings = self.recordings.head(self.recordings.features(loud))[0]
        places = [network.families.index(clip.label) for network in (self.scenes, self.recordings)]
        return {"volume": float(volume(audio, [text, video])), "GRAM-AT": float((audio * text).sum()),
                "family": float(scenes.argmax() == places[0]), "log p": float(scenes[places[0]]),
                "recordings, top 5": float(places[1] in recordings.topk(5).indices),
                "recordings, log p": float(recordings.log_softmax(-1)[places[1]]),
                "envelope r": float(envelope_correlation(frame_rms(loud, 16000), envelope[None]))}, features[0]


def runs(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, list[float]], Tensor, float]]:
    """Of the real sounds, of the null guide, then of each row: figures by name, features (count, D) and seconds a clip.
    """
    pipe = postsync.load(args.system, progress_bar=False)
    gram = GramEncoder.from_pretrained(bundled("gram")).float().eval().requires_grad_(False)
    judges, config = Judges(gram), full_scenes(duration_s=DURATION_S, sound=SoundConfig(noise=0.0, room=0.5))
    clips = [render_scene(args.seed + index, config) for index in range(args.count)]
    for name in (REAL, NULL, *args.rows):
        settings = ROWS.get(name)
        guide: Any = (Null() if name in (REAL, NULL) else RandomSigns(gram) if settings is None
                      else VolumeGuide(gram, **settings))
        figures: dict[str, list[float]] = {}
        features, started = [], time.perf_counter()
        for index, clip in enumerate(clips):
            sound = clip.waveform[0] if name == REAL else generated(pipe, clip, guide, index, args)
            found, feature = judges(sound, clip, clip.envelope)
            features.append(feature)
            for key, value in found.items():
                figures.setdefault(key, []).append(value)
        yield name, figures, torch.stack(features), (time.perf_counter() - started) / len(clips)


def generated(pipe: Any, clip: Any, guide: Any, index: int, args: argparse.Namespace) -> Tensor:
    """The sound (N,) of a clip under a guide."""
    own = {"stand_in": "none", "guided": False}  # options of some systems: words alone, no guide but that of the row
    given: dict[str, Any] = {"num_inference_steps": args.steps} | {k: v for k, v in own.items() if k in pipe.options}
    if "prompt" in pipe.accepts:
        given |= {"prompt": clip.captions[0], "guidance_scale": args.guidance_scale}
        if args.envelope:
            given["envelope"] = clip.envelope
    else:
        wanted = pipe.pictures_wanted(DURATION_S, {})
        places = torch.searchsorted(clip.times, torch.arange(wanted.count) / (wanted.fps or 1) + 1e-6) - 1
        given["video"] = clip.frames[places.clamp(0, len(clip.frames) - 1)]
    if isinstance(guide, VolumeGuide):
        guide.condition([clip.captions[0]], clip.frames)
    return pipe(duration_s=DURATION_S, generator=torch.Generator().manual_seed(1000 * args.noise + index),
                guides=[guide], **given).audios[0, 0]


def interval(differences: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """95 % of the means of clips drawn anew."""
    values = np.asarray(differences)
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[chosen].mean(1), [0.025, 0.975])
    return float(low), float(high)


def frechet_interval(guided: Tensor, plain: Tensor, real: Tensor, draws: int = 50) -> tuple[float, float, float]:
    """Difference of the Frechet distances, and 95 % of those of clips drawn anew."""
    rng = np.random.default_rng(0)
    values = [float(frechet_distance(guided[rows], real[rows]) - frechet_distance(plain[rows], real[rows]))
              for rows in (torch.from_numpy(rng.integers(len(real), size=len(real))) for _ in range(draws))]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(frechet_distance(guided, real) - frechet_distance(plain, real)), float(low), float(high)


@torch.no_grad()
def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="foleygram")
    parser.add_argument("--rows", nargs="*", default=["volume", "cosine", "random signs"], choices=list(ROWS))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the scenes")
    parser.add_argument("--noise", type=int, default=0, help="of the initial noise")
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--guidance-scale", type=float, default=2.5)
    parser.add_argument("--envelope", action="store_true", help="the true envelope is given, where it is taken")
    args = parser.parse_args()
    plain, base, real = {}, torch.zeros(0), torch.zeros(0)
    for name, figures, features, seconds in runs(args):
        if name in (REAL, NULL):
            plain, base, real = figures, features, features if name == REAL else real
            print(f"{name:13}" + "  ".join(f"{key} {np.mean(values):.3f}" for key, values in figures.items())
                  + f"  Frechet {float(frechet_distance(base, real)):.1f}  ({seconds:.2f} s)", flush=True)
            continue
        print(f"{name:13} ({seconds:.2f} s)")
        for key, values in figures.items():
            differences = np.subtract(values, plain[key]).tolist()
            print("   {:18} {:+.3f} ({:+.3f} .. {:+.3f})".format(key, np.mean(differences), *interval(differences)))
        print("   {:18} {:+.1f} ({:+.1f} .. {:+.1f})".format("Frechet", *frechet_interval(features, base, real)),
              flush=True)
    print(f"{args.system}, {args.count} scenes of {DURATION_S} s from seed {args.seed}, noise {args.noise}, "
          f"{platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
