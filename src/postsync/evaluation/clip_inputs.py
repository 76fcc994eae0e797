"""Inputs of the metrics of sums: each function returns the arguments of a torchmetrics class's `update` for a clip.

Here sounds are resampled, events read and networks run; the formulas are in `postsync.metrics`. Functions raise Skipped
for a clip that lacks what the metric needs, Absent where one of its sides is missing.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.envelope import frame_rms
from ..features.flow import flow_magnitudes, luma, motion_peaks
from ..features.onsets import audio_onsets, librosa_onsets
from ..media.meter import integrated_lufs
from ..metrics.alignment import FLOW_THRESHOLD, Variant
from ..metrics.captions import bert_scores
from ..metrics.heard import FIRST, heard_classes_of
from ..metrics.onset_protocols import SAMPLE_RATE as ONSET_RATE
from ..metrics.onset_protocols import OnsetHits, onset_hits
from ..metrics.signals import RECIPES
from .networks import ROBERTA, Features
from .observation import SILENT_PEAK, Observation, Pair
from .sides import Skipped

ANALYSIS_RATE = 16000
CAVP_S = 10.0  # of pictures: Diff-Foley gave CAVP whole clips, then used the steps of the first 8 s
ONSET_WINDOW = 2048  # samples, librosa's default


def onsets_and_events(pair: Pair) -> tuple[Tensor, list[float], list[float]]:
    """Onsets of the generated sound, visible events and invisible ones, in seconds."""
    return (*onsets_and_visible_events(pair), [e.t for e in pair.events(visible=False)])


def onsets_and_visible_events(pair: Pair) -> tuple[Tensor, list[float]]:
    """Onsets of the generated sound and visible events, in seconds."""
    made = pair.generated
    onsets = made.cached("onsets", lambda: audio_onsets(made.sound(ANALYSIS_RATE), ANALYSIS_RATE))
    return onsets, [e.t for e in pair.events(visible=True)]


def envelope_of(clip: Observation) -> Tensor:
    """Loudness of a clip, (M,) linear RMS at 100 Hz."""
    return clip.cached("envelope", lambda: frame_rms(clip.sound(ANALYSIS_RATE), ANALYSIS_RATE))


def true_envelope(pair: Pair) -> Tensor:
    """(M,) at 100 Hz: the one stored with the reference, of its foreground alone, else that of its sound. Raises
    Skipped for a stored one that is unreadable or not an envelope."""
    path = pair.facts.envelope
    if path is None:
        return envelope_of(pair.reference)
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Skipped(f"has no readable envelope in {path.name} ({type(error).__name__}); export it again") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 1 or not np.issubdtype(stored.dtype, np.floating):
        raise Skipped(f"has no envelope (M,) of numbers in {path.name}; export it again")
    return torch.from_numpy(stored).float()


def envelopes(pair: Pair) -> tuple[Tensor, Tensor]:
    """Generated and true envelope over their common length, (M,) each."""
    made, true = envelope_of(pair.generated), true_envelope(pair)
    length = min(len(made), len(true))
    if length < 2:
        raise Skipped(f"has {length} values of its envelope")
    return made[:length], true[:length]


def varying_envelopes(pair: Pair) -> tuple[Tensor, Tensor]:
    """`envelopes` of a pair that has a lag. Raises Skipped for silence, which is neither late nor on time."""
    made, true = envelopes(pair)
    for side, envelope in (("generated", made), ("reference", true)):
        if envelope.amax() - envelope.amin() <= SILENT_PEAK:
            raise Skipped(f"has constant loudness ({side}), so it has no lag")
    return made, true


def loudness(pair: Pair) -> tuple[float, float]:
    """Integrated loudness of the generated and of the real sound, LUFS."""
    made, real = (clip.cached("lufs", partial(_lufs, clip)) for clip in (pair.generated, pair.reference))
    return made, real


def _lufs(clip: Observation) -> float:
    """Mono counts as played by two loudspeakers, so that identical sound in stereo is not 3 LU louder."""
    waveform, rate = clip.channels()
    return integrated_lufs(waveform.expand(2, -1) if len(waveform) == 1 else waveform, rate)


def families(pair: Pair) -> tuple[list[str], list[str]]:
    """The family that the classifier names, and the clip's own."""
    logits, place = family_logits(pair)
    known = pair.networks["scene_classifier"].model.families
    return [known[int(logits.argmax())]], [known[int(place)]]


