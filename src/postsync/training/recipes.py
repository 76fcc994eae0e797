"""One function a trainable: a preset's name -> the untrained objective; trained parts it stands on are the bundled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from .. import weights
from ..data.clip import Clip
from ..errors import PostsyncError


def _preset(module: Any, name: str) -> Any:
    """What the preset function `name` of `module` returns."""
    return getattr(module, name)()


def vae(preset: str) -> nn.Module:
    """The mel codec's autoencoder."""
    from ..codecs import presets
    from ..codecs.objective import MelVAEObjective

    return MelVAEObjective(_preset(presets, preset))


def vocoder(preset: str) -> nn.Module:
    """The mel codec's vocoder."""
    from ..codecs import presets
    from ..codecs.objective import VocoderObjective

    return VocoderObjective(_preset(presets, preset))


def gram(preset: str) -> nn.Module:
    """GRAM's towers from scratch, on the bundled vocabulary."""
    from ..encoders import gram as towers
    from ..encoders import gram_objective
    from ..encoders.text import WordPieceTokenizer

    tokenizer = WordPieceTokenizer(weights.ROOT / "gram" / "vocab.txt")
    sizes = getattr(towers, preset)(vocab_size=len(tokenizer))
    encoder = towers.GramEncoder.from_preset(sizes, tokenizer)
    return gram_objective.GramObjective(encoder, gram_objective.mini(), captions=scene_captions)


def gram_pictures(preset: str) -> nn.Module:
    """GRAM's picture tower, on towards where the bundled towers of sound and text stand."""
    from ..encoders import gram_objective
    from ..encoders.gram import GramEncoder

    encoder = GramEncoder.from_pretrained(weights.bundled("gram")).float()
    return gram_objective.GramObjective(encoder, gram_objective.mini_pictures(), captions=scene_captions)


def scene_classifier(preset: str) -> nn.Module:
    """The classifier of scene sounds."""
    from ..metrics.scene_classifier import SceneClassifierObjective

    return SceneClassifierObjective()


def foleygram_base(preset: str) -> nn.Module:
    """FoleyGRAM's transformer, over the bundled codec and towers."""
    from ..codecs.mel_vae import MelCodec
    from ..encoders.gram import GramEncoder
    from ..systems.foleygram import presets
    from ..systems.foleygram.objective import FoleyGRAMObjective

    encoder = GramEncoder.from_pretrained(weights.bundled("gram"))
    sizes = getattr(presets, preset)(gram_dim=encoder.embedding_dim)
    codec = MelCodec.from_pretrained(weights.bundled("mel_codec"))
    return FoleyGRAMObjective(sizes, stage="base", codec=codec, gram=encoder)


def foleygram_control(preset: str, base: Path | None = None) -> nn.Module:
    """FoleyGRAM's control branch, over the pipeline of stage "base" in the folder `base` (default: the bundled one)."""
    from ..systems.foleygram import presets
    from ..systems.foleygram.objective import FoleyGRAMObjective
    from ..systems.foleygram.pipeline import FoleyGRAMPipeline

    pipeline = FoleyGRAMPipeline.from_pretrained(base or weights.bundled("foleygram"))
    sizes = getattr(presets, preset)(gram_dim=pipeline.conditioner.config["gram_dim"])
    return FoleyGRAMObjective(sizes, stage="control", base=pipeline, codec=pipeline.codec, gram=pipeline.gram)


def scene_captions(clip: Clip) -> Sequence[str]:
    """All training paraphrases of a scene's family; the clip's own captions where it is not a scene."""
    from ..scenes.captions import paraphrases
    from ..scenes.families import FAMILIES

    return paraphrases(clip.label)[0] if clip.label in FAMILIES else clip.captions


def cavp(preset: str) -> nn.Module:
    """CAVP's two encoders from scratch."""
    from ..encoders import cavp_objective

    return cavp_objective.CavpObjective(_preset(cavp_objective, preset))


def mgaudio(preset: str, codec: Path | None = None, cavp: Path | None = None,
            video_features: Path | None = None) -> nn.Module:
    """MGAudio's transformer, over a codec and a CAVP, which also is what it is aligned with.

    `preset`: "mini", "paper-S", "paper-B" (or "paper"), "paper-L", "paper-XL". `codec`: a folder with vae/ and
    vocoder/; the mini has the bundled one by default, for the paper's sizes it must be named. `cavp`: a saved CAVP; by
    default the bundled or the converted published one. `video_features`: see `MGAudioObjective.feature_folder`. Raises
    PostsyncError for what is missing or does not fit.
    """
    from ..codecs.mel_vae import MelCodec
    from ..encoders.cavp import load_cavp
    from ..systems.mgaudio import presets
    from ..systems.mgaudio.objective import MGAudioObjective
    from ..systems.mgaudio.checkpoint import published_cavp

    if preset == "mini":
        encoders = load_cavp(cavp or weights.bundled("cavp"))
        sizes = presets.mini(feature_dim=encoders.config["embed_dim"])
    else:
        if codec is None:
            raise PostsyncError(f"{preset} is trained on AudioLDM's codec; name its folder (vae/ and vocoder/) with "
                                "--codec.")
        encoders = published_cavp(cavp)
        sizes = presets.paper(preset.partition("-")[2] or "B")  # type: ignore[arg-type]
    return MGAudioObjective(sizes, codec=MelCodec.from_pretrained(codec or weights.bundled("mel_codec")),
                            cavp=encoders, feature_folder=video_features, whole=bool(codec or cavp))


def timing(preset: str) -> nn.Module:
    """The timing predictor."""
    from ..timing.objective import TimingObjective
    from ..timing.predictor import TimingPredictor

    sizes = {"mini": {}, "tiny": {"num_members": 1, "width": 8, "hidden": 8}}
    return TimingObjective(TimingPredictor(**sizes[preset]))


def timing_scenes() -> dict[str, Any]:
    """Arguments of SceneConfig: mostly impacts, mostly clean (what the features take out need not be learnt), small
    nuisances one at a time.
    """
    from ..scenes.families import FAMILIES
    from ..scenes.nuisances import NuisanceConfig

    kinds = {name: family.kind for name, family in FAMILIES.items()}
    impacts = [n for n in FAMILIES if kinds[n] == "strike"] + [
        "ball_bounce", "footsteps", "door_knock", "clap", "bang", "cymbal", "splash", "bell", "clock_tick"]
    agitation = ["bark", "bark", "bark", "engine_start", "whistle"]
    rest = [n for n in FAMILIES if kinds[n] in ("scrape", "texture")]
    # a family's share is how often it is named
    families = (*impacts * 5, *agitation * 5, *rest)
    return {"families": families, "silent": 0.4,
            "nuisances": NuisanceConfig(texture=0.8, photo=1.0, grain=0.6, shake=0.5, pan=0.5, zoom=0.4, cuts=0.4,
                                        blur=0.7, exposure=0.5, compression=0.6, rate=0.7, occlusion=0.4, movers=0.3)}
