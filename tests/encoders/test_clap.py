"""LAION-CLAP's layout, front end and embeddings against the official package."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.clap import IGNORED, KEYS, NUM_SAMPLES, Clap, clap_log_mel, fit_to_ten_seconds, from_official
from postsync.errors import WeightsError
from postsync.features.spectrogram import clap, mel_filters
from postsync.weights.layout import rename

TINY = {"patch_width": 8, "depths": (1, 1, 1, 1), "heads": (1, 1, 2, 2), "text_width": 16, "text_layers": 1,
        "text_heads": 2, "vocabulary": 40, "positions": 80, "embed_dim": 8}


@pytest.fixture(scope="module")
def case(golden):
    folder = golden("clap_laion_tiny")
    state = {k.removeprefix("state_dict."): v for k, v in load_file(folder / "weights.safetensors").items()}
    sizes = json.loads((folder / "config.json").read_text())
    named = {"patch_width": "patch_width", "depths": "depths", "heads": "heads", "window": "window",
             "text_width": "text_width", "text_layers": "text_layers", "text_heads": "text_heads",
             "vocabulary": "text_vocab", "positions": "text_positions", "embed_dim": "joint"}
    model = from_official({f"module.{k}": v for k, v in state.items()},
                          **{ours: sizes[theirs] for ours, theirs in named.items()})
    return model, load_file(folder / "io.safetensors"), folder


@pytest.mark.golden
def test_front_end(case):
    _, io, _ = case
    torch.testing.assert_close(mel_filters(clap()).T.float(), io["melW"], atol=1e-6, rtol=0)
    waveforms = [io[f"waveform_{name}_int16"][None] / 32767 for name in ("full", "short")]
    fitted = torch.cat([fit_to_ten_seconds(waveform, int16=False) for waveform in waveforms])
    torch.testing.assert_close(clap_log_mel(fitted), io["logmel"][:, 0], atol=1e-3, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_embeddings(case):
    model, io, _ = case
    stages = {}
    for i, layer in enumerate(model.clap.audio_model.audio_encoder.layers):
        layer.register_forward_hook(lambda _m, _a, out, i=i: stages.update({f"stage.layer{i}": out[0]}))
    audio = model.embed_audio(io["logmel"][:, 0])
    for key in (key for key in io if key.startswith("stage.layer")):
        found = stages[key.removesuffix("_first64")][:, :64]
        torch.testing.assert_close(found, io[key], atol=2e-5, rtol=1e-5)
    text = model.text_features(io["input_ids"], io["attention_mask"])["embedding"]
    torch.testing.assert_close(audio, io["audio_embedding"], atol=2e-6, rtol=0)
    torch.testing.assert_close(text, io["text_embedding"], atol=2e-6, rtol=0)
    torch.testing.assert_close(text @ audio.T, io["cosine_text_audio"], atol=4e-6, rtol=0)


@pytest.mark.golden
def test_every_key_goes_where_the_map_says(case):
    _, _, folder = case
    mapping = json.loads((folder / "key_map_tiny.json").read_text())
    for official, expected in mapping.items():
        found, skipped = rename({official: torch.zeros(3)}, KEYS, IGNORED)
        if expected is None or "position_index" in official or "position_ids" in official:
            assert official in skipped
        elif isinstance(expected, list):
            assert [key.removeprefix("clap.").replace("qkv", n) for key in found for n in ("query", "key", "value")
                    ] == expected
        else:
            assert list(found) == [f"clap.{expected}"]


@pytest.mark.golden
@pytest.mark.parametrize(("file", "sizes", "millions"), [
    ("htsat_tiny_630k", {}, 153.5), ("htsat_base_music_speech", {"patch_width": 128, "depths": (2, 2, 12, 2)}, 193.9)])
def test_the_published_sizes_have_the_official_layout(case, file, sizes, millions):
    layout = json.loads((case[2] / f"full_layout_{file}.json").read_text())
    state, skipped = rename({k: torch.empty(v, device="meta") for k, v in layout.items()}, KEYS, IGNORED)
    with torch.device("meta"):
        model = Clap(**sizes)
    wanted = {k: v.numel() for k, v in model.state_dict().items()}
    constants = {k for k in wanted if k.endswith(("relative_position_index", "position_ids", "token_type_ids"))}
    split = {k.replace("qkv", part): v.numel() // (3 if ".qkv." in k else 1) for k, v in state.items()
             for part in ("query", "key", "value")}
    assert split == {k: v for k, v in wanted.items() if k not in constants}
    assert len(state) + len(skipped) == len(layout)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_short_sounds_are_repeated_whole_and_long_ones_cut():
    short = torch.linspace(-1, 1, 3 * 48000)[None]
    fitted = fit_to_ten_seconds(short, int16=False)
    assert fitted.equal(torch.cat([short, short, short, torch.zeros(1, 48000)], dim=1))
    assert fit_to_ten_seconds(fitted, int16=False).equal(fitted)
    assert fit_to_ten_seconds(torch.ones(1, NUM_SAMPLES + 5)).shape == (1, NUM_SAMPLES)
    rounded = fit_to_ten_seconds(torch.tensor([[0.99999, -0.50001, 2.0]]))[0, :3] * 32767
    torch.testing.assert_close(rounded, torch.tensor([32766.0, -16383.0, 32767.0]))
    with pytest.raises(ValueError, match="without samples"):
        fit_to_ten_seconds(torch.zeros(1, 0))


def test_folder_there_and_back(tmp_path):
    torch.manual_seed(0)
    model = Clap(**TINY).eval()
    model.save_pretrained(tmp_path)
    again = Clap.from_pretrained(tmp_path).eval()
    waveform = torch.randn(1, 48000) * 0.1
    found = again.features(waveform)["embedding"]
    torch.testing.assert_close(found, model.features(waveform)["embedding"])
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(1))
    ids, mask = torch.tensor([[0, 5, 6, 2, 1, 1]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    padded = again.text_features(ids, mask)["embedding"]
    torch.testing.assert_close(padded, again.text_features(ids[:, :4], mask[:, :4])["embedding"])


def test_other_layouts_are_refused():
    with pytest.raises(WeightsError, match="not a checkpoint of LAION-CLAP"):
        from_official({"module.surprise": torch.zeros(1)}, **TINY)
