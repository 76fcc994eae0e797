"""EnCodec as a token codec: sound <-> tokens of residual codebooks, through transformers.

VATT's is the 16 kHz model of AudioGen (`facebook/audiogen-medium: compression_state_dict.bin`; CC-BY-NC-4.0): a SEANet
without causality, 50 frames a second, four codebooks of 2,048.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from ..errors import ConditionError, WeightsError
from ..weights.foreign import read_pickle
from ..weights.layout import Part, readable, rename
from .chunking import check_waveform

AUDIOCRAFT = (  # names of AudioCraft's modules -> transformers'
    (r"^(encoder|decoder)\.model\.", r"\1.layers."), (r"\.conv\.conv\.", ".conv."), (r"\.convtr\.convtr\.", ".conv."),
    (r"weight_g$", "parametrizations.weight.original0"), (r"weight_v$", "parametrizations.weight.original1"),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."))
IGNORED = ((r"quantizer\.vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)$", "needed in training only"),)
PAD_MODES = ("constant", "reflect", "replicate")


def audiogen_config(pad_mode: str = "constant", **changes: Any) -> EncodecConfig:
    """AudioGen's codec at 16 kHz; `changes` are arguments of EncodecConfig, for other sizes."""
    return EncodecConfig(**{
        "sampling_rate": 16000, "audio_channels": 1, "normalize": False, "target_bandwidths": [2.2],
        "upsampling_ratios": [8, 5, 4, 2], "num_filters": 64, "hidden_size": 128, "codebook_size": 2048,
        "codebook_dim": 128, "num_residual_layers": 1, "num_lstm_layers": 2, "kernel_size": 7, "last_kernel_size": 7,
        "residual_kernel_size": 3, "dilation_growth_rate": 2, "compress": 2, "use_causal_conv": False,
        "use_conv_shortcut": False, "norm_type": "weight_norm", "trim_right_ratio": 1.0,
        "pad_mode": pad_mode} | changes)


