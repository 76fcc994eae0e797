"""TimingPredictor: silent frames -> loudness envelope and onsets, trained on scenes.

Motion statistics of 32 cells (`motion_features.py`) go through one temporal network that all cells share; attention
over the cells and a recurrent layer combine them. Several members of equal shape are averaged. Recipe:
envelope_training_notes.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from .. import weights
from .motion_features import CELL_CHANNELS, FEATURE_RATE, GLOBAL_CHANNELS, CellFeatures, MotionFeatures
from .shaping import ShapingConfig, shape, silence
from .timing import Timing

NUM_CELLS = 32
INPUT_CHANNELS = CELL_CHANNELS + GLOBAL_CHANNELS
OUTPUTS = ("loudness", "rise", "amplitude", "onset", "sounding")  # log loudness, its rise, loudness; two logits
LEAST_SCALE = 0.01  # cell energy (luma per 1/30 s) below which nothing is amplified to full scale
LEAST_ENERGY = 0.0008  # a clip whose strongest cells stay below this counts as still
WINDOW, HOP = round(16 * FEATURE_RATE), round(12 * FEATURE_RATE)  # longer clips are read in overlapping windows


class TimingNetwork(nn.Module):
    """One member: cells (B, INPUT_CHANNELS, cells, T) -> (B, len(OUTPUTS), T)."""

    def __init__(self, width: int = 32, heads: int = 4, hidden: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.heads = heads
        self.first = nn.Conv1d(INPUT_CHANNELS, width, 5, stride=2, padding=2)
        self.more = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in (2, 4))
        self.score = nn.Linear(width, heads)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(2 * width + 2 * INPUT_CHANNELS, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 2 * len(OUTPUTS))

    def forward(self, cells: Tensor) -> Tensor:
        """See the class. The cells are a set: any number, in any order."""
        wanted = cells.shape[-1]
        cells = F.pad(cells, (0, wanted % 2))  # two values make one step inside
        batch, channels, count, length = cells.shape
        x = F.relu(self.first(cells.transpose(1, 2).reshape(batch * count, channels, length)))
        for conv in self.more:
            x = x + F.relu(conv(x))
        x = x.reshape(batch, count, -1, length // 2).permute(0, 3, 1, 2)  # (B, T / 2, cells, width)
        score = self.score(x)
        weight = (0.5 * (score + score.mean(1, keepdim=True))).softmax(2)
        value = self.value(x).unflatten(-1, (self.heads, -1))
        attended = (weight[..., None] * value).sum(2).flatten(2)
        raw = F.avg_pool1d(cells.flatten(1, 2), 2).unflatten(1, (channels, count))
        top = raw.topk(count // 3, dim=2).values.mean(2)
        pooled = torch.cat([attended, x.mean(2), top.transpose(1, 2), raw.mean(2).transpose(1, 2)], dim=-1)
        hidden, _ = self.recurrent(self.dropout(pooled))
        pairs = self.head(self.dropout(hidden)).unflatten(-1, (len(OUTPUTS), 2))
        return pairs.permute(0, 2, 1, 3).flatten(2)[..., :wanted]


class TimingPredictor(ModelMixin, ConfigMixin):
    """The members, and the conversion of their outputs to an envelope."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, num_members: int = 2, width: int = 32, heads: int = 4, hidden: int = 64,
                 dropout: float = 0.2) -> None:
        super().__init__()
        self.register_to_config(num_members=num_members, width=width, heads=heads, hidden=hidden, dropout=dropout)
        self.members = nn.ModuleList(TimingNetwork(width, heads, hidden, dropout) for _ in range(num_members))

    def forward(self, cells: Tensor) -> Tensor:
        """cells (B, INPUT_CHANNELS, NUM_CELLS, T) -> (B, len(OUTPUTS), T), the mean of the members."""
        return torch.stack([member(cells) for member in self.members]).mean(0)

    def reader(self, config: ShapingConfig | None = None) -> PredictorReader:
        """A reader of one clip's frames: push(frame, time_s) for each, then finish(duration_s)."""
        return PredictorReader(self, config or ShapingConfig())


