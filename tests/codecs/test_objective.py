"""Both objectives: what they take, that they learn, what they write."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from postsync.codecs.mel_vae import MelCodec
from postsync.codecs.objective import MelVAEObjective, VocoderObjective, vae, vocoder
from postsync.codecs.presets import tiny
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.clip import Clip


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    noise = torch.randn(4, 16000, generator=torch.Generator().manual_seed(0))
    decay = torch.exp(-torch.arange(16000) / torch.tensor([[800.0], [3000.0], [9000.0], [1e9]]))
    return {"waveform": 0.2 * noise * decay}


def make(kind: str) -> MelVAEObjective | VocoderObjective:
    torch.manual_seed(0)
    if kind == "vae":
        return MelVAEObjective(tiny(), crop_frames=32, clip_samples=16000)
    return VocoderObjective(tiny(), codec=tiny().build(), crop_frames=40, clip_samples=16000)


@pytest.mark.parametrize(("kind", "name"), [("vae", "l1"), ("vocoder", "mel")])
def test_training_lowers_the_loss(kind: str, name: str, batch: dict[str, torch.Tensor]) -> None:
    objective = make(kind)
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=3e-3)
    losses = []
    for step in range(12):
        values = objective(batch, step=step, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values[name]))
    assert losses[-1] < 0.97 * losses[0]
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters() if p.grad is not None)
    grouped = sum(len(group["params"]) for group in objective.parameter_groups())
    still = sum(len(list(module.parameters())) for module in objective.frozen())
    assert grouped == len(list(objective.parameters())) - still


def test_same_generator_same_loss(batch: dict[str, torch.Tensor]) -> None:
    objective = make("vae")
    losses = [float(objective(batch, step=0, generator=torch.Generator().manual_seed(s))["loss"].detach())
              for s in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_crops_are_quieter_copies_and_some_start_in_silence() -> None:
    objective = MelVAEObjective(tiny(), crop_frames=10, clip_samples=4000, silence_probability=0.5)
    ramp = torch.linspace(0.1, 1, 4000).repeat(64, 1)
    crops = objective.crop(ramp, torch.Generator().manual_seed(0))
    assert crops.shape == (64, 1600)
    silent = (crops[:, 0] == 0).float().mean()
    assert 0.25 < float(silent) < 0.75
    assert float(crops.max()) <= 1.0
    sounding = crops[crops[:, 0] > 0]
    slopes = sounding[:, -1] - sounding[:, 0]
    assert float(slopes.max() / slopes.min()) > 3  # gains differ


def test_prepare_gives_one_length_in_mono_at_the_codecs_rate() -> None:
    objective = make("vae")
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(22050) / 44100)
    clip = Clip("a", 0.5, waveform=torch.stack([tone, tone]), sample_rate=44100)
    waveform = objective.prepare(clip)["waveform"]
    assert waveform.shape == (16000,)
    assert int(torch.fft.rfft(waveform[:8000]).abs().argmax()) == 220  # 440 Hz in half a second
    torch.testing.assert_close(waveform[8000:], waveform[:8000])  # repeated
    with pytest.raises(ConditionError, match="no sound"):
        objective.prepare(Clip("b", 1.0))


def test_export_makes_a_codec_with_unit_latents(tmp_path: Path, batch: dict[str, torch.Tensor]) -> None:
    vae, vocoder = make("vae"), make("vocoder")
    with pytest.raises(WeightsError, match=r"fit\(\) before export"):
        vae.export(tmp_path)
    vae.fit({"waveform": waveform} for waveform in batch["waveform"])
    vae.export(tmp_path)
    vocoder.codec = MelCodec.from_pretrained(tmp_path, vocoder=False)
    vocoder.export(tmp_path)
    codec = MelCodec.from_pretrained(tmp_path)
    with torch.no_grad():
        latents = codec.encode(batch["waveform"][:, None]).mean
    assert float(latents.square().mean().sqrt()) == pytest.approx(1.0, abs=0.01)
    assert (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size < 2.3 * sum(
        p.numel() for p in vae.parameters()) + 60_000  # float16
    mel = torch.full((1, 8, 64), -5.0)
    torch.testing.assert_close(codec.vocoder(mel), vocoder.vocoder(mel), atol=2e-3, rtol=1e-2)


def test_a_decoder_is_trained_alone_and_the_latents_stay(tmp_path: Path, batch: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(1)
    codec = tiny().build().eval()
    codec.vae.register_to_config(scaling_factor=1.7)
    codec.save_pretrained(tmp_path / "start")
    objective = vae("tiny", start=tmp_path / "start")
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=3e-3)
    for step in range(3):
        optimizer.zero_grad()
        objective(batch | {"waveform": batch["waveform"].repeat(1, 2)}, step=step,
                  generator=torch.Generator().manual_seed(0))["loss"].backward()
        optimizer.step()
    objective.export(tmp_path / "trained")
    trained = MelCodec.from_pretrained(tmp_path / "trained", vocoder=False)
    assert trained.vae.config.scaling_factor == 1.7
    with torch.no_grad():
        latents = codec.encode(batch["waveform"][:, None]).mean
        torch.testing.assert_close(trained.encode(batch["waveform"][:, None]).mean, latents, atol=0.01, rtol=0.01)
        assert float((trained.decode_mel(latents) - codec.decode_mel(latents)).abs().mean()) > 0.01


def test_the_vocoder_starts_at_the_right_level_and_keeps_silence() -> None:
    torch.manual_seed(0)
    codec = tiny().build()
    noise = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loud = codec.vocode(codec.log_mel(noise))
        silent = codec.vocode(codec.log_mel(torch.zeros(1, 16000)))
    assert 0.5 < float(loud.std() / noise.std()) < 2
    assert float(silent.abs().max()) < 1e-4


def test_discriminators_learn_what_the_vocoder_is_spared(batch: dict[str, torch.Tensor]) -> None:
    objective = make("vocoder")
    optimizer = torch.optim.AdamW(objective.discriminators.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        values = objective(batch, step=step, generator=torch.Generator().manual_seed(step % 2))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values["discriminator"]))
    assert losses[-1] < 0.95 * losses[0]


def test_the_vocoder_and_the_discriminators_pull_on_their_own_parameters(batch: dict[str, torch.Tensor]) -> None:
    objective = make("vocoder")
    values = objective(batch, step=0, generator=torch.Generator().manual_seed(0))
    values["loss"].backward()
    mine = objective.discriminators[0].score.weight.grad.clone()
    objective.zero_grad()
    objective.adversarial_weight = objective.feature_weight = 0.0
    objective(batch, step=0, generator=torch.Generator().manual_seed(0))["loss"].backward()
    torch.testing.assert_close(objective.discriminators[0].score.weight.grad, mine)  # not from the vocoder's terms
    assert objective.vocoder.head.weight.grad.abs().max() > 0


def test_a_share_of_the_mels_has_been_through_the_latents(batch: dict[str, torch.Tensor]) -> None:
    objective = make("vocoder")
    objective.mel_noise = 0.0
    waveform = batch["waveform"][:, :6400]
    true = objective.codec.log_mel(waveform)[:, :40]
    for share, equal in ((0.0, True), (1.0, False)):
        objective.decoded = share
        assert torch.allclose(objective.mels(waveform, torch.Generator().manual_seed(0)), true, atol=1e-5) is equal


def test_an_export_blends_what_was_trained_with_what_it_started_from(tmp_path: Path) -> None:
    start = tiny().build()
    start.save_pretrained(tmp_path / "start")
    objective = vocoder("tiny", start=tmp_path / "start", blend=0.25)
    with torch.no_grad():
        objective.vocoder.head.bias += 1.0
    objective.export(tmp_path / "export")
    blended = MelCodec.from_pretrained(tmp_path / "export").vocoder.head.bias
    torch.testing.assert_close(blended, start.vocoder.head.bias + 0.25, atol=1e-3, rtol=0)
    with pytest.raises(ConditionError, match="--part start=FOLDER"):
        vocoder("tiny", blend=0.25)
