"""Memory and time of one guided step at the paper's size, random weights: python benchmarks/guided_memory.py.

AudioLDM's VAE and vocoder and GRAM's audio tower (BEATs) on 10 s of sound: the gradient of the volume with all
activations kept, and with those inside the blocks recomputed. Memory is the process's peak above that with the weights
loaded, each way in a process of its own.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import time

import torch

from postsync.codecs import presets
from postsync.encoders.beats import Beats, BeatsConfig
from postsync.encoders.volume import volume
from postsync.features.spectrogram import beats_normalise, kaldi_fbank


def step(checkpointing: bool, seconds: float) -> None:
    """Prints peak memory in MiB over the weights', CPU seconds, and the gradient's norm."""
    torch.manual_seed(0)
    codec = presets.paper().build().eval().requires_grad_(False)
    codec.checkpointing = checkpointing
    ear = Beats(BeatsConfig()).eval().requires_grad_(False)
    latents = torch.randn(1, *codec.latent_shape(round(16000 * seconds)), requires_grad=True)
    others = torch.nn.functional.normalize(torch.randn(2, 1, 768), dim=-1)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    heard = ear(beats_normalise(kaldi_fbank(codec.decode(latents)[:, 0], num_mel_bins=128))).mean(1)
    volume(torch.nn.functional.normalize(heard, dim=-1), *others).sum().backward()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{(after - before) / 1024:.0f} MiB, {time.process_time() - start:.1f} CPU s, "
          f"gradient norm {float(latents.grad.double().norm()):.9g}")


def main() -> None:
    """Runs both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound")
    parser.add_argument("--way", choices=("kept", "recomputed"), help="one way, in this process")
    arguments = parser.parse_args()
    if arguments.way:
        step(arguments.way == "recomputed", arguments.seconds)
        return
    for way in ("kept", "recomputed"):
        told = subprocess.run([sys.executable, __file__, "--way", way, "--seconds", str(arguments.seconds)],
                              capture_output=True, text=True, check=True).stdout
        print(f"{way:10s} {told.strip()}")
    print(f"{arguments.seconds} s of sound, {platform.machine()}, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
