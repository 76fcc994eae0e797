"""The trainings: what gets gradients, what a batch loses, what is prepared and exported, and that both learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from postsync.errors import ConditionError, PostsyncError
from postsync.protocols.clip import Clip
from postsync.systems.foleygram import presets
from postsync.systems.foleygram.objective import FoleyGRAMObjective
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline

PRESET = presets.tiny()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    g = generator(3)
    unit = torch.nn.functional.normalize
    return {"latents": torch.randn(size, 8, 16, 16, generator=g).half(), "envelope": torch.rand(size, 64, generator=g),
            "video": unit(torch.randn(size, 8, generator=g), dim=-1),
            "audio": unit(torch.randn(size, 8, generator=g), dim=-1),
            "text": unit(torch.randn(size, 3, 8, generator=g), dim=-1)}


def control_objective(**training) -> FoleyGRAMObjective:
    preset = replace(PRESET, training=replace(PRESET.training, **training))
    return FoleyGRAMObjective(preset, stage="control", base=FoleyGRAMPipeline.from_parts(preset))


def trained_names(objective: FoleyGRAMObjective) -> set[str]:
    ids = {id(p) for group in objective.parameter_groups() for p in group["params"]}
    return {n for n, p in objective.named_parameters() if id(p) in ids}


def test_base_stage_trains_transformer_and_conditioner():
    objective = FoleyGRAMObjective(PRESET)
    names = trained_names(objective)
    assert {n.split(".")[0] for n in names} == {"transformer", "conditioner"}
    assert len(names) == len([p for p in objective.parameters() if p.requires_grad])
    assert all(p.dim() < 2 for p in objective.parameter_groups()[1]["params"])


@pytest.mark.parametrize("projections", [False, True])
def test_control_stage_trains_the_branch_alone_or_with_the_projections(projections):
    objective = control_objective(train_projections=projections)
    before = {n: p.clone() for n, p in objective.named_parameters()}
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        objective(batch(), step=step, generator=generator(step))["loss"].backward()
        optimizer.step()
    moved = {n for n, p in objective.named_parameters() if not torch.equal(p, before[n])}
    assert moved <= trained_names(objective)
    assert "controlnet.conv_outs.0.weight" in moved
    assert any(n.startswith("conditioner.proj") for n in moved) == projections
    assert not any(n.startswith(("transformer", "conditioner.seconds")) for n in moved)


def test_joint_stage_trains_all_from_scratch_or_from_a_pipeline(tmp_path):
    objective = FoleyGRAMObjective(PRESET, stage="joint")
    assert {n.split(".")[0] for n in trained_names(objective)} == {"transformer", "conditioner", "controlnet"}
    objective(batch(), step=0)["loss"].backward()
    assert objective.transformer.transformer.project_out.weight.grad.abs().sum() > 0
    assert objective.controlnet.conv_outs[0].weight.grad.abs().sum() > 0
    objective.fit([{"latents": 5 + torch.randn(8, 16, 16, generator=generator())}])
    torch.nn.init.ones_(objective.controlnet.conv_outs[0].weight)
    objective.export(tmp_path)
    start = FoleyGRAMPipeline.from_pretrained(tmp_path, codec=None, gram=None)
    further = FoleyGRAMObjective(PRESET, stage="joint", base=start)
    assert trained_names(further) == trained_names(objective)
    assert further.controlnet.conv_outs[0].weight.eq(1).all()
    assert further.layout.mean.mean() == pytest.approx(5, abs=0.1)


def test_silence_weighs_less_and_does_not_change_what_is_best():
    objective = control_objective(silence_weight=0.25, envelope_perturbed=0.0, envelope_drop=0.0)
    control = torch.zeros(2, 64)
    control[0, 20:24] = 0.5  # the sixth latent frame of the first sample
    weights = objective._weights(control, torch.ones(2, 1, 16))
    assert weights[0, 0].tolist() == [0.25] * 4 + [1.0] * 3 + [0.25] * 9
    assert weights[1].eq(0.25).all()
    assert objective._weights(torch.full((2, 64), -1.0), torch.ones(2, 1, 16)).eq(0.25).all()  # no envelope given
    even = objective(batch() | {"envelope": torch.zeros(4, 64)}, step=0)["loss"]
    plain = control_objective(silence_weight=1.0, envelope_perturbed=0.0, envelope_drop=0.0)
    plain.load_state_dict(objective.state_dict())
    torch.testing.assert_close(even, plain(batch() | {"envelope": torch.zeros(4, 64)}, step=0)["loss"])


def test_control_stage_needs_a_base():
    with pytest.raises(PostsyncError, match="trained base"):
        FoleyGRAMObjective(PRESET, stage="control")


def test_loss_follows_the_generator_and_starts_at_the_target_variance():
    objective = FoleyGRAMObjective(PRESET)
    one, again, other = (objective(batch(), step=0, generator=generator(s))["loss"].item() for s in (1, 1, 2))
    assert one == again != other
    assert one == pytest.approx(1.4, abs=0.5)
    assert torch.equal(objective(batch(), step=5)["loss"], objective(batch(), step=5)["loss"])


def test_dropping_is_per_modality_and_of_all_tokens():
    training = replace(PRESET.training, token_drop=0.2, video_drop=0.0, audio_drop=0.5, text_drop=0.0)
    objective = FoleyGRAMObjective(replace(PRESET, training=training))
    dropped = objective._embeddings(batch(2000), generator())
    gone = {name: value.eq(0).all(-1) for name, value in dropped.items()}
    assert gone["video"].float().mean() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(gone["video"], gone["text"])
    assert gone["audio"].float().mean() == pytest.approx(0.6, abs=0.03)


def test_every_caption_of_a_clip_is_drawn():
    training = replace(PRESET.training, token_drop=0.0, text_drop=0.0)
    given = batch(60)
    drawn = FoleyGRAMObjective(replace(PRESET, training=training))._embeddings(given, generator())["text"]
    picked = (drawn[:, None] == given["text"]).all(-1)
    assert picked.sum(1).eq(1).all()
    assert picked.float().mean(0).min() > 0.15


def test_control_envelopes_are_spoiled_or_replaced_by_the_code():
    objective = control_objective(envelope_perturbed=0.0, envelope_drop=0.3)
    envelope = torch.rand(1000, 64, generator=generator())
    control, estimated = objective._envelope(envelope, generator())
    assert not estimated.any()
    none = control.eq(-1).all(-1)
    assert none.float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(control[~none], envelope[~none])
    objective = control_objective(envelope_perturbed=1.0, envelope_drop=0.0)
    perturbed, estimated = objective._envelope(envelope[:8], generator())
    assert estimated.all()
    assert (perturbed - envelope[:8]).abs().amax(-1).min() > 0
    assert perturbed.min() >= 0


def test_crops_take_the_same_stretch_of_sound_and_envelope():
    objective = FoleyGRAMObjective(replace(PRESET, training=replace(PRESET.training, crop_frames=5, crop_share=0.5)))
    positions = torch.arange(16.0).expand(2, 3, 16)
    lengths = []
    for seed in range(40):
        clean, envelope = objective._crop(positions, positions[:, 0].repeat_interleave(4, dim=1), generator(seed))
        assert torch.equal(envelope[:, ::4], clean[:, 0])
        lengths.append(clean.shape[-1])
    assert set(lengths) == {5, 16}
    assert 10 < lengths.count(5) < 30


def test_the_branch_learns_to_follow_the_envelope():
    """Sounds of one colour, which the frozen transformer can make, whose loudness is the envelope."""
    objective = control_objective(envelope_perturbed=0.0, envelope_drop=0.0)
    envelope = torch.rand(16, 16, generator=generator(4)).repeat_interleave(4, dim=1)
    colour = objective.transformer.transformer.project_out.weight.detach() @ torch.randn(64, generator=generator())
    sequence = 4 * colour[:, None] * (envelope[:, None, ::4] - 0.5)
    task = batch(16) | {"envelope": envelope, "latents": objective.layout.unfold(sequence)}
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=4e-3)
    for step in range(60):
        optimizer.zero_grad()
        objective(task, step=step)["loss"].backward()
        optimizer.step()

    def follows(control: torch.Tensor) -> torch.Tensor:
        """Correlation (16,) of each control with the loudness that is seen in pure noise."""
        noise = torch.randn(16, 128, 16, generator=generator(5))
        given = {"x": noise, "t": torch.ones(16), "cross_attn_cond": torch.zeros(16, 3, 64),
                 "global_cond": objective.conditioner.global_cond(0.0, 0.64, 16)}
        clean = -objective.transformer(**given, controls=objective.controlnet(control=control, **given))
        loudness = torch.einsum("bct,c->bt", clean, colour)
        return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(loudness, control[:, ::4])])

    with torch.no_grad():
        assert follows(envelope).mean() > 0.5
        assert follows(envelope.flip(0)).mean() > 0.5


def test_prepare_gives_one_sample_of_native_length(codec, gram):
    objective = FoleyGRAMObjective(PRESET, codec=codec, gram=gram)
    clip = Clip("a", 0.5, frames=torch.randint(0, 255, (5, 3, 20, 20), dtype=torch.uint8, generator=generator()),
                waveform=0.2 * torch.randn(1, 8000, generator=generator()), sample_rate=16000,
                captions=("hammer on metal",))
    sample = objective.prepare(clip)
    shapes = {name: tuple(value.shape) for name, value in sample.items()}
    assert shapes == {"latents": (8, 16, 16), "envelope": (64,), "audio": (8,), "video": (8,), "text": (3, 8)}
    assert sample["latents"].dtype == torch.float16
    assert sample["envelope"][:48].mean() > 0.1 > sample["envelope"][55:].max()
    torch.testing.assert_close(sample["video"].norm(), torch.tensor(1.0))
    louder = objective.prepare(replace(clip, waveform=clip.waveform * 3))
    torch.testing.assert_close(louder["envelope"], sample["envelope"])
    assert objective.prepare(replace(clip, frames=None))["video"].eq(0).all()
    assert objective.prepare(replace(clip, label="bell", captions=()))["text"].norm(dim=-1).min() > 0.99
    with pytest.raises(ConditionError, match="16000 Hz"):
        objective.prepare(replace(clip, sample_rate=8000))


def test_fit_normalises_and_unfolds_back():
    objective = FoleyGRAMObjective(PRESET)
    latents = 3 + 2 * torch.randn(20, 8, 16, 16, generator=generator())
    objective.fit({"latents": sample} for sample in latents)
    folded = objective.layout.fold(latents)
    assert folded.shape == (20, 128, 16)
    assert float(folded.mean()) == pytest.approx(0, abs=1e-5)
    assert folded.std((0, 2)).sub(1).abs().max() < 0.01
    torch.testing.assert_close(objective.layout.unfold(folded), latents)
    with pytest.raises(ValueError, match="at least one"):
        objective.fit([])
    assert torch.equal(objective.trained_state()["layout.mean"], objective.layout.mean)
    control = control_objective()
    control.fit({"latents": sample} for sample in latents)
    assert control.layout.mean.eq(0).all()  # the base's own, which it was trained with
    assert not any(name.startswith("layout") for name in control.trained_state())


def test_export_writes_float16_and_the_control_stage_starts_from_it(tmp_path):
    objective = FoleyGRAMObjective(PRESET)
    objective.fit([{"latents": torch.randn(8, 16, 16, generator=generator())}])
    objective.export(tmp_path / "base")
    stored = load_file(tmp_path / "base" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert {v.dtype for v in stored.values()} == {torch.float16}
    base = FoleyGRAMPipeline.from_pretrained(tmp_path / "base", codec=None, gram=None)
    assert base.transformer.dtype == torch.float32
    control = FoleyGRAMObjective(PRESET, stage="control", base=base)
    torch.testing.assert_close(control.layout.std, objective.layout.std, rtol=1e-3, atol=1e-3)
    control.export(tmp_path / "control")
    loaded = FoleyGRAMPipeline.from_pretrained(tmp_path / "control", codec=None, gram=None)
    assert loaded.controlnet.config["control_encoder"] == "frames"
    assert sorted(p.name for p in (tmp_path / "control").iterdir()) == [
        "conditioner", "controlnet", "layout", "model_index.json", "transformer"]
    assert objective.transformer.dtype == torch.float32
    assert "_name_or_path" not in (tmp_path / "control" / "transformer" / "config.json").read_text()
