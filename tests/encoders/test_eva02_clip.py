"""EVA02-CLIP's visual tower against open_clip, in both published layouts."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.eva02_clip import IGNORED, KEYS, Eva02ClipVision, from_official, rotate, rotation
from postsync.encoders.eva_clip import IMAGE_MEAN, IMAGE_STD
from postsync.errors import WeightsError
from postsync.weights.layout import rename

TINY = {"image_size": 28, "width": 16, "depth": 1, "heads": 2, "embed_dim": 6, "reference_grid": 2}
ORIGINAL = {".q_proj.bias": ".q_bias", ".v_proj.bias": ".v_bias", ".attn.norm.": ".attn.inner_attn_ln.",
            ".mlp.fc1_g.": ".mlp.w1.", ".mlp.fc1_x.": ".mlp.w2.", ".mlp.norm.": ".mlp.ffn_ln.", ".mlp.fc2.": ".mlp.w3."}


@pytest.fixture(scope="module")
def official(golden):
    folder = golden("eva02_clip_l336_tiny")
    sizes = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "case.safetensors")
    state = {k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")}
    model = from_official(state, **{k: sizes[k] for k in ("patch_size", "width", "depth", "heads")},
                          image_size=sizes["img_size"], embed_dim=sizes["embed_dim_out"],
                          reference_grid=sizes["rope_ref_grid"])
    return model, {k.removeprefix("io."): v for k, v in tensors.items() if k.startswith("io.")}


@pytest.mark.golden
@torch.no_grad()
def test_every_stage(official):
    model, io = official
    seen = {}
    hooks = [block.register_forward_hook(lambda _m, _a, out, i=i: seen.update({f"block{i}": out}))
             for i, block in enumerate(model.blocks)]
    for name, part in (("patch_embed", model.patch_embed), ("block0_attn", model.blocks[0].attn),
                       ("block0_mlp", model.blocks[0].mlp)):
        hooks.append(part.register_forward_hook(lambda _m, _a, out, name=name: seen.update({name: out})))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    tokens = model.tokens((io["frames_uint8"] / 255 - mean) / std)
    for hook in hooks:
        hook.remove()
    for name, value in seen.items():
        torch.testing.assert_close(value, io[f"stage.{name}"], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(tokens, io["features_all_tokens"], atol=2e-5, rtol=1e-5)
    embedding = model.features(io["frames_uint8"])["embedding"]
    torch.testing.assert_close(embedding, io["embedding"], atol=2e-5, rtol=1e-5)


@pytest.mark.golden
def test_rotation_table(official):
    model, io = official
    head_dim = model.config["width"] // model.config["heads"]
    table = torch.cat(rotation(model.grid, head_dim, model.config["reference_grid"]), dim=-1)
    torch.testing.assert_close(table, io["rope_sin_cos"], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_the_published_sizes_have_the_official_layout(golden):
    layout = json.loads((golden("eva02_clip_l336_tiny") / "full_layout_open_clip.json").read_text())
    state, skipped = rename({k: torch.empty(v, device="meta") for k, v in layout.items()}, KEYS, IGNORED)
    with torch.device("meta"):
        model = Eva02ClipVision()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert len(state) + len(skipped) == len(layout)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(304.4, abs=0.06)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Eva02ClipVision(**TINY).eval()


def test_the_original_layout_is_read(tiny):
    state = {}
    for key, value in tiny.state_dict().items():
        for ours, theirs in ORIGINAL.items():
            key = key.replace(ours, theirs)
        state[f"visual.{key}"] = value.half()
    state |= {"visual.rope.freqs_cos": torch.zeros(4), "visual.blocks.0.attn.rope.freqs_sin": torch.zeros(4),
              "text.positional_embedding": torch.zeros(2), "logit_scale": torch.zeros(())}
    again = from_official(state, **TINY)
    frames = torch.randint(0, 256, (2, 3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.features(frames), tiny.features(frames), atol=5e-3, rtol=0)
    assert again.features(frames[:0])["embedding"].shape == (0, 6)


def test_rotation_keeps_lengths_and_distances():
    x = torch.randn(1, 1, 16, 8, generator=torch.Generator().manual_seed(0))[:, :, :1].expand(-1, -1, 16, -1)
    turned = rotate(x, *rotation(4, 8, 4))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    products = (turned[0, 0] @ turned[0, 0].T).view(4, 4, 4, 4)
    torch.testing.assert_close(products[0, 0, 1, 2], products[2, 1, 3, 3])  # the same way down and across


def test_other_files_are_refused(tiny):
    with pytest.raises(WeightsError, match="no visual tower"):
        from_official(tiny.state_dict(), **TINY)
