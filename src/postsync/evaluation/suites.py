"""The suites: which metrics, with which networks and settings, under which protocol (metrics.md section 16).

Where a paper does not say which implementation its table was made with, the one that its numbers point to is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import PostsyncError
from ..metrics.bert_score import LAYER
from ..metrics.captions import MAX_ORDER, TOKENISATION
from . import caption_measures as words
from . import network_measures as clips
from . import scene_measures as scene
from . import set_measures as sets
from .networks import READER
from .spec import ClipMetric, Metric, SetMetric, Suite

TOLERANCES_MS = (25, 50, 100)
WIDEST_S = TOLERANCES_MS[-1] / 1000
ONSETS = {"picker": "postsync.features.onsets, defaults", "events": "visible; a sound at an unseen one does not count"}
LATE = {"sign": "late is positive"}
FULL_SCALE = {"level": "peak brought to 1"}
MEAN_OFF = {"mean": "taken off"}
LIBROSA = ("librosa", "scipy")


def frechet(name: str, network: str, key: str, **about: Any) -> SetMetric:
    """A Frechet distance of what `network` makes of the sound."""
    return SetMetric(name, False, networks=(network,), settings={"network": network, "key": key},
                     about={"ddof": 1, **about}, measure=sets.heard_rows, value=sets.frechet, note=sets.frechet_note)


def fad_vggish() -> Metric:
    """FAD: VGGish without its last ReLU, without PCA."""
    return frechet("FAD-VGGish", "vggish", "embedding", window_s=0.96, hop_s=0.96, **MEAN_OFF)


def fd_panns(name: str = "FD-PANNs") -> Metric:
    """FD: Cnn14 at 16 kHz, one row a clip."""
    return frechet(name, "panns", "embedding", **MEAN_OFF)


def kid(name: str, network: str, **about: Any) -> Metric:
    """KID of what `network` makes of the sound; unlike a Frechet distance it can be read for few clips."""
    return SetMetric(name, False, networks=(network,), settings={"network": network, "key": "embedding"},
                     about={"kernel": "(x . y / D + 1)^3", "subsets": 100, "subset_size": sets.KID_ROWS,
                            "draws": "RandomState(2020)", **about},
                     measure=sets.heard_rows, value=sets.kid, note=sets.kid_note, resampled=False)


def inception(name: str, network: str, **about: Any) -> Metric:
    """Inception score over ten splits in the published shuffled order."""
    return SetMetric(name, True, networks=(network,), settings={"network": network, "key": "logits"},
                     about={"splits": 10, "shuffle": "RandomState(2020)", **about}, measure=sets.heard_rows,
                     value=sets.inception, note=sets.inception_note, two_sides=False)


def kl(name: str, network: str, eps: float, **about: Any) -> Metric:
    """KL of the reference against the generated sound, softmax."""
    return ClipMetric(name, False, "nat", networks=(network,), about=about, measure=clips.kl,
                      settings={"network": network, "form": "softmax", "eps": eps})


def align_accuracy() -> Metric:
    """Diff-Foley's Align Acc."""
    return ClipMetric("Align-Acc", True, networks=("cavp", "align_classifier"), pictures=True, measure=clips.align_hit,
                      about={"window_s": 8.192, "posterior": "one draw, the same for every clip"})


def imagebind(protocol: str, *names: str) -> tuple[Metric, ...]:
    """ImageBind's cosines, by name."""
    seen: dict[str, Any] = {"networks": ("imagebind",), "settings": {"protocol": protocol}, "pictures": True}
    known = {
        "IB-AV": ClipMetric("IB-AV", True, measure=clips.sound_and_picture, **seen),
        "IB-TA": ClipMetric("IB-TA", True, networks=("imagebind",), settings={"network": "imagebind"}, reads=True,
                            measure=clips.sound_and_caption),
        "IB-TV": ClipMetric("IB-TV", True, measure=clips.caption_and_picture, reads=True, **seen)}
    return tuple(known[name] for name in names)


def clap_score(name: str = "CLAP-score", audio: bool = False) -> Metric:
    """Cosine of generated sound and caption, or of generated and real sound."""
    return ClipMetric(name, True, networks=("clap",), settings={"network": "clap"}, reads=not audio,
                      measure=clips.sound_and_sound if audio else clips.sound_and_caption)


