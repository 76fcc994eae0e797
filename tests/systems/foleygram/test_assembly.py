"""Stable Audio Open's folder in both official layouts, and GRAM's towers, become a pipeline that runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderOobleck, StableAudioDiTModel
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
from safetensors.torch import save_file

import postsync
from command_line import run
from postsync.codecs import oobleck
from postsync.errors import WeightsError
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene
from postsync.systems.foleygram.assembly import assemble
from postsync.systems.foleygram.checkpoint import diffusers_to_sat
from postsync.systems.foleygram.controlnet import DiTControlNet
from postsync.systems.foleygram.dit import StableAudioDiT
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
from tiny_pipeline import draw_weights

SIZES = {"io_channels": 4, "embed_dim": 128, "depth": 3, "num_heads": 2, "cond_token_dim": 64, "global_cond_dim": 128}
RATE = 8000


@pytest.fixture(scope="module")
def diffusers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random, small Stable Audio in diffusers' layout, two channels."""
    folder = tmp_path_factory.mktemp("stable_audio")
    transformer = StableAudioDiTModel(
        in_channels=4, num_layers=3, attention_head_dim=64, num_attention_heads=2, num_key_value_attention_heads=1,
        out_channels=4, cross_attention_dim=64, time_proj_dim=256, global_states_input_dim=128,
        cross_attention_input_dim=64)
    projection = StableAudioProjectionModel(text_encoder_dim=64, conditioning_dim=64, min_value=0, max_value=512)
    for seed, part in enumerate((transformer, projection)):
        draw_weights(part, seed)
    transformer.save_pretrained(folder / "transformer")
    projection.save_pretrained(folder / "projection_model")
    torch.manual_seed(3)
    oobleck.tiny(sampling_rate=RATE).save_pretrained(folder / "vae")
    return folder


