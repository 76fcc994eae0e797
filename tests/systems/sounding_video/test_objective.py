"""The joint training step: official numbers, what is drawn, dropped captions at batch 1, what is trained and saved."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from postsync.backbones.audioldm import folded, unfolded
from postsync.diffusion.schedule import Schedule
from postsync.errors import WeightsError
from postsync.scenes.render import SceneConfig, impacts, render_scene
from postsync.systems.sounding_video.checkpoint import from_official, read_official
from postsync.systems.sounding_video.joint import JointUNet, State
from postsync.systems.sounding_video.objective import Draws, given_loss, joint_losses, padded
from postsync.systems.sounding_video.training import connectors


@pytest.mark.golden
def test_a_training_step_is_the_official_one(official_model) -> None:
    joint, case, config = official_model()
    schedules = tuple(Schedule(DDIMScheduler(**config["sample"][f"{name}_scheduler"])) for name in ("audio", "video"))
    seen: list[tuple[State, ...]] = []
    outputs: list[tuple[torch.Tensor, ...]] = []

    def remember(module: torch.nn.Module, given: tuple[State, ...], made: tuple[torch.Tensor, ...]) -> None:
        seen.append(given)
        outputs.append(made)

    joint.register_forward_hook(remember)
    draws = Draws(case["train.t"], (case["train.tcon_a"], case["train.tcon_v"]),
                  (case["train.noise_a"], case["train.noise_v"]), case["train.keep_x0"].bool())
    losses = joint_losses(joint, schedules, (case["train.latents_a"], case["train.latents_v"]),
                          (case["fwd.clap_a"], case["fwd.text_v"]), draws)
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(torch.stack(losses), case["train.loss"], **close)
    for k, name in enumerate("av"):
        torch.testing.assert_close(seen[0][k].latents, case[f"train.noisy_{name}"], **close)
        channels = seen[0][k].latents.shape[1]
        torch.testing.assert_close(seen[0][k].told[:, :channels], case[f"train.con_noisy_{name}"], **close)
        torch.testing.assert_close(outputs[0][k], case[f"train.first_eps_{name}"], **close)
        kept = draws.kept[k].view(-1, *[1] * (seen[1][k].latents.dim() - 1))
        torch.testing.assert_close(seen[1][k].told[:, channels:], case[f"train.x0_pred_{name}"] * kept, **close)
        official = case[f"train.eps_{name}"]
        torch.testing.assert_close(outputs[1][k][:, :, :official.shape[2]], official, **close)


def test_levels_are_drawn_apart_and_a_draw_is_repeatable() -> None:
    sound, picture = torch.zeros(4, 8, 10, 4), torch.zeros(4, 4, 3, 8, 8)
    draws = Draws.new(sound, picture, 1000, torch.Generator().manual_seed(0))
    again = Draws.new(sound, picture, 1000, torch.Generator().manual_seed(0))
    assert torch.equal(draws.noise[1], again.noise[1])
    assert len({tuple(times.tolist()) for times in (draws.timesteps, *draws.told_timesteps)}) == 3
    many = Draws.new(torch.zeros(2000, 1, 1, 1), torch.zeros(2000, 1, 1, 1, 1), 1000, torch.Generator().manual_seed(1))
    assert many.kept.float().mean() == pytest.approx(0.5, abs=0.03)
    assert many.timesteps.float().mean() == pytest.approx(500, abs=25)


class Perfect(JointUNet):
    """Knows the noise, and so learns nothing."""

    def __init__(self, joint: JointUNet, noise: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__(joint.audio_unet, joint.video_unet, joint.connectors)
        self.noise = noise

    def forward(self, audio: State, video: State) -> tuple[torch.Tensor, torch.Tensor]:
        return padded(self.noise[0], 2), self.noise[1]


def test_who_knows_the_noise_has_no_loss(new_joint, schedules) -> None:
    clean = torch.randn(1, 8, 19, 4), torch.randn(1, 4, 3, 8, 8)
    draws = Draws.new(*clean, 1000, torch.Generator().manual_seed(0))
    words = torch.zeros(1, 16), torch.zeros(1, 1, 24)
    losses = joint_losses(Perfect(new_joint(), draws.noise), schedules, clean, words, draws)
    assert [float(loss) for loss in losses] == [0, 0]


def test_latents_are_padded_after_and_folded_back() -> None:
    assert padded(torch.ones(1, 2, 19, 4), 8).sum(1)[0, :, 0].tolist() == [2] * 19 + [0] * 5
    assert padded(torch.ones(1, 2, 3, 4, 4), 1).shape == (1, 2, 3, 4, 4)
    latents = torch.randn(2, 8, 5, 16)
    assert folded(latents, 4).shape == (2, 32, 5, 4)
    assert torch.equal(unfolded(folded(latents, 4), 4), latents)


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    objective = connectors("tiny")
    wants = objective.wants
    samples = [objective.prepare(render_scene(seed, SceneConfig(
        duration_s=wants.duration_s, size=wants.frames.size, fps=wants.frames.fps, **impacts()))) for seed in (1, 2)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def test_a_sample_holds_both_latents_and_words(batch) -> None:
    assert batch["sound"].shape == (2, 8, 100, 16)
    assert batch["pictures"].shape == (2, 4, 32, 8, 8)
    assert batch["text"].shape == (2, 3, 128)


def test_connectors_alone_are_trained_and_motion_where_it_is_asked(batch, tmp_path) -> None:
    torch.manual_seed(0)
    objective = connectors("tiny")
    still = {name: parameter.clone() for name, parameter in objective.named_parameters() if not parameter.requires_grad}
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {
        id(parameter) for parameter in objective.joint.connectors.parameters()}
    optimiser = torch.optim.Adam(trained, lr=3e-3)
    for step in range(3):
        out = objective(batch, step=step)
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
    assert out["loss"].item() == pytest.approx(float(out["audio"] + out["video"]), rel=1e-5)
    assert all(torch.equal(still[name], parameter) for name, parameter in objective.named_parameters() if name in still)
    objective.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["connectors"]
    again = connectors("tiny", start=tmp_path).joint.connectors.state_dict()
    assert all(torch.equal(again[name], value.half().float())
               for name, value in objective.joint.connectors.state_dict().items())
    moving = connectors("tiny", train_motion=True)
    assert {name for name, parameter in moving.joint.video_unet.named_parameters() if parameter.requires_grad} == {
        name for name, _ in moving.joint.video_unet.named_parameters() if "motion_modules" in name}
    moving.export(tmp_path / "moving")
    joint = moving.joint
    read, motion, skipped = from_official(read_official(tmp_path / "moving"), joint.audio_unet, joint.video_unet)
    assert len(read.state_dict()) == len(joint.connectors.state_dict())
    assert all(torch.equal(value, joint.video_unet.state_dict()[name].half().float()) for name, value in motion.items())
    assert len(motion) + len(skipped) == len(list(joint.video_unet.parameters()))  # and no tables
    with pytest.raises(WeightsError, match="no Sounding Video's connectors"):
        connectors("tiny", start=tmp_path / "nowhere")


def test_captions_are_dropped_at_batch_1_too(batch, monkeypatch) -> None:
    objective = connectors("tiny")
    told = []
    monkeypatch.setattr("postsync.systems.sounding_video.objective.joint_losses",
                        lambda joint, schedules, clean, words, draws: told.append(words) or (torch.zeros(()),) * 2)
    one = {key: value[:1] for key, value in batch.items()}
    for step in range(200):
        objective(one, step=step)
    dropped = [not heard.any() for heard, _ in told]
    assert sum(dropped) == pytest.approx(20, abs=12)
    assert all(seen.any() == heard.any() for heard, seen in told)


def test_first_the_encoders_alone_learn_to_tell_hits(batch) -> None:
    torch.manual_seed(0)
    objective = connectors("tiny", warm_up=14)
    moved = {name: parameter.clone() for name, parameter in objective.joint.connectors.named_parameters()}
    optimiser = torch.optim.Adam(objective.parameter_groups(), lr=3e-3)
    losses = []
    for step in range(14):
        out = objective(batch, step=step)
        assert out.keys() == {"loss"}
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
        losses.append(float(out["loss"].detach()))
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])
    changed = {name.split(".")[0] for name, parameter in objective.joint.connectors.named_parameters()
               if not torch.equal(parameter, moved[name])}
    assert changed == {"connector_out_audio", "connector_out_video"}
    assert "audio" in objective(batch, step=14)  # then the published step
    assert {name.split(".")[0] for name in objective.trained_state()} == {"joint", "hit_heads"}


@pytest.mark.parametrize(("share", "reached"), [
    ("picture_given", {"connector_in_audio", "connector_out_video"}),
    ("sound_given", {"connector_in_video", "connector_out_audio"})])
def test_a_given_modality_teaches_those_who_hear_of_it(batch, share: str, reached: set[str]) -> None:
    torch.manual_seed(0)
    objective = connectors("tiny", **{share: 1.0})
    for parameter in objective.joint.connectors.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    out = objective(batch, step=0)
    assert out.keys() == {"loss"}
    out["loss"].backward()
    assert {name.split(".")[0] for name, parameter in objective.joint.connectors.named_parameters()
            if parameter.grad is not None and parameter.grad.any()} == reached


def test_who_knows_the_noise_has_no_loss_where_one_is_given(new_joint, schedules) -> None:
    clean = torch.randn(1, 8, 19, 4), torch.randn(1, 4, 3, 8, 8)
    draws = Draws.new(*clean, 1000, torch.Generator().manual_seed(0))
    words = torch.zeros(1, 16), torch.zeros(1, 1, 24)
    for given in (0, 1):
        loss = given_loss(Perfect(new_joint(), draws.noise), schedules, clean, words, draws, given)
        assert float(loss) == 0
        other = Draws.new(*clean, 1000, torch.Generator().manual_seed(1))
        assert given_loss(Perfect(new_joint(), other.noise), schedules, clean, words, draws, given) > 1
