"""The alignment classifier against the official one, and how it takes clips of other lengths."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.align_classifier import IGNORED, KEYS, NUM_SAMPLES, AlignClassifier, from_official
from postsync.errors import WeightsError
from postsync.weights.layout import rename

TINY = {"autoencoder_widths": (32, 32, 32, 32), "autoencoder_resnets": 1, "width": 32, "multipliers": (1, 1, 1),
        "heads": 2, "feature_dim": 6, "context_dim": 8}


@pytest.fixture(scope="module")
def official(golden):
    folder = golden("align_classifier")
    sizes = json.loads((folder / "config.json").read_text())
    autoencoder, classifier, condition = (sizes[name] for name in ("autoencoder", "classifier", "cond"))
    state = load_file(folder / "weights.safetensors")
    model = from_official(
        state, autoencoder_widths=[autoencoder["ch"] * factor for factor in autoencoder["ch_mult"]],
        autoencoder_resnets=autoencoder["num_res_blocks"], latent_channels=sizes["autoencoder_embed_dim"],
        width=classifier["model_channels"], multipliers=classifier["channel_mult"],
        resnets=classifier["num_res_blocks"], attention_at=classifier["attention_resolutions"],
        heads=classifier["num_heads"], feature_dim=condition["origin_dim"], context_dim=condition["embed_dim"],
        max_steps=condition["seq_len"], scale_factor=sizes["scale_factor"])
    return model, load_file(folder / "io.safetensors"), state


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return AlignClassifier(**TINY).eval()


@pytest.mark.golden
@torch.no_grad()
def test_every_stage_and_the_probability(official):
    model, io, _ = official
    posterior, context = model.posterior(io["in.spec"][:, 0].transpose(1, 2)), model.context(io["in.video_feat"])
    latents = posterior.mean * model.scale_factor
    for found, name in ((posterior.mean, "posterior_mean"), (posterior.logvar, "posterior_logvar"), (latents, "z"),
                        (context, "context")):
        torch.testing.assert_close(found, io[f"mid.{name}"], atol=1e-4, rtol=0)
    for timestep in (int(key.removeprefix("out.prob_t")) for key in io if key.startswith("out.prob_t")):
        expected = io[f"out.prob_t{timestep}"][:, 0]
        torch.testing.assert_close(model(latents, context, timestep), expected, atol=2e-5, rtol=0)
    reversed_in_time = model(latents, model.context(io["in.video_feat"].flip(1)))
    assert (reversed_in_time - io["out.prob_t0"][:, 0]).abs().max() > 1e-3


@pytest.mark.golden
def test_every_official_key_is_taken_or_named(official, golden):
    layout = json.loads((golden("align_classifier") / "official_keys_full.json").read_text())
    official_keys = {k: torch.empty(v, device="meta") for k, v in layout["keys"].items()}
    state, skipped = rename(official_keys, KEYS, IGNORED)
    with torch.device("meta"):
        model = AlignClassifier()
    wanted = {k: v.numel() for k, v in model.state_dict().items()}
    assert {k: v.numel() for k, v in state.items()} == wanted
    assert len(skipped) + len(state) == len(official_keys)
    counted = sum(p.numel() for p in model.backbone.parameters())
    assert counted == layout["n_params"]["classifier"]


def test_one_draw_for_all_clips_or_the_callers(tiny):
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(1, NUM_SAMPLES, generator=generator).expand(2, -1) * 0.1
    steps = torch.nn.functional.normalize(torch.randn(1, 32, 6, generator=generator), dim=-1).expand(2, -1, -1)
    first = tiny.probability(waveform, steps)
    torch.testing.assert_close(first[0], first[1])
    torch.testing.assert_close(tiny.probability(waveform[:1], steps[:1])[0], first[0])
    own = tiny.probability(waveform, steps, generator=torch.Generator().manual_seed(1))
    assert own[0] != own[1]
    mean = tiny.probability(waveform, steps, deterministic=True)
    assert mean[0] == mean[1] != first[0]


def test_short_clips_are_continued(tiny):
    waveform, steps = torch.randn(1, 16000, generator=torch.Generator().manual_seed(2)), torch.randn(1, 8, 6)
    padded = torch.nn.functional.pad(waveform, (0, NUM_SAMPLES + 999 - 16000))
    torch.testing.assert_close(tiny.probability(waveform, steps), tiny.probability(padded, steps.repeat(1, 5, 1)))


def test_folder_there_and_back(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    again = AlignClassifier.from_pretrained(tmp_path).eval()
    latents, context = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8)
    torch.testing.assert_close(again(latents, context), tiny(latents, context))


def test_bad_input_is_refused(tiny):
    with pytest.raises(ValueError, match="do not pair"):
        tiny.probability(torch.zeros(2, 16000), torch.zeros(1, 32, 6))
    with pytest.raises(WeightsError, match="not a checkpoint of the alignment"):
        from_official({"surprise": torch.zeros(1)}, **TINY)
