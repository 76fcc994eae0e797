"""GRAM against the official model, and the rules by which it picks frames and slices."""

import pytest
import torch
from torch.nn.functional import pad

from postsync.encoders.gram import GramEncoder, mini, pick_frames, take_slice
from postsync.errors import ConditionError, WeightsError


@torch.no_grad()
def test_embeddings_are_unit_vectors(make_encoder):
    encoder = make_encoder()
    video = encoder.encode_video(torch.rand(3, 2, 3, 20, 30))
    audio = encoder.encode_audio(0.1 * torch.randn(3, 8000))
    text = encoder.encode_text(["a bell", "a dog", "metal"])
    for embedding in (video, audio, text):
        assert embedding.shape == (3, encoder.embedding_dim)
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))
    assert not torch.allclose(text[0], text[1])
    torch.testing.assert_close(encoder.encode_text(encoder.tokenize(["a dog"]))[0], text[1])


def test_audio_is_differentiable_down_to_the_waveform(make_encoder):
    encoder = make_encoder()
    waveform = (0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))).requires_grad_()
    encoder.encode_audio(waveform)[0, 0].backward()
    assert waveform.grad.isfinite().all()
    assert waveform.grad[0].abs().sum() > 0
    assert waveform.grad[1].abs().sum() == 0


@torch.no_grad()
def test_the_order_of_frames_does_not_matter_to_the_embedding(make_encoder):
    encoder, frames = make_encoder(), torch.rand(1, 4, 3, 16, 16)
    torch.testing.assert_close(encoder.encode_video(frames), encoder.encode_video(frames.flip(1)))


@torch.no_grad()
def test_saved_folder_loads_with_its_vocabulary(make_encoder, tmp_path):
    encoder = make_encoder(matching=True)
    encoder.save_pretrained(tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors", ".json", ".txt"}
    loaded = GramEncoder.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.encode_text(["a dog barks"]), encoder.encode_text(["a dog barks"]))
    assert loaded.matching_head is not None


@torch.no_grad()
def test_half_precision_folder_loads_in_single(make_encoder, tmp_path):
    encoder = make_encoder()
    before = encoder.encode_text(["a dog"])
    encoder.half().save_pretrained(tmp_path)
    loaded = GramEncoder.from_pretrained(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.encode_text(["a dog"]), before, atol=5e-3, rtol=0)


def test_missing_parts_are_named(make_encoder):
    encoder = make_encoder()
    encoder.tokenizer = None
    with pytest.raises(WeightsError, match="no vocabulary"):
        encoder.encode_text(["a"])
    with pytest.raises(WeightsError, match="no matching head"):
        encoder.match_logits(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2, 16))
    with pytest.raises(ConditionError, match="400 samples"):
        encoder.encode_audio(torch.zeros(1, 399))


def test_frames_are_the_middle_of_equal_parts():
    assert pick_frames(10, 2).tolist() == [2, 7]  # parts 0..4 and 5..9, element (5 + 1) // 2 - 1
    assert pick_frames(7, 3).tolist() == [1, 3, 5]  # the first part is longer
    assert pick_frames(8, 8).tolist() == list(range(8))
    assert pick_frames(1, 4).tolist() == [0, 0, 0, 0]
    assert max(pick_frames(3, 8).tolist()) == 2


def test_drawn_frames_lie_in_their_parts_and_repeat_with_the_seed():
    draws = torch.stack([pick_frames(20, 2, torch.Generator().manual_seed(s)) for s in range(40)])
    assert (draws[:, 0] < 10).all()
    assert (draws[:, 1] >= 10).all()
    assert len(draws[:, 0].unique()) > 5
    assert torch.equal(draws[3], pick_frames(20, 2, torch.Generator().manual_seed(3)))


def test_slices_follow_the_official_padding():
    ramp = torch.arange(1.0, 30).view(1, -1, 1)
    assert torch.equal(take_slice(ramp[:, :7], 10), pad(ramp[:, :7], (0, 0, 0, 3)))
    assert torch.equal(take_slice(ramp[:, :10], 10), ramp[:, :10])  # two slices, the second empty: the first is taken
    assert torch.equal(take_slice(ramp[:, :25], 10), ramp[:, 10:20])
    drawn = {take_slice(ramp, 10, torch.Generator().manual_seed(s))[0, 0, 0].item() for s in range(20)}
    assert drawn == {1.0, 11.0, 21.0}


def test_the_mini_fits_its_folder():
    parameters = sum(p.numel() for p in GramEncoder.from_preset(mini()).parameters())
    assert 2 * parameters < 12e6  # bytes in float16
    assert mini().slice_frames > (130560 - 400) // 160 + 1  # 8.16 s are one slice


@torch.no_grad()
def test_recorded_value(make_encoder):
    encoder = make_encoder()
    waveform = 0.1 * torch.sin(torch.arange(8000) * 0.3).unsqueeze(0)
    assert encoder.encode_audio(waveform)[0, :2].tolist() == pytest.approx(RECORDED_AUDIO, abs=1e-4)
    assert encoder.encode_text(["a bell rings"])[0, :2].tolist() == pytest.approx(RECORDED_TEXT, abs=1e-4)


RECORDED_AUDIO = [0.611987, -0.411615]
RECORDED_TEXT = [-0.128126, 0.142691]


@torch.no_grad()
def test_a_light_video_tower_is_held_in_half_and_freed_after_each_encoding(make_encoder, tmp_path):
    make_encoder().save_pretrained(tmp_path)
    encoder, light = (GramEncoder.from_pretrained(tmp_path).eval() for _ in range(2))
    frames = torch.rand(1, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = encoder.encode_video(frames)
    light.lighten()
    assert {value.dtype for value in light.video_tower.blocks.parameters()} == {torch.float16}
    assert light.dtype == torch.float32
    for _ in range(2):
        seen = light.encode_video(frames)
        assert seen.dtype == torch.float32
        torch.testing.assert_close(seen, expected, atol=2e-3, rtol=0)
        assert sum(value.numel() for value in light.video_tower.blocks.parameters()) == 0
    assert torch.equal(light.encode_text(["a bell"]), encoder.encode_text(["a bell"]))
    light.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(GramEncoder.from_pretrained(tmp_path / "again").eval().encode_video(frames), expected,
                               atol=2e-3, rtol=0)
    kept = make_encoder()
    kept.lighten()
    torch.testing.assert_close(kept.encode_video(frames), kept.encode_video(frames))
    assert sum(value.numel() for value in kept.video_tower.blocks.parameters()) > 0
