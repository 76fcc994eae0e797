"""Retrieval and triplet AUC of the GRAM towers on held-out scenes. `python benchmarks/gram.py [FOLDER]`

Text -> audio: every caption of a family looks for its family among one clip of each family; averaged over draws of
these clips. Triplets: the volume of (text, video, audio) of one clip against those with one part of another family.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from postsync import weights
from postsync.encoders.gram import GramEncoder, pick_frames
from postsync.encoders.volume import pairwise_volume, volume
from postsync.metrics.similarity import recall_at_k, triplet_auc
from postsync.scenes.captions import paraphrases
from postsync.scenes.families import FAMILIES
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, full_scenes, render_scene

NAMES = tuple(FAMILIES)


@torch.no_grad()
def encode_scenes(encoder: GramEncoder, seed: int, per_family: int, config: SceneConfig) -> dict[str, list[Tensor]]:
    """(video, audio) embeddings (per_family, 2, D) of held-out clips of every family, under the family's name."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for i, name in enumerate(NAMES):
        for k in range(per_family):
            clip = render_scene(seed + i * per_family + k, replace(config, families=(name,)))
            assert clip.frames is not None
            assert clip.waveform is not None
            frames = clip.frames[pick_frames(len(clip.frames), encoder.num_frames)].unsqueeze(0)
            found[name].append(torch.cat([encoder.encode_video(frames.float() / 255),
                                          encoder.encode_audio(clip.waveform)]))
    return found


def text_recalls(texts: Tensor, wanted: Tensor, clips: Tensor, draws: int,
                 generator: torch.Generator) -> dict[str, float]:
    """Recall at 1 of texts (Q, D), which seek the families `wanted` (Q,), among one clip per family.

    clips (families, per_family, 2, D). Scores: cosine with sound or picture, minus the volume with both.
    """
    total: dict[str, float] = defaultdict(float)
    families = torch.arange(len(clips))
    for _ in range(draws):
        chosen = torch.randint(clips.shape[1], (len(clips),), generator=generator)
        video, audio = clips[families, chosen].unbind(1)
        scores = {"audio": texts @ audio.T, "audio, by volume": -pairwise_volume(texts, audio),
                  "video": texts @ video.T, "video + audio, by volume": -pairwise_volume(texts, video, audio)}
        for name, score in scores.items():
            total[name] += recall_at_k(score, 1, wanted, families).item() / draws
    return total


def triplet_aucs(texts: Tensor, clips: Tensor, generator: torch.Generator) -> dict[str, float]:
    """AUC by minus the volume: texts (families, P, D), clips (families, per_family, 2, D)."""
    families, per_family = clips.shape[:2]
    label = torch.arange(families).repeat_interleave(per_family)
    video, audio = clips.flatten(0, 1).unbind(1)
    text = texts[label, torch.randint(texts.shape[1], (len(label),), generator=generator)]
    other = (torch.arange(len(label)) + per_family * torch.randint(1, families, (len(label),), generator=generator))
    other = other % len(label)  # a clip of another family
    matched = -volume(text, video, audio)
    parts = {"text": (text[other], video, audio), "video": (text, video[other], audio),
             "audio": (text, video, audio[other])}
    mismatched = {name: -volume(*triplet) for name, triplet in parts.items()}
    return {f"another {name}": triplet_auc(matched, scores).item() for name, scores in mismatched.items()} | {
        "any part": triplet_auc(matched, torch.cat(list(mismatched.values()))).item()}


def main() -> None:
    """Print the figures with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=None, help="default: the bundled towers")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--per-family", type=int, default=8, help="clips of each family")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--duration", type=float, default=8.16, help="seconds")
    arguments = parser.parse_args()
    encoder = GramEncoder.from_pretrained(arguments.folder or weights.bundled("gram")).eval()
    scenes = full_scenes(duration_s=arguments.duration)
    clips = encode_scenes(encoder, arguments.seed, arguments.per_family, scenes)
    stacked = torch.stack([torch.stack(clips[name]) for name in NAMES])
    generator = torch.Generator().manual_seed(arguments.seed)
    rows = []
    for kind, name in enumerate(("training captions", "held-out captions")):
        sentences = [paraphrases(family)[kind] for family in NAMES]
        with torch.no_grad():
            texts = [encoder.encode_text(list(s)) for s in sentences]
        wanted = torch.arange(len(NAMES)).repeat_interleave(torch.tensor([len(t) for t in texts]))
        recalls = text_recalls(torch.cat(texts), wanted, stacked, arguments.draws, generator)
        rows += [(f"R@1 text -> {what}, {name}", value) for what, value in recalls.items()]
        aucs = triplet_aucs(torch.stack([t[:min(map(len, texts))] for t in texts]), stacked, generator)
        rows += [(f"triplet AUC, {what}, {name}", value) for what, value in aucs.items()]
    for what, value in rows:
        print(f"{what:<58}{value:8.3f}")
    print(f"{len(NAMES)} families, {arguments.per_family} clips each from seed {arguments.seed}, "
          f"{arguments.draws} draws, {platform.machine()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
