"""GRAM: video, audio and text in one embedding space, compared by the volume they span.

Source: arXiv 2412.11959, `ispamm/GRAM` (MIT). Towers: EVA01-CLIP (`eva_clip.py`), BEATs (`beats.py`), BERT (`text.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors import safe_open
from torch import Tensor, nn

from ..errors import ConditionError, WeightsError
from ..features.spectrogram import beats_normalise, kaldi_fbank
from ..weights.layout import readable
from .beats import Beats, BeatsConfig
from .eva_clip import EvaClipConfig, EvaClipVision, normalize_images
from .matching import MatchingConfig, MatchingHead
from .text import TextConfig, TextTower, WordPieceTokenizer

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class GramConfig:
    """Sizes of the three towers and of their inputs; the defaults are the published model."""

    video: EvaClipConfig = field(default_factory=EvaClipConfig)
    audio: BeatsConfig = field(default_factory=BeatsConfig)
    text: TextConfig = field(default_factory=TextConfig)
    contra_dim: int = 512
    num_frames: int = 2  # frames of a clip; 8 for retrieval
    max_frames: int = 8  # frames with an embedding of their own in the matching head
    mel_bins: int = 64  # of the published weights, although BEATs was pre-trained on 128
    slice_frames: int = 1024  # filterbank frames of one audio slice
    max_text_length: int = 40
    matching: bool = False  # cross-attention and matching head, for training and re-ranking


def paper() -> GramConfig:
    """EVA01-CLIP-g-14, BEATs base, BERT base: 1.2 billion parameters."""
    return GramConfig()


def mini(vocab_size: int = 2048) -> GramConfig:
    """The bundled model for the procedural world: 64-pixel frames, 8.16 s of sound, a vocabulary of its own."""
    return GramConfig(
        video=EvaClipConfig(image_size=64, patch_size=16, width=128, depth=3, heads=4, mlp_ratio=3.0),
        audio=BeatsConfig(embed_dim=64, encoder_layers=2, encoder_embed_dim=128, encoder_ffn_embed_dim=256,
                          encoder_attention_heads=4, layer_wise_gradient_decay_ratio=1.0, encoder_layerdrop=0.0,
                          conv_pos=16, num_buckets=64, max_distance=256),
        text=TextConfig(vocab_size=vocab_size, hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=256, max_position_embeddings=64, dropout=0.0),
        contra_dim=128, num_frames=4, max_frames=4, slice_frames=816, max_text_length=24)


def tiny(vocab_size: int = 40) -> GramConfig:
    """Random weights for tests."""
    return GramConfig(
        video=EvaClipConfig(image_size=16, patch_size=8, width=16, depth=1, heads=2, mlp_ratio=2.0),
        audio=BeatsConfig(embed_dim=8, encoder_layers=2, encoder_embed_dim=16, encoder_ffn_embed_dim=32,
                          encoder_attention_heads=2, layer_wise_gradient_decay_ratio=1.0, encoder_layerdrop=0.0,
                          conv_pos=8, conv_pos_groups=2, num_buckets=16, max_distance=32),
        text=TextConfig(vocab_size=vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=16, dropout=0.0),
        contra_dim=8, max_frames=2, slice_frames=64, max_text_length=12)


class GramEncoder(ModelMixin, ConfigMixin):
    """The three towers with their projections. Every embedding is a unit vector of `contra_dim` values."""

    @register_to_config
    def __init__(self, video: dict[str, Any], audio: dict[str, Any], text: dict[str, Any], contra_dim: int = 512,
                 num_frames: int = 2, max_frames: int = 8, mel_bins: int = 64, slice_frames: int = 1024,
                 max_text_length: int = 40, matching: bool = False) -> None:
        super().__init__()
        video_config, audio_config, text_config = EvaClipConfig(**video), BeatsConfig(**audio), TextConfig(**text)
        self.video_tower = EvaClipVision(video_config)
        self.audio_tower = Beats(audio_config)
        self.text_tower = TextTower(text_config, cross_attention=matching)
        self.video_projection = nn.Linear(video_config.width, contra_dim, bias=False)
        self.audio_projection = nn.Linear(audio_config.encoder_embed_dim, contra_dim, bias=False)
        self.text_projection = nn.Linear(text_config.hidden_size, contra_dim, bias=False)
        for projection in (self.video_projection, self.audio_projection, self.text_projection):
            nn.init.xavier_uniform_(projection.weight)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        widths = (video_config.width, audio_config.encoder_embed_dim, text_config.hidden_size)
        self.matching_head = MatchingHead(MatchingConfig(*widths, max_frames=max_frames)) if matching else None
        self.tokenizer: WordPieceTokenizer | None = None
        self._folder: Path | None = None  # from which the video tower is read again
        self._light = False

    @classmethod
    def from_preset(cls, preset: GramConfig, tokenizer: WordPieceTokenizer | None = None) -> GramEncoder:
        """Random weights in the sizes of `preset`."""
        model = cls(**asdict(preset))
        model.tokenizer = tokenizer
        return model

    @property
    def image_size(self) -> int:
        """Side of the video tower's square input frames."""
        return self.config["video"]["image_size"]

    @property
    def num_frames(self) -> int:
        """Frames the preset takes from a clip."""
        return self.config["num_frames"]

    @property
    def embedding_dim(self) -> int:
        """Length of every embedding."""
        return self.config["contra_dim"]

    def encode_video(self, frames: Tensor) -> Tensor:
        """frames (B, n, 3, H, W) RGB in 0..1 (see `pick_frames`) -> (B, contra_dim) unit vectors."""
        seen = self.project_video(self.video_tokens(normalize_images(frames, self.image_size)))
        if self._light and self._folder is not None:
            for parameter in self.video_tower.blocks.parameters():
                parameter.data = parameter.data.new_empty(0)
        return seen

    def lighten(self) -> None:
        """From now on hold the video tower's blocks in half precision, and free them after each encoding; the next one
        reads them again, where these towers were loaded from a folder."""
        self._light = True
        self.video_tower.blocks.half()

    def _wake_video(self) -> None:
        """Read the video tower's blocks again, where they were freed."""
        blocks = {f"video_tower.blocks.{name}": value for name, value in self.video_tower.blocks.named_parameters()}
        if self._folder is None or any(value.numel() for value in blocks.values()):
            return
        for path in sorted(self._folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in file.keys() & blocks.keys():
                    blocks[name].data = file.get_tensor(name).to(blocks[name])

    def encode_audio(self, waveform: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """waveform (B, N) at 16 kHz in -1..1 -> (B, contra_dim) unit vectors, differentiable.

        Of sounds longer than one slice the middle slice is used, or one drawn with `generator`.
        """
        return self.project_audio(self.audio_tokens(self.filterbank(waveform, generator)))

    def encode_text(self, text: Sequence[str] | Tensor) -> Tensor:
        """Captions, or their token ids (B, L) -> (B, contra_dim) unit vectors."""
        input_ids = text if isinstance(text, Tensor) else self.tokenize(text)
        return self.project_text(self.text_tower(input_ids.to(self.device)))

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Captions -> ids (B, max_text_length). Raises WeightsError where no tokenizer was given."""
        if self.tokenizer is None:
            raise WeightsError("this GRAM encoder has no vocabulary; set `tokenizer` to a WordPieceTokenizer, or load "
                               "a folder that holds vocab.txt.")
        return self.tokenizer(captions, self.config["max_text_length"])

    def filterbank(self, waveform: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """waveform (B, N) at 16 kHz -> one normalised slice (B, slice_frames, mel_bins) as the audio tower takes it."""
        if waveform.shape[-1] < 400:
            raise ConditionError(f"GRAM takes sounds of 400 samples (25 ms) or more, not {waveform.shape[-1]}; "
                                 "pad the sound with silence.")
        fbank = beats_normalise(kaldi_fbank(waveform, num_mel_bins=self.config["mel_bins"]))
        return take_slice(fbank, self.config["slice_frames"], generator)

    def video_tokens(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, n, 3, S, S) -> (B, n, 1 + patches, width)."""
        self._wake_video()
        return self.video_tower(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])

    def audio_tokens(self, fbank: Tensor) -> Tensor:
        """Normalised filterbank (B, frames, mel_bins) -> (B, 1, tokens, width)."""
        return self.audio_tower(fbank).unsqueeze(1)

    def project_video(self, tokens: Tensor) -> Tensor:
        """Class token of each frame, averaged over frames, projected, unit length."""
        return F.normalize(self.video_projection(tokens[:, :, 0].mean(1)), dim=-1)

    def project_audio(self, tokens: Tensor) -> Tensor:
        """Mean over the tokens, then over the slices, projected, unit length."""
        return F.normalize(self.audio_projection(tokens.mean(2).mean(1)), dim=-1)

    def project_text(self, hidden: Tensor) -> Tensor:
        """[CLS] state, projected, unit length."""
        return F.normalize(self.text_projection(hidden[:, 0]), dim=-1)

    def match_logits(self, input_ids: Tensor, condition: Tensor) -> Tensor:
        """Token ids (B, L) and condition tokens (`matching_head.condition`) -> logits (B, 2); class 1 = match."""
        if self.matching_head is None:
            raise WeightsError("this GRAM encoder has no matching head; build it with matching=True.")
        return self.matching_head(self.text_tower(input_ids, condition)[:, 0])

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """As diffusers does, with `vocab.txt` beside the weights."""
        self._wake_video()
        super().save_pretrained(save_directory, **kwargs)  # type: ignore[misc]
        if self.tokenizer is not None:
            self.tokenizer.save(Path(save_directory))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> GramEncoder:
        """As diffusers does; takes `vocab.txt` from the folder where there is one."""
        model = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        folder = Path(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
        model._folder = folder if folder.is_dir() else None
        if (folder / "vocab.txt").is_file():
            model.tokenizer = WordPieceTokenizer(folder / "vocab.txt")
        return model


def load_gram(folder: Path, torch_dtype: torch.dtype = torch.float32) -> GramEncoder:
    """The GRAM towers saved in `folder`. Raises WeightsError for a folder that holds none."""
    with readable(folder, "readable GRAM towers",
                  "name a folder that postsync weights convert or postsync train gram wrote."):
        return GramEncoder.from_pretrained(folder, torch_dtype=torch_dtype)


def pick_frames(num_available: int, num_frames: int, generator: torch.Generator | None = None) -> Tensor:
    """Indices (num_frames,) of GRAM's input frames: 0..num_available-1 split into nearly equal parts (first ones
    longer), the middle of each, or one drawn with `generator` (training). Fewer frames than parts are repeated."""
    parts = torch.arange(max(num_available, num_frames)).tensor_split(num_frames)
    if generator is None:
        chosen = [part[(len(part) + 1) // 2 - 1] for part in parts]
    else:
        chosen = [part[torch.randint(len(part), (), generator=generator)] for part in parts]
    return torch.stack(chosen) * num_available // max(num_available, num_frames)


def take_slice(fbank: Tensor, slice_frames: int, generator: torch.Generator | None = None) -> Tensor:
    """Normalised filterbank (B, L, mels) -> (B, slice_frames, mels): zero-padded to whole slices, then the middle one
    or one drawn with `generator`. A length of exactly one slice gets a second, empty one, as in the official mapper."""
    length = fbank.shape[1]
    padded = F.pad(fbank, (0, 0, 0, max(slice_frames - length, slice_frames - length % slice_frames)))
    count = padded.shape[1] // slice_frames
    index = (count + 1) // 2 - 1 if generator is None else int(torch.randint(count, (), generator=generator))
    return padded[:, index * slice_frames:(index + 1) * slice_frames]
