"""MGAudio in the loop: guided by the average that the loop keeps, and resumed exactly after a sudden end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.utils.tensorboard  # slow: not within a test
from safetensors.torch import load_file

from postsync.data.clip import Clip
from postsync.protocols.train_config import TrainConfig
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.objective import MGAudioObjective
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
