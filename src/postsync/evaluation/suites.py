"""The suites: which metrics, with which networks and settings, under which protocol (metrics.md section 16).

Where a paper does not name the implementation behind its table, the one that its numbers suggest is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch

from ..errors import PostsyncError
from ..features.flow import flow_backend
from ..metrics import alignment, onset_protocols, onsets, signals
from ..metrics import heard as heard_metrics
from ..metrics.captions import LAYER, MAX_ORDER, TOKENISATION, BertScore, Bleu, CiderD, RougeL, Score
from ..metrics.class_scores import InceptionScore, KLDivergence
from ..metrics.frechet import FAVD, FVD, NUM_FRAMES, FrechetDistance
from ..metrics.kid import KernelDistance
from ..metrics.similarity import CosineSimilarity, EmbeddingVolume
from ..registry import resolve
from . import SUITES
from . import clip_inputs as clips
from . import set_rows as sets
from .networks import ROBERTA
from .tally import ClipMetric, Metric, SetMetric

TOLERANCES_MS = (25, 50, 100)
WIDEST_S = TOLERANCES_MS[-1] / 1000
ONSETS = {"picker": "postsync.features.onsets, defaults", "events": "visible; a sound at an unseen one does not count"}
LATE = {"sign": "late is positive"}
FULL_SCALE = {"level": "peak brought to 1"}
MEAN_OFF = {"mean": "taken off"}
FLOOR_DB = -40.0  # of envelopes, below their loudest value
LIBROSA = ("librosa", "scipy")


@dataclass(frozen=True)
class Suite:
    """Metrics under one protocol."""

    name: str
    summary: str
    metrics: tuple[Metric, ...]
    duration_s: float  # only the first seconds of each clip are measured
    picture_of: Literal["generated", "reference"] = "reference"  # whose picture counts if both have one


def frechet(name: str, network: str, key: str, **about: Any) -> SetMetric:
    """A Frechet distance of a network's features of the sound."""
    metric = FrechetDistance()
    return SetMetric(name, metric, sets.sound_rows, note=sets.frechet_note, networks=(network,),
                     settings={"network": network, "key": key}, about={"ddof": metric.ddof, **about})


def fad_vggish() -> Metric:
    """FAD: VGGish without its last ReLU, without PCA."""
    return frechet("FAD-VGGish", "vggish", "embedding", window_s=0.96, hop_s=0.96, **MEAN_OFF)


def fd_panns(name: str = "FD-PANNs") -> Metric:
    """FD: Cnn14 at 16 kHz, one row a clip."""
    return frechet(name, "panns", "embedding", **MEAN_OFF)


def kid(name: str, network: str, **about: Any) -> Metric:
    """KID of a network's features of the sound; unlike a Frechet distance it is meaningful for few clips."""
    metric = KernelDistance()
    return SetMetric(name, metric, sets.sound_rows, note=partial(sets.kid_note, subset_size=metric.subset_size),
                     networks=(network,), settings={"network": network, "key": "embedding"},
                     about={"kernel": "(x . y / D + 1)^3", "subsets": metric.subsets, "subset_size": metric.subset_size,
                            "draws": f"RandomState({metric.seed})", **about})


def inception(name: str, network: str, **about: Any) -> Metric:
    """Inception score over ten splits in the published shuffled order."""
    metric = InceptionScore()
    return SetMetric(name, metric, sets.sound_rows, note=sets.inception_note, networks=(network,),
                     settings={"network": network, "key": "logits"},
                     about={"splits": metric.splits, "shuffle": f"RandomState({metric.seed})", **about})


def kl(name: str, network: str, eps: float, **about: Any) -> Metric:
    """KL of the reference against the generated sound, softmax."""
    return ClipMetric(name, KLDivergence("softmax", eps), clips.class_logits, unit="nat", networks=(network,),
                      settings={"network": network}, about={"form": "softmax", "eps": eps, **about})


def align_accuracy() -> Metric:
    """Diff-Foley's Align Acc."""
    return ClipMetric("Align-Acc", alignment.AlignAccuracy(), clips.aligned_probability, pictures=True,
                      picture_s=clips.CAVP_S, networks=("cavp", "align_classifier"),
                      about={"window_s": 8.192, "pictures_s": clips.CAVP_S,
                             "posterior": "one draw, the same for every clip"})


