"""LAION-CLAP: sound and captions in one space of 512 numbers, through transformers' ClapModel.

Source: Wu et al., arXiv 2211.06687; package laion_clap (CC0), whose `.pt` layout `from_official` reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor
from transformers import ClapConfig, ClapModel
from transformers.models.clap.modeling_clap import ClapAudioSelfAttention

from ..features.spectrogram import clap, log_mel_spectrogram
from ..weights.layout import build, rename

SAMPLE_RATE = 48000
NUM_SAMPLES = 480000  # 10 s, the network's whole input

IGNORED = (
    (r"(module\.)?(audio|text)_transform\.", "a head of the training loss"),
    (r"(module\.)?audio_branch\.(spectrogram|logmel)_extractor\.", "Fourier and mel matrices, computed here"),
    (r"(module\.)?audio_branch\.(tscam_conv|head)\.", "AudioSet classes of the audio branch"),
    (r".*\.attn_mask$", "the mask of shifted windows, a constant"),
    (r".*\.relative_position_index$", "places in a window, a constant"),
    (r"(module\.)?text_branch\.embeddings\.(position_ids|token_type_ids)$", "constants 0, 1, 2, ... and 0"),
)
_AUDIO = "clap.audio_model.audio_encoder."
_BLOCK = r"(layers\.\d+\.blocks\.\d+\.)"
KEYS = (
    (r"^module\.", ""),
    (r"^text_branch\.", "text_model."),
    (r"^(text|audio)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(text|audio)_projection\.2\.", r"\1_projection.linear2."),
    (r"^audio_branch\.bn0\.", "audio_branch.batch_norm."),
    (_BLOCK + r"norm1\.", r"\1layernorm_before."),
    (_BLOCK + r"norm2\.", r"\1layernorm_after."),
    (_BLOCK + r"attn\.proj\.", r"\1attention.output.dense."),
    (_BLOCK + r"attn\.(relative_position_bias_table|qkv\.)", r"\1attention.self.\2"),
    (_BLOCK + r"mlp\.fc1\.", r"\1intermediate.dense."),
    (_BLOCK + r"mlp\.fc2\.", r"\1output.dense."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^", "clap."),
)


class Clap(ModelMixin, ConfigMixin):
    """ClapModel with its audio front end. The defaults are HTSAT-tiny (630k-audioset-best.pt).

    HTSAT-base (music_speech_audioset_epoch_15_esc_89.98.pt): patch_width 128, depths (2, 2, 12, 2).
    text_eps: LayerNorm epsilon of RoBERTa, 1e-5 in LAION's model.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, patch_width: int = 96, depths: Sequence[int] = (2, 2, 6, 2),
                 heads: Sequence[int] = (4, 8, 16, 32), window: int = 8, text_width: int = 768, text_layers: int = 12,
                 text_heads: int = 12, vocabulary: int = 50265, positions: int = 514, embed_dim: int = 512,
                 text_eps: float = 1e-5) -> None:
        super().__init__()
        self.register_to_config(patch_width=patch_width, depths=list(depths), heads=list(heads), window=window,
                                text_width=text_width, text_layers=text_layers, text_heads=text_heads,
                                vocabulary=vocabulary, positions=positions, embed_dim=embed_dim, text_eps=text_eps)
        audio = {"patch_embeds_hidden_size": patch_width, "hidden_size": patch_width * 2 ** (len(depths) - 1),
                 "depths": list(depths), "num_attention_heads": list(heads), "window_size": window,
                 "projection_dim": embed_dim}
        text = {"hidden_size": text_width, "num_hidden_layers": text_layers, "num_attention_heads": text_heads,
                "intermediate_size": 4 * text_width, "vocab_size": vocabulary, "max_position_embeddings": positions,
                "layer_norm_eps": text_eps, "projection_dim": embed_dim}
        self.clap = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=embed_dim))

    def embed_audio(self, log_mel: Tensor) -> Tensor:
        """Decibels of 10 s (B, 1001, 64) (`clap_log_mel`) -> unit vectors (B, embed_dim)."""
        return self.clap.get_audio_features(input_features=log_mel[:, None]).pooler_output

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """RoBERTa tokens and their mask (B, 77) (`RobertaTokenizer`) -> unit vectors (B, embed_dim)."""
        return self.clap.get_text_features(input_ids=ids, attention_mask=mask).pooler_output

    @torch.no_grad()
    def features(self, waveform: Tensor, int16: bool = True) -> dict[str, Tensor]:
        """Waveforms (B, N) at 48 kHz in -1..1 -> "embedding" (B, embed_dim), of unit length.

        int16: round to 16 bits first, as LAION does with files (av-benchmark passes tensors, which are not rounded).
        """
        return {"embedding": self.embed_audio(clap_log_mel(fit_to_ten_seconds(waveform, int16)))}

    @torch.no_grad()
    def text_features(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """RoBERTa tokens and their mask (B, 77) -> "embedding" (B, embed_dim), of unit length."""
        return {"embedding": self.embed_text(ids, mask)}


def fit_to_ten_seconds(waveform: Tensor, int16: bool = True) -> Tensor:
    """Waveforms (B, N) at 48 kHz -> (B, 480000): shorter ones repeated whole, then silence; of longer ones the start.

    LAION crops longer ones at random; the start is taken here, so that values are reproducible. Raises ValueError for
    no samples.
    """
    num_samples = waveform.shape[-1]
    if num_samples == 0:
        raise ValueError("a waveform without samples has no features")
    if int16:
        waveform = (waveform.clamp(-1, 1) * 32767).trunc() / 32767
    repeated = waveform.repeat(1, max(NUM_SAMPLES // num_samples, 1))
    return torch.nn.functional.pad(repeated, (0, NUM_SAMPLES - repeated.shape[-1]))  # a negative padding cuts


def clap_log_mel(waveform: Tensor) -> Tensor:
    """Waveforms (B, 480000) at 48 kHz -> decibels (B, 1001, 64), not below -100."""
    return log_mel_spectrogram(waveform, clap()) * (10 / math.log(10))


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> Clap:
    """The `state_dict` of a LAION `.pt` without fusion -> Clap. The width of the patches decides between HTSAT-tiny and
    base.

    `IGNORED` lists the skipped keys. Raises WeightsError for another layout.
    """
    state, _ = rename(state_dict, KEYS, IGNORED)
    for key in [key for key in state if ".qkv." in key]:
        for name, part in zip(("query", "key", "value"), state.pop(key).chunk(3)):
            state[key.replace("qkv", name)] = part.contiguous()
    width = state.get(f"{_AUDIO}patch_embed.proj.bias")
    inferred = {"patch_width": 128, "depths": (2, 2, 12, 2)} if width is not None and len(width) == 128 else {}
    with torch.device("meta"):
        model = Clap(**{**inferred, **sizes})  # type: ignore[arg-type]
    return build(lambda: model, state | _constants(model), "LAION-CLAP without fusion (630k-audioset-best.pt or a "
                                                           "HTSAT-base file)")


def _constants(model: Clap) -> dict[str, Tensor]:
    """The index tables that transformers keeps as buffers."""
    tables = {f"{name}.relative_position_index": module.create_relative_position_index()
              for name, module in model.named_modules() if isinstance(module, ClapAudioSelfAttention)}
    positions = torch.arange(model.config["positions"])[None]
    text = "clap.text_model.embeddings."
    return tables | {f"{text}position_ids": positions, f"{text}token_type_ids": torch.zeros_like(positions)}
