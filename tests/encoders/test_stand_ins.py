"""Recordings that stand in for a reference: which family, which words are kept, the file."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from postsync import weights
from postsync.encoders.stand_ins import StandIns
from postsync.errors import WeightsError


@pytest.fixture
def stand_ins() -> StandIns:
    torch.manual_seed(0)
    return StandIns({name: torch.randn(6) for name in ("gun_shot", "metal_strike")})


def test_words_choose_the_family_and_disagreeing_words_are_left_out(stand_ins: StandIns) -> None:
    near, far = stand_ins.embeddings["gun_shot"], -stand_ins.embeddings["gun_shot"]
    prompts = ["a rifle shot", "a rifle shot", "a hammer hitting metal", "zzz", None]
    texts = functional.normalize(torch.stack([near, far, far, far, far]), dim=1)
    audio, words = stand_ins.tokens(prompts, texts)
    torch.testing.assert_close(audio[0], near)
    torch.testing.assert_close(audio[1], near)
    torch.testing.assert_close(audio[2], stand_ins.embeddings["metal_strike"])
    assert not audio[3:].any()
    assert torch.equal(words[0], texts[0])
    assert not words[1].any()  # taught by recordings alone, and the words say something else
    assert torch.equal(words[2:], texts[2:])  # drawn sounds of metal taught these words


def test_the_file_is_read_back_and_named_when_damaged(stand_ins: StandIns, tmp_path) -> None:
    assert StandIns.of_folder(tmp_path) is None
    path = stand_ins.save(tmp_path)
    again = StandIns.of_folder(tmp_path)
    assert again is not None
    torch.testing.assert_close(again.embeddings["gun_shot"], stand_ins.embeddings["gun_shot"], atol=1e-3, rtol=0)
    assert set(weights.taught_families(tmp_path) or ()) == {"gun_shot", "metal_strike"}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="is damaged"):
        StandIns.of_folder(tmp_path)


def test_means_of_sounds_are_of_unit_length(gram) -> None:
    noise = [0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    made = StandIns.of_sounds(gram, {"rain": iter(noise)}, 16000)
    assert float(made.embeddings["rain"].norm()) == pytest.approx(1.0, abs=1e-5)


def test_the_bundled_ones_stand_beside_gram() -> None:
    found = StandIns.of_folder(weights.bundled("gram"))
    assert found is not None
    assert {"gun_shot", "bark", "rain", "cat"} <= found.embeddings.keys()
