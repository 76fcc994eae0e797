"""MGAudio's training loss: flow matching towards a guided target, and alignment with the sound encoder.

Source: arXiv 2510.24103 (L_AMG + 0.5 L_align); what it leaves open is a field of the preset, see `presets.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...codecs.chunking import with_channels
from ...diffusion.parameterization import Parameterization
from ...diffusion.solvers import draw_noise
from ...encoders.cavp import FPS, Cavp
from ...encoders.clap import SAMPLE_RATE as CLAP_RATE
from ...encoders.clap import Clap
from ...encoders.gram import SAMPLE_RATE as GRAM_RATE
from ...encoders.gram import GramEncoder
from ...errors import ConditionError, PostsyncError
from ...media.audio import resample
from ...protocols.clip import Clip
from ...protocols.codec import Codec
from ...protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from ...scenes.render import SPARSE_FRAMES
from .checkpoint import without_projector
from .features import fitted, read_feature_file, repeated, steps_in, video_features
from .losses import alignment_loss, guidance_weights, guided_target
from .pipeline import MGAudioPipeline, latent_factor
from .presets import MGAudioPreset
from .transformer import FBDT

FLOW = Parameterization("flow")


class MGAudioObjective(Objective):
    """Trains the transformer. The teacher is the average of this objective that the loop keeps.

    A batch holds `latent_mean` and `latent_std` (B, 8, T, 16) of the codec's posterior, CAVP's features of the picture
    `video` (B, S, E) and the alignment encoder's features of the sound `audio` (B, S or 1, E), four vectors a second.
    If a batch is longer than the model's native length, a random crop of each sample is taken, of latents and vectors
    alike.
    """

    def __init__(self, preset: MGAudioPreset, *, codec: Codec | None = None, cavp: Cavp | None = None,
                 audio_encoder: Clap | GramEncoder | None = None, feature_folder: Path | None = None,
                 whole: bool = False) -> None:
        """`codec` and `cavp` serve `prepare`, `codec` also the crops of longer samples. `audio_encoder`: CLAP or GRAM,
        where the preset aligns with it instead of CAVP. `feature_folder`: CAVP's picture features as CLIP_ID.npz, used
        in place of the pictures. `whole`: the export holds codec and CAVP as well, because they are not the bundled
        ones.
        """
        super().__init__()
        self.preset = preset
        self.transformer = FBDT(**preset.transformer | ({} if preset.alignment.weight else {"align_dim": None}))
        self.codec, self.cavp, self.audio_encoder = codec, cavp, audio_encoder
        self.feature_folder, self.whole = feature_folder, whole
        for module in self.frozen():
            module.requires_grad_(False).eval()

    @property
    def wants(self) -> ClipRequest:
        """Sound at the codec's rate, and CAVP's pictures, unless their features come from files."""
        frames = None
        if self.feature_folder is None:
            frames = SPARSE_FRAMES if self.cavp is None else FrameRequest(self.cavp.image_size, FPS)
        rate, channels = (16000, 1) if self.codec is None else (self.codec.sampling_rate, self.codec.channels)
        return ClipRequest(frames, rate, self.preset.training.cached_s, channels)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`losses` at one drawn time for each sample. Without a generator the draws are those of the seed `step`;
        without a teacher, and before the preset's start step, the target is the plain one."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        mean, std, video, audio = self._crop(batch, generator)
        clean = mean
        if self.preset.training.sample_posterior:
            clean = mean + std * draw_noise(mean.shape, generator, mean)
        noise = draw_noise(clean.shape, generator, clean)
        draws = torch.rand((2, len(clean)), generator=generator).to(clean.device)
        t, dropped = draws[0], draws[1] < self.preset.guidance.condition_drop
        weights = guidance_weights(t, dropped, step, self.preset.guidance)
        network: Any = None if teacher is None else teacher.transformer
        return self.losses(clean, noise, t, video, dropped, audio, weights, network)

    def losses(self, clean: Tensor, noise: Tensor, t: Tensor, video: Tensor, dropped: Tensor, audio: Tensor,
               weights: Tensor, teacher: FBDT | None) -> dict[str, Tensor]:
        """`loss`, and its parts `amg` and `align` (where the preset aligns); `flow`: the loss with the plain target.

        clean, noise (B, 8, T, 16); t, weights (B,); dropped (B,) bool: samples without condition.
        Losses are float32 also under mixed precision.
        """
        level = t[:, None, None, None]
        state = (1 - level) * clean + level * noise
        plain = FLOW.target(clean, noise, 1 - level, level)
        seen = self.transformer.pool_features(video)
        condition = torch.where(dropped[:, None], self.transformer.null_condition(len(video)).to(seen), seen)
        align = self.preset.alignment
        v, projected = self.transformer(state, t, condition, project=align.weight != 0)
        target = guided_target(plain, state, t, video, weights, teacher)
        amg = functional.mse_loss(v.float(), target)
        values = {"loss": amg, "amg": amg.detach(), "flow": functional.mse_loss(v.detach().float(), plain)}
        if projected is not None:
            values["align"] = alignment_loss(projected, audio, self.transformer.grid, align.mode)
            values["loss"] = amg + align.weight * values["align"]
        return values

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One AdamW group: the transformer's trained parameters."""
        trained = [p for p in self.transformer.parameters() if p.requires_grad]
        return [{"params": trained, "weight_decay": self.preset.training.weight_decay}]

    def frozen(self) -> list[nn.Module]:
        """Parts kept in eval mode, without gradients."""
        parts: list[object] = [self.codec, self.cavp, self.audio_encoder]
        return [part for part in parts if isinstance(part, nn.Module)]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """All that `prepare` depends on besides the clip, which excludes the transformer's size and training."""
        training, encoder = self.preset.training, self.preset.alignment.encoder
        settings = {"latent_scale": self.preset.latent_scale, "waveform_peak": training.waveform_peak,
                    "cached_s": training.cached_s, "encoder": encoder, "files": self.feature_folder is not None}
        parts: dict[str, object] = {"codec": self.codec, "cavp": self.cavp, "audio_encoder": self.audio_encoder}
        modules = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        return settings | {name: part for name, part in parts.items() if name not in modules}, modules

    def reads(self, clip_id: str) -> list[Path]:
        """Files besides the clip's own that `prepare` reads."""
        return [] if self.feature_folder is None else [self.feature_folder / f"{clip_id}.npz"]

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample (see the class) of a clip's first `cached_s` seconds; a shorter clip is repeated.

        Raises PostsyncError if codec or encoder are missing, ConditionError for a clip without sound at the codec's
        rate or without pictures, and for a feature file that does not fit.
        """
        training, align = self.preset.training, self.preset.alignment
        codec, audio_encoder = self.codec, self.cavp if align.encoder == "cavp" else self.audio_encoder
        if codec is None or audio_encoder is None:
            raise PostsyncError(f"preparing clips needs the codec and {align.encoder.upper()}; give both to "
                                "MGAudioObjective.")
        if clip.waveform is None or clip.sample_rate != codec.sampling_rate:
            raise ConditionError(f"clip {clip.clip_id} has no sound at {codec.sampling_rate} Hz; resample it first, or "
                                 "drop it.")
        video = self._video_features(clip)
        sound, steps = with_channels(clip.waveform.float(), codec.channels), steps_in(training.cached_s)
        samples = round(training.cached_s * codec.sampling_rate)
        if len(video) < steps:  # both repeat together
            period = round(len(video) / FPS * codec.sampling_rate)
            sound = repeated(functional.pad(sound, (0, max(period - sound.shape[1], 0)))[:, :period].T, samples).T
        sound = fitted(sound, samples, training.waveform_peak)
        posterior = codec.encode(sound[None])
        scale = latent_factor(codec, self.preset.latent_scale)
        return {"latent_mean": (posterior.mean[0] * scale).half(), "latent_std": (posterior.std[0] * scale).half(),
                "video": repeated(video, steps).half(),
                "audio": audio_embeddings(audio_encoder, sound.mean(0), codec.sampling_rate).half()}

    def export(self, folder: Path) -> None:
        """Write the transformer as float16, without its projector; bundled codec and CAVP stay in their folders."""
        parts = {"codec": self.codec, "cavp": self.cavp} if self.whole else {}
        MGAudioPipeline.from_parts(self.preset, transformer=without_projector(self.transformer).half(), **parts
                                   ).save_pretrained(folder)

    def _video_features(self, clip: Clip) -> Tensor:
        """CAVP's features (S, E) of the whole clip, from its file or its pictures."""
        if self.feature_folder is not None:
            return read_feature_file(self.reads(clip.clip_id)[0], clip.duration_s, self.transformer.feature_shape[1])
        if self.cavp is None:
            raise PostsyncError("preparing clips needs CAVP or a folder of its features; give one to MGAudioObjective.")
        if clip.frames is None or clip.times is None:
            raise ConditionError(f"clip {clip.clip_id} has no pictures; drop it.")
        return video_features(self.cavp, clip.frames, clip.times, clip.duration_s)

    def _crop(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, ...]:
        """latent_mean, latent_std, video and audio of the native length, float32."""
        parts = [batch[name].float() for name in ("latent_mean", "latent_std", "video", "audio")]
        frames, steps = self.preset.native_frames, self.transformer.feature_shape[0]
        spare_frames, spare = parts[0].shape[2] - frames, parts[2].shape[1] - steps
        if min(spare_frames, spare) < 0:
            raise ConditionError(f"prepared samples hold {parts[0].shape[2]} latent frames and {parts[2].shape[1]} "
                                 f"features; this model trains on {frames} and {steps}. Prepare them again.")
        starts, firsts = [0] * len(parts[0]), [0] * len(parts[0])
        if min(spare_frames, spare) > 0:
            if self.codec is None:
                raise PostsyncError("samples longer than the model are cropped at the codec's rate; give the codec to "
                                    "MGAudioObjective.")
            frames_per_step = self.codec.latent_rate / FPS
            spare = min(spare, int(spare_frames // frames_per_step))
            if spare > 0:
                starts = (torch.rand(len(parts[0]), generator=generator) * (spare + 1)).long().tolist()
                firsts = [round(start * frames_per_step) for start in starts]
        latents = [torch.stack([row[:, k:k + frames] for row, k in zip(part, firsts)]) for part in parts[:2]]
        vectors = [part if part.shape[1] == 1 else
                   torch.stack([row[k:k + steps] for row, k in zip(part, starts)]) for part in parts[2:]]
        return (*latents, *vectors)


def audio_embeddings(encoder: Cavp | Clap | GramEncoder, sound: Tensor, sample_rate: int) -> Tensor:
    """Sound (N,) -> unit vectors (S, E): four a second from CAVP, one of the whole from CLAP or GRAM."""
    rate = CLAP_RATE if isinstance(encoder, Clap) else GRAM_RATE  # also CAVP's
    wave = torch.from_numpy(resample(sound.cpu().numpy()[None], sample_rate, rate)).to(sound.device)
    if isinstance(encoder, Cavp):
        return encoder.audio_features(wave)["steps"][0]
    if isinstance(encoder, Clap):
        return encoder.features(wave)["embedding"]
    return encoder.encode_audio(wave)
