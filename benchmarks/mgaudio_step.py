"""MGAudio's training step and guided sampling step against a plain statement of the reference.

The plain statement is SiT's block written out, two teacher passes one after the other over all samples that kept their
condition (as VMG does), and the average moved one parameter at a time; precision, fused attention, optimiser and draws
are the same. Printed are seconds a step and the ratio plain / ours; both are timed in turn, after a warm-up.
`python benchmarks/mgaudio_step.py --size B --batch 4`; on a GPU `--device cuda --dtype bf16 --batch 32 --clips 1 16`.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from postsync.codecs import presets as codec_presets
from postsync.diffusion.solvers import flow_times, sample_flow
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.losses import alignment_loss
from postsync.systems.mgaudio.objective import MGAudioObjective
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
from postsync.systems.mgaudio.transformer import FBDT
from postsync.training.state import ExponentialMovingAverage

DECAY = 0.9999


def plain_forward(model: FBDT, x: Tensor, t: Tensor, condition: Tensor,
                  project: bool = False) -> tuple[Tensor, Tensor | None]:
    """The network as SiT writes it, on our parameters."""
    tokens = model.x_embedder(x) + model.pos_embed
    c = model.t_embedder(t) + condition
    projected = None
    for i, block in enumerate(model.blocks, start=1):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = block.adaLN_modulation(c).chunk(6, dim=1)
        tokens = tokens + gate_a.unsqueeze(1) * block.attn(plain_modulate(tokens, shift_a, scale_a))
        tokens = tokens + gate_m.unsqueeze(1) * block.mlp(plain_modulate(tokens, shift_m, scale_m))
        if project and i == model.encoder_depth:
            projected = model.projectors[0](tokens)
    shift, scale = model.final_layer.adaLN_modulation(c).chunk(2, dim=1)
    return model._unpatchify(model.final_layer.linear(plain_modulate(tokens, shift, scale))), projected


def plain_modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class PlainObjective(MGAudioObjective):
    """The same losses by the plain statement."""

    forward_plain = staticmethod(plain_forward)
    guided = 0.0  # share of the samples of the last step

    def losses(self, clean: Tensor, noise: Tensor, t: Tensor, video: Tensor, dropped: Tensor, audio: Tensor,
               weights: Tensor, teacher: FBDT | None) -> dict[str, Tensor]:
        self.guided = weights.ne(0).float().mean().item()
        level = t[:, None, None, None]
        state, target = (1 - level) * clean + level * noise, noise - clean
        condition = self.transformer.pool_features(video) * (~dropped)[:, None]
        v, projected = self.forward_plain(self.transformer, state, t, condition, project=True)
        if teacher is not None:
            kept = ~dropped
            with torch.no_grad():
                seen = teacher.pool_features(video[kept])
                seeing = self.forward_plain(teacher, state[kept], t[kept], seen)[0]
                blind = self.forward_plain(teacher, state[kept], t[kept], torch.zeros_like(seen))[0]
                target[kept] += weights[kept][:, None, None, None] * (seeing - blind).float()
        align = alignment_loss(projected, audio, self.transformer.grid, self.preset.alignment.mode)
        return {"loss": functional.mse_loss(v.float(), target) + self.preset.alignment.weight * align}


class Trainer:
    """One side of the comparison: an objective, its optimiser and its average."""

    def __init__(self, kind: type[MGAudioObjective], preset: presets.MGAudioPreset, arguments: argparse.Namespace,
                 precision: Callable[[], AbstractContextManager]) -> None:
        torch.manual_seed(arguments.seed)
        self.objective, self.precision = kind(preset).to(arguments.device), precision
        for parameter in self.objective.parameters():
            if not parameter.any():  # a fresh network says nothing, and its teacher neither
                torch.nn.init.normal_(parameter, std=0.02)
        self.ema = ExponentialMovingAverage(self.objective, DECAY)
        self.optimizer = torch.optim.AdamW(self.objective.parameter_groups(), lr=1e-4)
        self.plain, self.guided = kind is PlainObjective, []
        if arguments.compile and self.plain:
            PlainObjective.forward_plain = staticmethod(torch.compile(plain_forward, dynamic=True))
        elif arguments.compile:
            for model in (self.objective, self.ema.teacher):
                model.transformer.compile(dynamic=True)

    def step(self, batch: dict[str, Tensor], seed: int) -> float:
        """One optimiser step; returns the loss."""
        generator = torch.Generator().manual_seed(seed)
        with self.precision():
            loss = self.objective(batch, step=10**6, teacher=self.ema.teacher, generator=generator)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.plain:
            with torch.no_grad():
                for mine, theirs in zip(self.ema.teacher.parameters(), self.objective.parameters()):
                    mine.mul_(DECAY).add_(theirs, alpha=1 - DECAY)
        else:
            self.ema.update(self.objective, 10**6)
        self.guided.append(getattr(self.objective, "guided", 0.0))
        return loss.item()


def seconds(run: Callable[[], object], arguments: argparse.Namespace) -> float:
    """Seconds of `run`, to the end of the device's work."""
    clock = time.process_time if arguments.processor_time else time.perf_counter
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    started = clock()
    run()
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def in_turn(first: Callable[[int], object], second: Callable[[int], object],
            arguments: argparse.Namespace) -> tuple[float, float]:
    """Mean seconds of each over the counted steps, after one call each (two if compiled) that does not count."""
    totals, ahead = [0.0, 0.0], 2 if arguments.compile else 1
    for i in range(-ahead, arguments.steps):
        for k, run in enumerate((first, second)):
            spent = seconds(lambda run=run, i=i: run(i + ahead), arguments)
            totals[k] += spent if i >= 0 else 0.0
    return totals[0] / arguments.steps, totals[1] / arguments.steps


