"""MGAudio's recipes stand on the parts named; in the loop it is guided by the average, and resumed exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils.tensorboard  # slow: not within a test
from safetensors.torch import load_file

from postsync import registry, weights
from postsync.data.manifest import read_manifest
from postsync.encoders.cavp import Cavp
from postsync.errors import PostsyncError
from postsync.protocols.clip import Clip
from postsync.protocols.objective import FrameRequest
from postsync.protocols.train_config import TrainConfig
from postsync.scenes.export import export
from postsync.scenes.render import clean_scenes
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.objective import MGAudioObjective
from postsync.systems.mgaudio.training import mgaudio
from postsync.training.clips import manifest_clips
from postsync.training.loop import train

CONFIG = TrainConfig(steps=6, batch_size=2, lr=0.01, warmup=1, ema_decay=0.9, log_every=1, checkpoint_every=2)


class Clips:
    """Four clips of 0.64 s, each with a picture and a sound of its own."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Clip:
        g = torch.Generator().manual_seed(index)
        return Clip(str(index), 0.64, torch.randint(0, 255, (3, 3, 16, 16), generator=g, dtype=torch.uint8),
                    torch.arange(3) / 4, torch.rand(1, 10240, generator=g) - 0.5, 16000)


class Killed(MGAudioObjective):
    """Ends without a word at a step, as a killed process does: nothing is saved on the way out."""

    def forward(self, batch, *, step, **rest):
        if step == 5:
            raise SystemExit
        return super().forward(batch, step=step, **rest)


def run(kind, folder: Path, codec, cavp, **changes) -> Path:
    torch.manual_seed(0)
    return train(kind(presets.tiny(), codec=codec, cavp=cavp), Clips(), CONFIG, folder, cpu=True, **changes)


def test_a_killed_run_is_resumed_exactly_with_its_teacher(codec, cavp, tmp_path):
    straight = run(MGAudioObjective, tmp_path / "a", codec, cavp)
    with pytest.raises(SystemExit):
        run(Killed, tmp_path / "b", codec, cavp)
    resumed = run(MGAudioObjective, tmp_path / "b", codec, cavp, resume=True)
    a, b = (load_file(f / "transformer" / "diffusion_pytorch_model.safetensors") for f in (straight, resumed))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    guided = [line["amg"] != line["flow"] for line in lines]
    assert guided[:2] == [False, False]  # the tiny preset starts its guidance at step 2
    assert any(guided[2:])


@pytest.fixture(scope="module")
def folders(codec, tmp_path_factory) -> dict[str, Path]:
    """A codec, and a CAVP as wide as the published one is, both otherwise tiny."""
    folder = tmp_path_factory.mktemp("parts")
    codec.save_pretrained(folder / "codec")
    Cavp(embed_dim=512, video_width=2, video_blocks=(1, 1, 1, 1), audio_widths=(2, 2, 4, 4, 8, 8), image_size=32
         ).save_pretrained(folder / "cavp")
    return {"codec": folder / "codec", "cavp": folder / "cavp"}


def test_mgaudio_of_the_papers_size_stands_on_the_folders_named(folders, tmp_path) -> None:
    objective = mgaudio("paper-S", **folders)
    trained = sum(p.numel() for group in objective.parameter_groups() for p in group["params"])
    assert trained == pytest.approx(33.0e6 + 6.0e6, rel=0.01)
    assert objective.preset.guidance.start_step == 100_000
    assert objective.wants.frames == FrameRequest(32, 4.0)
    assert objective.wants.needs == {"frames", "waveform"}
    config = registry.trainable("mgaudio").config_of("paper-S")
    assert (config.steps, config.batch_size, config.lr_factor(10**6)) == (1_100_000, 64, 1.0)
    mini = registry.trainable("mgaudio").config_of("mini")
    assert mini.schedule == "cosine"
    assert presets.mini().guidance.start_step < mini.steps / 2  # the paper's 100,000 would never switch on
    assert mini.ema_decay < 0.9999


def test_mgaudio_starts_from_a_trained_pipeline_and_is_guided_at_once(codec, cavp, tmp_path) -> None:
    first = run(MGAudioObjective, tmp_path, codec, cavp)
    with pytest.raises(PostsyncError, match="do not fit"):  # the tiny one's weights in the mini
        mgaudio("mini", start=first)
    export = weights.bundled("mgaudio")
    objective = mgaudio("mini", start=export)
    published = load_file(export / "transformer" / "diffusion_pytorch_model.safetensors")
    ours = objective.transformer.state_dict()
    assert all(torch.equal(ours[name], tensor.float()) for name, tensor in published.items())
    assert {name.split(".")[0] for name in ours.keys() - published.keys()} == {"projectors"}
    assert objective.preset.guidance.start_step == 0
    with pytest.raises(PostsyncError, match="no checkpoint at"):
        mgaudio("mini", start=tmp_path / "nothing")


def test_mgaudio_of_the_papers_size_needs_the_published_parts(folders, cavp, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    cavp.save_pretrained(tmp_path / "cavp")
    with pytest.raises(PostsyncError, match=r"AudioLDM's codec; name its folder.*--part codec=FOLDER"):
        mgaudio("paper")
    with pytest.raises(PostsyncError, match="vectors of 12 values"):
        mgaudio("paper", codec=folders["codec"], cavp=tmp_path / "cavp")
    with pytest.raises(PostsyncError, match="holds no readable CAVP"):
        mgaudio("mini", cavp=tmp_path)
    with pytest.raises(PostsyncError, match="postsync weights convert cavp"):
        mgaudio("paper", codec=folders["codec"])


def test_a_manifest_is_prepared_from_files_of_features(folders, tmp_path) -> None:
    export(tmp_path / "clips", range(2), clean_scenes(duration_s=1.0, size=32))
    (tmp_path / "cavp").mkdir()
    for row in read_manifest(tmp_path / "clips"):
        rows = torch.nn.functional.normalize(torch.ones(4, 512), dim=1)
        np.savez(tmp_path / "cavp" / f"{row['clip_id']}.npz", feat=rows.numpy())
    objective = mgaudio("paper-S", **folders, video_features=tmp_path / "cavp")
    assert objective.wants.frames is None
    clips = manifest_clips("mgaudio", objective, tmp_path / "clips")
    assert (len(clips), clips.skipped) == (2, "")
    sample = clips[0]
    assert sample["latent_mean"].shape == (8, 204, 16)
    assert torch.allclose(sample["video"].float(), torch.full((32, 512), 512**-0.5), atol=1e-3)
    next((tmp_path / "cavp").iterdir()).unlink()
    clips = manifest_clips("mgaudio", objective, tmp_path / "clips")
    assert (len(clips), clips.skipped) == (1, "1 without a file of features")
