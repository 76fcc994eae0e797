"""Training recipes of VATT: a preset's name -> the untrained objective of a stage."""

from __future__ import annotations

from pathlib import Path

from ... import weights
from ...codecs.mel_vae import MelCodec
from ...codecs.residual_codes import QuantizedMelCodec, ResidualQuantizer, load_quantized
from ...encoders.gram import load_gram
from ...errors import PostsyncError
from . import presets
from .converter import VattConverter
from .decoder import MaskedTokenTransformer
from .objective import AudioObjective, ConverterObjective

PRESETS = {"mini": presets.mini, "tiny": presets.tiny}


def converter(preset: str, gram: Path | None = None) -> ConverterObjective:
    """A language model from scratch, which sees through GRAM's video tower (in the folder `gram`, by default the
    bundled one) and speaks its words."""
    folder, sizes = gram or weights.bundled("gram"), PRESETS[preset]()
    eyes, tokenizer = load_gram(folder).float(), presets.mini_tokenizer(folder / "vocab.txt")
    return ConverterObjective(VattConverter(sizes.build(tokenizer), tokenizer, video_dim=eyes.config["video"]["width"],
                                            longest=sizes.longest), eyes)


def audio(preset: str, converter: Path | None = None, codebooks: Path | None = None, codec: Path | None = None,
          gram: Path | None = None) -> AudioObjective:
    """The masked transformer, told by the language model in the folder `converter`, over the `codebooks` of a mel
    codec (`codec`, by default the bundled one). The tiny one has random ones.

    Raises PostsyncError where the mini lacks one of the two.
    """
    eyes = load_gram(gram or weights.bundled("gram")).float()
    mel_codec = MelCodec.from_pretrained(codec or weights.bundled("mel_codec"))
    if preset == "tiny":
        tokenizer = presets.mini_tokenizer(weights.bundled("gram") / "vocab.txt")
        told_by = VattConverter(presets.tiny().build(tokenizer), tokenizer, video_dim=eyes.config["video"]["width"])
        tokens = QuantizedMelCodec(mel_codec, ResidualQuantizer(num_codebooks=2, codebook_size=16))
    elif converter is None or codebooks is None:
        raise PostsyncError("VATT's transformer is told by a language model and makes tokens; name both with --part "
                            "converter=FOLDER (of train vatt_converter) and --part codebooks=FOLDER (of train "
                            "codebooks).")
    else:
        told_by, tokens = VattConverter.from_pretrained(converter), load_quantized(codebooks, mel_codec)
    count, size, width = tokens.codebooks.shape
    transformer = MaskedTokenTransformer(condition_dim=told_by.llm.config.hidden_size, num_codebooks=count,
                                         codebook_size=size, codebook_dim=width, **presets.AUDIO[preset])
    return AudioObjective(transformer, ConverterObjective(told_by, eyes), tokens)
