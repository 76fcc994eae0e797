"""ImageBind's sampling, cropping and filterbank against the official functions."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.imagebind_inputs import (
    audio_clips,
    clip_times,
    frame_pairs,
    sample_ranges,
    scale_and_crop,
    three_crops,
    video_views,
)


@pytest.fixture(scope="module")
def sampling(golden):
    return json.loads((golden("imagebind_preprocess") / "sampling_and_tokens.json").read_text())


@pytest.mark.golden
def test_clip_times(sampling):
    for key, expected in sampling["pinned_commit"].items():
        duration, count = key.split("s_")
        found = clip_times(float(duration), int(count.removesuffix("clips")))
        assert len(found) == len(expected)
        for times, wanted in zip(found, expected):
            assert [float(t) for t in times] == pytest.approx(wanted)


@pytest.mark.golden
def test_frames_and_samples(sampling):
    for key, expected in sampling["frame_indices"].items():
        duration, fps, frames, _ = key.split("_")
        pairs = frame_pairs(int(frames.removesuffix("frames")), float(fps.removesuffix("fps")),
                            float(duration.removesuffix("s")))
        assert [list(pair) for pair in pairs] == expected
    for length, expected in sampling["audio_sample_ranges_3clips_16k"].items():
        assert [list(limits) for limits in sample_ranges(int(length))] == expected


@pytest.mark.golden
def test_crops(golden):
    io = load_file(golden("imagebind_preprocess") / "crops.safetensors")
    for key in (k for k in io if k.startswith("frames_")):
        name = key.split("_")[1]
        crops = scale_and_crop(io[key])
        torch.testing.assert_close(crops[..., ::7, ::7], io[f"crops_{name}_step7"], atol=1e-5, rtol=0)
        torch.testing.assert_close(crops.mean((2, 3, 4)), io[f"crops_{name}_mean"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_filterbank(golden):
    io = load_file(golden("eval_frontends") / "frontends.safetensors")
    found = audio_clips(io["imagebind_wave_16k"])
    torch.testing.assert_close(found[0], io["imagebind_fbank_norm"], atol=2e-3 / 9.138, rtol=0)


def test_the_last_start_is_a_float_as_in_the_official_code():
    # 159999 samples are 9.9999375 s, less 2 a hair below 127999 / 16000
    assert sample_ranges(159999) == [(0, 32000), (63999, 95999), (127998, 159998)]
    assert sample_ranges(128001) == [(0, 32000), (48000, 80000), (96001, 128001)]


def test_overlapping_clips_find_the_mean_of_the_one_before_subtracted():
    noise = 0.1 * torch.randn(48000, generator=torch.Generator().manual_seed(0)) + 0.5
    before = noise.clone()
    found = audio_clips(noise)
    assert torch.equal(noise, before)
    changed = noise.clone()
    changed[:32000] -= noise[:32000].mean()
    torch.testing.assert_close(found[1], audio_clips(changed[8000:40000])[0], atol=1e-4, rtol=0)
    assert (found[1] - audio_clips(noise[8000:40000])[0]).abs().max() > 0.1  # at the step where the first clip ended


def test_short_clips_are_continued_after_the_logarithm():
    fbank = audio_clips(torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert fbank.shape == (3, 1, 128, 204)
    torch.testing.assert_close(fbank[0], fbank[2])
    torch.testing.assert_close(fbank[0, 0, :, 48:], torch.full((128, 204 - 48), 4.268 / 9.138))
    with pytest.raises(ValueError, match="one frame needs 400"):
        audio_clips(torch.zeros(300))


def test_crops_lie_at_start_middle_and_end():
    column = torch.arange(301.0).expand(1, 1, 224, -1)
    assert three_crops(column)[:, 0, 0, 0, 0].tolist() == [0, 39, 77]
    assert three_crops(column.transpose(2, 3))[:, 0, 0, 0, 0].tolist() == [0, 39, 77]


def test_views_of_both_protocols():
    frames = torch.randint(0, 256, (4, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert video_views(frames, 0.5).shape == (15, 3, 2, 224, 224)
    pairs = video_views(frames, 0.5, "av-benchmark")
    assert pairs.shape == (9, 3, 2, 224, 224)
    torch.testing.assert_close(pairs[0, :, 1], pairs[3, :, 0])  # a pair's second frame is the next one's first
    assert video_views(frames[:1], 25.0).shape == (15, 3, 2, 224, 224)
    for fps, protocol, message in ((0.5, "other", "choose imagebind"), (25.0, "av-benchmark", "at 0.5 fps")):
        with pytest.raises(ValueError, match=message):
            video_views(frames, fps, protocol)
    with pytest.raises(ValueError, match="without frames"):
        video_views(frames[:0], 25.0)
