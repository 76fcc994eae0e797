"""The text tower against transformers' BERT, its cross-attention, and the tokenizer."""

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from postsync.encoders.text import TextConfig, TextTower, WordPieceTokenizer
from postsync.errors import WeightsError

SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 12}
IDS = torch.tensor([[2, 7, 8, 3, 0, 0], [2, 9, 10, 11, 12, 3]])


def tower(cross_attention=False):
    torch.manual_seed(0)
    return TextTower(TextConfig(**SIZES), cross_attention).eval()


@torch.no_grad()
def test_it_is_transformers_bidirectional_bert():
    ours = tower()
    theirs = BertModel(BertConfig(**SIZES), add_pooling_layer=False).eval()
    theirs.load_state_dict(ours.state_dict())
    expected = theirs(IDS, attention_mask=(IDS != 0).long()).last_hidden_state
    real = IDS != 0
    torch.testing.assert_close(ours(IDS)[real], expected[real], atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_first_token_reads_the_whole_caption_but_no_padding():
    model = tower()
    base = model(IDS)
    later = IDS.clone()
    later[1, 4] = 20
    assert not torch.allclose(model(later)[1, 0], base[1, 0], atol=1e-5)
    torch.testing.assert_close(model(IDS[:1, :4])[0, 0], base[0, 0])


@torch.no_grad()
def test_a_condition_changes_the_text_and_needs_cross_attention():
    condition = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    model = tower(cross_attention=True)
    assert not torch.allclose(model(IDS, condition), model(IDS), atol=1e-3)
    shuffled = condition[:, torch.tensor([4, 2, 0, 1, 3])]
    torch.testing.assert_close(model(IDS, condition), model(IDS, shuffled))  # a set of tokens, no order of its own
    with pytest.raises(WeightsError, match="matching=True"):
        tower()(IDS, condition)


def test_tokenizer_splits_words_as_bert_does(tokenizer, tmp_path):
    ids = tokenizer(["A bell rings!", "Dogs barking, hammer"], max_length=9)
    names = [[tokenizer.words[i] for i in row] for row in ids]
    assert names[0] == ["[CLS]", "a", "bell", "rings", "[UNK]", "[SEP]", "[PAD]", "[PAD]", "[PAD]"]
    assert names[1] == ["[CLS]", "dog", "##s", "bark", "##ing", ",", "hammer", "[SEP]", "[PAD]"]
    assert tokenizer(["a bell rings a bell"], max_length=4)[0].tolist() == [2, 5, 6, 3]
    tokenizer.save(tmp_path)
    assert WordPieceTokenizer(tmp_path).words == tokenizer.words
    assert len(WordPieceTokenizer(tmp_path / "vocab.txt")) == len(tokenizer)


def test_tokenizer_agrees_with_transformers(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    reference = BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    texts = ["A  Dog barks, a BELL rings", "hammering metal", ""]
    expected = reference(texts, padding="max_length", truncation=True, max_length=7)["input_ids"]
    assert tokenizer(texts, max_length=7).tolist() == expected


def test_bad_vocabularies_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no WordPiece vocabulary at .*vocab\.txt"):
        WordPieceTokenizer(tmp_path)
    with pytest.raises(WeightsError, match=r"lacks \[CLS\], \[SEP\]"):
        WordPieceTokenizer(["[PAD]", "[UNK]", "a"])
