"""Both byte-pair tokenisers on small vocabularies; CLIP's on its own where the user has it."""

import gzip
import json
import os
from pathlib import Path

import pytest

from postsync.encoders.byte_pairs import ClipTokenizer, RobertaTokenizer
from postsync.errors import WeightsError

MERGES = ["d o", "do g</w>", "b a", "r k", "ba rk", "bark s</w>"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
    return tmp_path


def test_clip_pieces_are_merged_and_closed(folder):
    tokenizer = ClipTokenizer(folder)
    merged = {"do": 512, "dog": 513, "ba": 514, "rk": 515, "bark": 516, "barks": 517}
    ids = tokenizer(["A  DOG barks!", "dob"])
    assert ids.shape == (2, 77)
    letter_a_end, mark_end = 256 + ord("a") - ord("!"), 256
    assert ids[0].tolist() == [518, letter_a_end, merged["dog"], merged["barks"], mark_end, 519] + [0] * 71
    assert ids[1, :4].tolist() == [518, merged["do"], 256 + ord("b") - ord("!"), 519]


def test_clip_text_is_cleaned(folder):
    tokenizer = ClipTokenizer(folder)
    assert tokenizer([" dog &amp;amp; dog "]).equal(tokenizer(["dog & dog"]))
    assert tokenizer(["3000"])[0, :6].tolist() == [518, *(256 + ord(c) - ord("!") for c in "3000"), 519]
    long = tokenizer(["dog " * 100])[0]
    assert (long[0], long[-1]) == (tokenizer.start, tokenizer.end)
    assert long[1:-1].eq(513).all()


def test_the_packed_vocabulary_is_read(folder):
    lines = ['"bpe_simple_vocab_16e6.txt#version: 0.2', *MERGES]
    path = folder / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert ClipTokenizer(path)(["dog barks"]).equal(ClipTokenizer(folder / "merges.txt")(["dog barks"]))


@pytest.mark.golden
def test_clip_ids_with_the_official_vocabulary(golden):
    cases = json.loads((golden("imagebind_preprocess") / "sampling_and_tokens.json").read_text())["tokens"]
    if "POSTSYNC_CLIP_VOCABULARY" not in os.environ:
        pytest.skip("POSTSYNC_CLIP_VOCABULARY does not name a bpe_simple_vocab_16e6.txt.gz")
    tokenizer = ClipTokenizer(Path(os.environ["POSTSYNC_CLIP_VOCABULARY"]))
    for case, ids in zip(cases, tokenizer([case["text"] for case in cases])):
        expected = case["ids_without_padding"]
        assert ids.tolist() == expected + [0] * (77 - len(expected)), case["text"]


def test_roberta_pieces_and_mask(tmp_path):
    words = ["<s>", "<pad>", "</s>", "<unk>", *"abdgkors", "Ġ", "do", "dog", "Ġb", "Ġba"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    with pytest.raises(WeightsError, match=r"no merges\.txt"):
        RobertaTokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nd o\ndo g\nĠ b\nĠb a\n")
    ids, mask = RobertaTokenizer(tmp_path)(["dog bark", "dog " * 90])
    assert [words[i] for i in ids[0, :6]] == ["<s>", "dog", "Ġba", "r", "k", "</s>"]
    assert mask.sum(1).tolist() == [6, 77]
    assert ids[0, 6:].eq(1).all()
    assert words[ids[1, -1]] == "</s>"


def test_absent_vocabularies_say_which(tmp_path):
    with pytest.raises(WeightsError, match="no CLIP vocabulary"):
        ClipTokenizer(tmp_path)
    (tmp_path / "notes.txt").write_text("do not\nread me\n")
    with pytest.raises(WeightsError, match="joins 'do' and 'not'"):
        ClipTokenizer(tmp_path / "notes.txt")
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(WeightsError, match="lacks <s>"):
        RobertaTokenizer(tmp_path)