def imagebind(protocol: str, *names: str) -> tuple[Metric, ...]:
    """ImageBind's cosines, by name."""
    shown: dict[str, Any] = {"networks": ("imagebind",), "settings": {"protocol": protocol}, "pictures": True}
    known = {
        "IB-AV": ClipMetric("IB-AV", CosineSimilarity(), clips.imagebind_sound_and_picture, **shown),
        "IB-TA": ClipMetric("IB-TA", CosineSimilarity(), clips.sound_and_caption, networks=("imagebind",),
                            settings={"network": "imagebind"}, captions=True),
        "IB-TV": ClipMetric("IB-TV", CosineSimilarity(), clips.imagebind_caption_and_picture, captions=True, **shown)}
    return tuple(known[name] for name in names)


def clap_score(name: str = "CLAP-score", audio: bool = False) -> Metric:
    """Cosine of generated sound and caption, or of generated and real sound."""
    return ClipMetric(name, CosineSimilarity(), clips.sound_and_sound if audio else clips.sound_and_caption,
                      networks=("clap",), settings={"network": "clap"}, captions=not audio)


def favd() -> tuple[Metric, ...]:
    """FAVD with the clips' precomputed flow, with postsync's own flow, and with I3D's picture stream alone.

    The published flow is that of PWC-Net, which postsync does not include: users who have it provide files.
    """
    def metric(name: str, networks: tuple[str, ...], caution: str = "", about: dict[str, Any] | None = None,
               **settings: Any) -> SetMetric:
        distance = FAVD(num_features=None)
        return SetMetric(name, distance, sets.picture_and_sound_rows, networks=networks,
                         note=partial(sets.frechet_note, caution=caution), pictures=True, settings=settings,
                         about={"ddof": distance.ddof, "window_s": 0.96, **(about or {})})

    both = ("i3d", "i3d_flow", "vggish")
    return (
        metric("FAVD-I3D-VGGish", both, "flow as its files have it; the published one is PWC-Net's", flow="files"),
        metric("FAVD-I3D-rgb+flow(Farneback)-VGGish", both, about={"farneback": flow_backend()}, flow="Farneback"),
        metric("FAVD-I3D-rgb-VGGish", ("i3d", "vggish"), about={"flow": "none"}))


def av_align(*variants: alignment.Variant) -> tuple[Metric, ...]:
    """AV-Align in its variants, on optical flow after Farneback."""
    return tuple(ClipMetric(f"AV-Align-{variant}", alignment.AVAlign(variant), clips.audio_and_video_peaks,
                            modules=LIBROSA, pictures=True, settings={"variant": variant},
                            about={"fps": "of each clip", "rate": 22050, "farneback": flow_backend()})
                 for variant in variants)


def onset_hits() -> tuple[Metric, ...]:
    """Onsets against those of the real sound, after CondFoleyGen."""
    found = (("Onset-count-Acc", onset_protocols.OnsetCountAccuracy(), "same_count"),
             ("Onset-Acc", onset_protocols.OnsetAccuracy(), "accuracy"),
             ("Onset-AP", onset_protocols.OnsetAveragePrecision(), "average_precision"))
    return tuple(ClipMetric(name, metric, clips.hits, modules=LIBROSA,
                            about={"what": what, "rate": 22050, "delta": 0.3, "tolerance_s": 0.1})
                 for name, metric, what in found)


def e_l1(*recipes: str) -> tuple[Metric, ...]:
    """E-L1 in its recipes."""
    return tuple(ClipMetric(f"E-L1@{recipe}", signals.EnvelopeL1(recipe), clips.waveforms, settings={"recipe": recipe},
                            modules=("scipy",) if recipe.endswith("lowpass") else ()) for recipe in recipes)


def vggsound() -> Suite:
    """MGAudio's table on VGGSound: PANNs and VGGish as audioldm_eval has them, Diff-Foley's Align Acc."""
    return Suite("vggsound", "MGAudio's table on VGGSound", (
        fad_vggish(), fd_panns(), inception("IS-PANNs", "panns", **MEAN_OFF), kl("KL-PANNs", "panns", 1e-6, **MEAN_OFF),
        align_accuracy()), duration_s=8.16)


