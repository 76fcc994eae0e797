"""The vocabulary: whole for what people type, never [UNK] for latin letters, the bundled file up to date."""

from __future__ import annotations

from itertools import chain

import pytest
from transformers import BertTokenizerFast

from postsync import weights
from postsync.scenes.captions import paraphrases, vocabulary_words
from postsync.scenes.families import KNOWN
from postsync.scenes.vocabulary import SPECIAL_TOKENS, build_vocabulary, write_vocabulary

BUNDLED = weights.ROOT / "gram" / "vocab.txt"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_vocabulary(folder / "vocab.txt")
    return BertTokenizerFast.from_pretrained(folder)


def test_size_and_order() -> None:
    entries = build_vocabulary()
    assert tuple(entries[:5]) == SPECIAL_TOKENS
    assert len(entries) == len(set(entries))
    assert 2200 <= len(entries) <= 2304


def test_words_of_captions_are_whole() -> None:
    assert {w.replace("'", "") for w in vocabulary_words()} <= set(build_vocabulary())


def test_held_out_captions_have_no_unknown_token(tokenizer: BertTokenizerFast) -> None:
    for family in KNOWN:
        for sentence in paraphrases(family)[1]:
            assert "[UNK]" not in tokenizer.tokenize(sentence), sentence


def test_words_nobody_foresaw_become_pieces(tokenizer: BertTokenizerFast) -> None:
    tokens = tokenizer.tokenize("Xylophonists zigzag, quietly!")
    assert "[UNK]" not in tokens
    assert "".join(t.removeprefix("##") for t in tokens) == "xylophonistszigzag,quietly!"


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        build_vocabulary(size=100)


def test_common_endings_are_pieces() -> None:
    assert {"##ing", "##er", "##ed"} <= set(build_vocabulary())


def test_the_bundled_file_writes_every_caption() -> None:
    bundled = BertTokenizerFast.from_pretrained(BUNDLED.parent)
    for sentence in chain(*(chain(*paraphrases(family)) for family in KNOWN)):
        assert "[UNK]" not in bundled.tokenize(sentence), sentence
