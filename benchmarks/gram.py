"""Retrieval and triplet AUC of the GRAM towers on held-out scenes. `python benchmarks/gram.py [FOLDER]`

Text -> audio: every caption of a family looks for its family among one clip of each family; averaged over draws of
these clips. Triplets: the volume of (text, video, audio) of one clip against those with one part of another family.
Family: of all known ones, that whose mean training caption is nearest to a held-out caption, to a drawn sound, and,
with `--recordings`, to recordings of fold 5.
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
from torch.nn.functional import normalize

from postsync import weights
from postsync.encoders.gram import GramEncoder, pick_frames
from postsync.encoders.volume import pairwise_volume, volume
from postsync.metrics.similarity import recall_at_k, triplet_auc
from postsync.scenes.captions import paraphrases
from postsync.scenes.families import FAMILIES, KNOWN
from postsync.scenes.recordings import RecordingBank
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, full_scenes, render_scene
from postsync.scenes.sounds import SoundConfig, recorded_sounds

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


@torch.no_grad()
def families_found(encoder: GramEncoder, per_family: int, folders: list[Path]) -> list[tuple[str, float]]:
    """Shares of held-out captions, of drawn sounds and of recordings nearest to their own family's captions."""
    known = list(KNOWN)
    texts = [[encoder.encode_text(list(sentences)) for sentences in paraphrases(family)] for family in known]
    centres = normalize(torch.stack([taught.mean(0) for taught, _ in texts]), dim=-1)
    rows = [("held-out captions", [float((held_out @ centres.T).argmax(1).eq(index).float().mean())
                                   for index, (_, held_out) in enumerate(texts)])]
    dry = SoundConfig(noise=0.0, room=0.5)
    drawn = {family: [render_scene(HELD_OUT_SEED + k, full_scenes(families=(family,), duration_s=8.16, sound=dry),
                                   needs=frozenset({"waveform"})).waveform for k in range(per_family)]
             for family in FAMILIES}
    sounds = {"drawn sounds": drawn}
    if folders:
        bank = RecordingBank(*folders, folds=(5,))
        sounds["recordings"] = {family: [torch.from_numpy(sound)[None] for sound in
                                         recorded_sounds(family, bank, per_family)]
                                for family in known if family in bank.families}
    for name, groups in sounds.items():
        found = [float((encoder.encode_audio(sound / sound.abs().max().clamp_min(1e-4)) @ centres.T).argmax()
                       == known.index(family)) for family, group in groups.items() for sound in group]
        rows.append((name, found))
    return [(f"family of {name}, of {len(known)}", sum(found) / len(found)) for name, found in rows]


def main() -> None:
    """Print the figures with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=None, help="default: the bundled towers")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--per-family", type=int, default=8, help="clips of each family")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--duration", type=float, default=8.16, help="seconds")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="folders of labelled recordings")
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
    rows += families_found(encoder, arguments.per_family, arguments.recordings)
    for what, value in rows:
        print(f"{what:<58}{value:8.3f}")
    print(f"{len(NAMES)} families, {arguments.per_family} clips each from seed {arguments.seed}, "
          f"{arguments.draws} draws, {platform.machine()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