def av_benchmark() -> Suite:
    """hkchengrex/av-benchmark, with which MMAudio and its followers print their tables."""
    return Suite("av-benchmark", "tables in MMAudio's manner", (
        fad_vggish(), fd_panns(), frechet("FD-PaSST", "passt", "embedding"),
        kid("KID-PANNs", "panns", **MEAN_OFF), kid("KID-PaSST", "passt"),
        inception("IS-PANNs", "panns", **MEAN_OFF), inception("IS-PaSST", "passt"),
        kl("KL-PANNs", "panns", 0.0, **MEAN_OFF), kl("KL-PaSST", "passt", 0.0), *imagebind("av-benchmark", "IB-AV"),
        ClipMetric("DeSync-Synchformer", alignment.DeSync(), clips.offset_logits, unit="s", pictures=True,
                   networks=("synchformer",), about={"windows": "first and last 4.8 s"}),
        clap_score()), duration_s=8.0)


def greatest_hits() -> Suite:
    """FoleyGRAM's table on Greatest Hits, with the onset metrics that are customary there."""
    distance = FrechetDistance()
    clap = SetMetric("FAD-CLAP", distance, sets.windowed_rows, note=sets.frechet_note, networks=("clap",),
                     settings={"network": "clap", "window_s": 10.0, "hop_s": 1.0},
                     about={"ddof": distance.ddof, "resampler": "torchaudio, long Kaiser"})
    return Suite("greatest-hits", "FoleyGRAM's table on Greatest Hits", (
        fd_panns("FAD-PANNs"), clap, clap_score("CLAP-score-audio", audio=True), *favd(),
        *e_l1("44k", "22k-lowpass", "16k"), *onset_hits()), duration_s=10.0)


def sounding_video() -> Suite:
    """The table of the sounding-video baseline, where the picture is generated as well."""
    # FVD's own I3D is a TorchScript program, which is not run here, and FAVD's does not give its values
    distance = FVD(num_features=None)
    fvd = SetMetric("FVD-I3D-rgb-FAVD-weights", distance, sets.video_rows, networks=("i3d",), pictures=True,
                    settings={"seed": 0},
                    note=partial(sets.frechet_note, caution="not the published FVD, whose I3D has other weights"),
                    about={"ddof": distance.ddof, "pictures": NUM_FRAMES,
                           "start": "real: drawn from seed and clip id; generated: 0"})
    return Suite("sounding-video", "the sounding-video baseline's table", (
        fvd, fad_vggish(), *av_align("SVG", "TempoTokens-2023", "TempoTokens-2025"),
        *imagebind("imagebind", "IB-AV", "IB-TA", "IB-TV"), clap_score()), duration_s=4.0, picture_of="generated")


def captions() -> tuple[Metric, ...]:
    """The captions of the generated side's manifest against those of the reference's."""
    about: dict[str, Any] = {"tokenisation": TOKENISATION}
    scores: tuple[Score, ...] = get_args(Score)
    return (
        *(ClipMetric(f"BLEU-{order}", Bleu(order), clips.captions, about=about) for order in range(1, MAX_ORDER + 1)),
        ClipMetric("ROUGE-L", RougeL(), clips.captions, about=about),
        SetMetric("CIDEr-D", CiderD(), sets.caption_rows, about=about),
        *(ClipMetric(f"BERTScore-{what}", BertScore(what), clips.caption_scores, networks=(ROBERTA,),
                     settings={"layer": LAYER}, about={"rescaled": False, "what": what}) for what in scores),
        ClipMetric("CLAP-score-caption", CosineSimilarity(), clips.caption_and_sound, networks=("clap",),
                   settings={"network": "clap"}, captions=True, about={"sound": "real"}))


def vatt() -> Suite:
    """VATT's tables on VGGSound, of its sounds and of its captions."""
    return Suite("vatt", "VATT's tables on VGGSound", (
        kl("KL-PaSST", "passt", 1e-6), fad_vggish(), align_accuracy(), clap_score("CLAP-score-audio", audio=True),
        *captions()), duration_s=10.0)


def mdg() -> Suite:
    """MDG's table: audioldm_eval's metrics and FAVD."""
    return Suite("mdg", "MDG's table", (
        fad_vggish(), fd_panns(), inception("IS-PANNs", "panns", **MEAN_OFF), kl("KL-PANNs", "panns", 1e-6, **MEAN_OFF),
        *favd()), duration_s=10.0)


