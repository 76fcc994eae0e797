"""Training recipes of VATT: a preset's name -> the untrained objective of a stage."""

from __future__ import annotations

from pathlib import Path

from ... import weights
from ...codecs.mel_vae import MelCodec
from ...codecs.residual_codes import QuantizedMelCodec, ResidualQuantizer
from ...encoders.gram import load_gram
from ...errors import PostsyncError
from ...scenes.families import RECORDED
from . import presets
from .converter import VattConverter
from .decoder import MaskedTokenTransformer
from .masking import Distribution, MaskRatio
from .objective import AudioObjective, ConverterObjective, Mixture

CONVERTERS = {"mini": presets.mini_converter, "tiny": presets.tiny_converter}
WEIGHTS = (0.5, 0.25, 0.125, 0.125)  # of the mini's codebooks: the first ones say what is heard
PRESETS = {"mini": presets.mini, "tiny": presets.tiny}
UNSEEN = frozenset(RECORDED)  # families that are drawn like others: a step in snow looks like any step


def converter(preset: str, gram: Path | None = None) -> ConverterObjective:
    """A language model from scratch, which sees through GRAM's video tower (in the folder `gram`, by default the
    bundled one) and speaks its words."""
    folder, sizes = gram or weights.bundled("gram"), CONVERTERS[preset]()
    eyes, tokenizer = load_gram(folder).float(), presets.mini_tokenizer(folder / "vocab.txt")
    return ConverterObjective(VattConverter(sizes.build(tokenizer), tokenizer, video_dim=eyes.config["video"]["width"],
                                            longest=sizes.longest), eyes, unseen=UNSEEN)


def audio(preset: str, start: Path | None = None, converter: Path | None = None, codebooks: Path | None = None,
          codec: Path | None = None, gram: Path | None = None,
          distribution: Distribution = "truncated_gaussian", pictures: int = 16) -> AudioObjective:
    """The masked transformer, told by the language model in the folder `converter`, over the `codebooks` of a mel
    codec (`codec`); by default the bundled ones, the tiny one has random ones. `start`: a saved pipeline whose
    transformer is trained further; `distribution`: of the share of masked tokens; `pictures`: of a part of a clip, four
    a second. Many short parts in a batch teach what words and picture mean several times as fast as a few long ones.

    Raises PostsyncError for parts that do not fit.
    """
    sizes = PRESETS[preset]()
    eyes = load_gram(gram or weights.bundled("gram")).float()
    mel_codec = MelCodec.from_pretrained(codec or weights.bundled("mel_codec"))
    if preset == "tiny":
        tokenizer = presets.mini_tokenizer(weights.bundled("gram") / "vocab.txt")
        told_by = VattConverter(presets.tiny_converter().build(tokenizer), tokenizer,
                                video_dim=eyes.config["video"]["width"])
        tokens = QuantizedMelCodec(mel_codec, ResidualQuantizer(num_codebooks=2, codebook_size=16))
    else:
        told_by = VattConverter.from_pretrained(converter or weights.bundled("vatt_converter"))
        tokens = QuantizedMelCodec.from_pretrained(codebooks or weights.bundled("codebooks"), mel_codec=mel_codec)
    count, size, width = tokens.codebooks.shape
    transformer = MaskedTokenTransformer(condition_dim=told_by.llm.config.hidden_size, num_codebooks=count,
                                         codebook_size=size, codebook_dim=width, **sizes.transformer)
    if start is not None:
        earlier = MaskedTokenTransformer.from_pretrained(start / "transformer")
        if earlier.config["condition_dim"] != told_by.llm.config.hidden_size or earlier.codebooks.shape != (
                count, size, width):
            raise PostsyncError(f"{start}: was told by another language model, or made another codec's tokens; name "
                                "them with --part converter=FOLDER and --part codebooks=FOLDER.")
        transformer = earlier.float()
    mixture = Mixture(pictures=pictures, coarse=0.4, blank=0.4, weights=WEIGHTS[:count])
    asks = ConverterObjective(told_by, eyes, unseen=UNSEEN)
    return AudioObjective(transformer, asks, tokens, preset=sizes, mixture=mixture,
                          ratio=MaskRatio(distribution), whole=bool(converter or codebooks or codec or gram))
