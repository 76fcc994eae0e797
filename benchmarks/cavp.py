"""Retrieval by CAVP on held-out scenes: which sound belongs to a picture. `python benchmarks/cavp.py [FOLDER]`

Vectors are those of stretches of 4 s. Right family: the share of pictures whose nearest sound, of another clip, is of
the same family. Right half: the share of pictures that are nearer to the sound of their own half of a clip than to that
of the other half (chance 0.5).
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import torch
from torch import Tensor

from postsync import weights
from postsync.encoders.cavp import FPS, Cavp
from postsync.metrics.similarity import recall_at_k, triplet_auc
from postsync.scenes.render import HELD_OUT_SEED, full_scenes, render_scene


@torch.no_grad()
def encode_scenes(cavp: Cavp, seed: int, count: int, duration_s: float) -> tuple[Tensor, Tensor, list[str]]:
    """Unit vectors (count, 2, E) of both halves of what is seen and heard in held-out scenes, and their families."""
    config = full_scenes(duration_s=duration_s, fps=FPS)
    seen, heard, families = [], [], []
    for i in range(count):
        clip = render_scene(seed + i, config)
        assert clip.frames is not None
        assert clip.waveform is not None
        seen.append(cavp.video_features(clip.frames)["windows"][:2])
        heard.append(cavp.audio_features(clip.waveform)["windows"][0, :2])
        families.append(str(clip.label))
    return torch.stack(seen), torch.stack(heard), families


def main() -> None:
    """Print the figures with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=None, help="default: the bundled CAVP")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    cavp = Cavp.from_pretrained(arguments.folder or weights.bundled("cavp")).float().eval()
    seen, heard, families = encode_scenes(cavp, arguments.seed, arguments.count, 8.16)
    likeness = seen.flatten(0, 1) @ heard.flatten(0, 1).T
    clip, one = torch.arange(arguments.count).repeat_interleave(2), torch.arange(2 * arguments.count)
    kind = torch.tensor([sorted(set(families)).index(name) for name in families])[clip]
    others = likeness.masked_fill(clip[:, None] == clip, -2.0)
    halves = torch.einsum("ntd,nsd->nts", seen, heard)
    own, wrong = halves.diagonal(dim1=1, dim2=2), halves.flip(2).diagonal(dim1=1, dim2=2)
    rows = {f"R@{k}, picture -> sound": recall_at_k(likeness, k, one, one).item() for k in (1, 10)}
    rows["right family, picture -> sound of another clip"] = kind[others.argmax(1)].eq(kind).float().mean().item()
    rows["AUC, own sound against the next clip's"] = triplet_auc(
        own.flatten(), (seen * heard.roll(1, 0)).sum(-1).flatten()).item()
    rows["right half"] = own.gt(wrong).float().mean().item()
    for what, value in rows.items():
        print(f"{what:<50}{value:8.3f}")
    print(f"{arguments.count} scenes from seed {arguments.seed}, {len(set(families))} families, {platform.machine()}, "
          f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
