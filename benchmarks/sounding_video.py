"""Sounding Video, what can be said without trained connectors: python benchmarks/sounding_video.py [--rows gamma sizes]

"gamma": the automatic gamma of the timestep adjustment, at which the signal-to-noise ratios of sound and picture lie
nearest along a run, with the distance at other gammas as its evidence; for the published schedules and the mini's.
"sizes": parameters of the connectors beside those of the U-Nets that they leave alone, at the paper's size.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from diffusers import DDIMScheduler

from postsync.backbones import animatediff, audioldm
from postsync.diffusion.schedule import Schedule
from postsync.systems.sounding_video import presets
from postsync.systems.sounding_video.joint import Connectors
from postsync.systems.sounding_video.timesteps import fit_gamma, log_snr

ROWS = ("gamma", "sizes")
SHOWN = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
AUDIO_WIDTHS, VIDEO_WIDTHS = (192, 384, 576, 960), (320, 640, 1280, 1280)  # AudioLDM-m, Stable Diffusion 1.5


def gamma(name: str, audio: dict[str, Any], video: dict[str, Any]) -> None:
    """Print the gamma that fits, and the root mean square distance of the log ratios at others."""
    curves = [log_snr(Schedule(DDIMScheduler(**settings))) for settings in (audio, video)]
    fit, shown = fit_gamma(*curves), fit_gamma(*curves, gammas=SHOWN)
    cells = " | ".join(f"{distance ** 0.5:.2f}" for distance in shown.distances)
    print(f"| {name} | {fit.gamma:.2f} ({min(fit.distances) ** 0.5:.2f}) | {cells} |")


def sizes() -> None:
    """Print millions of parameters."""
    settings = presets.paper().connectors
    with torch.device("meta"):
        for kind, name in (("additive", "CMC-PE"), ("attn", "cross-attention")):
            connectors = Connectors(8, AUDIO_WIDTHS, 4, VIDEO_WIDTHS, **settings, connector_type=kind)
            parts = {part: sum(p.numel() for p in module.parameters()) / 1e6
                     for part, module in connectors.named_children()}
            print(f"| {name} | {sum(parts.values()):.2f} | " + " | ".join(f"{parts[part]:.2f}" for part in (
                "connector_in_video", "connector_in_audio", "connector_out_video", "connector_out_audio")) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=ROWS)
    rows = parser.parse_args().rows
    if "gamma" in rows:
        print("| schedules | automatic gamma (distance) | " + " | ".join(f"at {shown:g}" for shown in SHOWN) + " |")
        print("|---" * (len(SHOWN) + 2) + "|")
        gamma("published: AudioLDM, AnimateDiff", audioldm.SCHEDULE | {"steps_offset": 1}, animatediff.SCHEDULE)
        mini = presets.mini()
        assert mini.video is not None
        gamma("mini", mini.audio.scheduler, mini.video.scheduler)
    if "sizes" in rows:
        print("| connectors | all, millions | in, video | in, audio | out, video | out, audio |\n" + "|---" * 6 + "|")
        sizes()


if __name__ == "__main__":
    main()
