"""Sounding Video's gamma, sizes and costs: python benchmarks/sounding_video.py [--rows gamma curves sizes cost]

"gamma": the automatic gamma of the timestep adjustment, at which the signal-to-noise ratios of sound and picture lie
nearest along a run, with the distance at other gammas as its evidence; for the published schedules and the mini's.
"curves": the same from the losses of the mini's noise estimates at each timestep, on held-out scenes.
"sizes": parameters of the connectors beside those of the U-Nets that they leave alone, at the paper's size.
"cost": seconds of a step of four clips and the memory it takes, connectors alone against all weights; mini, one thread.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from postsync.backbones import animatediff, audioldm
from postsync.backbones.audioldm import folded
from postsync.codecs.pictures import CLIP_S, FRAME_RATE, SIZE
from postsync.diffusion.schedule import Schedule
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, impacts, render_scene
from postsync.systems.sounding_video import presets
from postsync.systems.sounding_video.joint import Connectors
from postsync.systems.sounding_video.objective import Draws, JointObjective, joint_losses
from postsync.systems.sounding_video.timesteps import GammaFit, fit_gamma, log_snr, relative_loss
from postsync.systems.sounding_video.training import connectors
from postsync.weights import bundled

ROWS = ("gamma", "curves", "sizes", "cost")
LEVELS = 21  # timesteps at which losses are measured
SHOWN = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
AUDIO_WIDTHS, VIDEO_WIDTHS = (192, 384, 576, 960), (320, 640, 1280, 1280)  # AudioLDM-m, Stable Diffusion 1.5


def gamma(name: str, audio: dict[str, Any], video: dict[str, Any]) -> None:
    """Print the gamma that fits, and the root mean square distance of the log ratios at others."""
    curves = [log_snr(Schedule(DDIMScheduler(**settings))) for settings in (audio, video)]
    row(name, fit_gamma(*curves), fit_gamma(*curves, gammas=SHOWN))


def row(name: str, fit: GammaFit, shown: GammaFit) -> None:
    """Print a fit with its evidence."""
    cells = " | ".join(f"{distance ** 0.5:.2f}" for distance in shown.distances)
    print(f"| {name} | {fit.gamma:.2f} ({min(fit.distances) ** 0.5:.2f}) | {cells} |", flush=True)


def held_out(objective: JointObjective, count: int) -> dict[str, Tensor]:
    """A batch of held-out scenes."""
    config = SceneConfig(duration_s=CLIP_S, size=SIZE, fps=FRAME_RATE, **impacts())
    samples = [objective.prepare(render_scene(HELD_OUT_SEED + number, config)) for number in range(count)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


@torch.no_grad()
def curves(count: int) -> None:
    """Print the losses at each timestep, and the gamma at which they lie nearest, each as a share of its largest."""
    objective = connectors("mini", start=bundled("sounding_video")).eval()
    batch, generator = held_out(objective, count), torch.Generator().manual_seed(0)
    clean = folded(batch["sound"].float(), objective.folded_bins), batch["pictures"].float()
    words = [gain * batch["text"][:, 0].float() for gain in objective.gains]
    losses: list[list[float]] = [[], []]
    last = objective.schedules[0].total - 1
    for level in torch.linspace(0, last, LEVELS).round().long():
        times = level.expand(count)
        drawn = Draws.new(*clean, last + 1, generator, shared_noise=objective.shared_noise)
        draws = Draws(times, (times, times), drawn.noise, torch.ones_like(drawn.kept))
        found = joint_losses(objective.joint, objective.schedules, clean, (words[0], words[1][:, None]), draws)
        for kept, loss, schedule in zip(losses, found, objective.schedules, strict=True):
            kept.append(float(loss * schedule.scheduler.alphas_cumprod[level]))  # from v to noise
    for name, kept in zip(("sound", "picture"), losses, strict=True):
        print(f"{name}, loss of the noise at t = 0 .. {last}: " + " ".join(f"{loss:.3f}" for loss in kept))
    shares = [relative_loss(torch.tensor(kept)) for kept in losses]
    row("mini, by its losses", fit_gamma(*shares), fit_gamma(*shares, gammas=SHOWN))


def cost() -> None:
    """Print seconds and memory of training steps."""
    print("| trained | values, millions | seconds a step of four clips | memory at its peak, GB |\n" + "|---" * 4 + "|")
    for name, motion, whole in (("connectors", False, False), ("and motion modules", True, False), ("all", True, True)):
        objective = connectors("mini", start=bundled("sounding_video"), train_motion=motion)
        if whole:
            objective.joint.requires_grad_(True)
        batch = held_out(objective, 4)
        trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        optimizer, times = torch.optim.AdamW(trained, lr=0.0), []
        for step in range(4):
            start = time.perf_counter()
            objective(batch, step=step)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            times.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {name} | {sum(p.numel() for p in trained) / 1e6:.1f} | {min(times):.1f} | {peak:.2f} |", flush=True)


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
    parser.add_argument("--count", type=int, default=32, help="scenes of the losses")
    asked = parser.parse_args()
    rows = asked.rows
    if "gamma" in rows:
        print("| schedules | automatic gamma (distance) | " + " | ".join(f"at {shown:g}" for shown in SHOWN) + " |")
        print("|---" * (len(SHOWN) + 2) + "|")
        gamma("published: AudioLDM, AnimateDiff", audioldm.SCHEDULE | {"steps_offset": 1}, animatediff.SCHEDULE)
        mini = presets.mini()
        assert mini.video is not None
        gamma("mini", mini.audio.scheduler, mini.video.scheduler)
    if "curves" in rows:
        curves(asked.count)
    if "sizes" in rows:
        print("| connectors | all, millions | in, video | in, audio | out, video | out, audio |\n" + "|---" * 6 + "|")
        sizes()
    if "cost" in rows:
        cost()


if __name__ == "__main__":
    main()
