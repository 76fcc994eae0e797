"""Training objectives of the mel codec's two halves: the VAE on log-mels, the vocoder on waveforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConditionError, WeightsError
from ..features.spectrogram import audioldm_log_mel
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from .mel_vae import HOP_LENGTH, MelCodec
from .presets import MelCodecPreset, mini, tiny
from .stft import stft_loss
from .vocoder import VocosVocoder

PRESETS: dict[str, Callable[[], MelCodecPreset]] = {"mini": mini, "tiny": tiny}
CLIP_S = 4.1  # of the scenes: the codec is trained on short crops


class _WaveformObjective(Objective):
    """Random crops at random levels of a clip's sound, common to both objectives."""

    def __init__(self, crop_frames: int, clip_samples: int, sampling_rate: int, max_attenuation_db: float,
                 silence_probability: float) -> None:
        super().__init__()
        self.crop_frames, self.clip_samples, self.sampling_rate = crop_frames, clip_samples, sampling_rate
        self.max_attenuation_db, self.silence_probability = max_attenuation_db, silence_probability

    @property
    def wants(self) -> ClipRequest:
        """Sound alone."""
        return ClipRequest(None, self.sampling_rate, CLIP_S)

    def prepare(self, clip: Clip) -> Batch:
        """Mono waveform (clip_samples,): resampled, cut, or repeated to the fixed length."""
        if clip.waveform is None or clip.sample_rate is None:
            raise ConditionError(f"clip '{clip.clip_id}' has no sound; a codec is trained on clips with sound only")
        mono = clip.waveform.float().mean(dim=0)
        if clip.sample_rate != self.sampling_rate:
            import soxr

            mono = torch.from_numpy(soxr.resample(mono.numpy(), clip.sample_rate, self.sampling_rate))
        if mono.numel() == 0:
            raise ConditionError(f"clip '{clip.clip_id}' holds 0 samples; remove it from the training set")
        repeats = -(-self.clip_samples // mono.numel())
        return {"waveform": mono.repeat(repeats)[: self.clip_samples].contiguous()}

    def crop(self, waveform: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B, N) -> (B, crop_frames * 160): random places and gains (mostly near 0 dB), some silent at first."""
        size = self.crop_frames * HOP_LENGTH
        place, level, silent, length = torch.rand(4, len(waveform), generator=generator)
        starts = (place * (waveform.shape[1] - size + 1)).long().clamp_max(waveform.shape[1] - size)
        crops = torch.stack([w[s : s + size] for w, s in zip(waveform, starts.tolist(), strict=True)])
        gains = 10 ** (-self.max_attenuation_db * level.square() / 20)
        silence = torch.where(silent < self.silence_probability, 1.25 * length * size, 0.0)  # a fifth of them wholly
        sounds = torch.arange(size, device=crops.device) >= silence.to(crops)[:, None]
        return crops * gains.to(crops)[:, None] * sounds


class MelVAEObjective(_WaveformObjective):
    """L1 on normalised log-mels and on their differences in time and frequency, plus a small KL term."""

    def __init__(self, preset: MelCodecPreset | None = None, *, crop_frames: int = 128, clip_samples: int = 65536,
                 kl_weight: float = 1e-4, gradient_weight: float = 0.5, max_attenuation_db: float = 30.0,
                 silence_probability: float = 0.1, calibration_clips: int = 64) -> None:
        super().__init__(crop_frames, clip_samples, 16000, max_attenuation_db, silence_probability)
        self.preset = preset or mini()
        # The vocoder plays no part in this objective: only `log_mel` and the VAE's side of the codec are used.
        self.codec = MelCodec(self.preset.build_vae(), nn.Identity(), mel_mean=self.preset.mel_mean,
                              mel_std=self.preset.mel_std, patch_size=self.preset.patch_size)
        self.kl_weight, self.gradient_weight = kl_weight, gradient_weight
        self.calibration_clips = calibration_clips
        self._calibration = torch.zeros(0, clip_samples)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch["waveform"] (B, N) -> `loss`, `l1` (in ln units), `kl` (nats per latent value)."""
        log_mel = self.codec.log_mel(self.crop(batch["waveform"], generator))
        posterior = self.codec.encode_mel(log_mel)
        decoded = self.codec.decode_mel(posterior.sample(generator))
        error = (decoded - log_mel) / self.codec.config.mel_std
        l1 = error.abs().mean()
        edges = error.diff(dim=1).abs().mean() + error.diff(dim=2).abs().mean()
        variance = posterior.std.square()
        kl = 0.5 * (posterior.mean.square() + variance - 1 - variance.clamp_min(1e-12).log()).mean()
        loss = l1 + self.gradient_weight * edges + self.kl_weight * kl
        return {"loss": loss, "l1": l1.detach() * self.codec.config.mel_std, "kl": kl.detach()}

    def fit(self, samples: Iterable[Batch]) -> None:
        """Keep the first clips, on which the scale of the latents is measured after training."""
        self._calibration = torch.stack([sample["waveform"] for sample in islice(samples, self.calibration_clips)])

    @torch.no_grad()
    def latent_std(self) -> float:
        """Standard deviation of unscaled latents over the first clips; raises WeightsError before `fit`."""
        if not len(self._calibration):
            raise WeightsError("the latent scale is measured on training clips: give some to fit() before export")
        scale = self.codec.vae.config.scaling_factor
        means = [self.codec.encode(w[None, None]) for w in self._calibration.to(self.codec.vae.device)]
        return float(torch.cat([p.mean for p in means]).square().mean().sqrt()) / scale

    def export(self, folder: Path) -> None:
        """Writes `codec.json` and `vae/` (float16, scaling_factor measured) below `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.codec.save_config(folder)
        vae = self.preset.build_vae()
        vae.load_state_dict(self.codec.vae.state_dict())
        vae.register_to_config(scaling_factor=1.0 / self.latent_std())
        vae.half().save_pretrained(folder / "vae")


class VocoderObjective(_WaveformObjective):
    """Multi-resolution STFT loss (log-magnitude, spectral convergence) and L1 on the log-mel of the output."""

    def __init__(self, preset: MelCodecPreset | None = None, *, crop_frames: int = 96, clip_samples: int = 65536,
                 log_weight: float = 2.0, convergence_weight: float = 0.2, mel_weight: float = 0.5,
                 mel_noise: float = 0.05, flattening_steps: int = 300, max_attenuation_db: float = 30.0,
                 silence_probability: float = 0.1) -> None:
        super().__init__(crop_frames, clip_samples, 16000, max_attenuation_db, silence_probability)
        self.preset = preset or mini()
        if self.preset.vocoder is None:
            raise ConditionError("AudioLDM's vocoder is loaded, not trained, here; choose a preset with a VocosVocoder")
        self.vocoder_settings = self.preset.vocoder
        self.vocoder = VocosVocoder(**self.vocoder_settings)
        self.vocoder.flatten_noise(flattening_steps)
        self.log_weight, self.convergence_weight, self.mel_weight = log_weight, convergence_weight, mel_weight
        self.mel_noise = mel_noise  # in ln units, so that the vocoder tolerates a VAE's small errors

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch["waveform"] (B, N) -> `loss`, `log_magnitude`, `convergence`, `mel` (all in their own units)."""
        waveform = self.crop(batch["waveform"], generator)
        log_mel = audioldm_log_mel(waveform)[:, : self.crop_frames]
        noise = torch.randn(log_mel.shape, generator=generator).to(log_mel)
        offset = int(torch.randint(self.vocoder.config.noise_frames, (), generator=generator))
        estimate = self.vocoder(log_mel + self.mel_noise * noise, offset)
        losses = stft_loss(estimate, waveform)
        mel = functional.l1_loss(audioldm_log_mel(estimate)[:, : self.crop_frames], log_mel)
        loss = (self.log_weight * losses["log_magnitude"] + self.convergence_weight * losses["convergence"]
                + self.mel_weight * mel)
        return {"loss": loss, "mel": mel.detach(), **{name: value.detach() for name, value in losses.items()}}

    def export(self, folder: Path) -> None:
        """Writes `vocoder/` (float16) below `folder`."""
        vocoder = VocosVocoder(**self.vocoder_settings)
        vocoder.load_state_dict(self.vocoder.state_dict())
        vocoder.half().save_pretrained(Path(folder) / "vocoder")


def vae(preset: str) -> MelVAEObjective:
    """Objective of the mel codec's untrained autoencoder."""
    return MelVAEObjective(PRESETS[preset]())


def vocoder(preset: str) -> VocoderObjective:
    """Objective of the mel codec's untrained vocoder."""
    return VocoderObjective(PRESETS[preset]())