def samplers(model: FBDT, arguments: argparse.Namespace,
             precision: Callable[[], AbstractContextManager]) -> tuple[Callable[[int], Tensor], ...]:
    """Ours and the plain one: one Euler step, guided at 1.45, from t = 1."""
    x = torch.randn(arguments.batch, 8, 204, 16, device=arguments.device)
    condition = torch.randn(arguments.batch, model.config["hidden_size"], device=arguments.device)
    both = torch.cat([condition, torch.zeros_like(condition)])
    plain = torch.compile(plain_forward, dynamic=True) if arguments.compile else plain_forward

    def step(network: Callable[..., tuple[Tensor, Tensor | None]]) -> Tensor:
        def velocity(state: Tensor, time: float, _: float) -> Tensor:
            t = torch.full((len(both),), time, device=state.device)
            seeing, blind = network(state.float().repeat(2, 1, 1, 1), t, both)[0].double().chunk(2)
            return blind + 1.45 * (seeing - blind)

        with torch.no_grad(), precision():
            return sample_flow(velocity, x, flow_times(1))

    return lambda i: step(model), lambda i: step(lambda *given: plain(model, *given))


def time_clips(arguments: argparse.Namespace) -> None:
    """Seconds for clips of 8.16 s, from the picture's features to the waveform; random weights of the paper's sizes."""
    pipe = MGAudioPipeline.from_parts(presets.paper(arguments.size), codec=codec_presets.paper().build().eval())
    pipe = pipe.to(arguments.device, torch.bfloat16 if arguments.dtype == "bf16" else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    torch.nn.init.normal_(pipe.transformer.final_layer.linear.weight, std=0.02)
    video = functional.normalize(torch.randn(32, 512), dim=-1)
    for count in arguments.clips:
        pipe(video=video, num_waveforms_per_prompt=count, num_inference_steps=2)
        spent = seconds(lambda count=count: pipe(video=video, num_waveforms_per_prompt=count), arguments)
        print(f"{count} clips of 8.16 s, 50 guided steps, codec and vocoder: {spent:.2f} s")


def main() -> None:
    """Print seconds, ratios and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=tuple(presets.SIZES), default="B")
    parser.add_argument("--depth", type=int, help="fewer blocks than the size has, for a slow machine")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="counted steps of either side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--clips", type=int, nargs="*", default=[], help="also time whole clips, in these batches")
    parser.add_argument("--processor-time", action="store_true", help="of all threads, for a machine others use too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    preset = presets.paper(arguments.size)
    if arguments.depth:
        changes = {"depth": arguments.depth, "encoder_depth": min(4, arguments.depth)}
        preset = replace(preset, transformer=preset.transformer | changes)

    def precision() -> AbstractContextManager:
        return torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.dtype == "bf16")

    generator = torch.Generator().manual_seed(arguments.seed)
    batch = {"latent_mean": torch.randn(arguments.batch, 8, 204, 16, generator=generator),
             "latent_std": torch.full((arguments.batch, 8, 204, 16), 0.1),
             "video": torch.randn(arguments.batch, 32, 512, generator=generator),
             "audio": torch.randn(arguments.batch, 32, 512, generator=generator)}
    batch = {name: value.to(arguments.device) for name, value in batch.items()}
    ours, plain = (Trainer(kind, preset, arguments, precision) for kind in (MGAudioObjective, PlainObjective))
    losses: list[list[float]] = [[], []]
    spent = in_turn(lambda i: losses[0].append(ours.step(batch, i)), lambda i: losses[1].append(plain.step(batch, i)),
                    arguments)
    difference = max(abs(a - b) for a, b in zip(*losses))
    rows = {"training step with guidance": spent}
    rows["guided sampling step"] = in_turn(*samplers(ours.objective.transformer, arguments, precision), arguments)
    print(f"{'':<30}{'ours, s':>10}{'plain, s':>10}{'ratio':>8}")
    for name, (mine, theirs) in rows.items():
        print(f"{name:<30}{mine:>10.3f}{theirs:>10.3f}{theirs / mine:>8.3f}")
    share = sum(plain.guided) / len(plain.guided)
    print(f"largest difference of the losses {difference:.1e}; {share:.0%} of the samples guided (68 % expected)")
    print(f"size {arguments.size}, {preset.transformer['depth']} blocks, batch {arguments.batch}, {arguments.dtype}"
          f"{', compiled' if arguments.compile else ''}, {arguments.steps} steps, seed {arguments.seed}, "
          f"{arguments.device}, {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
          f"{', processor time' if arguments.processor_time else ''}")
    if arguments.clips:
        time_clips(arguments)


if __name__ == "__main__":
    main()
