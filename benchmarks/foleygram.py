"""FoleyGRAM mini on held-out scenes, from caption and true envelope. `python benchmarks/foleygram.py [FOLDER]`

Envelope r: Pearson at zero lag of the generated sound's envelope with the given one, as the control branch leaves it
and with the preset's fader; all other figures are those of the whole, with the fader. Family: what the scene classifier
names. Frechet distance in the classifier's space, as a ratio to that between two real halves of equal size. Seeds: the
smallest log-mel difference between two takes of one clip, as a ratio to that between sounds of different families.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import torch
from torch import Tensor

from postsync.features.envelope import frame_rms
from postsync.features.spectrogram import audioldm_log_mel
from postsync.metrics.frechet import frechet_distance
from postsync.metrics.scene_classifier import SceneClassifier, family_accuracy
from postsync.metrics.signals import envelope_correlation
from postsync.protocols.clip import Clip
from postsync.scenes.recordings import RecordingBank
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, full_scenes, render_scene
from postsync.scenes.sounds import SoundConfig
from postsync.systems.foleygram.latents import ride_fader
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
from postsync.weights import bundled


def held_out_clips(seed: int, count: int, config: SceneConfig,
                   bank: RecordingBank | None) -> tuple[list[Clip], Tensor]:
    """Scenes with sound only, and their peak-normalised waveforms (count, N)."""
    clips = [render_scene(seed + i, config, needs=frozenset({"waveform"}), bank=bank) for i in range(count)]
    sounds = torch.cat([c.waveform for c in clips if c.waveform is not None])
    return clips, sounds / sounds.abs().amax(-1, keepdim=True).clamp(min=1e-4)


def generate(pipe: FoleyGRAMPipeline, captions: list[str], envelopes: Tensor | None, seed: int, duration_s: float,
             arguments: argparse.Namespace) -> Tensor:
    """Waveforms (count, N), `arguments.batch` clips at a time; clip i has the seed `seed` + i."""
    sounds = []
    for start in range(0, len(captions), arguments.batch):
        part = slice(start, start + arguments.batch)
        words = captions[part]
        sounds.append(pipe(
            prompt=words, envelope=None if envelopes is None else envelopes[part], duration_s=duration_s,
            generator=[torch.Generator().manual_seed(seed + start + k) for k in range(len(words))],
            num_inference_steps=arguments.steps, guidance_scale=arguments.guidance_scale,
            control_scale=arguments.control_scale, stand_in=arguments.stand_in).audios[:, 0])
    return torch.cat(sounds)


def mel_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of log-mels (B,)."""
    return (audioldm_log_mel(first) - audioldm_log_mel(second)).abs().mean((1, 2))


@torch.no_grad()
def measure(pipe: FoleyGRAMPipeline, classifier: SceneClassifier, arguments: argparse.Namespace) -> dict[str, float]:
    """Every figure of the table, by name."""
    bank = RecordingBank(arguments.recordings, folds=(5,)) if arguments.recordings else None
    config = full_scenes(duration_s=arguments.duration, held_out_captions=arguments.held_out_captions,
                         sound=SoundConfig(recordings=0.5 if bank else 0.0))
    clips, real = held_out_clips(arguments.seed, arguments.count, config, bank)
    other = held_out_clips(arguments.seed + arguments.count, arguments.count, config, bank)[1]
    captions, labels = [c.captions[0] for c in clips], [str(c.label) for c in clips]
    envelopes = frame_rms(real, pipe.sampling_rate)
    fader_db = pipe.settings.fader_db
    pipe.register_to_config(sampler=pipe.config["sampler"] | {"fader_db": 0.0})
    started = time.perf_counter()
    branch = generate(pipe, captions, envelopes, 0, arguments.duration, arguments)
    seconds = (time.perf_counter() - started) / len(clips)
    again = generate(pipe, captions[:arguments.batch], envelopes, 1_000_000, arguments.duration, arguments)
    made, again = (ride_fader(x[:, None], envelopes[:len(x)], pipe.sampling_rate, fader_db)[:, 0]
                   for x in (branch, again))
    free = generate(pipe, captions, None, 0, arguments.duration, arguments)
    codec = torch.cat([pipe.codec.decode(pipe.codec.encode(sound[None, None]).mean, sound.shape[-1])[:, 0]
                       for sound in real])
    r = envelope_correlation(frame_rms(made, pipe.sampling_rate), envelopes)
    r_branch = envelope_correlation(frame_rms(branch, pipe.sampling_rate), envelopes)
    halves = frechet_distance(classifier.features(other), classifier.features(real))
    return {
        "envelope r, mean": r.mean().item(),
        "envelope r, tenth percentile": r.quantile(0.1).item(),
        "envelope r without the fader, mean": r_branch.mean().item(),
        "envelope r of the codec alone": envelope_correlation(
            frame_rms(codec, pipe.sampling_rate), envelopes).mean().item(),
        "family accuracy, caption and envelope": family_accuracy(classifier.classify(made), labels),
        "family accuracy, caption alone": family_accuracy(classifier.classify(free), labels),
        "family accuracy of the codec alone": family_accuracy(classifier.classify(codec), labels),
        "family accuracy of real sounds": family_accuracy(classifier.classify(real), labels),
        "Frechet, ratio to real halves": (frechet_distance(classifier.features(made), classifier.features(real))
                                          / halves).item(),
        "Frechet of the codec alone, ratio": (frechet_distance(classifier.features(codec), classifier.features(real))
                                              / halves).item(),
        "two seeds, smallest difference, ratio": (mel_distance(made[:len(again)], again).min()
                                                  / mel_distance(made, made.roll(1, 0)).mean()).item(),
        "seconds a clip": seconds,
    }


def main() -> None:
    """Print the figures with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=None, help="default: the bundled pipeline")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--duration", type=float, default=8.16, help="seconds")
    parser.add_argument("--steps", type=int, default=None, help="default: the preset's")
    parser.add_argument("--guidance-scale", type=float, default=None)
    parser.add_argument("--control-scale", type=float, default=None)
    parser.add_argument("--stand-in", default="none", help="what stands in for a reference; recordings: the default of "
                        "generation, whose timbre is not that of drawn sounds, which the classifier expects")
    parser.add_argument("--recordings", type=Path, help="folder of labelled recordings: half of the real sounds "
                        "are then recordings of fold 5, where it has the family, as in training (folds 1 to 4)")
    parser.add_argument("--held-out-captions", action="store_true")
    arguments = parser.parse_args()
    pipe = FoleyGRAMPipeline.from_pretrained(arguments.folder or bundled("foleygram"))
    pipe.set_progress_bar_config(disable=True)
    classifier = SceneClassifier.from_pretrained(bundled("scene_classifier")).eval()
    for name, value in measure(pipe, classifier, arguments).items():
        print(f"{name:<46}{value:8.3f}")
    print(f"{arguments.count} scenes of {arguments.duration} s from seed {arguments.seed}, "
          f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
