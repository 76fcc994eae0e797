"""Memory and time of one guided step at the paper's size, random weights: python benchmarks/guided_memory.py.

AudioLDM's VAE and vocoder and GRAM's audio tower (BEATs) on 10 s of sound: the gradient of the volume with all
activations kept, and with those inside the blocks recomputed. Memory is the process's peak above that with the weights
loaded, each way in a process of its own. Then the rest of a step: the U-Net for both halves of the guidance, once; and
what the published code does in every step besides, GRAM's towers on the words and two pictures, which here run once.

With --mini SYSTEM instead: CPU seconds of a step of that mini on 8.16 s, unguided, and guided by what GRAM hears.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DConditionModel

import postsync
from postsync.backbones import audioldm
from postsync.codecs import presets
from postsync.encoders.beats import Beats, BeatsConfig
from postsync.encoders.eva_clip import EvaClipVision
from postsync.encoders.gram import GramConfig
from postsync.encoders.text import TextTower
from postsync.encoders.volume import volume
from postsync.features.spectrogram import beats_normalise, kaldi_fbank
from postsync.systems.mdg.guide import VolumeGuide, build

WAYS = ("kept", "recomputed")


def step(checkpointing: bool, seconds: float) -> None:
    """Prints CPU seconds, peak memory in MiB over the weights', and the gradient's norm."""
    torch.manual_seed(0)
    codec = presets.paper().build().eval().requires_grad_(False)
    codec.checkpointing = checkpointing
    ear = Beats(BeatsConfig()).eval().requires_grad_(False)
    latents = torch.randn(1, *codec.latent_shape(round(16000 * seconds)), requires_grad=True)
    others = torch.nn.functional.normalize(torch.randn(2, 1, 768), dim=-1)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    heard = ear(beats_normalise(kaldi_fbank(codec.decode(latents)[:, 0], num_mel_bins=128))).mean(1)
    volume(torch.nn.functional.normalize(heard, dim=-1), *others).sum().backward()
    assert latents.grad is not None
    spent, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{spent:.1f} CPU s, {(after - before) / 1024:.0f} MiB, "
          f"gradient norm {float(latents.grad.double().norm()):.9g}")


@torch.no_grad()
def rest(seconds: float) -> None:
    """Prints CPU seconds of the U-Net, and of the towers for words and two pictures."""
    config, preset = GramConfig(), audioldm.paper()
    frames = round(25 * seconds)
    unet = UNet2DConditionModel(**preset.unet).eval()
    words, state = torch.randn(2, 512), torch.randn(2, 8, frames, 16)
    unet_s = spent_on(lambda: unet(state, 500, encoder_hidden_states=None, class_labels=words))
    video, text = EvaClipVision(config.video).eval(), TextTower(config.text).eval()
    pixels = torch.randn(config.num_frames, 3, config.video.image_size, config.video.image_size)
    towers_s = spent_on(lambda: (video(pixels), text(torch.ones(1, config.max_text_length, dtype=torch.long))))
    print(f"{unet_s:.1f} {towers_s:.1f}")


def spent_on(work: Callable[[], object]) -> float:
    """CPU seconds of the second of two runs."""
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


@torch.no_grad()
def mini(system: str, steps: int = 6) -> None:
    """Prints CPU seconds of the steps of a mini, and their ratios."""
    pipe = postsync.load(system, progress_bar=False)
    own: dict[str, Any] = {"prompt": "a dog barking"} | ({"guided": False} if "guided" in pipe.options else {})
    plain_s = 0.0
    for name, settings in (("unguided", None), ("waveform", {}), ("mel", {"hears": "mel"})):
        guides = [] if settings is None else [build(pipe, warmup=0.0, stop=1.0, **settings)]
        for guide in guides:
            guide.condition(["a dog barking"], None)

        def run(count: int, guides: list[VolumeGuide] = guides) -> float:
            start = time.process_time()
            pipe(duration_s=8.16, num_inference_steps=count, guides=guides, output_type="latent",
                 generator=torch.Generator().manual_seed(0), **own)
            return time.process_time() - start

        run(2)  # the guide tells its time, once
        step_s = (run(steps + 1) - run(1)) / steps  # the first step is never guided
        plain_s = plain_s or step_s
        print(f"{system}, {name:8s}  {step_s:.3f} CPU s a step, {step_s / plain_s:.2f} times")


def main() -> None:
    """Runs all ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound")
    parser.add_argument("--mini", choices=("foleygram", "mdg"), help="time the steps of this mini instead")
    parser.add_argument("--way", choices=(*WAYS, "rest"), help="one way, in this process")
    arguments = parser.parse_args()
    if arguments.mini:
        mini(arguments.mini)
        return
    if arguments.way:
        (rest(arguments.seconds) if arguments.way == "rest" else step(arguments.way == "recomputed",
                                                                      arguments.seconds))
        return
    told = {way: subprocess.run([sys.executable, __file__, "--way", way, "--seconds", str(arguments.seconds)],
                                capture_output=True, text=True, check=True).stdout.strip() for way in (*WAYS, "rest")}
    unet_s, towers_s = map(float, told["rest"].split())
    for way in WAYS:
        gradient_s = float(told[way].split()[0])
        ours, official = unet_s + gradient_s, unet_s + gradient_s + towers_s
        print(f"{way:10s} gradient {told[way]}; a guided step {ours:.1f} s, with words and pictures encoded in each "
              f"{official:.1f} s: {official / ours:.2f} times")
    print(f"U-Net {unet_s:.1f} CPU s, towers of words and picture {towers_s:.1f} s; {arguments.seconds} s of sound, "
          f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
