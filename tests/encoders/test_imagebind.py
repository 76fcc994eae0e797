"""ImageBind's towers against the official model, and its layout."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.eva_clip import IMAGE_MEAN, IMAGE_STD
from postsync.encoders.imagebind import IGNORED, KEYS, ImageBind, from_official
from postsync.errors import WeightsError
from postsync.weights.layout import rename

TINY = {"vision_size": (16, 1, 2), "text_size": (16, 1, 2), "audio_size": (16, 1, 2), "embed_dim": 8,
        "vocabulary": 50}


def normalised(pixels, axis):
    mean, std = (torch.tensor(v).view(*[3 if i == axis else 1 for i in range(pixels.dim())])
                 for v in (IMAGE_MEAN, IMAGE_STD))
    return (pixels.float() / 255 - mean) / std


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@pytest.fixture(scope="module")
def official(golden):
    folder = golden("imagebind_tiny")
    sizes = json.loads((folder / "config.json").read_text())
    state = {k.removeprefix("state_dict."): v for k, v in load_file(folder / "weights.safetensors").items()}
    towers = {f"{name}_size": [sizes[f"{name}_{part}"] for part in ("embed_dim", "num_blocks", "num_heads")]
              for name in ("vision", "text", "audio")}
    model = from_official(state, **towers, embed_dim=sizes["out_embed_dim"], vocabulary=sizes["text_vocab"])
    return model, {k.removeprefix("io."): v for k, v in load_file(folder / "io.safetensors").items()}


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return ImageBind(**TINY).eval()


@pytest.fixture
def stages():
    """Outputs of a tower's layers, by the names of the golden file; `stages(tower, run)` -> dict."""
    def collect(tower, run):
        seen = {}
        first = getattr(tower, "first_norm", tower.blocks[0])
        hooks = [first.register_forward_pre_hook(lambda _m, args: seen.update(tokens=args[0])),
                 tower.head.register_forward_hook(lambda _m, _a, out: seen.update(head=out)),
                 tower.register_forward_hook(lambda _m, _a, out: seen.update(post=out))]
        hooks += [block.register_forward_hook(lambda _m, _a, out, i=i: seen.update({f"block{i}": out}))
                  for i, block in enumerate(tower.blocks)]
        run()
        for hook in hooks:
            hook.remove()
        return seen

    return collect


@pytest.mark.golden
@torch.no_grad()
def test_every_stage(official, stages):
    model, io = official
    runs = {"video": (model.vision, lambda: model.embed_video(normalised(io["video_uint8"], 2))),
            "image": (model.vision, lambda: model.embed_images(normalised(io["image_uint8"], 1))),
            "audio": (model.audio, lambda: model.embed_audio(io["audio_mel"])),
            "text": (model.text, lambda: model.embed_text(io["text_tokens"]))}
    compared = 0
    for name, (tower, run) in runs.items():
        seen = stages(tower, run)
        for key in (k for k in io if k.startswith(f"stage.{name}.")):
            part = key.removeprefix(f"stage.{name}.")
            value = seen[part.removesuffix("_first4_last4")]
            if part.endswith("_first4_last4"):
                value = torch.cat([value[:, :4], value[:, -4:]], dim=1)
            scale = io[key].abs().max().clamp(min=1)
            torch.testing.assert_close(value[: len(io[key])] / scale, io[key] / scale, atol=2e-5, rtol=0)
            compared += 1
    assert compared == sum(key.startswith("stage.") for key in io)


@pytest.mark.golden
@torch.no_grad()
def test_embeddings_and_cosines(official):
    model, io = official
    video, audio = model.embed_video(normalised(io["video_uint8"], 2)), model.embed_audio(io["audio_mel"])
    close(video, io["video_embedding"])
    close(audio, io["audio_embedding"])
    close(model.embed_images(normalised(io["image_uint8"], 1)), io["image_embedding"])
    close(model.embed_text(io["text_tokens"]), io["text_embedding"])
    cosine = torch.nn.functional.cosine_similarity(audio, video, eps=1e-6)
    torch.testing.assert_close(cosine, io["cosine_audio_video"], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_every_official_key_is_taken_or_named(golden):
    layout = json.loads((golden("eval_extractors") / "state_dict_shapes.json").read_text())["imagebind_huge"]
    state, skipped = rename({k: torch.empty(v, device="meta") for k, v in layout.items()}, KEYS, IGNORED)
    with torch.device("meta"):
        model = ImageBind()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert len(skipped) + len(state) == len(layout)
    counts = [sum(p.numel() for p in tower.parameters()) / 1e6 for tower in (model.vision, model.text, model.audio)]
    assert counts == pytest.approx([632.8, 354.0, 86.2], abs=0.06)


def test_two_equal_clips_are_as_one(tiny):
    views = torch.randn(1, 1, 3, 2, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiny.embed_video(views.expand(-1, 2, -1, -1, -1, -1)), tiny.embed_video(views))


def test_features_of_a_clip(tiny):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (4, 3, 24, 32), dtype=torch.uint8, generator=generator)
    assert tiny.video_features(frames, fps=2.0)["embedding"].shape == (8,)
    assert tiny.video_features(frames, fps=0.5, protocol="av-benchmark")["embedding"].shape == (8,)
    sound = tiny.audio_features(torch.randn(2, 40000, generator=generator))["embedding"]
    assert sound.shape == (2, 8)
    assert sound[0].norm() <= 20 + 1e-4
    padded = tiny.text_features(torch.tensor([[48, 3, 5, 49] + [0] * 73]))["embedding"]
    ended = tiny.text_features(torch.tensor([[48, 3, 5, 49] + [49] * 73]))["embedding"]
    torch.testing.assert_close(padded, ended)  # what follows the end is not read


def test_folder_there_and_back(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    again = ImageBind.from_pretrained(tmp_path).eval()
    fbank = torch.randn(1, 1, 1, 128, 204)
    torch.testing.assert_close(again.embed_audio(fbank), tiny.embed_audio(fbank))


def test_other_layouts_are_refused():
    with pytest.raises(WeightsError, match="not a checkpoint of ImageBind"):
        from_official({"modality_trunks.vision.blocks.0.norm_1.weight": torch.zeros(3)}, **TINY)
