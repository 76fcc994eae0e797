"""CAVP against the official encoders, and what its features do with clips of other lengths."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.cavp import Cavp, from_official, pool_windows
from postsync.errors import WeightsError
from postsync.features.spectrogram import cavp_mel

TINY = {"embed_dim": 8, "video_width": 4, "video_blocks": (1, 1, 1, 1), "audio_widths": (4, 4, 8, 8, 8, 16),
        "image_size": 32}


def close(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@pytest.fixture(scope="module")
def case(golden):
    folder = golden("cavp")
    return (load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors"),
            json.loads((folder / "config.json").read_text()))


@pytest.fixture(scope="module")
def official(case):
    state, io, sizes = case
    model = from_official({f"module.{k}": v for k, v in state.items()}, embed_dim=sizes["embed_dim"],
                          video_width=sizes["base_channels"], audio_widths=sizes["audio_channels"][1:],
                          num_mel_bins=sizes["n_mels"])
    return model, io


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Cavp(**TINY).eval()


@pytest.mark.golden
@torch.no_grad()
def test_video_stages_and_steps(official):
    model, io = official
    seen = {}
    names = {"video_encoder.layer1": "layer1", "video_encoder.layer2": "layer2", "video_encoder.layer3": "layer3",
             "video_encoder.layer4": "layer4"}
    hooks = [model.get_submodule(path).register_forward_hook(lambda _m, args, out, name=name: seen.update(
        {name: out, **({"stem": args[0]} if name == "layer1" else {})})) for path, name in names.items()]
    steps = model.encode_video(io["in.video"])
    for hook in hooks:
        hook.remove()
    for name, value in seen.items():
        close(value, io[f"mid.video.{name}"])
    assert len(seen) == 5
    close(steps, io["out.video"])
    close(torch.nn.functional.normalize(steps, dim=-1), io["out.video_norm"])
    close(pool_windows(steps)[:, 0], io["out.video_pool_norm"])


@pytest.mark.golden
@torch.no_grad()
def test_video_encoded_in_part_sees_the_edge(official):
    model, io = official
    expected = io["out.video_first8_alone"]
    alone = torch.nn.functional.normalize(model.encode_video(io["in.video"][:, : expected.shape[1]]), dim=-1)
    close(alone, expected)
    assert (alone - io["out.video_norm"][:, : expected.shape[1]]).abs().max() > 1e-3


@pytest.mark.golden
@torch.no_grad()
def test_audio_steps(official):
    model, io = official
    steps = model.encode_audio(io["in.spec"].transpose(1, 2))
    close(steps, io["out.spec"])
    close(torch.nn.functional.normalize(steps, dim=-1), io["out.spec_norm"])
    close(pool_windows(steps)[:, 0], io["out.spec_pool_norm"])


@pytest.mark.golden
def test_front_end_at_both_hops(golden):
    io = load_file(golden("mel") / "io.safetensors")
    for hop in (250, 256):
        expected = io[f"out.cavp_mel_hop{hop}_reflect"].T[None]
        torch.testing.assert_close(cavp_mel(io["in.wav"][None], hop), expected, atol=1e-4, rtol=0)


@pytest.mark.golden
def test_the_published_sizes_have_the_official_layout(golden):
    layout = json.loads((golden("cavp") / "official_keys_full.json").read_text())
    with torch.device("meta"):
        model = Cavp()
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == layout["keys"]
    assert sum(p.numel() for p in model.parameters()) == 113_406_593


def test_frames_are_resized_and_encoded_forty_at_a_time(tiny):
    frames = torch.randint(0, 256, (47, 3, 24, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = tiny.video_features(frames)
    assert features["steps"].shape == (47, 8)
    assert features["windows"].shape == (2, 8)
    tail = tiny.video_features(frames[40:])["steps"]
    torch.testing.assert_close(features["steps"][40:], tail)
    torch.testing.assert_close(features["steps"].norm(dim=-1), torch.ones(47))


def test_sound_has_four_steps_a_second(tiny):
    waveform = torch.randn(2, 16000 * 5, generator=torch.Generator().manual_seed(1)) * 0.1
    features = tiny.audio_features(waveform)
    assert features["steps"].shape == (2, 20, 8)
    assert features["windows"].shape == (2, 1, 8)
    later = tiny.audio_features(torch.roll(waveform, 16000, dims=-1))["steps"]
    torch.testing.assert_close(later[:, 7:18], features["steps"][:, 3:14])  # a second later is four steps later


def test_batch_statistics_stay_as_they_are(tiny):
    before = tiny.spec_encoder.bn.running_mean.clone()
    tiny.audio_features(torch.randn(1, 16000))
    assert torch.equal(tiny.spec_encoder.bn.running_mean, before)


def test_folder_there_and_back(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    again = Cavp.from_pretrained(tmp_path).eval()
    waveform = torch.randn(1, 8000)
    torch.testing.assert_close(again.audio_features(waveform), tiny.audio_features(waveform))


def test_bad_input_is_refused(tiny):
    with pytest.raises(ValueError, match="without frames"):
        tiny.video_features(torch.zeros(0, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="less than a quarter"):
        tiny.audio_features(torch.zeros(1, 3000))
    state = dict(tiny.state_dict())
    with pytest.raises(WeightsError, match="1 tensors differ, first 'surprise'"):
        from_official({**state, "surprise": torch.zeros(2)}, **TINY)
    with pytest.raises(WeightsError, match="twice"):
        from_official({**state, "module.logit_scale": torch.zeros(())}, **TINY)


@torch.no_grad()
def test_recorded_value(tiny):
    ramp = torch.from_numpy(np.linspace(0, 1, 64 * 128, dtype=np.float32)).view(1, 64, 128)
    assert tiny.encode_audio(ramp)[0, -1, :3].tolist() == pytest.approx(RECORDED, abs=1e-4)


RECORDED = [-0.117953, 0.020097, -0.076591]
