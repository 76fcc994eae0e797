"""The guided target and the alignment: recorded numbers with gradients, worked examples, signs."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from postsync.systems.mgaudio.losses import alignment_loss, guidance_weights, guided_target
from postsync.systems.mgaudio.objective import MGAudioObjective
from postsync.systems.mgaudio.presets import AlignmentTraining, GuidanceTraining, MGAudioPreset
from postsync.systems.mgaudio.transformer import FBDT


@pytest.fixture
def official(golden):
    folder = golden("mgaudio_tiny")
    config, data = json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")
    sizes = {"channels": config["channels"], "latent_frames": config["latent_hw"][0],
             "latent_bins": config["latent_hw"][1], "hidden_size": config["hidden"], "depth": config["depth"],
             "num_heads": config["heads"], "feature_dim": config["feat_dim"], "num_features": config["frames"],
             "encoder_depth": config["encoder_depth"], "align_dim": config["z_dim"],
             "projector_dim": config["projector_dim"]}
    preset = MGAudioPreset(sizes, native_frames=config["latent_hw"][0],
                           guidance=GuidanceTraining(data["in.w"].item(), data["in.mg_high"].item(), start_step=0),
                           alignment=AlignmentTraining(weight=data["in.lambda"].item()))
    objective, teacher = MGAudioObjective(preset), FBDT(**sizes).eval()
    objective.transformer.load_state_dict(load_file(folder / "student.safetensors"))
    teacher.load_state_dict(load_file(folder / "ema.safetensors"))
    return objective, teacher, data


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest entry."""
    torch.testing.assert_close(found, expected, atol=tolerance * max(1e-12, expected.abs().max().item()), rtol=0)


@pytest.mark.golden
def test_official_training_step(official):
    objective, teacher, data = official
    model, dropped, t = objective.transformer, data["in.drop_mask"].bool(), data["in.t"]
    weights = guidance_weights(t, dropped, 0, objective.preset.guidance)
    close(weights, data["mid.w_per_sample"])
    target = guided_target(data["mid.v_plain_eps_minus_x0"], data["mid.x_t"], t, data["in.video_feat"], weights,
                           teacher)
    close(target, data["out.target_v"])
    close(-target, data["out.target_u_paper_sign"])
    values = objective.losses(data["in.x0"], data["in.eps"], t, data["in.video_feat"], dropped,
                              data["in.align_target_tokens"], weights, teacher)
    for name, ours in {"total": "loss", "amg": "amg", "align": "align", "fm": "flow"}.items():
        close(values[ours].detach(), data[f"out.loss_{name}"])
    values["loss"].backward()
    gradients = [name for name in data if name.startswith("out.grad.")]
    assert len(gradients) >= 4
    for name in gradients:
        close(model.get_parameter(name.removeprefix("out.grad.")).grad, data[name], 1e-4)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.golden
@torch.no_grad()
def test_official_forward(official):
    objective, teacher, data = official
    model, x, t, features = objective.transformer, data["mid.x_t"], data["in.t"], data["in.video_feat"]
    condition = model.pool_features(features)
    close(condition, data["mid.cond_vector"])
    kept = condition * (1 - data["in.drop_mask"].float())[:, None]
    v, projected = model(x, t, kept, project=True)
    close(v, data["out.v_student_with_drop"])
    close(projected, data["out.h_proj_tokens"])
    close(model(x, t, condition)[0], data["out.v_student_cond"])
    close(model(x, t, torch.zeros_like(condition))[0], data["out.v_student_null"])
    close(teacher(x, t, teacher.pool_features(features))[0], data["mid.ema_v_cond"])
    close(teacher(x, t, torch.zeros_like(condition))[0], data["mid.ema_v_null"])


@pytest.mark.golden
@torch.no_grad()
def test_official_alignment(golden):
    folder = golden("repa_sit_tiny")
    config, data = json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")
    weights = load_file(folder / "weights.safetensors")
    labels = weights.pop("y_embedder.embedding_table.weight")
    model = FBDT(config["in_channels"], config["input_size"], config["input_size"], [config["patch_size"]] * 2,
                 config["hidden_size"], config["depth"], config["num_heads"], encoder_depth=config["encoder_depth"],
                 align_dim=config["z_dims"][0], projector_dim=config["projector_dim"])
    model.load_state_dict(weights, strict=False)
    t = data["in.t"][:, None, None, None]
    state = (1 - t) * data["in.x"] + t * data["in.noise"]
    v, projected = model(state, data["in.t"], labels[data["in.y"]], project=True)
    errors = (v - (data["in.noise"] - data["in.x"])).square().mean((1, 2, 3))
    close(errors, data["out.denoise_loss_per_sample"])
    close(alignment_loss(projected, data["in.z_target"], model.grid), data["out.proj_loss"])


