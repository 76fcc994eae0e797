"""The shorter way to GRAM's ear: from the codec's log-mel to the filterbank that the ear takes, without a vocoder.

Both are spectra of the same sound, 100 frames a second, with other windows and bands. A linear map from four
neighbouring frames of one to a frame of the other is enough for an embedding, and spares a guide the vocoder and its
gradients. It is fitted by least squares, on what codec and vocoder make of training scenes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from ... import weights
from ...codecs.mel_vae import NUM_MELS, MelCodec
from ...encoders.gram import SAMPLE_RATE
from ...errors import ConditionError
from ...features.spectrogram import beats_normalise, kaldi_fbank
from ...protocols.clip import Clip
from ...protocols.objective import Batch, ClipRequest, Objective
from ...scenes.render import NATIVE_S
from ...weights.layout import readable

TAPS = 4  # frame t of the filterbank covers samples 160 t to 160 t + 400; the mels around it are t - 1 to t + 2
RIDGE = 1e-4  # of the mean square of the inputs


class MelEar(ModelMixin, ConfigMixin):
    """Log-mel of the codec (B, T, 64) -> normalised filterbank (B, T - 2, mel_bins), as `GramEncoder.audio_tokens`
    takes it before its slices; differentiable."""

    @register_to_config
    def __init__(self, mel_bins: int = 64, loudest: float = 0.0) -> None:
        """`loudest`: the level, as of `level`, of the loudest frame of a sound with a peak of 1, on average."""
        super().__init__()
        self.map = nn.Linear(TAPS * NUM_MELS, mel_bins)

    def forward(self, log_mel: Tensor, full_scale: bool = True) -> Tensor:
        """`full_scale`: as if the sound had a peak of about 1, whatever its level."""
        log_mel = log_mel.float()
        if full_scale:
            loudest = level(log_mel.detach()).amax(1)
            log_mel = log_mel + (self.config["loudest"] - loudest)[:, None, None]
        return self.map(neighbours(log_mel))


def neighbours(log_mel: Tensor) -> Tensor:
    """(B, T, M) -> (B, T - 2, 4 M): to each frame of the filterbank the four mels around it."""
    padded = functional.pad(log_mel.mT, (1, 0), mode="replicate").mT
    return padded.unfold(1, TAPS, 1).flatten(2)


def level(log_mel: Tensor) -> Tensor:
    """(B, T, M) -> level of each frame (B, T), the logarithm of the root of the bands' summed squares."""
    return (2 * log_mel).logsumexp(-1) / 2


def load_mel_ear(folder: str | PathLike[str]) -> MelEar:
    """The map saved in `folder`, frozen. Raises WeightsError for a folder that holds none."""
    with readable(folder, "readable mel ear", "name a folder that postsync train mel_ear wrote."):
        return MelEar.from_pretrained(folder).float().eval().requires_grad_(False)


class MelEarObjective(Objective):
    """Fits the map before the first step, by least squares; a step would find nothing better.

    A batch holds `log_mel` (B, T, 64), the codec's reconstruction, and `filterbank` (B, T - 2, mel_bins) of its sound.
    """

    def __init__(self, codec: MelCodec, mel_bins: int = 64) -> None:
        super().__init__()
        self.codec, self.ear = codec, MelEar(mel_bins)
        self.codec.requires_grad_(False).eval()

    @property
    def wants(self) -> ClipRequest:
        """Sound alone."""
        return ClipRequest(None, SAMPLE_RATE, NATIVE_S)

    def frozen(self) -> list[nn.Module]:
        """The codec."""
        return [self.codec]

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample, see the class. Raises ConditionError for a clip without sound at 16 kHz."""
        if clip.waveform is None or clip.sample_rate != SAMPLE_RATE:
            raise ConditionError(f"clip {clip.clip_id} has no sound at {SAMPLE_RATE} Hz; resample it, or drop it.")
        log_mel = self.codec.decode_mel(self.codec.encode(clip.waveform[None].float()).mean)
        sound = self.codec.vocode(log_mel)
        scale = sound.abs().max().clamp_min(1e-4)
        bands = beats_normalise(kaldi_fbank(sound / scale, num_mel_bins=self.ear.config["mel_bins"]))
        return {"log_mel": (log_mel[0] - scale.log()).half(), "filterbank": bands[0].half()}

    @torch.no_grad()
    def fit(self, samples: Iterable[Batch]) -> None:
        """Least squares over all samples, and the mean level of their loudest frames."""
        size, bins = TAPS * NUM_MELS + 1, self.ear.config["mel_bins"]
        inner, cross = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, bins, dtype=torch.float64)
        loudest = []
        for sample in samples:
            log_mel = sample["log_mel"].double()[None]
            loudest.append(level(log_mel).amax())
            seen = functional.pad(neighbours(log_mel)[0], (0, 1), value=1.0)
            inner += seen.mT @ seen
            cross += seen.mT @ sample["filterbank"].double()
        ridge = RIDGE * inner.diagonal().mean() * torch.eye(size, dtype=torch.float64)
        ridge[-1, -1] = 0.0  # the constant is free
        solved = torch.linalg.solve(inner + ridge, cross)
        self.ear.map.weight.copy_(solved[:-1].mT)
        self.ear.map.bias.copy_(solved[-1])
        self.ear.register_to_config(loudest=float(torch.stack(loudest).mean()))

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`: mean squared error of half of the filterbank's frames, drawn."""
        error = (self.ear(batch["log_mel"], full_scale=False) - batch["filterbank"].float()).square().mean(-1)
        chosen = (torch.rand(error.shape, generator=generator) < 0.5).to(error)
        return {"loss": (error * chosen).sum() / chosen.sum()}

    def export(self, folder: Path) -> None:
        """Write float16 weights and configuration."""
        copy.deepcopy(self.ear).half().save_pretrained(folder)


def mel_ear(preset: str, codec: Path | None = None) -> MelEarObjective:
    """The unfitted map for the codec in the folder `codec`, by default the bundled one; it has one size."""
    return MelEarObjective(MelCodec.from_pretrained(codec or weights.bundled("mel_codec")))