def family_logits(pair: Pair) -> tuple[Tensor, Tensor]:
    """The classifier's logits (1, families), and the place (1,) of the clip's own family. Raises Skipped for a clip
    that has none."""
    known, label = pair.networks["scene_classifier"].model.families, pair.facts.label
    if label is None or label not in known:
        raise Skipped(f"is labelled {label!r}, which is not a family of the scenes")
    logits = pair.generated.audio_features("scene_classifier")["logits"]
    return logits.reshape(1, -1), torch.tensor([known.index(label)])


def heard(pair: Pair, network: str, side: str = "generated") -> tuple[Tensor, list[int]]:
    """A tagger's scores (C,) of a sound, and the places of the classes that are right. Raises Skipped for a clip of
    which nothing is expected, or nothing that the tagger knows."""
    facts = pair.facts
    expected = facts.heard_as or heard_classes_of(facts.label)
    if not expected:
        raise Skipped(f"is labelled {facts.label!r} and names no classes in heard_as, so nothing is expected of it")
    places = pair.networks[network].places_of(facts.label, expected)
    if not places:
        raise Skipped(f"expects {', '.join(expected)}, none of which {network} knows by that name")
    return _tagged(pair.generated if side == "generated" else pair.reference, network), places


def heard_classes(network: str, pair: Pair) -> str:
    """The five classes that a tagger hears most in the generated sound, with their scores."""
    scores, names = _tagged(pair.generated, network), pair.networks[network].class_names
    first = scores.topk(min(FIRST, len(scores))).indices.tolist()
    return ", ".join(f"{names[place]} {scores[place]:.2f}" for place in first)


def tagger_scores(features: Features) -> Tensor:
    """Scores (C,) in 0..1 of what a tagger gives for a sound."""
    return features["scores"][0] if "scores" in features else features["logits"][0].sigmoid()


def _tagged(clip: Observation, network: str) -> Tensor:
    """Scores (C,) in 0..1 of a clip's sound, at its peak."""
    return tagger_scores(clip.audio_features(network))


def class_logits(pair: Pair, network: str) -> tuple[Tensor, Tensor]:
    """A network's logits of the generated and of the real sound."""
    made, real = (side.audio_features(network)["logits"] for side in (pair.generated, pair.reference))
    return made, real


def sound_and_caption(pair: Pair, network: str) -> tuple[Tensor, Tensor]:
    """Embeddings of generated sound and caption."""
    return pair.generated.audio_features(network)["embedding"], pair.text_features(network)


def sound_and_sound(pair: Pair, network: str) -> tuple[Tensor, Tensor]:
    """Embeddings of generated and real sound."""
    made, real = (side.audio_features(network)["embedding"] for side in (pair.generated, pair.reference))
    return made, real


def gram_sound_and_picture(pair: Pair) -> tuple[Tensor, Tensor]:
    """GRAM's embeddings of generated sound and picture."""
    return pair.generated.audio_features("gram")["embedding"], pair.picture.video_features("gram")["embedding"]


