"""Official GRAM, EVA-CLIP and BEATs files: values, layout, refusals."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.beats import Beats, BeatsConfig
from postsync.encoders.beats import to_official as beats_to_official
from postsync.encoders.eva_clip import EvaClipConfig, EvaClipVision
from postsync.encoders.gram import GramConfig, GramEncoder, paper, tiny
from postsync.encoders.gram_checkpoint import from_official, load_beats, load_eva_clip, load_gram, to_official
from postsync.encoders.gram_objective import matching_loss
from postsync.encoders.text import TextConfig
from postsync.encoders.volume import pairwise_volume, volume_contrastive_loss
from postsync.errors import WeightsError


@pytest.fixture(scope="module")
def case(golden):
    folder = golden("gram_tiny")
    tensors = load_file(folder / "case.safetensors")
    parts = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("state_dict.", "io.")]
    return parts[0], parts[1], json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def preset(case):
    _, io, sizes = case
    vision, bert = sizes["vision"], sizes["bert"]
    text = {k: v for k, v in bert.items() if k in TextConfig.__dataclass_fields__}
    return GramConfig(
        video=EvaClipConfig(vision["img"], sizes["patch_size"], vision["width"], vision["depth"], vision["heads"],
                            sizes["mlp_ratio"]),
        audio=BeatsConfig.from_official(sizes["beats"]), text=TextConfig(**text), contra_dim=sizes["contra_dim"],
        num_frames=io["vision_pixels"].shape[1], max_frames=sizes["max_vision_sample_num"],
        mel_bins=io["audio_spectrograms"].shape[-1], matching=True)


@pytest.fixture(scope="module")
def official(case, preset):
    state, io, sizes = case
    model = GramEncoder.from_preset(preset).eval()
    model.load_state_dict(from_official(state)[0])
    return model, io, sizes


@pytest.mark.golden
@torch.no_grad()
def test_tokens_features_and_volume_loss(official):
    model, io, sizes = official
    video, audio = model.video_tokens(io["vision_pixels"]), model.audio_tokens(io["audio_spectrograms"][:, 0])
    text = model.text_tower(io["input_ids"])
    found = {"vision_output": video, "audio_output": audio, "caption_output": text,
             "feat_v": model.project_video(video), "feat_a": model.project_audio(audio),
             "feat_t": model.project_text(text)}
    embeddings = (found["feat_t"], found["feat_v"], found["feat_a"])
    found["volume3"] = pairwise_volume(*embeddings)
    found["loss_volume"] = volume_contrastive_loss(*embeddings, temperature=model.temperature,
                                                   label_smoothing=sizes["label_smoothing"])
    for name, value in found.items():
        torch.testing.assert_close(value, io[name], atol=1e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_matching_loss_with_the_recorded_negatives(official):
    model, io, sizes = official
    video, audio = model.video_tokens(io["vision_pixels"]), model.audio_tokens(io["audio_spectrograms"][:, 0])
    condition = model.matching_head.condition(video, audio)
    torch.testing.assert_close(condition, io["condition_feats_va"], atol=1e-5, rtol=0)
    negatives = io["dam_negative_condition_index"], io["dam_negative_text_index"]
    texts = torch.cat([io["input_ids"], io["input_ids"], io["input_ids"][negatives[1]]])
    logits = model.match_logits(texts, torch.cat([condition, condition[negatives[0]], condition]))
    torch.testing.assert_close(logits, io["dam_logits"], atol=1e-5, rtol=0)
    loss = matching_loss(model, io["input_ids"], condition, *negatives)
    torch.testing.assert_close(loss, io["loss_dam_unweighted"], atol=1e-5, rtol=0)
    torch.testing.assert_close(io["loss_volume"] + sizes["itm_ratio"] * loss, io["loss_total"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_keys_go_there_and_back(case):
    state, _, _ = case
    ours, ignored = from_official(state)
    back = to_official(ours)
    assert back.keys() | ignored.keys() == state.keys()
    assert not back.keys() & ignored.keys()
    assert all(torch.equal(back[k], state[k]) for k in back)
    assert all(ignored.values())


@pytest.mark.golden
@pytest.mark.parametrize("matching", [True, False])
def test_the_published_model_has_the_official_layout(golden, matching):
    layout = json.loads((golden("gram_tiny") / "full_layout.json").read_text())["state_dict"]
    ours, ignored = from_official({k: torch.empty(s, device="meta") for k, s in layout.items()}, matching=matching)
    with torch.device("meta"):
        model = GramEncoder.from_preset(replace(paper(), matching=matching))
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in ours.items()}
    assert len(to_official(ours)) + len(ignored) == len(layout)


def test_a_whole_file_loads_and_follows_the_preset(make_encoder, tokenizer, tmp_path):
    model = make_encoder(matching=True)
    official = {f"module.{k}": v for k, v in to_official(model.state_dict()).items()}
    official["module.multimodal_encoder.cls.predictions.bias"] = torch.zeros(3)
    torch.save(official, tmp_path / "model_step_9.pt")
    preset = tiny(len(tokenizer))
    loaded = load_gram(tmp_path / "model_step_9.pt", replace(preset, matching=True), tokenizer)
    torch.testing.assert_close(loaded.encode_text(["a dog"]), model.encode_text(["a dog"]))
    larger = replace(preset, matching=True, max_frames=4, video=replace(preset.video, image_size=32))
    resized = load_gram(tmp_path / "model_step_9.pt", larger)
    assert resized.video_tower.pos_embed.shape == (1, 17, 16)
    before, after = (m.matching_head.video_frame_embedding[0] for m in (loaded, resized))
    assert torch.equal(after, before[[0, 0, 1, 1]])
    assert load_gram(tmp_path / "model_step_9.pt", preset).matching_head is None
    with pytest.raises(WeightsError, match="does not fit the preset"):
        load_gram(tmp_path / "model_step_9.pt", replace(preset, contra_dim=9))


def test_unknown_keys_are_refused():
    with pytest.raises(WeightsError, match="unknown key 'surprise'"):
        from_official({"surprise": torch.zeros(1)})


def test_eva_clip_file_gives_its_visual_tower(tmp_path):
    config = EvaClipConfig(image_size=16, patch_size=8, width=16, depth=1, heads=2, head_dim=4)
    tower = EvaClipVision(config).eval()
    state = {f"module.visual.{k}": v.half() for k, v in tower.state_dict().items()}
    state["module.logit_scale"] = torch.ones(())
    torch.save({"state_dict": state}, tmp_path / "eva.pt")
    pixels = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(load_eva_clip(tmp_path / "eva.pt", config)(pixels), tower(pixels), atol=2e-2, rtol=0)
    assert load_eva_clip(tmp_path / "eva.pt", replace(config, head_dim=None)).head is None


def test_beats_file_brings_its_own_sizes(tmp_path):
    config = BeatsConfig(embed_dim=8, encoder_layers=1, encoder_embed_dim=16, encoder_ffn_embed_dim=32,
                         encoder_attention_heads=2, conv_pos=8, conv_pos_groups=2, predictor_class=5)
    model = Beats(config).eval()
    torch.save({"cfg": {**config.__dict__, "gru_rel_pos": True}, "model": beats_to_official(model.state_dict())},
               tmp_path / "beats.pt")
    loaded = load_beats(tmp_path / "beats.pt", predictor=True)
    assert loaded.config == config
    assert load_beats(tmp_path / "beats.pt").predictor is None
    fbank = torch.rand(1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(fbank), model(fbank))


def test_pickles_that_could_run_code_are_refused(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"model": pytest.approx}))
    with pytest.raises(WeightsError, match="is refused"):
        load_gram(path)
    with pytest.raises(WeightsError, match="no checkpoint at"):
        load_gram(tmp_path / "absent.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="holds a list"):
        load_beats(tmp_path / "list.pt")