def favd() -> tuple[Metric, ...]:
    """FAVD with the clips' precomputed flow, with postsync's own flow, and with I3D's picture stream alone.

    The published flow is that of a network that is not here (PWC-Net): who has it gives it in files.
    """
    shared: dict[str, Any] = {"pictures": True, "measure": sets.seen_and_heard_rows, "value": sets.frechet}
    about, both = {"ddof": 1, "window_s": 0.96}, ("i3d", "i3d_flow", "vggish")
    return (
        SetMetric("FAVD-I3D-VGGish", False, networks=both, settings={"flow": "files"}, about=about, **shared,
                  note=partial(sets.frechet_note, caution="flow as its files have it; the published one is PWC-Net's")),
        SetMetric("FAVD-I3D-rgb+flow(Farneback)-VGGish", False, networks=both, settings={"flow": "Farneback"},
                  about=about, note=sets.frechet_note, **shared),
        SetMetric("FAVD-I3D-rgb-VGGish", False, networks=("i3d", "vggish"), about=about | {"flow": "none"},
                  note=sets.frechet_note, **shared))


def av_align(*variants: str) -> tuple[Metric, ...]:
    """AV-Align in its variants, on postsync's flow after Farneback."""
    return tuple(ClipMetric(f"AV-Align-{variant}", True, modules=LIBROSA, pictures=True,
                            settings={"variant": variant}, about={"fps": "of each clip", "rate": 22050},
                            measure=clips.av_agreement) for variant in variants)


def onset_hits() -> tuple[Metric, ...]:
    """Onsets against those of the real sound, after CondFoleyGen."""
    names = {"Onset-count-Acc": "same_count", "Onset-Acc": "accuracy", "Onset-AP": "average_precision"}
    return tuple(ClipMetric(name, True, modules=LIBROSA, settings={"what": what}, measure=clips.onsets_hit,
                            about={"rate": 22050, "delta": 0.3, "tolerance_s": 0.1}) for name, what in names.items())


def e_l1(*recipes: str) -> tuple[Metric, ...]:
    """E-L1 in its recipes."""
    return tuple(ClipMetric(f"E-L1@{recipe}", False, modules=("scipy",) if recipe.endswith("lowpass") else (),
                            settings={"recipe": recipe}, measure=clips.e_l1_of) for recipe in recipes)


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
        ClipMetric("DeSync-Synchformer", False, "s", networks=("synchformer",), pictures=True, measure=clips.desync,
                   about={"windows": "first and last 4.8 s"}),
        clap_score()), duration_s=8.0)


def greatest_hits() -> Suite:
    """FoleyGRAM's table on Greatest Hits, with the onset metrics that are customary there."""
    clap = SetMetric("FAD-CLAP", False, networks=("clap",), about={"ddof": 1, "resampler": "torchaudio, long Kaiser"},
                     settings={"network": "clap", "window_s": 10.0, "hop_s": 1.0}, measure=sets.windowed_rows,
                     value=sets.frechet, note=sets.frechet_note)
    return Suite("greatest-hits", "FoleyGRAM's table on Greatest Hits", (
        fd_panns("FAD-PANNs"), clap, clap_score("CLAP-score-audio", audio=True), *favd(),
        *e_l1("44k", "22k-lowpass", "16k"), *onset_hits()), duration_s=10.0)


def sounding_video() -> Suite:
    """The table of the sounding-video baseline, where the picture is generated as well."""
    # FVD's own I3D is a program that is not opened here, and FAVD's does not give its values
    fvd = SetMetric("FVD-I3D-rgb-FAVD-weights", False, networks=("i3d",), pictures=True, measure=sets.video_rows,
                    settings={"seed": 0}, value=partial(sets.frechet, ddof=0),
                    note=partial(sets.frechet_note, caution="not the published FVD, whose I3D has other weights"),
                    about={"ddof": 0, "pictures": 16, "start": "real: drawn from seed and clip id; generated: 0"})
    return Suite("sounding-video", "the sounding-video baseline's table", (
        fvd, fad_vggish(), *av_align("SVG", "TempoTokens-2023", "TempoTokens-2025"),
        *imagebind("imagebind", "IB-AV", "IB-TA", "IB-TV"), clap_score()), duration_s=4.0, picture_of="generated")


