"""Synchformer against official numbers, stage by stage, and on clips of known length."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.synchformer import OFFSETS_S, Synchformer, from_official, offsets
from postsync.errors import WeightsError


def tiny() -> Synchformer:
    torch.manual_seed(0)
    return Synchformer(width=16, depth=1, heads=2, head_depth=1, head_heads=2, crop=32).eval()


@pytest.fixture(scope="module")
def state(golden):
    weights = load_file(golden("synchformer_tiny") / "weights.safetensors")
    return {k.removeprefix("state_dict."): v for k, v in weights.items()}


@pytest.fixture(scope="module")
def model(golden, state):
    sizes = json.loads((golden("synchformer_tiny") / "config.json").read_text())
    model = from_official(state, heads=sizes["feature_heads"], head_heads=sizes["sync_heads"])
    assert model.crop == sizes["crop"]
    return model


@pytest.fixture(scope="module")
def io(golden):
    return load_file(golden("synchformer_tiny") / "io.safetensors")


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_official_video_tower(model, io):
    close(model.video_features(io["frames_uint8"])[None], io["video_features"])
    tower = model.video_tower
    segment = (io["frames_uint8"][:16].float() / 127.5 - 1).transpose(0, 1)[None]
    close(tower.patch_embed(segment).flatten(2).transpose(1, 2)[0], io["stage.v.patch_tokens_seg0"])
    x = tower.tokens(segment)
    close(x[0], io["stage.v.tokens_seg0"])
    block = tower.blocks[0]
    over_time = block.timeattn(block.norm3(x))
    close(over_time[0], io["stage.v.block0_timeattn_seg0"])
    close(block.attn(block.norm1(x + over_time))[0], io["stage.v.block0_spaceattn_seg0"])
    for index, block in enumerate(tower.blocks):
        x = block(x)
        close(x[0], io[f"stage.v.block{index}_seg0"])


@pytest.mark.golden
@torch.no_grad()
def test_official_audio_tower(model, io):
    mel = io["mel_segments"][0, :, 0]
    close(model.audio_tower(mel)[None], io["audio_features"])
    x = model.audio_tower.tokens(mel[:1])
    close(x[0], io["stage.a.tokens_seg0"])
    for index, block in enumerate(model.audio_tower.blocks):
        x = block(x)
        close(x[0], io[f"stage.a.layer{index}_seg0"])


@pytest.mark.golden
@torch.no_grad()
def test_official_head_and_windows(model, io):
    video, audio = io["video_features"], io["audio_features"]
    x = model.head.tokens(video, audio)
    close(x, io["stage.t.tokens"])
    for index, block in enumerate(model.head.blocks):
        x = block(x)
        close(x, io[f"stage.t.block{index}"])
    close(model.head(video, audio), io["logits_21"])
    close(offsets(io["logits_21"]).abs(), io["abs_offset"])
    close(torch.tensor(OFFSETS_S), io["offset_grid"])
    logits = model.offset_logits(io["desync.video_features"], io["desync.audio_features"])
    close(logits[:, 0], io["desync.logits_first"])
    close(logits[:, 1], io["desync.logits_last"])
    close(offsets(logits).abs(), io["desync.abs_offsets"])
    close(offsets(logits).abs().mean()[None], io["desync.score"])


@pytest.mark.golden
def test_official_layout(golden):
    shapes = json.loads((golden("eval_extractors") / "state_dict_shapes.json").read_text())
    shapes = shapes["synchformer_av_benchmark"]
    model = from_official({k: torch.empty(s, device="meta") for k, s in shapes.items()})
    sizes = {"width": 768, "depth": 12, "heads": 12, "head_depth": 3, "head_heads": 8, "crop": 224}
    assert dict(model.config) | sizes == dict(model.config)
    unread = sum(torch.Size(s).numel() for k, s in shapes.items() if ".patch_embed." in k)
    published = sum(torch.Size(s).numel() for s in shapes.values())
    assert sum(p.numel() for p in model.parameters()) == published - unread


def test_the_published_size_has_237_million_values():
    with torch.device("meta"):
        assert 236e6 < sum(p.numel() for p in Synchformer().parameters()) < 238e6


def test_a_clip_of_its_own_length_and_one_longer(tmp_path):
    model = tiny()
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (128, 3, 40, 56), generator=generator, dtype=torch.uint8)
    waveform = torch.rand(1, 16000 * 128 // 25, generator=generator) - 0.5
    found = model.features(frames, waveform)
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "video": (15, 8, 16), "audio": (15, 6, 16), "logits": (2, 21), "offsets_s": (2,)}
    assert set(found["offsets_s"].tolist()) <= set(torch.tensor(OFFSETS_S).tolist())
    alone = model.features(frames[:120], waveform[:, :76800])
    torch.testing.assert_close(alone["logits"], found["logits"][:1].expand(2, -1), atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path)
    later = Synchformer.from_pretrained(tmp_path).eval().features(frames[8:], waveform[:, 5120:])
    torch.testing.assert_close(later["logits"][1], found["logits"][1], atol=1e-4, rtol=0)


def test_of_a_wide_picture_the_middle_is_seen():
    frames = torch.randint(0, 256, (16, 3, 32, 41), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    model = tiny()
    assert torch.equal(model.video_features(frames), model.video_features(frames[..., 4:36]))
    assert model.video_features(frames[..., :35].repeat_interleave(2, 2).repeat_interleave(2, 3)).shape == (1, 8, 16)


def test_the_grid_is_symmetric_and_its_middle_in_sync():
    assert [-value for value in OFFSETS_S] == list(reversed(OFFSETS_S))
    assert offsets(torch.eye(21)).tolist() == torch.tensor(OFFSETS_S).tolist()
    assert offsets(torch.eye(21)[10]) == 0


def test_too_short_clips_are_refused():
    model = tiny()
    with pytest.raises(ValueError, match="13 segments of pictures"):
        model.features(torch.zeros(119, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, 76800))
    with pytest.raises(ValueError, match="8 frames"):
        model.video_features(torch.zeros(8, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="24 segments of pictures and 14 of sound"):
        model.offset_logits(torch.zeros(1, 24, 8, 16), torch.zeros(1, 14, 6, 16))


@pytest.mark.golden
def test_another_layout_is_refused(state):
    with pytest.raises(WeightsError, match=r"head\.vproj\.bias"):
        from_official({k: v for k, v in state.items() if k != "vproj.bias"}, heads=4, head_heads=4)
    with pytest.raises(WeightsError, match="Synchformer"):
        from_official(state | {"surprise": torch.zeros(1)}, heads=4, head_heads=4)