class EncodecCodec(Part):
    """Waveforms (B, 1, N) <-> tokens (B, K, T), 0 .. codebook_size - 1 (`protocols/codec.py`)."""

    channels = 1

    def __init__(self, model: EncodecModel, num_codebooks: int | None = None) -> None:
        """`num_codebooks`: the first so many of the quantiser's; default: all.

        Raises ConditionError where it has fewer.
        """
        super().__init__()
        self.model = model
        layers = len(model.quantizer.layers)
        if num_codebooks is not None and not 1 <= num_codebooks <= layers:
            raise ConditionError(f"this EnCodec has {layers} codebooks, not {num_codebooks}.")
        self.num_codebooks = num_codebooks or layers

    @property
    def sampling_rate(self) -> int:
        """Samples a second."""
        return int(self.model.config.sampling_rate)

    @property
    def codebook_size(self) -> int:
        """Tokens of a codebook."""
        return int(self.model.config.codebook_size)

    @property
    def hop_length(self) -> int:
        """Samples of a token frame."""
        return int(torch.tensor(self.model.config.upsampling_ratios).prod())

    @property
    def frame_rate(self) -> float:
        """Token frames a second."""
        return self.sampling_rate / self.hop_length

    @property
    def codebooks(self) -> Tensor:
        """The codebooks' vectors (K, V, r), which VATT embeds tokens with."""
        return torch.stack([layer.codebook.embed for layer in self.model.quantizer.layers[:self.num_codebooks]])

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, 1, N) in -1..1 -> tokens (B, K, T), T = ceil(N / hop_length). Raises ConditionError for another
        number of channels."""
        check_waveform(waveform, self.channels)
        padded = nn.functional.pad(waveform, (0, -waveform.shape[-1] % self.hop_length))
        residual = self.model.encoder(padded)
        tokens = []
        for layer in self.model.quantizer.layers[:self.num_codebooks]:
            tokens.append(layer.encode(residual))
            residual = residual - layer.decode(tokens[-1])
        return torch.stack(tokens, dim=1)

    @torch.no_grad()
    def decode(self, tokens: Tensor, num_samples: int | None = None) -> Tensor:
        """Tokens (B, K, T) -> waveform (B, 1, num_samples), by default hop_length T samples. Raises ConditionError for
        tokens out of range, of another number of codebooks, or too few for the samples."""
        available = tokens.shape[-1] * self.hop_length
        num_samples = available if num_samples is None else num_samples
        if tokens.shape[1] != self.num_codebooks or num_samples > available:
            raise ConditionError(f"tokens of shape {tuple(tokens.shape)} do not hold {num_samples} samples of this "
                                 f"codec, which has {self.num_codebooks} codebooks and {self.frame_rate:g} frames a "
                                 "second.")
        if tokens.min() < 0 or tokens.max() >= self.codebook_size:
            raise ConditionError(f"tokens from {int(tokens.min())} to {int(tokens.max())}; this codec's are 0 to "
                                 f"{self.codebook_size - 1}.")
        vectors = sum(layer.decode(tokens[:, k])
                      for k, layer in enumerate(self.model.quantizer.layers[:self.num_codebooks]))
        return self.model.decoder(vectors)[..., :num_samples]

    def save_pretrained(self, folder: str | Path, **kwargs: Any) -> None:
        """As transformers does."""
        self.model.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path, num_codebooks: int | None = None, *,
                        torch_dtype: torch.dtype = torch.float32, **kwargs: Any) -> EncodecCodec:
        """The codec saved in `folder`. Raises WeightsError for a folder that holds none."""
        with readable(folder, "EnCodec", "name a folder that transformers wrote."):
            model = EncodecModel.from_pretrained(folder, local_files_only=True, dtype=torch_dtype)
        return cls(model.eval().requires_grad_(False), num_codebooks)


def from_audiocraft(state: Mapping[str, Tensor], config: EncodecConfig) -> tuple[EncodecCodec, dict[str, str]]:
    """AudioCraft's state dict of a compression model -> the codec, frozen, and the skipped keys, each with the reason.

    Raises WeightsError where a key is missing, unknown or of another shape.
    """
    ours, skipped = rename(state, AUDIOCRAFT, IGNORED)
    model = EncodecModel(config)
    kept = {key for key in model.state_dict() if not key.endswith((".inited", ".cluster_size", ".embed_avg"))}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items() if key in kept}
    found = {key: tuple(value.shape) for key, value in ours.items()}
    if wrong := sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)):
        raise WeightsError("this is not a checkpoint of EnCodec at these sizes: "
                           f"{len(wrong)} tensors differ, first '{wrong[0]}' (file "
                           f"{found.get(wrong[0], 'none')}, network {wanted.get(wrong[0], 'none')}).")
    model.load_state_dict(ours, strict=False)
    return EncodecCodec(model.eval().requires_grad_(False)), skipped


def load_audiocraft(file: str | Path, **changes: Any) -> EncodecCodec:
    """The codec in AudioCraft's file of a compression model; `changes`: see `audiogen_config`. Raises WeightsError for
    another file."""
    content = read_pickle(file)
    settings, state = content.get("xp.cfg"), content.get("best_state")
    if not isinstance(settings, str) or not isinstance(state, dict):
        raise WeightsError(f"{file}: is not AudioCraft's file of a codec, with xp.cfg and best_state; use the file as "
                           "it was published.")
    return from_audiocraft(state, audiogen_config(pad_mode_of(settings), **changes))[0]


def pad_mode_of(settings: str) -> str:
    """The padding that AudioCraft's configuration (`xp.cfg`, YAML) names for its SEANet, "constant" where it names
    none. Raises WeightsError for one that is unknown."""
    found = re.search(r"^seanet:\n(?:[ \t]+.*\n)*?[ \t]+pad_mode:[ \t]*['\"]?(\w+)", settings, re.MULTILINE)
    mode = "constant" if found is None else found[1]
    if mode not in PAD_MODES:
        raise WeightsError(f"the codec's configuration names the padding '{mode}'; known are {', '.join(PAD_MODES)}.")
    return mode
