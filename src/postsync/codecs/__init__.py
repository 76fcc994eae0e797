"""Codecs: sound to latents and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..protocols.system import Option, Trainable
from ..protocols.train_config import TrainConfig

if TYPE_CHECKING:
    import torch

    from .encodec import EncodecCodec
    from .mel_vae import MelCodec
    from .oobleck import OobleckCodec
    from .residual_codes import QuantizedMelCodec

TRAINABLES = (
    Trainable("vae", "mel codec: log-mel <-> latents", "postsync.codecs.objective:vae",
              TrainConfig(steps=6000, batch_size=16, lr=1e-3, warmup=200), world="postsync.codecs.objective:recorded",
              parts={"start": "a codec whose latents to keep: its decoder alone is trained further"}),
    Trainable("vocoder", "mel codec: log-mel -> waveform", "postsync.codecs.objective:vocoder",
              TrainConfig(steps=6000, batch_size=8, lr=5e-4, warmup=50, weight_decay=0.0, ema_decay=0.998,
                          max_grad_norm=10.0),
              world="postsync.codecs.objective:recorded",
              parts={"codec": "an export of vae: codec.json and vae/", "start": "a codec whose vocoder to start from"},
              options={"blend": Option(float, "share of the trained weights in the export, the rest those of the start",
                                       low=0.0, high=1.0)}),
    Trainable("codebooks", "token codec: residual codebooks over the mel codec's latents",
              "postsync.codecs.residual_codes:codebooks",
              TrainConfig(steps=300, batch_size=16, lr=2e-3, warmup=10, weight_decay=0.0), count=2600,
              world="postsync.scenes.sounds:without_noise",
              parts={"codec": "another mel codec: vae/ and vocoder/"}),
    Trainable("picture_codec", "picture codec: pictures of 64 x 64 <-> latents",
              "postsync.codecs.pictures:picture_codec",
              TrainConfig(steps=3000, batch_size=16, lr=2e-3, warmup=50), count=1200,
              world="postsync.scenes.render:impacts"),
)


def load_codec(folder: Path, torch_dtype: torch.dtype) -> MelCodec | OobleckCodec:
    """The codec saved in `folder`, by what lies in it: `vae/` and `vocoder/` (a mel codec), or an `AutoencoderOobleck`.

    Raises WeightsError for a folder that holds neither.
    """
    from ..weights.layout import is_saved

    if is_saved(folder, "AutoencoderOobleck"):
        from .oobleck import OobleckCodec

        return OobleckCodec.from_pretrained(folder, torch_dtype=torch_dtype)
    from .mel_vae import MelCodec

    return MelCodec.from_pretrained(folder, torch_dtype=torch_dtype)


def load_token_codec(folder: Path, torch_dtype: torch.dtype) -> EncodecCodec | QuantizedMelCodec:
    """The token codec saved in `folder`, by what lies in it: an EnCodec of transformers, or codebooks over a mel codec.

    Raises WeightsError for a folder that holds neither.
    """
    from ..weights.layout import is_saved

    if is_saved(folder, "encodec"):
        from .encodec import EncodecCodec

        return EncodecCodec.from_pretrained(folder, torch_dtype=torch_dtype)
    from .residual_codes import QuantizedMelCodec

    return QuantizedMelCodec.from_pretrained(folder, torch_dtype=torch_dtype)