@pytest.fixture(scope="module")
def gram_folder(gram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gram")
    gram.save_pretrained(folder)
    return folder


def _official(folder: Path) -> dict[str, torch.Tensor]:
    """The same weights in the names of stable-audio-tools, with T5's and without the codec."""
    theirs = StableAudioDiTModel.from_pretrained(folder / "transformer").state_dict()
    ours = diffusers_to_sat(theirs, StableAudioDiT(**SIZES).state_dict())
    state = {f"model.model.{key}": value.contiguous() for key, value in ours.items()}
    numbers = StableAudioProjectionModel.from_pretrained(folder / "projection_model").state_dict()
    for side, name in (("start", "seconds_start"), ("end", "seconds_total")):
        for key, value in numbers.items():
            if key.startswith(f"{side}_number_conditioner."):
                rest = key.removeprefix(f"{side}_number_conditioner.time_positional_embedding.")
                state[f"conditioner.conditioners.{name}.embedder.embedding.{rest}"] = value.clone()
    state["conditioner.conditioners.prompt.proj_out.weight"] = torch.zeros(2, 2)
    return state


def _codec_state(folder: Path) -> dict[str, torch.Tensor]:
    """The codec in the names of stable-audio-tools, found by turning the reader's table round."""
    vae = AutoencoderOobleck.from_pretrained(folder / "vae")
    official = {}
    for key, value in vae.state_dict().items():
        official[_official_name(key, depth=3)] = value.reshape(-1) if key.endswith((".alpha", ".beta")) else value
    return official


def _official_name(key: str, depth: int) -> str:
    for side in ("encoder", "decoder"):
        for layer in range(depth + 3):
            for rest in (key.rpartition(".")[2], *(f"layers.{a}.{key.rpartition('.')[2]}" for a in range(6)),
                         *(f"layers.{a}.layers.{b}.{key.rpartition('.')[2]}" for a in range(6) for b in range(4))):
                if oobleck._diffusers_name(side, layer, rest, depth) == key:
                    return f"{side}.layers.{layer}.{rest}"
    raise AssertionError(key)


@pytest.fixture(scope="module")
def official_folder(diffusers_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as stable-audio-tools lays it out."""
    folder = tmp_path_factory.mktemp("official")
    state = _official(diffusers_folder)
    state |= {f"pretransform.model.{key}": value.contiguous() for key, value in _codec_state(diffusers_folder).items()}
    save_file(state, folder / "model.safetensors")
    (folder / "model_config.json").write_text(json.dumps({"sample_rate": RATE}))
    return folder


def test_both_layouts_make_the_same_pipeline(diffusers_folder: Path, official_folder: Path, gram_folder: Path) -> None:
    first, second = (assemble(folder, gram_folder, depth_factor=0.5) for folder in (diffusers_folder, official_folder))
    for part in ("transformer", "conditioner", "controlnet"):
        ours, theirs = getattr(first, part).state_dict(), getattr(second, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), part
    assert (first.channels, first.sampling_rate) == (second.channels, second.sampling_rate) == (2, RATE)
    assert first.controlnet.config["depth"] == 1
    assert first.knows_film
    arguments = {"prompt": "hammer", "duration_s": 0.3, "num_inference_steps": 2}
    one, other = (pipe(generator=torch.Generator().manual_seed(1), **arguments).audios for pipe in (first, second))
    assert one.shape == (1, 2, round(0.3 * RATE))
    assert torch.allclose(one, other, atol=1e-5)


def test_the_command_makes_a_folder_that_generates(diffusers_folder: Path, gram_folder: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    out, clip = tmp_path / "pipe", tmp_path / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.8, families=("metal_strike",))), clip, with_audio=False)
    assert run("weights", "assemble", "foleygram", diffusers_folder, "--part", f"gram={gram_folder}", "--out", out) == 0
    assert f"--preset {out}" in capsys.readouterr().out
    assert run("generate", clip, "--preset", out, "--prompt", "hammer", "--steps", "2", "--seed", "1", "-o",
               tmp_path / "a.mp4") == 0
    loaded = postsync.load("foleygram", str(out), progress_bar=False)
    assert isinstance(loaded, FoleyGRAMPipeline)
    result = postsync.generate(clip, "hammer", pipeline=loaded, seed=1, num_inference_steps=2)
    assert result.waveform.shape[0] == 2
    assert np.isfinite(result.waveform).all()


def test_a_trained_branch_and_its_projections_are_taken(official_folder: Path, gram_folder: Path,
                                                        tmp_path: Path) -> None:
    base = assemble(official_folder, gram_folder)
    branch = DiTControlNet.from_dit(base.transformer, 0.7, "vae")
    draw_weights(branch, 5)
    state = {f"model.model.controlnet.{key}": value for key, value in branch.state_dict().items()}
    state |= {f"model.model.model.{key}": value for key, value in base.transformer.state_dict().items()}
    projection = torch.full_like(base.conditioner.proj_text.weight, 0.25)
    state["model.conditioner.conditioners.text.proj_out.weight"] = projection
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "branch.safetensors")
    made = assemble(official_folder, gram_folder, tmp_path / "branch.safetensors")
    assert made.controlnet.config["depth"] == 2
    assert all(torch.equal(value, branch.state_dict()[key]) for key, value in made.controlnet.state_dict().items())
    assert torch.equal(made.conditioner.proj_text.weight, projection)
    assert torch.equal(made.conditioner.proj_video.weight, base.conditioner.proj_video.weight)  # new, from a fixed seed


def test_folders_of_another_model_or_half_a_download_are_named(diffusers_folder: Path, official_folder: Path,
                                                               gram_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"neither model\.safetensors"):
        assemble(tmp_path, gram_folder)
    half = tmp_path / "half"
    shutil.copytree(diffusers_folder, half)
    shutil.rmtree(half / "projection_model")
    with pytest.raises(WeightsError, match=r"projection_model: holds no \.safetensors"):
        assemble(half, gram_folder)
    shutil.rmtree(half / "vae")
    shutil.copytree(diffusers_folder / "projection_model", half / "projection_model")
    with pytest.raises(WeightsError, match="AutoencoderOobleck"):
        assemble(half, gram_folder)
    state = _official(diffusers_folder)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="holds no codec"):
        assemble(tmp_path, gram_folder)
    save_file({"model.model.other.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="holds no codec"):
        assemble(tmp_path / "other.safetensors", gram_folder)
    with pytest.raises(WeightsError, match="no control branch"):
        assemble(official_folder, gram_folder, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError):
        assemble(official_folder, tmp_path / "none")