def gram_triplet(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """GRAM's embeddings of caption, picture and generated sound."""
    sound, picture = gram_sound_and_picture(pair)
    return pair.text_features("gram"), picture, sound


def imagebind_sound_and_picture(pair: Pair, protocol: str) -> tuple[Tensor, Tensor]:
    """ImageBind's embeddings of generated sound and picture."""
    return pair.generated.audio_features("imagebind")["embedding"], _imagebind_picture(pair, protocol)


def imagebind_caption_and_picture(pair: Pair, protocol: str) -> tuple[Tensor, Tensor]:
    """ImageBind's embeddings of caption and picture."""
    return pair.text_features("imagebind"), _imagebind_picture(pair, protocol)


def _imagebind_picture(pair: Pair, protocol: str) -> Tensor:
    clip, network = pair.picture, pair.networks["imagebind"]
    fps = 0.5 if protocol == "av-benchmark" else _declared_fps(clip)  # ImageBind's own code reads every picture

    def features() -> dict[str, Tensor]:
        pictures = clip.pictures(fps) if protocol == "av-benchmark" else clip.pictures()
        return network.run(lambda: network.model.video_features(pictures, fps, protocol))

    return clip.cached(("imagebind", protocol), features)["embedding"][None]


def _declared_fps(clip: Observation) -> float:
    """The frame rate that the file declares: by its pictures' times, whole if nearly so, as mkv and webm round them."""
    times, count = clip.decoded.times, len(clip.pictures())
    fps = float((count - 1) / (times[count - 1] - times[0])) if times is not None and count > 1 else clip.fps()
    return round(fps) if abs(fps - round(fps)) < 5e-4 * fps else fps


def aligned_probability(pair: Pair) -> tuple[Tensor]:
    """Diff-Foley's probability that sound and picture are real and aligned."""
    classifier = pair.networks["align_classifier"]
    steps = pair.picture.steps("cavp", CAVP_S)
    waveform = pair.generated.sound(classifier.sample_rate, classifier.resampler)[None]

    def probability() -> dict[str, Tensor]:
        on = classifier.device
        return {"probability": classifier.model.probability(waveform.to(on), steps[None].to(on))}

    return (classifier.run(probability)["probability"],)


def offset_logits(pair: Pair) -> tuple[Tensor]:
    """Synchformer's logits of the clip's two windows, (1, 2, 21)."""
    network = pair.networks["synchformer"]
    waveform = pair.generated.sound(network.sample_rate, network.resampler)[None].to(network.device)
    pictures = pair.picture.pictures(network.fps)
    return (network.run(lambda: network.model.features(pictures, waveform))["logits"][None],)


def waveforms(pair: Pair, recipe: str) -> tuple[Tensor, Tensor]:
    """Generated and real sound at the rate of an E-L1 recipe, both of the length that the recipe compares."""
    rate = RECIPES[recipe].sample_rate
    made, real = (side.sound(rate) for side in (pair.generated, pair.reference))
    if min(len(made), len(real)) < rate / 10:
        raise Skipped("is shorter than 0.1 s")
    length = (max if RECIPES[recipe].pads else min)(len(made), len(real))
    made, real = (F.pad(sound, (0, length - len(sound))) for sound in (made, real))  # a negative padding cuts
    return made, real


def hits(pair: Pair) -> tuple[OnsetHits]:
    """Which onsets of the real sound the generated one hits."""
    return (pair.generated.cached("onset hits", lambda: onset_hits(
        _for_onsets(pair.reference), _for_onsets(pair.generated))),)


def audio_and_video_peaks(pair: Pair, variant: Variant) -> tuple[Tensor, Tensor, float]:
    """Onsets of the generated sound and peaks of motion in seconds, and the frame rate of the pictures."""
    made, shown = pair.generated, pair.picture
    onsets = made.cached("librosa onsets", lambda: librosa_onsets(_for_onsets(made), ONSET_RATE))
    trajectory = shown.cached("flow", lambda: _trajectory(shown))
    return onsets, motion_peaks(trajectory, shown.fps(), FLOW_THRESHOLD[variant]), shown.fps()


def _for_onsets(clip: Observation) -> Tensor:
    """The sound (N,) for librosa's onsets. Raises Skipped where it is shorter than one of their windows."""
    sound = clip.sound(ONSET_RATE)
    if len(sound) < ONSET_WINDOW:
        raise Skipped(f"is shorter than the onset window of {ONSET_WINDOW / ONSET_RATE:.3f} s")
    return sound


@torch.no_grad()
def _trajectory(clip: Observation) -> Tensor:
    pictures = clip.pictures()
    if len(pictures) < 2:
        raise Skipped("has one picture, in which nothing moves")
    return flow_magnitudes(luma(pictures))


def captions(pair: Pair) -> tuple[str, tuple[str, ...]]:
    """The generated caption and its references; Skipped where a manifest has no caption."""
    made, real = pair.generated.decoded.files.captions, pair.reference.decoded.files.captions
    if not made or not real:
        raise Skipped(f"has no caption in the manifest of the {'reference' if made else 'generated'} side")
    return made[0], real


def caption_scores(pair: Pair, layer: int) -> tuple[dict[str, Tensor]]:
    """BERTScore of the generated caption against each of its references."""
    made, real = captions(pair)
    network = pair.networks[ROBERTA]

    def scores() -> dict[str, Tensor]:
        return network.run(partial(bert_scores, [made] * len(real), real, layer=layer,
                                   network=(network.model, network.tokenizer)))

    return (pair.generated.cached((ROBERTA, layer), scores),)


def caption_and_sound(pair: Pair, network: str) -> tuple[Tensor, Tensor]:
    """Embeddings of the generated caption and the real sound."""
    made, _ = captions(pair)
    return pair.networks[network].text_features(made), pair.reference.audio_features(network)["embedding"]
