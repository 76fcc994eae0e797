"""Values of single clips that published networks, or published signal recipes, give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..features.flow import flow_magnitudes, luma, motion_peaks
from ..features.onsets import librosa_onsets
from ..metrics.alignment import aligned, desync_s
from ..metrics.av_align import FLOW_THRESHOLD, av_align
from ..metrics.divergence import kl_divergence
from ..metrics.e_l1 import RECIPES, e_l1
from ..metrics.onset_hits import SAMPLE_RATE as ONSET_RATE
from ..metrics.onset_hits import OnsetHits, onset_hits
from ..metrics.similarity import cosine_similarity
from .observation import Observation, Pair
from .sides import LeftOut

Sums = tuple[float, float]
ONSET_WINDOW = 2048  # samples, librosa's default


def kl(pair: Pair, network: str, form: str, eps: float) -> Sums:
    """(KL of the reference's classes against those of the generated sound, 1)."""
    made, real = (side.heard(network)["logits"] for side in (pair.generated, pair.reference))
    return float(kl_divergence(made, real, form, eps)), 1.0  # type: ignore[arg-type]


def sound_and_caption(pair: Pair, network: str) -> Sums:
    """(cosine of sound and caption, 1)."""
    return _cosine(pair.generated.heard(network)["embedding"], pair.read(network))


def sound_and_sound(pair: Pair, network: str) -> Sums:
    """(cosine of generated and real sound, 1)."""
    return _cosine(*(side.heard(network)["embedding"] for side in (pair.generated, pair.reference)))


def sound_and_picture(pair: Pair, protocol: str) -> Sums:
    """(ImageBind's cosine of sound and picture, 1)."""
    return _cosine(pair.generated.heard("imagebind")["embedding"], _imagebind_picture(pair, protocol))


def caption_and_picture(pair: Pair, protocol: str) -> Sums:
    """(ImageBind's cosine of caption and picture, 1)."""
    return _cosine(pair.read("imagebind"), _imagebind_picture(pair, protocol))


def _imagebind_picture(pair: Pair, protocol: str) -> Tensor:
    clip, network = pair.picture, pair.networks["imagebind"]
    fps = 0.5 if protocol == "av-benchmark" else network.module.FPS

    def look() -> dict[str, Tensor]:
        return network.run(lambda: network.model.video_features(clip.pictures(fps), fps, protocol))

    return clip.once(("imagebind", protocol), look)["embedding"][None]


def _cosine(first: Tensor, second: Tensor) -> Sums:
    return float(cosine_similarity(first, second)), 1.0


def align_hit(pair: Pair) -> Sums:
    """(1 where Diff-Foley's classifier calls sound and picture aligned, 1)."""
    classifier, steps = pair.networks["align_classifier"], pair.picture.seen("cavp")["steps"]
    waveform = pair.generated.sound(classifier.module.SAMPLE_RATE, classifier.resampler)[None]

    def judge() -> dict[str, Tensor]:
        on = classifier.device
        return {"probability": classifier.model.probability(waveform.to(on), steps[None].to(on))}

    return float(aligned(classifier.run(judge)["probability"])), 1.0


def desync(pair: Pair) -> Sums:
    """(mean distance of sound and picture over Synchformer's two windows in seconds, 1)."""
    network = pair.networks["synchformer"]
    waveform = pair.generated.sound(network.module.SAMPLE_RATE, network.resampler)[None].to(network.device)
    pictures = pair.picture.pictures(network.module.FPS)
    logits = network.run(lambda: network.model.features(pictures, waveform))["logits"]
    return float(desync_s(logits[None])), 1.0


def e_l1_of(pair: Pair, recipe: str) -> Sums:
    """(E-L1 over the length that both sides have, 1)."""
    chosen = RECIPES[recipe]
    made, real = (side.sound(chosen.sample_rate) for side in (pair.generated, pair.reference))
    length = min(len(made), len(real))
    if length < chosen.sample_rate / 10:
        raise LeftOut("is shorter than 0.1 s")
    return float(e_l1(made[:length], real[:length], chosen)), 1.0


def onsets_hit(pair: Pair, what: str) -> Sums:
    """(`what`, a field of OnsetHits, of the clip against its reference, 1)."""
    hits: OnsetHits = pair.generated.once(("onset hits",), lambda: onset_hits(
        _for_onsets(pair.reference), _for_onsets(pair.generated)))
    return float(getattr(hits, what)), 1.0


def av_agreement(pair: Pair, variant: Any) -> Sums:
    """(AV-Align of a variant, 1)."""
    made, shown = pair.generated, pair.picture
    heard = made.once("librosa onsets", lambda: librosa_onsets(_for_onsets(made), ONSET_RATE))
    moved = motion_peaks(shown.once("flow", lambda: _trajectory(shown)), shown.fps(), FLOW_THRESHOLD[variant])
    return av_align(heard, moved, shown.fps(), variant), 1.0


def _for_onsets(clip: Observation) -> Tensor:
    """The sound (N,) for librosa's onsets. Raises LeftOut where it is shorter than one of their windows."""
    sound = clip.sound(ONSET_RATE)
    if len(sound) < ONSET_WINDOW:
        raise LeftOut(f"is shorter than the onset window of {ONSET_WINDOW / ONSET_RATE:.3f} s")
    return sound


def _trajectory(clip: Observation) -> Tensor:
    pictures = clip.pictures()
    if len(pictures) < 2:
        raise LeftOut("has one picture, in which nothing moves")
    with torch.inference_mode():
        return flow_magnitudes(luma(pictures))
