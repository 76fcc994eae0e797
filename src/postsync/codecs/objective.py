"""Training objectives of the mel codec's two halves: the VAE on log-mels, the vocoder on waveforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.func import functional_call

from .. import weights
from ..errors import ConditionError, WeightsError
from ..features.spectrogram import audioldm_log_mel
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from ..scenes.sounds import SoundConfig
from ..weights.layout import blended, check_blend
from .discriminators import Discriminators, feature_distance, hinge_loss
from .mel_vae import HOP_LENGTH, MelCodec
from .presets import MelCodecPreset, mini, tiny
from .stft import mel_distance
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
        self.keeps_latents = False

    def start_from(self, vae: AutoencoderKL) -> None:
        """Begin with the weights of `vae` and train its decoder alone: what stands on its latents stays valid."""
        self.codec.vae.load_state_dict(vae.state_dict())
        self.codec.vae.register_to_config(scaling_factor=vae.config.scaling_factor)
        self.codec.vae.encoder.requires_grad_(False)
        self.codec.vae.quant_conv.requires_grad_(False)
        self.keeps_latents = True

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
        scale = self.codec.vae.config.scaling_factor if self.keeps_latents else 1.0 / self.latent_std()
        vae.register_to_config(scaling_factor=scale)
        vae.half().save_pretrained(folder / "vae")


class VocoderObjective(_WaveformObjective):
    """Mel distances at four resolutions, and discriminators that keep noise noisy and clicks sharp.

    Half of the mels, `decoded`, have been through the codec's VAE, as those of everything that is generated have.
    """

    def __init__(self, preset: MelCodecPreset | None = None, *, codec: MelCodec | None = None, crop_frames: int = 64,
                 clip_samples: int = 65536, mel_weight: float = 10.0, feature_weight: float = 1.0,
                 adversarial_weight: float = 1.0, adversarial_start: int = 0, decoded: float = 0.7,
                 mel_noise: float = 0.05, max_attenuation_db: float = 30.0, silence_probability: float = 0.05) -> None:
        super().__init__(crop_frames, clip_samples, 16000, max_attenuation_db, silence_probability)
        self.preset = preset or mini()
        if self.preset.vocoder is None:
            raise ConditionError("AudioLDM's vocoder is loaded, not trained, here; choose a preset with a VocosVocoder")
        self.vocoder_settings = self.preset.vocoder
        self.vocoder = VocosVocoder(**self.vocoder_settings)
        self.discriminators = Discriminators(channels=self.preset.discriminator_channels)
        self.codec = codec
        if codec is not None:
            codec.vocoder = nn.Identity()  # the one that is trained stands in
            codec.requires_grad_(False).eval()
        self.start: dict[str, Tensor] = {}
        self.blend = 1.0
        self.mel_weight, self.feature_weight = mel_weight, feature_weight
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start
        self.decoded, self.mel_noise = decoded, mel_noise  # mel_noise in ln units

    def start_from(self, vocoder: nn.Module, blend: float = 1.0) -> None:
        """Begin with the weights of `vocoder`. `blend`: the share of the trained weights in what is exported, the rest
        being those it began with (`weights.layout.blended`)."""
        self.vocoder.load_state_dict(vocoder.state_dict())
        self.start, self.blend = {name: value.clone() for name, value in vocoder.state_dict().items()}, blend

    def frozen(self) -> list[nn.Module]:
        """The codec that gives decoded mels."""
        return [] if self.codec is None else [self.codec]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The discriminators with Adam's usual rates of adversarial training."""
        return [{"params": list(self.vocoder.parameters()), "betas": (0.8, 0.99)},
                {"params": list(self.discriminators.parameters()), "betas": (0.8, 0.99), "weight_decay": 0.0}]

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch["waveform"] (B, N) -> `loss`, and `mel` (ln units), `features`, `adversarial`, `discriminator`."""
        waveform = self.crop(batch["waveform"], generator)
        log_mel = self.mels(waveform, generator)
        first = int(torch.randint(1 << 20, (), generator=generator))
        made = self.vocoder(log_mel, first)
        mel = mel_distance(made, waveform)
        real_scores, real_features = self.discriminators(waveform)
        made_scores, _ = self.discriminators(made.detach())
        discriminator = hinge_loss(real_scores, made_scores)
        fixed = {name: value.detach() for name, value in self.discriminators.named_parameters()}
        scores, features = functional_call(self.discriminators, fixed, (made,))
        adversarial = -torch.stack([score.mean() for score in scores]).mean()
        distance = feature_distance(real_features, features)
        loss = self.mel_weight * mel + discriminator
        if step >= self.adversarial_start:
            loss = loss + self.adversarial_weight * adversarial + self.feature_weight * distance
        return {"loss": loss, "mel": mel.detach(), "features": distance.detach(), "adversarial": adversarial.detach(),
                "discriminator": discriminator.detach()}

    @torch.no_grad()
    def mels(self, waveform: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B, N) -> log-mels (B, crop_frames, 64), a part of them decoded from latents."""
        log_mel = audioldm_log_mel(waveform)[:, : self.crop_frames]
        noise = torch.randn(log_mel.shape, generator=generator).to(log_mel)
        which = torch.rand(len(waveform), generator=generator).to(log_mel) < self.decoded
        mels = log_mel + self.mel_noise * noise
        if self.codec is not None and which.any():
            posterior = self.codec.encode_mel(log_mel[which])
            mels[which] = self.codec.decode_mel(posterior.sample(generator))
        return mels

    def export(self, folder: Path) -> None:
        """Writes the codec: `vocoder/` (float16), and `codec.json` and `vae/` as they were given."""
        vocoder = VocosVocoder(**self.vocoder_settings)
        vocoder.load_state_dict(blended(self.start, self.vocoder.state_dict(), self.blend))
        vocoder.half().save_pretrained(Path(folder) / "vocoder")
        if self.codec is not None:
            self.codec.save_config(folder)
            copy.deepcopy(self.codec.vae).half().save_pretrained(Path(folder) / "vae")


def recorded() -> dict[str, Any]:
    """Scenes whose sound is, where recordings are given, mostly a stretch of any of them: material of all kinds."""
    return {"sound": SoundConfig(recordings=0.5, stretches=0.8)}


def vae(preset: str, start: Path | None = None) -> MelVAEObjective:
    """Objective of the mel codec's autoencoder: untrained, or that of the codec in `start`, whose decoder alone is
    trained, so that its latents stay what they are."""
    objective = MelVAEObjective(PRESETS[preset]())
    if start is not None:
        objective.start_from(MelCodec.from_pretrained(start, vocoder=False).vae)
    return objective


def vocoder(preset: str, codec: Path | None = None, start: Path | None = None,
            blend: float | None = None) -> VocoderObjective:
    """Objective of the mel codec's vocoder, for the VAE in the folder `codec` (default, for the mini: the bundled),
    from scratch or from the vocoder of the codec in `start`. `blend`: see `VocoderObjective`.

    Raises ConditionError for a blend without a start.
    """
    check_blend(blend, start)
    sizes = PRESETS[preset]()
    if codec is None and preset == "mini":
        codec = weights.bundled("mel_codec")
    vae = sizes.build() if codec is None else MelCodec.from_pretrained(codec, vocoder=False)
    objective = VocoderObjective(sizes, codec=vae)
    if start is not None:
        objective.start_from(MelCodec.from_pretrained(start).vocoder, 1.0 if blend is None else blend)
    return objective
