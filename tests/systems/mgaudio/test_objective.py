"""The training: what it draws, what gets gradients, what is prepared and exported, and that it learns the right way."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.codecs.chunking import LatentPosterior
from postsync.data.extractor_version import extractor_version
from postsync.diffusion.solvers import flow_times, sample_flow
from postsync.encoders.cavp import Cavp
from postsync.encoders.clap import Clap
from postsync.errors import ConditionError, PostsyncError
from postsync.media.audio import resample
from postsync.protocols.clip import Clip
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.checkpoint import negated
from postsync.systems.mgaudio.losses import guided_target
from postsync.systems.mgaudio.objective import MGAudioObjective, audio_embeddings
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
from postsync.training.state import ExponentialMovingAverage
from tiny_pipeline import draw_weights

PRESET = presets.tiny()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(size: int = 4, frames: int = 16, steps: int = 2) -> dict[str, torch.Tensor]:
    g = seeded(3)
    unit = torch.nn.functional.normalize
    return {"latent_mean": torch.randn(size, 8, frames, 16, generator=g).half(),
            "latent_std": torch.full((size, 8, frames, 16), 0.1).half(),
            "video": unit(torch.randn(size, steps, 12, generator=g), dim=-1).half(),
            "audio": unit(torch.randn(size, steps, 12, generator=g), dim=-1).half()}


def changed(**groups) -> presets.MGAudioPreset:
    """The tiny preset with fields of its groups changed: changed(guidance={"weight": 0})."""
    return replace(PRESET, **{name: replace(getattr(PRESET, name), **fields) for name, fields in groups.items()})


def test_starts_at_the_variance_of_the_target_and_follows_the_generator():
    objective = MGAudioObjective(PRESET)
    one, again, other = (objective(batch(), step=0, generator=seeded(s)) for s in (1, 1, 2))
    assert one["loss"].item() == again["loss"].item() != other["loss"].item()
    assert one["amg"].item() == one["flow"].item() == pytest.approx(2.0, abs=0.2)
    assert one["loss"].item() == pytest.approx(one["amg"].item() + 0.5 * one["align"].item())
    assert torch.equal(objective(batch(), step=5)["loss"], objective(batch(), step=5)["loss"])


def test_what_is_trained_and_what_the_teacher_leaves_alone():
    objective = MGAudioObjective(PRESET)
    draw_weights(objective.transformer, 0)
    ema = ExponentialMovingAverage(objective, 0.9, objective.frozen())
    trained = {id(p) for group in objective.parameter_groups() for p in group["params"]}
    assert {n for n, p in objective.named_parameters() if id(p) not in trained} == {"transformer.pos_embed"}
    draw_weights(ema.teacher.transformer, 1)
    ema.teacher.requires_grad_(False)
    values = objective(batch(), step=2, teacher=ema.teacher, generator=seeded())
    assert values["amg"].item() != values["flow"].item()
    itself = objective(batch(), step=2, teacher=objective, generator=seeded())
    assert values["flow"].item() == itself["flow"].item()
    assert values["amg"].item() != itself["amg"].item()  # the teacher's weights bend the target, not the student's
    values["loss"].backward()
    assert all(p.grad is not None for p in objective.parameters() if id(p) in trained)
    assert all(p.grad is None for p in ema.teacher.parameters())


@pytest.mark.parametrize(("step", "guidance"), [(1, {}), (9, {"weight": 0.0}), (9, {"t_high": 0.0}),
                                                (9, {"condition_drop": 1.0}), (9, {"start_step": -1})])
def test_the_target_stays_plain(step, guidance):
    objective = MGAudioObjective(changed(guidance=guidance))
    draw_weights(objective.transformer, 0)
    values = objective(batch(), step=step, teacher=objective, generator=seeded())
    assert values["amg"].item() == values["flow"].item()


def test_dropped_samples_and_the_teachers_blind_pass_have_the_condition_of_no_picture():
    objective = MGAudioObjective(replace(PRESET, transformer=PRESET.transformer | {"null_features": True}))
    draw_weights(objective.transformer, 0)
    blind = batch() | {"video": torch.zeros(4, 2, 12)}
    dropped = torch.tensor([True] * 4)
    given = [batch()[n].float() for n in ("latent_mean", "video", "audio")]
    parts = {"noise": torch.randn(4, 8, 16, 16, generator=seeded()), "t": torch.full((4,), 0.5),
             "weights": torch.zeros(4), "teacher": None}
    out = [objective.losses(given[0], video=v, dropped=d, audio=given[2], **parts)["amg"].item()
           for v, d in ((given[1], dropped), (blind["video"], ~dropped), (given[1], ~dropped))]
    assert out[0] == pytest.approx(out[1], rel=1e-6)
    assert out[0] != pytest.approx(out[2], rel=1e-6)
    nowhere = guided_target(torch.zeros(4, 8, 16, 16), given[0], parts["t"], blind["video"], torch.ones(4),
                            objective.transformer)
    assert nowhere.abs().max() < 1e-6  # a picture of nothing adds nothing


def test_without_alignment_there_is_no_projector():
    objective = MGAudioObjective(changed(alignment={"weight": 0.0}))
    values = objective(batch(), step=0)
    assert "align" not in values
    assert not any("projectors" in name for name, _ in objective.named_parameters())


def test_latents_are_drawn_from_the_posterior_or_are_its_mean():
    seen = []
    for sample in (True, False):
        objective = MGAudioObjective(changed(training={"sample_posterior": sample}))
        objective.losses = lambda clean, *rest: seen.append(clean) or {}
        objective(batch(), step=0)
    assert torch.equal(seen[1], batch()["latent_mean"].float())
    assert (seen[0] - seen[1]).std().item() == pytest.approx(0.1, rel=0.1)


def test_crops_take_latents_and_vectors_of_the_same_time(codec):
    objective = MGAudioObjective(PRESET, codec=codec)
    frames, steps = 50, 8  # 2 s
    long = batch(30, frames, steps)
    long["latent_mean"] = torch.arange(frames).expand(30, 8, 16, frames).mT.half()
    long["video"] = long["audio"] = torch.arange(steps).expand(30, 12, steps).mT.half()
    mean, std, video, audio = objective._crop(long, seeded())
    assert (mean.shape, std.shape, video.shape) == ((30, 8, 16, 16), (30, 8, 16, 16), (30, 2, 12))
    starts = video[:, 0, 0]
    assert set(starts.tolist()) == {0, 1, 2, 3, 4, 5}
    assert (mean[:, 0, 0, 0] - starts * 6.25).abs().max() <= 0.5
    assert torch.equal(video, audio)
    whole = long | {"audio": torch.ones(30, 1, 12)}
    assert objective._crop(whole, seeded())[3].shape == (30, 1, 12)
    with pytest.raises(ConditionError, match="12 latent frames and 2 features"):
        objective._crop(batch(2, 12, 2), seeded())
    with pytest.raises(PostsyncError, match="give the codec"):
        MGAudioObjective(PRESET)._crop(long, seeded())


class Stereo(torch.nn.Module):
    """A codec of 24 kHz, two channels and 50 latent frames a second; a latent frame's values are its samples' means."""

    sampling_rate, channels, latent_rate, context_frames = 24000, 2, 50.0, 1

    def latent_shape(self, num_samples: int) -> tuple[int, ...]:
        return 2, num_samples // 480, 1

    def encode(self, waveform: torch.Tensor) -> LatentPosterior:
        mean = waveform.unflatten(-1, (-1, 480)).mean(-1)[..., None]
        return LatentPosterior(mean, torch.zeros_like(mean))

    def decode(self, latents: torch.Tensor, num_samples: int | None = None, *,
               first_frame: int = 0) -> torch.Tensor:
        return latents[..., 0].repeat_interleave(480, dim=-1)[..., :num_samples]


def test_rate_and_channels_are_the_codecs(cavp):
    objective = MGAudioObjective(changed(training={"cached_s": 2.0}), codec=Stereo(), cavp=cavp)
    assert (objective.wants.sample_rate, objective.wants.channels) == (24000, 2)
    ramp = torch.linspace(-1, 1, 48000)
    sound = torch.stack([ramp, -ramp.square()])
    sample = objective.prepare(clip(2.0, waveform=sound, sample_rate=24000))
    assert {name: tuple(value.shape) for name, value in sample.items()} == {
        "latent_mean": (2, 100, 1), "latent_std": (2, 100, 1), "video": (8, 12), "audio": (8, 12)}
    assert sample["latent_mean"][0].diff(dim=0).gt(0).all()
    assert not torch.equal(*sample["latent_mean"])
    mono = objective.prepare(clip(2.0, waveform=sound[:1], sample_rate=24000))
    assert torch.equal(*mono["latent_mean"])  # as of a scene: in every channel
    looped = objective.prepare(clip(0.5, waveform=sound[:, :12000], sample_rate=24000))
    assert torch.equal(looped["latent_mean"][:, :25], looped["latent_mean"][:, 25:50])
    long = {"latent_mean": torch.arange(100.0).expand(30, 2, 1, 100).mT, "latent_std": torch.zeros(30, 2, 100, 1),
            "video": torch.arange(8.0).expand(30, 12, 8).mT, "audio": torch.ones(30, 1, 12)}
    mean, _, video, _ = objective._crop(long, seeded())
    assert (mean[:, 0, 0, 0] - video[:, 0, 0] * 12.5).abs().max() <= 0.5
    assert set(video[:, 0, 0].tolist()) == {0, 1, 2, 3, 4, 5, 6}


def clip(duration_s: float = 0.64, fps: int = 8, **changes) -> Clip:
    count = round(duration_s * fps)
    frames = torch.randint(0, 255, (count, 3, 20, 24), dtype=torch.uint8, generator=seeded(1))
    sound = torch.rand(1, round(duration_s * 16000), generator=seeded(2)) - 0.4
    return Clip(**{"clip_id": "a", "duration_s": duration_s, "frames": frames, "times": torch.arange(count) / fps,
                   "waveform": sound, "sample_rate": 16000} | changes)


def test_prepared_samples_fit_the_model(codec, cavp):
    objective = MGAudioObjective(PRESET, codec=codec, cavp=cavp)
    sample = objective.prepare(clip())
    assert {name: tuple(value.shape) for name, value in sample.items()} == {
        "latent_mean": (8, 16, 16), "latent_std": (8, 16, 16), "video": (2, 12), "audio": (2, 12)}
    assert sample["video"].float().norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-2)
    louder = objective.prepare(clip(waveform=3 * clip().waveform))
    torch.testing.assert_close(louder["latent_mean"], sample["latent_mean"], atol=1e-2, rtol=1e-2)
    scaled = MGAudioObjective(replace(PRESET, latent_scale=4.0), codec=codec, cavp=cavp).prepare(clip())
    torch.testing.assert_close(scaled["latent_mean"].float(), 4 * sample["latent_mean"].float(), atol=1e-2, rtol=1e-2)
    silent = objective.prepare(clip(waveform=torch.zeros(1, 10240)))
    assert all(bool(value.isfinite().all()) for value in silent.values())


def test_shorter_clips_are_looped_picture_and_sound_together(codec, cavp):
    objective = MGAudioObjective(PRESET, codec=codec, cavp=cavp)
    short = clip(0.3)
    sample = objective.prepare(short)
    assert torch.equal(sample["video"][0], sample["video"][1])
    period = short.waveform[:, :4000]
    again = objective.prepare(clip(waveform=period.repeat(1, 3)[:, :10240]))
    torch.testing.assert_close(sample["latent_mean"], again["latent_mean"])


def test_gram_may_listen_instead(codec, cavp, gram):
    preset = changed(alignment={"encoder": "gram", "mode": "global"})
    preset = replace(preset, transformer=preset.transformer | {"align_dim": gram.embedding_dim})
    objective = MGAudioObjective(preset, codec=codec, cavp=cavp, audio_encoder=gram)
    sample = objective.prepare(clip())
    assert sample["audio"].shape == (1, gram.embedding_dim)
    given = {name: value[None].repeat(2, *[1] * value.dim()) for name, value in sample.items()}
    assert bool(objective(given, step=0)["loss"].isfinite())


def test_clap_hears_the_same_sound_at_its_own_rate():
    torch.manual_seed(0)
    clap = Clap(patch_width=4, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), text_width=8, text_layers=1, text_heads=1,
                vocabulary=20, positions=20, embed_dim=6).eval()
    sound = torch.rand(16000, generator=seeded(2)) - 0.5
    heard = audio_embeddings(clap, sound, 16000)
    resampled = torch.from_numpy(resample(sound[None].numpy(), 16000, 48000))
    torch.testing.assert_close(heard, clap.features(resampled)["embedding"])
    assert heard.shape == (1, 6)


@pytest.mark.parametrize(("broken", "message"), [
    ({"waveform": None}, "no sound at 16000"), ({"sample_rate": 22050}, "resample"), ({"frames": None}, "no pictures")])
def test_clips_that_cannot_be_prepared_are_named(codec, cavp, broken, message):
    with pytest.raises(ConditionError, match=message):
        MGAudioObjective(PRESET, codec=codec, cavp=cavp).prepare(clip(**broken))


def test_preparing_takes_codec_and_encoders(codec, tmp_path):
    with pytest.raises(PostsyncError, match="CAVP"):
        MGAudioObjective(PRESET, codec=codec).prepare(clip())
    objective = MGAudioObjective(PRESET, codec=codec, feature_folder=tmp_path)
    with pytest.raises(PostsyncError, match="codec and CAVP"):
        objective.prepare(clip())


@pytest.mark.parametrize(("scale", "factor"), [(None, 1.0), (4.0, 4.0 / 0.92)])
def test_latents_are_scaled_by_the_codecs_factor_or_by_another(codec, cavp, scale, factor):
    plain = MGAudioObjective(PRESET, codec=codec, cavp=cavp).prepare(clip())
    scaled = copy.deepcopy(codec)
    scaled.vae.register_to_config(scaling_factor=0.92)
    preset = replace(PRESET, latent_scale=scale)
    sample = MGAudioObjective(preset, codec=scaled, cavp=cavp).prepare(clip())
    ratio = 0.92 * factor / codec.vae.config.scaling_factor
    for name in ("latent_mean", "latent_std"):
        torch.testing.assert_close(sample[name].float(), ratio * plain[name].float(), atol=2e-3, rtol=2e-3)
    pipe = MGAudioPipeline.from_parts(preset, codec=scaled)
    latents = torch.randn(1, 8, 16, 16, generator=seeded())
    torch.testing.assert_close(pipe._decode(ratio * latents, 10240),
                               codec.decode(latents, 10240), atol=1e-4, rtol=1e-4)


def test_what_is_prepared_depends_on_neither_size_nor_training(codec, cavp, tmp_path):
    def version(preset=PRESET, **parts):
        return extractor_version(MGAudioObjective(preset, **{"codec": codec, "cavp": cavp} | parts))

    known = version()
    other = replace(PRESET, transformer=PRESET.transformer | {"depth": 1}, guidance=presets.GuidanceTraining(weight=0))
    assert version(other) == known
    assert version(replace(PRESET, training=replace(PRESET.training, waveform_peak=0.5))) != known
    assert version(feature_folder=tmp_path) != known
    another = Cavp.from_config(cavp.config)
    assert version(cavp=another) != known


def test_features_from_files_stand_for_pictures(codec, cavp, tmp_path):
    rows = torch.nn.functional.normalize(torch.randn(2, 12, generator=seeded()), dim=1).numpy()
    np.savez(tmp_path / "a.npz", feat=rows)
    objective = MGAudioObjective(PRESET, codec=codec, cavp=cavp, feature_folder=tmp_path)
    sample = objective.prepare(clip(frames=None, times=None))
    torch.testing.assert_close(sample["video"].float(), torch.from_numpy(rows), atol=1e-3, rtol=1e-3)
    with pytest.raises(ConditionError, match=r"b\.npz cannot be read"):
        objective.prepare(clip(clip_id="b"))


def test_mixed_precision_is_close_and_its_losses_are_not_halved():
    objective = MGAudioObjective(PRESET)
    draw_weights(objective.transformer, 0)
    exact = objective(batch(), step=9, teacher=objective, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = objective(batch(), step=9, teacher=objective, generator=seeded())
    assert all(value.dtype == torch.float32 for value in mixed.values())
    assert mixed["amg"].item() == pytest.approx(exact["amg"].item(), rel=0.03)
    mixed["loss"].backward()
    assert all(p.grad.isfinite().all() for p in objective.transformer.parameters() if p.requires_grad)


def test_export_is_a_pipeline_without_the_projector(tmp_path):
    objective = MGAudioObjective(PRESET)
    draw_weights(objective.transformer, 4)
    objective.export(tmp_path)
    stored = load_file(tmp_path / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {v.dtype for v in stored.values()} == {torch.float16}
    assert not any(name.startswith("projectors") for name in stored)
    pipe = MGAudioPipeline.from_pretrained(tmp_path, codec=None, cavp=None)
    torch.testing.assert_close(pipe.transformer.final_layer.linear.weight.float(),
                               objective.transformer.final_layer.linear.weight, atol=1e-3, rtol=1e-3)


def test_export_holds_codec_and_cavp_that_are_not_the_bundled_ones(codec, cavp, tmp_path):
    MGAudioObjective(PRESET, codec=codec, cavp=cavp, whole=True).export(tmp_path)
    pipe = MGAudioPipeline.from_pretrained(tmp_path)
    latents = torch.randn(1, 8, 16, 16, generator=seeded())
    torch.testing.assert_close(pipe.codec.decode(latents), codec.decode(latents))
    assert pipe.cavp.config["embed_dim"] == 12


def test_learns_which_picture_has_which_sound_and_a_wrong_sign_leads_away():
    torch.manual_seed(0)
    preset = changed(alignment={"weight": 0.0}, training={"sample_posterior": False}, guidance={"condition_drop": 0.0})
    objective, given = MGAudioObjective(preset), batch(4)
    given["latent_mean"] = torch.randn(4, 8, 1, 1, generator=seeded(1)).expand(4, 8, 16, 16)
    clean, video = given["latent_mean"], given["video"].float()
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=1e-2)
    for step in range(60):
        optimizer.zero_grad()
        objective(given, step=step)["loss"].backward()
        optimizer.step()
    model = objective.transformer.eval()

    @torch.no_grad()
    def distances() -> torch.Tensor:
        condition = model.pool_features(video)
        x = torch.randn(clean.shape, generator=seeded(9))
        out = sample_flow(lambda x, t, _: model(x.float(), torch.full((4,), t), condition)[0], x, flow_times(4))
        return torch.cdist(out.float().flatten(1), clean.flatten(1))

    right = distances()
    assert right.argmin(1).tolist() == [0, 1, 2, 3]
    model.load_state_dict(negated(model.state_dict()))
    assert distances().diagonal().min() > right.diagonal().max()
