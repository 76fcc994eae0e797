"""A small language model of sound whose parts are tied in every way that PyTorch allows."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn import functional

from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective

LEVELS, TOKENS, WIDTH = 16, 32, 8


class Level(nn.Module):
    """Divides by the level of the batch, in eval mode by the running one, which several of it may share."""

    level: Tensor

    def __init__(self, level: Tensor) -> None:
        super().__init__()
        self.register_buffer("level", level)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x / self.level
        level = x.detach().abs().mean()
        self.level.lerp_(level, 0.1)
        return x / level


class TiedObjective(Objective):
    """Names the next level of a sound. The head's weight is the embedding's; the adapter's weight is that of the frozen
    tower; gain and shift lie in one memory; both levels are one buffer, of which `peek` is a view."""

    peek: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, LEVELS)
        self.head.weight = self.embedding.weight
        self.tower, self.adapter = nn.Linear(WIDTH, WIDTH).requires_grad_(False), nn.Linear(WIDTH, WIDTH)
        self.adapter.weight = self.tower.weight
        memory = torch.cat([torch.ones(WIDTH), torch.zeros(WIDTH)])
        self.gain, self.shift = nn.Parameter(memory[:WIDTH]), nn.Parameter(memory[WIDTH:])
        level = torch.ones(1)
        self.before, self.after = Level(level), Level(level)
        self.register_buffer("peek", level[0])
        self.drop = nn.Dropout(0.1)

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, 16000, 1.0)

    def frozen(self) -> list[nn.Module]:
        return [self.tower]

    def prepare(self, clip: Clip) -> Batch:
        assert clip.waveform is not None
        loudness = clip.waveform[0, :TOKENS * 500].reshape(TOKENS, 500).abs().amax(1)
        return {"tokens": (loudness / loudness.max().clamp(min=1e-4) * (LEVELS - 1)).round().long()}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        tokens = batch["tokens"]
        kept = torch.rand(tokens.shape, generator=generator).ge(0.3).to(tokens.device)
        x = self.before(self.embedding(tokens * kept) * self.gain + self.shift)
        x = self.after(self.drop(x + self.adapter(torch.tanh(self.tower(x)))))
        return {"loss": functional.cross_entropy(self.head(x)[:, :-1].transpose(1, 2), tokens[:, 1:])}

    def export(self, folder: Path) -> None:
        published = nn.ModuleDict({"embedding": nn.Embedding(LEVELS, WIDTH), "head": nn.Linear(WIDTH, LEVELS)})
        published["head"].weight = published["embedding"].weight
        published["embedding"].load_state_dict(self.embedding.state_dict())
        published["head"].load_state_dict(self.head.state_dict())
        save_model(published.half(), str(folder / "model.safetensors"))
