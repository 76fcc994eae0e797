"""Pairs for training: questions and captions of a manifest, parts of clips, cut-mix and roll, what is silent."""

from __future__ import annotations

from dataclasses import replace

import torch

from postsync.protocols.clip import Clip
from postsync.systems.vatt.pairs import Part, audible, captions_of, draw_part, mixed, stilled


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 3) -> dict[str, torch.Tensor]:
    """Clips whose features and tokens tell their own number and time."""
    place = torch.arange(32)[None, :, None].expand(count, -1, 1).float()
    number = torch.arange(count)[:, None, None].expand(-1, 32, 1).float()
    heard = torch.arange(204)[None, None].expand(count, 2, -1) + 1000 * torch.arange(count)[:, None, None]
    sounds = torch.zeros(count, 32, dtype=torch.bool)
    sounds[0, 20:] = True
    return {"video": torch.cat([number, place], dim=-1), "audible": sounds, "tokens": heard,
            "shown": torch.ones(count, dtype=torch.bool)}


def test_a_part_holds_the_tokens_of_its_pictures() -> None:
    part = draw_part(batch(), 16, seeded(), 25.0)
    assert part.video.shape == (3, 16, 2)
    assert part.tokens.shape == (3, 2, 100)
    for number in range(3):
        start = part.video[number, 0, 1].item()
        assert torch.equal(part.video[number, :, 1], torch.arange(16) + start)
        assert abs(part.tokens[number, 0, 0].item() - 1000 * number - 6.25 * start) <= 0.5
    assert part.silent[1:].all()
    whole = draw_part(batch(), 32, seeded(), 25.0)
    assert whole.silent.tolist() == [False, True, True]


def test_cut_mix_goes_on_as_another_clip_at_the_same_time() -> None:
    given = draw_part(batch(8), 16, seeded(1), 25.0)
    made = mixed(given, torch.ones(8, dtype=torch.bool), seeded(2))
    cut = 0
    for number in range(8):
        owners = made.video[number, :, 0].long()
        heard = made.tokens[number, 0] // 1000
        if owners.unique().numel() > 1:
            cut += 1
            edge = int((owners != owners[0]).nonzero()[0])
            assert owners[0] == number
            assert abs(int((heard != heard[0]).nonzero()[0]) - edge * 6.25) <= 0.5
            assert not made.silent[number]
    assert cut >= 2
    told_by_words = replace(given, shown=torch.arange(8) < 1)
    owners = mixed(told_by_words, torch.ones(8, dtype=torch.bool), seeded(2)).video[..., 0]
    assert set(owners.unique().long().tolist()) == set(range(8))
    assert all(set(row.unique().tolist()) <= {0.0, float(number)} for number, row in enumerate(owners))
    kept = mixed(given, torch.zeros(8, dtype=torch.bool), seeded(2))
    assert torch.equal(kept.tokens, given.tokens)
    assert torch.equal(kept.video, given.video)


def test_roll_turns_pictures_and_tokens_alike() -> None:
    part = draw_part(batch(64), 16, seeded(1), 25.0)
    made = mixed(part, torch.ones(64, dtype=torch.bool), seeded(3))
    rolled = [k for k in range(64) if made.video[k, :, 0].unique().numel() == 1
              and not torch.equal(made.video[k], part.video[k])]
    assert rolled
    for k in rolled:
        shift = int(made.video[k, 0, 1] - part.video[k, 0, 1])
        assert torch.equal(made.video[k], part.video[k].roll(-shift, 0))
        assert torch.equal(made.tokens[k], part.tokens[k].roll(-round(shift * 6.25), -1))


def test_a_picture_that_stands_still_is_silent() -> None:
    part = draw_part(batch(), 8, seeded(), 25.0)
    made = stilled(part, torch.tensor([True, False, False]))
    assert made.video[0].unique(dim=0).shape[0] == 1
    assert torch.equal(made.video[0, 0], part.video[0, 0])
    assert torch.equal(made.video[1:], part.video[1:])
    assert made.silent.tolist() == [True, *part.silent[1:].tolist()]


def test_quarters_of_a_second_without_sound_are_silent() -> None:
    sound = torch.zeros(1, 16000)
    sound[0, 8000] = 0.5
    assert audible(Clip("a", 1.0, waveform=sound, sample_rate=16000), 6).tolist() == [False, False, True, False, False,
                                                                                      False]
    assert audible(Clip("a", 1.0), 4).all()
    assert not audible(Clip("a", 1.0, waveform=torch.zeros(1, 16000), sample_rate=16000), 4).any()
    assert captions_of(Clip("a", 1.0, label="kazoo", captions=("a kazoo",))) == ["a kazoo"]
    assert isinstance(draw_part({k: v for k, v in batch().items() if k != "tokens"}, 8, seeded()), Part)