class Teacher:
    """Says -1.2 with the picture and -0.8 without, as in the worked example."""

    def __init__(self):
        self.batches = []

    def pool_features(self, features):
        return features[:, 0]

    def null_condition(self, count):
        return torch.zeros(count, 1)

    def __call__(self, x, t, condition):
        self.batches.append(len(x))
        return torch.where(condition[:, :1, None, None] == 0, -0.8, -1.2).expand_as(x), None


def test_worked_example():
    settings = GuidanceTraining(start_step=0)
    clean, noise = torch.full((3, 1, 1, 1), 1.0), torch.full((3, 1, 1, 1), -0.5)
    t, dropped = torch.tensor([0.25, 0.8, 0.25]), torch.tensor([False, False, True])
    level = t[:, None, None, None]
    state = (1 - level) * clean + level * noise
    assert state[0].item() == pytest.approx(0.625)
    weights, teacher = guidance_weights(t, dropped, 0, settings), Teacher()
    target = guided_target(noise - clean, state, t, torch.ones(3, 1, 1), weights, teacher)
    assert target.flatten().tolist() == pytest.approx([-1.68, -1.5, -1.5])
    losses = (torch.full_like(target, -1.6) - target).square().flatten().tolist()
    assert losses == pytest.approx([0.0064, 0.01, 0.01], rel=1e-5)
    assert teacher.batches == [2]  # both passes in one, over the only guided sample


def test_guidance_is_switched_on_late_never_or_by_its_weight():
    t, kept = torch.tensor([0.1, 0.75, 0.9]), torch.zeros(3, dtype=torch.bool)
    late = GuidanceTraining(weight=0.45, start_step=10)
    assert guidance_weights(t, kept, 9, late).tolist() == [0, 0, 0]
    assert guidance_weights(t, kept, 10, late).tolist() == pytest.approx([0.45, 0, 0])
    for settings in (GuidanceTraining(start_step=-1), GuidanceTraining(weight=0.0, start_step=0)):
        plain, teacher = torch.randn(3, 1, 1, 1), Teacher()
        weights = guidance_weights(t, kept, 10**6, settings)
        assert guided_target(plain, plain, t, torch.ones(3, 1, 1), weights, teacher) is plain
        assert teacher.batches == []


def test_alignment_granularities():
    generator = torch.Generator().manual_seed(0)
    audio = functional.normalize(torch.randn(2, 4, 6, generator=generator), dim=-1)
    grid, tokens = (8, 3), audio.repeat_interleave(2, dim=1).repeat_interleave(3, dim=1)
    for mode in ("tokens", "time", "global"):
        assert alignment_loss(5 * tokens, audio, grid, mode).item() == pytest.approx(-1, abs=0.12)
        assert alignment_loss(-tokens, audio, grid, mode).item() == pytest.approx(1, abs=0.12)
        assert alignment_loss(tokens.flip(0), audio, grid, mode) > -0.6
    reversed_time = tokens.flip(1)
    assert alignment_loss(reversed_time, audio, grid, "tokens") > -0.7
    assert alignment_loss(reversed_time, audio, grid, "time") > -0.7
    assert alignment_loss(reversed_time, audio, grid, "global").item() == pytest.approx(-1, abs=1e-5)


def test_one_vector_for_the_whole_clip_is_met_by_every_token():
    audio = torch.eye(3)[:1, None].repeat(2, 1, 1)
    tokens = torch.zeros(2, 4, 3)
    tokens[:, :3, 0], tokens[:, 3, 1] = 2.0, 1.0
    assert alignment_loss(tokens, audio, (2, 2), "tokens").item() == pytest.approx(-0.75)
    assert alignment_loss(tokens, audio, (2, 2), "global").item() == pytest.approx(-6 / 37**0.5)