class PredictorReader:
    """Reads frames one by one; only small statistics of them are kept."""

    def __init__(self, predictor: TimingPredictor, config: ShapingConfig) -> None:
        self.predictor, self.config = predictor, config
        self._features = MotionFeatures()

    def push(self, frame: Tensor | np.ndarray, time_s: float) -> None:
        """Take the next frame; see `MotionFeatures.push`."""
        self._features.push(frame, time_s)

    def finish(self, duration_s: float | None = None) -> Timing:
        """The timing of the frames pushed so far, for `duration_s` (None: the last frame is shown as long as most)."""
        return predict(self.predictor, self._features.finish(duration_s), duration_s, self.config)


def open_reader(folder: Path | None) -> PredictorReader:
    """A reader with the predictor saved in `folder`, by default the bundled one. Raises WeightsError."""
    return TimingPredictor.from_pretrained(folder or weights.bundled("timing")).reader()


@torch.no_grad()
def predict(predictor: TimingPredictor, features: CellFeatures, duration_s: float | None = None,
            config: ShapingConfig | None = None) -> Timing:
    """The timing of a clip from its features; `duration_s` defaults to their length."""
    count = len(features.cells)
    duration_s = count / FEATURE_RATE if duration_s is None else duration_s
    usual = cell_scale(features) if count else 0.0
    if usual < LEAST_ENERGY:
        return silence(duration_s)
    predictor.eval()
    answer, cues, weight = torch.zeros(len(OUTPUTS), count), torch.zeros(3, count), torch.zeros(count)
    for window in _windows(count):
        part = CellFeatures(features.cells[window], features.whole[window])
        cells = active_cells(part, least_scale=max(LEAST_SCALE, 0.3 * usual))
        fade = _fade(cells.shape[-1])
        answer[:, window] += fade * predictor(cells[None].to(predictor.dtype))[0].float()
        cues[:, window] += fade * plain_cues(cells)
        weight[window] += fade
    return shape(answer / weight, cues / weight, duration_s, config or ShapingConfig())


def cell_scale(features: CellFeatures) -> float:
    """Energy of the strongest cells: the 99.5th percentile over cells and time of the change not explained by the
    camera."""
    energy = features.cells[:, 1].flatten().numpy().copy()
    place = max(0, round(0.995 * energy.size) - 1)
    energy.partition(place)  # in place: for a long clip these are millions
    return float(energy[place])


def active_cells(features: CellFeatures, least_scale: float = LEAST_SCALE) -> Tensor:
    """The NUM_CELLS cells that move most, scaled for the network: (INPUT_CHANNELS, NUM_CELLS, T) float32.

    Energies are divided by the clip's own scale (absolute size is meaningless in real footage), but never by less than
    `least_scale`, and square roots are taken.
    """
    cells = features.cells
    energy = cells[:, 1].float().mean(0) + 0.5 * cells[:, 0].float().mean(0)
    chosen = energy.topk(NUM_CELLS).indices
    picked = cells[:, :, chosen].float().permute(1, 2, 0)
    scale = max(cell_scale(features), least_scale)
    changed, left = (picked[:2] / scale).clamp(0, 4).sqrt()
    sign = picked[2].sign() * (picked[2].abs() / scale).clamp(0, 4).sqrt()
    away = (picked[5] / 0.1).clamp(0, 4).sqrt()
    whole = (features.whole.T / 2).clamp(-2, 2)[:, None].expand(-1, NUM_CELLS, -1)
    return torch.cat([torch.stack([changed, left, sign, *(picked[3:5] / 2).clamp(-2, 2), away]), whole])


def plain_cues(cells: Tensor) -> Tensor:
    """Plain motion cues, (3, T), from `active_cells`: energy left by the camera, speed of cells, brightening."""
    count = max(1, NUM_CELLS // 3)
    energy = cells[1].square().topk(count, dim=0).values.mean(0)
    speed = cells[3:5].norm(dim=0).topk(count, dim=0).values.mean(0)
    brightening = cells[2].clamp_min(0).square().topk(count, dim=0).values.mean(0)
    return torch.stack([energy, speed, brightening])


def _windows(count: int) -> Iterator[slice]:
    """Windows of WINDOW values, one every HOP; the last ends with the clip."""
    start = 0
    while start + WINDOW < count:
        yield slice(start, start + WINDOW)
        start += HOP
    yield slice(max(0, count - WINDOW), count)


def _fade(length: int) -> Tensor:
    """Weights of a window: flat, with ramps over the overlaps with its neighbours."""
    distance = torch.minimum(torch.arange(1, length + 1), torch.arange(length, 0, -1))
    return (distance / (WINDOW - HOP)).clamp(max=1.0)
