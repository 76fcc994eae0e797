"""The objective: what it prepares, what it minimises, what it exports."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.gram import GramEncoder
from postsync.encoders.gram_objective import GramObjective, GramObjectiveConfig, mini, paper
from postsync.encoders.training import gram
from postsync.encoders.volume import pairwise_volume, volume_contrastive_loss
from postsync.errors import ConditionError

PLAIN = GramObjectiveConfig(matching_weight=0.0, frame_pool=4, captions_per_clip=2)


def stack(objective, clips):
    samples = [objective.prepare(clip) for clip in clips]
    return {k: torch.stack([s[k] for s in samples]) for k in samples[0]}


@pytest.fixture
def clips(make_clip):
    captions = {"bell": ("a bell rings",), "dog": ("a dog barks",), "hammer": ("hammer hits metal", "hammering metal")}
    return [make_clip(i, label, captions[label]) for i, label in enumerate(("bell", "dog", "hammer", "dog"))]


def test_prepare_gives_one_sample_of_fixed_shape(make_encoder, clips):
    objective = GramObjective(make_encoder(), replace(PLAIN, captions_per_clip=3))
    samples = [objective.prepare(clip) for clip in clips]
    assert {k: (tuple(v.shape), v.dtype) for k, v in samples[0].items()} == {
        "frames": ((4, 3, 16, 16), torch.uint8), "fbank": ((64, 64), torch.float16),
        "input_ids": ((3, 12), torch.int64), "label": ((), torch.int64)}
    assert samples[1]["label"] == samples[3]["label"] != samples[0]["label"]
    assert torch.equal(samples[2]["input_ids"][0], samples[2]["input_ids"][2])  # two captions, repeated
    assert not torch.equal(samples[2]["input_ids"][0], samples[2]["input_ids"][1])
    assert torch.equal(samples[0]["frames"], clips[0].frames[[1, 4, 6, 8]])


def test_captions_may_come_from_elsewhere(make_encoder, clips):
    encoder = make_encoder()
    objective = GramObjective(encoder, PLAIN, captions=lambda clip: [f"a {clip.label}"])
    assert torch.equal(objective.prepare(clips[0])["input_ids"][:1], encoder.tokenize(["a bell"]))


def test_incomplete_clips_are_refused(make_encoder, make_clip):
    objective = GramObjective(make_encoder(), PLAIN)
    for clip, message in ((replace(make_clip(), waveform=None), "no frames or no sound"),
                          (make_clip(captions=()), "no caption"), (make_clip(sample_rate=44100), "44100")):
        with pytest.raises(ConditionError, match=message):
            objective.prepare(clip)


@torch.no_grad()
def test_default_loss_is_the_official_one(make_encoder, clips):
    encoder = make_encoder()
    objective = GramObjective(encoder, replace(PLAIN, captions_per_clip=1)).eval()
    batch = stack(objective, clips)
    losses = objective(batch, step=0)
    text = encoder.encode_text(batch["input_ids"][:, 0])
    video = encoder.encode_video(batch["frames"][:, [0, 2]].float() / 255)
    audio = encoder.project_audio(encoder.audio_tokens(batch["fbank"].float()))
    torch.testing.assert_close(losses["loss"], volume_contrastive_loss(text, video, audio, temperature=0.07))
    nearest = pairwise_volume(text, video, audio).argmin(1)
    assert losses["accuracy"].item() == pytest.approx((nearest == torch.arange(4)).float().mean().item())


def test_captions_and_frames_are_drawn_by_the_generator(make_encoder, clips):
    objective = GramObjective(make_encoder(), PLAIN).train()
    objective.encoder.text_tower.eval()
    batch = stack(objective, clips)
    losses = [objective(batch, step=0, generator=torch.Generator().manual_seed(s))["loss"].item() for s in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_part_of_the_sound_is_heard_in_training_only(make_encoder, clips):
    objective = GramObjective(make_encoder(), replace(PLAIN, heard_frames=32, gain_db=6.0))
    seen = []
    objective.encoder.audio_tower.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    batch = stack(objective, clips)
    objective.train()(batch, step=0, generator=torch.Generator().manual_seed(1))
    objective.eval()(batch, step=0)
    assert seen[0].shape == (4, 32, 64)
    assert torch.equal(seen[1], batch["fbank"].float())
    offsets = seen[1].unfold(1, 32, 1).transpose(2, 3) - seen[0].unsqueeze(1)  # (clips, starts, 32, mels)
    constant = offsets.flatten(2).std(dim=2) < 1e-3  # a gain adds a constant to the logarithm
    assert constant.any(dim=1).all()


def test_pictures_are_moved_and_mirrored_in_training_only(make_encoder, clips):
    objective = GramObjective(make_encoder(), replace(PLAIN, shift_pixels=2, seen_frames=1)).train()
    frames = torch.arange(16.0).expand(3, 1, 3, 16, 16)  # every row counts 0 to 15
    seen = objective._vary_pictures(frames.repeat(20, 1, 1, 1, 1), torch.Generator().manual_seed(1))[:, 0, 0, 5]
    steps = seen[:, 8] - seen[:, 7]
    assert set(steps.tolist()) == {-1.0, 1.0}
    assert set((seen[:, 8] - torch.where(steps > 0, 8.0, 7.0)).tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert torch.equal(objective.eval()._vary_pictures(frames, None), frames)


def test_only_the_trained_towers_move(make_encoder, clips):
    encoder = make_encoder()
    objective = GramObjective(encoder, replace(PLAIN, trained=("video",)))
    moving = {id(p) for group in objective.parameter_groups() for p in group["params"]}
    wanted = [*encoder.video_tower.parameters(), encoder.video_projection.weight, encoder.temperature]
    assert moving == {id(p) for p in wanted}
    objective(stack(objective, clips), step=0)["loss"].backward()
    assert encoder.video_projection.weight.grad is not None
    assert all(p.grad is None for p in encoder.text_tower.parameters())


def test_a_batch_without_negatives_is_refused(make_encoder, clips):
    config = replace(PLAIN, matching_weight=0.1, exclude_same_label=True)
    objective = GramObjective(make_encoder(matching=True), config)
    with pytest.raises(ConditionError, match="larger batches"):
        objective(stack(objective, [clips[1], clips[3]]), step=0)


def test_same_label_is_no_negative_on_request(make_encoder, clips):
    encoder = make_encoder()
    batch = stack(GramObjective(encoder, PLAIN), clips)
    include, exclude = (GramObjective(encoder, replace(PLAIN, exclude_same_label=e)).eval() for e in (False, True))
    generator = torch.Generator().manual_seed(0)
    assert include(batch, step=0, generator=generator)["loss"] != exclude(
        batch, step=0, generator=generator.manual_seed(0))["loss"]
    distinct = {**batch, "label": torch.arange(4)}
    assert torch.equal(include(distinct, step=0, generator=generator.manual_seed(0))["loss"],
                       exclude(distinct, step=0, generator=generator.manual_seed(0))["loss"])


def test_cosine_warm_up_ends(make_encoder, clips):
    objective = GramObjective(make_encoder(), replace(PLAIN, cosine_warmup_steps=5, cosine_weight=0.25)).eval()
    batch, generator = stack(objective, clips), torch.Generator()
    early = objective(batch, step=4, generator=generator.manual_seed(0))
    late = objective(batch, step=5, generator=generator.manual_seed(0))
    torch.testing.assert_close(early["loss"], early["cosine_loss"])
    torch.testing.assert_close(late["loss"], late["volume_loss"] + 0.25 * late["cosine_loss"])


def test_matching_loss_trains_the_matching_head(make_encoder, clips):
    objective = GramObjective(make_encoder(matching=True), replace(PLAIN, matching_weight=0.1))
    losses = objective(stack(objective, clips), step=0, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses["loss"], losses["volume_loss"] + 0.1 * losses["matching_loss"])
    losses["loss"].backward()
    assert all(p.grad is not None for p in objective.encoder.matching_head.parameters())
    with pytest.raises(ConditionError, match="matching=True"):
        GramObjective(make_encoder(), paper())


def test_parameter_groups_follow_the_recipe(make_encoder):
    objective = GramObjective(make_encoder(), replace(PLAIN, video_lr=5e-7, temperature_lr=1e-6))
    groups = objective.parameter_groups()
    assert sum(len(g["params"]) for g in groups) == len(list(objective.parameters()))
    video = {id(p) for p in objective.encoder.video_tower.parameters()}
    for group in groups:
        own = [5e-7 if id(p) in video else 1e-6 if p is objective.encoder.temperature else None
               for p in group["params"]]
        assert own == [group.get("lr")] * len(own)
        assert all((p.ndim < 2) == ("weight_decay" in group) for p in group["params"])


def test_a_few_steps_learn_three_clips(make_encoder, clips):
    config = replace(mini(), cosine_warmup_steps=20, frame_pool=2, captions_per_clip=2, gain_db=1.0)
    objective = GramObjective(make_encoder(), config).train()
    batch = stack(objective, clips[:3])
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=3e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for step in range(30):
        loss = objective(batch, step=step, generator=generator)
        optimizer.zero_grad()
        loss["loss"].backward()
        optimizer.step()
        losses.append(loss["volume_loss"].item())
    assert losses[-1] < 0.5 * losses[0]


def test_an_export_blends_what_was_trained_with_what_it_began_with(make_encoder, tmp_path):
    objective = GramObjective(make_encoder(), PLAIN)
    objective.blend_with_start(0.25)
    weight = next(p for p in objective.encoder.parameters() if p.dim() > 1)
    before = weight.detach().clone()
    with torch.no_grad():
        weight += 1
    objective.export(tmp_path)
    name = next(n for n, p in objective.encoder.named_parameters() if p is weight)
    stored = load_file(tmp_path / "diffusion_pytorch_model.safetensors")[name].float()
    torch.testing.assert_close(stored, before + 0.25, atol=2e-3, rtol=2e-3)
    with pytest.raises(ConditionError, match="name it with --part start"):
        gram("tiny", blend=0.5)


def test_export_is_half_precision_and_loads(make_encoder, tmp_path):
    objective = GramObjective(make_encoder(), PLAIN)
    objective.export(tmp_path)
    stored = load_file(next(tmp_path.glob("*.safetensors")))
    assert {v.dtype for v in stored.values()} == {torch.float16}
    assert next(objective.parameters()).dtype == torch.float32  # the one in training is left alone
    loaded = GramEncoder.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_text(["a bell"]), objective.encoder.encode_text(["a bell"]),
                                   atol=5e-3, rtol=0)