def captions() -> tuple[Metric, ...]:
    """The captions of the generated side's manifest against those of the reference's."""
    said: dict[str, Any] = {"tokenisation": TOKENISATION}
    return (
        *(ClipMetric(f"BLEU-{order}", True, about=said, measure=words.bleu_sums,
                     value=partial(words.bleu_of, order=order)) for order in range(1, MAX_ORDER + 1)),
        ClipMetric("ROUGE-L", True, about=said, measure=words.rouge),
        SetMetric("CIDEr-D", True, about=said, measure=words.cider_rows, value=words.cider, two_sides=False),
        *(ClipMetric(f"BERTScore-{what}", True, networks=(READER,), settings={"what": what, "layer": LAYER},
                     about={"rescaled": False}, measure=words.bert) for what in ("precision", "recall", "f1")),
        ClipMetric("CLAP-score-caption", True, networks=("clap",), settings={"network": "clap"}, reads=True,
                   about={"sound": "real"}, measure=words.caption_and_sound))


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
    """What no real data set can measure, because every onset is known. Needs nothing but the bundled networks."""
    heard: dict[str, Any] = {"networks": ("gram",), "about": FULL_SCALE}
    return Suite("scenes", "procedural scenes: every onset is known; offline", (
        *_onset_metrics(),
        ClipMetric("Envelope-r", True, about={"rate": 100, "truth": "foreground of the scene"},
                   measure=scene.envelope_r),
        ClipMetric("Envelope-lag-ms", None, "ms", about={"rate": 100} | LATE, measure=scene.envelope_lag),
        ClipMetric("Envelope-error-dB", False, "dB", settings={"floor_db": -40.0}, about={"rate": 100},
                   measure=scene.envelope_error_db),
        ClipMetric("Loudness-error-LU", False, "LU", about={"silence": scene.QUIETEST_LUFS},
                   measure=scene.loudness_error),
        ClipMetric("Family-accuracy-SceneClassifier", True, networks=("scene_classifier",), about=FULL_SCALE,
                   measure=scene.family_hit),
        frechet("FAD-SceneClassifier", "scene_classifier", "features", **FULL_SCALE),
        ClipMetric("GRAM-TA", True, measure=scene.gram_text_audio, **heard),
        ClipMetric("GRAM-AV", True, pictures=True, measure=scene.gram_audio_video, **heard),
        ClipMetric("GRAM-volume", False, pictures=True, measure=scene.gram_volume, **heard)), duration_s=30.0)


def _onset_metrics() -> tuple[Metric, ...]:
    """Onsets of the sound against visible events."""
    values = {"precision": scene.precision, "recall": scene.recall, "F1": scene.f1}
    agreement = [ClipMetric(f"Onset-{name}@{ms}ms", True, settings={"tolerance_s": ms / 1000}, about=ONSETS,
                            measure=scene.onset_counts, value=value)
                 for ms in TOLERANCES_MS for name, value in values.items()]
    widest = {"tolerance_s": WIDEST_S}
    return (
        *agreement,
        ClipMetric("Onset-lag-ms", None, "ms", settings=widest, about=ONSETS | LATE, measure=scene.lag_ms),
        ClipMetric("Onset-lag-abs-ms", False, "ms", settings=widest | {"absolute": True}, about=ONSETS,
                   measure=scene.lag_ms),
        ClipMetric("Missed-sounds@100ms", False, "a clip", settings=widest, about=ONSETS, measure=scene.missed),
        ClipMetric("Invented-sounds@100ms", False, "a clip", settings=widest, about=ONSETS, measure=scene.invented))


SUITES: dict[str, Callable[[], Suite]] = {
    "scenes": scenes, "vggsound": vggsound, "av-benchmark": av_benchmark, "greatest-hits": greatest_hits,
    "sounding-video": sounding_video, "vatt": vatt, "mdg": mdg}


def suite(name: str) -> Suite:
    """The suite `name`; raises PostsyncError naming those that exist."""
    if name not in SUITES:
        raise PostsyncError(f"no suite '{name}'; the suites are: {', '.join(SUITES)}.")
    return SUITES[name]()
