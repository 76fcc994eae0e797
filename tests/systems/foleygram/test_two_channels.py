"""FoleyGRAM in the paper's shape, small: a codec of two channels, a prepended token, the envelope through the codec."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync.codecs import oobleck
from postsync.encoders.stand_ins import embed_recording
from postsync.errors import ConditionError
from postsync.features.envelope import CAUSAL, CENTRED, Envelope, causal_window, frame_rms
from postsync.media.audio import resample
from postsync.protocols.clip import Clip
from postsync.systems.foleygram import presets
from postsync.systems.foleygram.conditions import envelope_latents, read_envelope
from postsync.systems.foleygram.controlnet import DiTControlNet
from postsync.systems.foleygram.objective import FoleyGRAMObjective
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline

RATE = 8000  # 125 latent frames a second
PRESET = replace(
    presets.tiny(), layout={"channels": 4}, native_frames=100, control_encoder="vae",
    dit={"io_channels": 4, "embed_dim": 64, "depth": 2, "num_heads": 1, "cond_token_dim": 64, "global_cond_dim": 16,
         "ff_mult": 1.0})


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codec() -> oobleck.OobleckCodec:
    torch.manual_seed(3)
    return oobleck.tiny(sampling_rate=RATE).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def stereo(codec, gram) -> FoleyGRAMPipeline:
    torch.manual_seed(4)
    pipe = FoleyGRAMPipeline.from_parts(PRESET, codec=codec, gram=gram)
    pipe.register_modules(controlnet=DiTControlNet.from_dit(pipe.transformer, 0.5, "vae"))
    for part in (pipe.transformer, pipe.controlnet):
        for p in part.parameters():
            p.data = torch.randn(p.shape, generator=seeded(p.numel())) * (0.3 if p.dim() < 2 else p[0].numel() ** -0.5)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def clip(channels: int = 2, rate: int = RATE) -> Clip:
    sound = 0.2 * torch.randn(channels, rate // 2, generator=seeded())
    frames = torch.randint(0, 255, (5, 3, 20, 20), dtype=torch.uint8, generator=seeded())
    return Clip("a", 0.5, frames=frames, waveform=sound, sample_rate=rate, captions=("hammer on metal",))


def run(pipe, **changes) -> torch.Tensor:
    return pipe(**{"prompt": "hammer on metal", "generator": seeded(), "output_type": "latent"} | changes).audios


def test_sounds_with_every_condition(stereo):
    given = {"prompt": "bell", "duration_s": 1.0, "envelope": torch.linspace(0, 1, 100),
             "video": torch.rand(4, 3, 9, 9, generator=seeded()),
             "reference_audio": torch.randn(2, 4000, generator=seeded()), "generator": seeded(), "fader_db": 12.0}
    audios = stereo(**given).audios
    assert audios.shape == (1, 2, RATE)
    assert audios.std() > 0
    assert (stereo.channels, stereo.sampling_rate, stereo.native_s) == (2, RATE, 0.8)
    for name in ("prompt", "envelope", "video", "reference_audio"):
        other = stereo(**{k: v for k, v in given.items() if k != name} | {"generator": seeded()}).audios
        assert (other - audios).abs().max() > 1e-4, name


def test_an_envelope_goes_through_the_codec_by_the_recipe_it_was_trained_on(stereo):
    sound = 0.3 * torch.randn(6400, generator=seeded()) * (torch.arange(6400) > 3000)
    given = Envelope(causal_window(sound).clamp(0, 1), rate=RATE, recipe=CAUSAL)
    latents = envelope_latents(stereo.codec, given.values[None])
    assert latents.shape == (1, 4, 100)
    assert torch.equal(latents, stereo.codec.encode(given.values.expand(1, 2, -1)).mean)
    conditioner = stereo._conditioner(stereo.settings)
    torch.testing.assert_close(conditioner._control(given, 100, 2), latents.expand(2, -1, -1))
    derived = conditioner._envelope_wave(Envelope(frame_rms(sound, RATE)), 6400)
    assert (derived - given.values).abs().max() < 0.05 < given.values.max()
    half = conditioner._envelope_wave(Envelope(given.values[::2], rate=RATE / 2, recipe=CAUSAL), 6400)
    assert (half - given.values).abs().max() < 1e-3
    assert conditioner._envelope_wave(None, 50).eq(-1).all()
    assert (run(stereo, envelope=given) - run(stereo)).abs().max() > 1e-4
    with pytest.raises(ConditionError, match="'causal_window', not 'librosa'"):
        run(stereo, envelope=replace(given, recipe="librosa"))


def test_a_branch_names_its_recipe():
    sizes = {**PRESET.dit, "depth": 1}
    assert DiTControlNet(**sizes).config["envelope_recipe"] == CAUSAL
    assert DiTControlNet(**sizes, control_encoder="frames").config["envelope_recipe"] == CENTRED
    assert DiTControlNet(**sizes, envelope_recipe=CENTRED).config["envelope_recipe"] == CENTRED
    with pytest.raises(ConditionError, match="not causal_window"):
        DiTControlNet(**sizes, control_encoder="frames", envelope_recipe=CAUSAL)
    with pytest.raises(ConditionError, match="without values"):
        read_envelope(torch.zeros(0))


def test_gram_hears_mono_at_its_own_rate(gram):
    sound = torch.randn(1, 16000, generator=seeded())
    faster = torch.from_numpy(resample(sound.numpy(), 16000, 32000))
    with torch.no_grad():
        right, wrong = embed_recording(gram, sound, 16000), embed_recording(gram, faster, 16000)
        heard = embed_recording(gram, faster.expand(2, -1), 32000)
    assert (heard - right).norm() < 0.2 * (wrong - right).norm()


def test_windows_hear_their_own_part_of_the_envelope(stereo):
    late = torch.zeros(200)
    late[170:] = 0.5
    long = {"duration_s": 2.0, "num_inference_steps": 2}
    changed = (run(stereo, **long, envelope=late) - run(stereo, **long, envelope=torch.zeros(200))).abs().amax(1)[0]
    assert changed.shape == (250,)
    assert changed[:90].max() < 1e-6 < changed[200:].max()


def test_guides_take_gradients_through_the_codec(stereo):
    found = []

    class Louder:
        def after_step(self, step):
            with torch.enable_grad():
                latents = step.latents.detach().requires_grad_()
                part = step.decode(step.clean_estimate(latents), 0.2, 0.4)
                part.square().mean().backward()
            found.append((part.shape, latents.grad.abs().amax(1)[0]))
            return step.latents + latents.grad

    run(stereo, guides=[Louder()])
    assert [shape for shape, _ in found] == [(1, 2, 1600)] * 3
    near, far = found[0][1][25:50], found[0][1][75:]
    assert near.max() > 0
    assert far.max() == 0


def test_both_stages_train_on_what_was_prepared(codec, gram):
    base = FoleyGRAMObjective(PRESET, codec=codec, gram=gram)
    samples = [base.prepare(clip()), base.prepare(clip(channels=1))]
    assert {name: tuple(value.shape) for name, value in samples[0].items()} == {
        "latents": (4, 100), "envelope": (4, 100), "audio": (8,), "video": (8,), "text": (3, 8)}
    base.fit(samples)
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    control = control_stage(codec, gram, envelope_drop=0.5, crop_frames=40, crop_share=0.5)
    for objective, part in ((base, "transformer"), (control, "controlnet")):
        optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=1e-2)
        before = [p.clone() for p in getattr(objective, part).parameters()]
        for step in range(3):
            optimizer.zero_grad()
            loss = objective(batch, step=step)["loss"]
            assert 0 < loss.item() < 100
            loss.backward()
            optimizer.step()
        assert any(not torch.equal(old, new) for old, new in zip(before, getattr(objective, part).parameters()))


def control_stage(codec, gram, **training) -> FoleyGRAMObjective:
    return FoleyGRAMObjective(replace(PRESET, training=replace(PRESET.training, **training)), stage="control",
                              base=FoleyGRAMPipeline.from_parts(PRESET), codec=codec, gram=gram)


def test_no_control_is_the_codecs_latents_of_minus_one(codec, gram, stereo):
    objective = control_stage(codec, gram, envelope_drop=0.5)
    sample = objective.prepare(clip())
    batch = {name: value[None].expand(40, *value.shape) for name, value in sample.items()}
    control, estimated = objective._envelope(objective._controls(batch), seeded())
    none = stereo._conditioner(stereo.settings)._control(None, 100, 1)[0]
    dropped = torch.tensor([bool(torch.allclose(row, none, atol=1e-3)) for row in control])
    assert 10 < int(dropped.sum()) < 30
    assert not estimated.any()
    torch.testing.assert_close(control[~dropped][0], sample["envelope"].float())


def test_a_saved_folder_keeps_its_codec_or_takes_a_named_one(stereo, gram, tmp_path):
    stereo.save_pretrained(tmp_path / "whole")
    stereo.codec.save_pretrained(tmp_path / "codec")
    gram.save_pretrained(tmp_path / "gram")
    own = {name: part for name, part in stereo.components.items() if name not in ("codec", "gram")}
    FoleyGRAMPipeline.from_parts(PRESET, **own).save_pretrained(tmp_path / "own")
    parts = {"codec": tmp_path / "codec", "gram": tmp_path / "gram"}
    for loaded in (FoleyGRAMPipeline.from_pretrained(tmp_path / "whole"),
                   FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts=parts)):
        loaded.set_progress_bar_config(disable=True)
        assert isinstance(loaded.codec, oobleck.OobleckCodec)
        torch.testing.assert_close(run(loaded, output_type="pt"), run(stereo, output_type="pt"), atol=1e-4, rtol=1e-3)
    half = FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts=parts, torch_dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    sound = run(half, output_type="pt", envelope=torch.linspace(0, 1, 80))
    assert sound.shape == (1, 2, 6400)
    assert bool(sound.isfinite().all())
