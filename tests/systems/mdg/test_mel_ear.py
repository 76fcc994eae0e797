"""The mel ear: what it takes, what it is fitted to, and that a guide moves by it as it does by the waveform."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync import weights
from postsync.codecs.mel_vae import MelCodec
from postsync.encoders.gram import GramEncoder, load_gram, take_slice
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.guide import Step
from postsync.scenes.render import HELD_OUT_SEED, full_scenes, render_scene
from postsync.scenes.sounds import without_noise
from postsync.systems.mdg.guide import VolumeGuide
from postsync.systems.mdg.mel_ear import MelEar, level, load_mel_ear, mel_ear, neighbours


@pytest.fixture(scope="module")
def codec() -> MelCodec:
    return MelCodec.from_pretrained(weights.bundled("mel_codec")).requires_grad_(False)


@pytest.fixture(scope="module")
def gram() -> GramEncoder:
    return load_gram(weights.bundled("gram")).float().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def latents(codec) -> torch.Tensor:
    """Of three held-out scenes (3, 8, 50, 16)."""
    scenes = (render_scene(HELD_OUT_SEED + k, full_scenes(duration_s=2.0, **without_noise()), needs={"waveform"})
              for k in range(3))
    with torch.no_grad():
        return torch.cat([codec.encode(scene.waveform[None]).mean for scene in scenes])


def test_each_frame_sees_the_four_mels_around_it() -> None:
    log_mel = torch.arange(5.0)[None, :, None].expand(1, 5, 2)
    seen = neighbours(log_mel)
    assert seen.shape == (1, 3, 8)
    assert [sorted(set(row.tolist())) for row in seen[0]] == [[0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]


def test_the_fit_finds_a_linear_map_and_the_level() -> None:
    objective = mel_ear("mini")
    truth = torch.nn.Linear(256, 64)
    samples = []
    for seed in range(12):
        log_mel = torch.randn(60, 64, generator=torch.Generator().manual_seed(seed)) - 4
        samples.append({"log_mel": log_mel, "filterbank": truth(neighbours(log_mel[None]))[0].detach()})
    objective.fit(samples)
    fresh = torch.randn(1, 60, 64, generator=torch.Generator().manual_seed(99)) - 4
    torch.testing.assert_close(objective.ear(fresh, full_scale=False), truth(neighbours(fresh)), atol=0.02, rtol=0)
    expected = torch.stack([level(sample["log_mel"]).max() for sample in samples]).mean()
    assert objective.ear.config["loudest"] == pytest.approx(float(expected), abs=1e-4)


def test_the_bundled_one_hears_what_gram_hears(codec, gram, latents) -> None:
    ear = load_mel_ear(weights.bundled("mdg") / "mel_ear")
    with torch.no_grad():
        log_mel = codec.decode_mel(latents)
        sound = codec.vocode(log_mel)
        by_sound = gram.encode_audio(sound / sound.abs().amax(1, keepdim=True))
        by_mel, quieter = (gram.project_audio(gram.audio_tokens(take_slice(ear(given), 816)))
                           for given in (log_mel, log_mel - 1.0))
    assert (by_sound * by_mel).sum(1).min() > 0.85
    torch.testing.assert_close(by_mel, quieter, atol=1e-4, rtol=0)  # the level does not count


def step_of(codec, state: torch.Tensor, mels: bool = True) -> Step:
    def decode(clean, start_s=0.0, end_s=None):
        return codec.decode(clean)

    def decode_mel(clean, start_s=0.0, end_s=None):
        return codec.decode_mel(clean)

    return Step(5, 10, 0.5, 0.9, 0.43, 0.95, 0.3, state, state, torch.zeros(()), lambda x: x, decode,
                2.0, decode_mel if mels else None)


def test_a_guide_that_moves_by_the_mel_is_heard_in_the_waveform(codec, gram, latents) -> None:
    guide, judge = (VolumeGuide(gram, hears=hears, modalities="text", objective="cosine_to_audio", step_size=0.05)
                    for hears in ("mel", "waveform"))
    noisy = latents + 0.5 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    for each in (guide, judge):
        each.condition(["a dog barking", "rain on a roof", "hammer on metal"], None)
    before = judge.gradient(step_of(codec, noisy), noisy)[1]
    assert torch.equal(*(guide.gradient(step_of(codec, noisy), noisy)[0] for _ in range(2)))
    moved = noisy
    for _ in range(3):
        moved = guide._moved(step_of(codec, moved), moved, 0.05)
    assert judge.gradient(step_of(codec, moved), moved)[1].mean() < before.mean() - 0.01


def test_what_does_not_fit_is_refused(codec, gram, latents, tmp_path) -> None:
    guide = VolumeGuide(gram, hears="mel")
    guide.condition(["rain"], None)
    with pytest.raises(ConditionError, match="cannot hear the mel"):
        guide.gradient(step_of(codec, latents, mels=False), latents)
    guide.mel_ear = MelEar(mel_bins=32)
    with pytest.raises(ConditionError, match="cannot hear the mel"):
        guide.gradient(step_of(codec, latents), latents)
    with pytest.raises(WeightsError, match="no readable mel ear"):
        load_mel_ear(tmp_path)
    clip = render_scene(HELD_OUT_SEED, full_scenes(duration_s=1.0), needs={"waveform"})
    with pytest.raises(ConditionError, match="no sound at 16000 Hz"):
        mel_ear("mini").prepare(replace(clip, sample_rate=8000))