def scenes() -> Suite:
    """Measures that no real data set allows, because every onset is known. Needs only the bundled networks."""
    from ..metrics.scene_classifier import FamilyAccuracy, FamilyLogProbability

    gram: dict[str, Any] = {"networks": ("gram",), "about": FULL_SCALE}
    cosine = CosineSimilarity(torch.float32)
    return Suite("scenes", "procedural scenes: every onset is known; offline", (
        *_onset_metrics(),
        ClipMetric("Envelope-r", signals.EnvelopeCorrelation(), clips.envelopes,
                   about={"rate": 100, "truth": "foreground of the scene"}),
        ClipMetric("Envelope-lag-ms", signals.EnvelopeLag(), clips.varying_envelopes, unit="ms",
                   about={"rate": 100} | LATE),
        ClipMetric("Envelope-error-dB", signals.EnvelopeError(FLOOR_DB), clips.envelopes, unit="dB",
                   about={"rate": 100, "floor_db": FLOOR_DB}),
        ClipMetric("Loudness-error-LU", signals.LoudnessError(), clips.loudness, unit="LU",
                   about={"silence": signals.QUIETEST_LUFS}),
        ClipMetric("Family-accuracy-SceneClassifier", FamilyAccuracy(), clips.families,
                   networks=("scene_classifier",), about=FULL_SCALE),
        ClipMetric("Family-log-p-SceneClassifier", FamilyLogProbability(), clips.family_logits,
                   networks=("scene_classifier",), about=FULL_SCALE),
        frechet("FAD-SceneClassifier", "scene_classifier", "features", **FULL_SCALE),
        ClipMetric("GRAM-TA", cosine, partial(clips.sound_and_caption, network="gram"), **gram),
        ClipMetric("GRAM-AV", cosine, clips.gram_sound_and_picture, pictures=True, **gram),
        ClipMetric("GRAM-volume", EmbeddingVolume(), clips.gram_triplet, pictures=True, **gram)), duration_s=30.0)


def _onset_metrics() -> tuple[Metric, ...]:
    """Onsets of the sound against visible events."""
    kinds = {"precision": onsets.OnsetPrecision, "recall": onsets.OnsetRecall, "F1": onsets.OnsetF1}
    agreement = [ClipMetric(f"Onset-{name}@{ms}ms", kind(ms / 1000), clips.onsets_and_events,
                            about=ONSETS | {"tolerance_s": ms / 1000})
                 for ms in TOLERANCES_MS for name, kind in kinds.items()]
    widest = ONSETS | {"tolerance_s": WIDEST_S}
    return (
        *agreement,
        ClipMetric("Onset-lag-ms", onsets.OnsetLag(WIDEST_S), clips.onsets_and_visible_events, unit="ms",
                   about=widest | LATE),
        ClipMetric("Onset-lag-abs-ms", onsets.OnsetDistance(WIDEST_S), clips.onsets_and_visible_events, unit="ms",
                   about=widest | {"absolute": True}),
        ClipMetric("Missed-sounds@100ms", onsets.MissedOnsets(WIDEST_S), clips.onsets_and_events, unit="a clip",
                   about=widest),
        ClipMetric("Invented-sounds@100ms", onsets.InventedOnsets(WIDEST_S), clips.onsets_and_events, unit="a clip",
                   about=widest))


def heard() -> Suite:
    """What independent taggers hear: classes, whatever network the sounds were trained with."""
    return Suite("heard", "what a tagger hears: expected classes, of generated and real sound", tuple(
        metric for tagger, shown in (("recording_classifier", "RecordingClassifier"), ("yamnet", "YAMNet"),
                                     ("panns", "PANNs")) for metric in _heard_by(tagger, shown)),
        duration_s=30.0)


def _heard_by(tagger: str, shown: str) -> tuple[Metric, ...]:
    about = {"classes": "heard_as of the manifest, else those of the family (metrics/heard.py)",
             "heard": f"among the first {heard_metrics.FIRST}, {heard_metrics.LEAST} or more"}
    rest: dict[str, Any] = {"networks": (tagger,), "about": about}
    return (
        ClipMetric(f"Heard-{shown}", heard_metrics.Heard(), clips.heard, remark=partial(clips.heard_classes, tagger),
                   settings={"network": tagger}, **rest),
        ClipMetric(f"Heard-score-{shown}", heard_metrics.HeardScore(), clips.heard, settings={"network": tagger},
                   **rest),
        ClipMetric(f"Heard-score-{shown}-real", heard_metrics.HeardScore(), clips.heard,
                   settings={"network": tagger, "side": "reference"}, **rest))


def suite(name: str) -> Suite:
    """The suite `name` of `SUITES`; raises PostsyncError naming those that exist."""
    if name not in SUITES:
        raise PostsyncError(f"no suite '{name}'; the suites are: {', '.join(SUITES)}.")
    return resolve(SUITES[name])()
