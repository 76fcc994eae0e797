"""The reader of hits: what it is told, what it learns from pictures that flash, what it says of them; saving."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from postsync.errors import ConditionError
from postsync.metrics.hit_reader import HitReader, HitReaderObjective
from postsync.protocols.clip import Clip, Event, hits_at_frames
from postsync.weights import bundled


def flashing(hits_s: tuple[float, ...], seed: int = 0) -> Clip:
    """Four seconds of a grey that jumps at each hit, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(32) / 8
    level = 0.3 + 0.4 * (torch.bucketize(times + 1 / 16, torch.tensor(hits_s), right=True) % 2)
    frames = level[:, None, None, None] + 0.02 * torch.randn(32, 3, 32, 32, generator=generator)
    return Clip(f"flash{seed}", 4.0, (255 * frames.clamp(0, 1)).to(torch.uint8), times.double(),
                events=tuple(Event(t, t, "hit") for t in hits_s))


def test_hits_are_told_to_the_nearest_frame() -> None:
    told = hits_at_frames(flashing((0.0, 0.52, 3.99, 9.0)), 32, 8.0)
    assert told[:, 0].nonzero()[:, 0].tolist() == [0, 4]  # the last lies nearest to a frame after the clip
    torch.testing.assert_close(told[4, 1], torch.tensor(0.52 * 8 - 4))


def test_it_learns_what_flashes() -> None:
    torch.manual_seed(0)
    objective = HitReaderObjective(HitReader((8, 8, 8), hidden=16))
    generator = torch.Generator().manual_seed(1)
    clips = [flashing(tuple(sorted(((3 * torch.randperm(9, generator=generator)[:3] + 2) / 8).tolist())), k)
             for k in range(12)]
    samples = [objective.prepare(clip) for clip in clips]
    batch = {name: torch.stack([sample[name] for sample in samples[:8]]) for name in samples[0]}
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-2)
    for step in range(40):
        loss = objective(batch, step=step, generator=torch.Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    objective.eval()
    unseen = torch.stack([sample["frames"] for sample in samples[8:]]).float() / 255
    found = objective.reader.hits(unseen)
    for clip, hits in zip(clips[8:], found, strict=True):
        wanted = [event.t for event in clip.events]
        assert len(hits) == len(wanted)
        assert max(abs(a - b) for a, b in zip(hits, wanted, strict=True)) < 0.1
    assert objective.reader.undecided(unseen).max() < 0.1
    assert objective.reader.undecided(0.5 * unseen + 0.5 * unseen.flip(1)).shape == (4,)


def test_it_is_saved_in_half_the_size(tmp_path) -> None:
    objective = HitReaderObjective(HitReader((8, 8, 8), hidden=16))
    objective.export(tmp_path)
    written = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in written.values()} == {torch.float16}
    again = HitReader.from_pretrained(tmp_path)
    assert tuple(again.config["widths"]) == (8, 8, 8)
    frames = torch.rand(1, 4, 3, 64, 64)
    torch.testing.assert_close(again(frames), objective.reader(frames), atol=1e-2, rtol=0)


def test_the_bundled_one_reads_a_held_out_scene() -> None:
    from postsync.codecs.pictures import even_frames
    from postsync.metrics.onsets import onset_scores
    from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, impacts, render_scene

    reader = HitReader.from_pretrained(bundled("hit_reader")).float().eval()
    config = SceneConfig(duration_s=4.0, size=64, fps=8.0, **impacts())
    scores = []
    for seed in range(6):
        clip = render_scene(HELD_OUT_SEED + seed, config, needs=frozenset({"frames"}))
        found = reader.hits(even_frames(clip, 4.0, 8.0)[None].float() / 255)[0]
        scores.append(onset_scores(found, [event.t for event in clip.events], 0.1).f1)
    assert sum(scores) / len(scores) > 0.8


def test_a_clip_without_what_it_learns_from_is_refused() -> None:
    with pytest.raises(ConditionError, match="has no events"):
        HitReaderObjective().prepare(Clip("still", 4.0, torch.zeros(32, 3, 64, 64, dtype=torch.uint8),
                                          torch.arange(32).double() / 8))
    with pytest.raises(ConditionError, match="has no pictures"):
        HitReaderObjective().prepare(Clip("dark", 4.0, events=(Event(1.0, 1.0, "hit"),)))
