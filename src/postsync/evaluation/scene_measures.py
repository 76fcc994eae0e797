"""What only scenes allow to be measured, because what happens in them, and when, is known."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..encoders.volume import volume
from ..features.envelope import ENVELOPE_RATE, frame_rms
from ..features.onsets import audio_onsets
from ..media.meter import integrated_lufs
from ..metrics.envelope import envelope_correlation, envelope_lag_ms
from ..metrics.onsets import match_onsets
from .decoding import SILENT_PEAK
from .observation import Observation, Pair
from .sides import LeftOut
from .spec import ratio

ANALYSIS_RATE = 16000
QUIETEST_LUFS = -70.0  # the absolute gate of BS.1770; silence is counted as this


def onsets_of(clip: Observation) -> Tensor:
    """When sounds start in a clip, seconds."""
    return clip.once("onsets", lambda: audio_onsets(clip.sound(ANALYSIS_RATE), ANALYSIS_RATE))


def envelope_of(clip: Observation) -> Tensor:
    """Loudness of a clip, (M,) linear RMS at 100 Hz."""
    return clip.once("envelope", lambda: frame_rms(clip.sound(ANALYSIS_RATE), ANALYSIS_RATE))


def matched_to_events(pair: Pair, tolerance_s: float) -> tuple[list[float], int, int]:
    """(heard minus seen of each match in seconds, sounds that count, visible events).

    A sound at the time of an event that is not to be seen is neither asked for nor held against the system.
    """
    return pair.generated.once(("matched to events", tolerance_s), lambda: _matched_to_events(pair, tolerance_s))


def _matched_to_events(pair: Pair, tolerance_s: float) -> tuple[list[float], int, int]:
    heard = sorted(onsets_of(pair.generated).tolist())
    seen = sorted(e.t for e in pair.events(visible=True))
    pairs = match_onsets(heard, seen, tolerance_s)
    left = sorted(set(range(len(heard))) - {i for i, _ in pairs})
    unseen = [e.t for e in pair.events(visible=False)]
    excused = match_onsets([heard[i] for i in left], unseen, tolerance_s)
    return [heard[i] - seen[k] for i, k in pairs], len(heard) - len(excused), len(seen)


def onset_counts(pair: Pair, tolerance_s: float) -> tuple[float, float, float]:
    """(matched, heard, seen): what onset F1, precision and recall are made of."""
    lags, heard, seen = matched_to_events(pair, tolerance_s)
    return float(len(lags)), float(heard), float(seen)


def f1(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 3) of `onset_counts` -> F1."""
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def precision(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 3) of `onset_counts` -> share of the sounds that belong to a visible event."""
    return ratio(sums[..., 0], sums[..., 1])


def recall(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 3) of `onset_counts` -> share of the visible events that sound."""
    return ratio(sums[..., 0], sums[..., 2])


def lag_ms(pair: Pair, tolerance_s: float, absolute: bool = False) -> tuple[float, float]:
    """(sum over matches of heard minus seen in ms, number of matches)."""
    lags, _, _ = matched_to_events(pair, tolerance_s)
    return 1000 * sum(abs(lag) if absolute else lag for lag in lags), float(len(lags))


def missed(pair: Pair, tolerance_s: float) -> tuple[float, float]:
    """(visible events without a sound, 1)."""
    lags, _, seen = matched_to_events(pair, tolerance_s)
    return float(seen - len(lags)), 1.0


def invented(pair: Pair, tolerance_s: float) -> tuple[float, float]:
    """(sounds without an event, 1)."""
    lags, heard, _ = matched_to_events(pair, tolerance_s)
    return float(heard - len(lags)), 1.0


def loudness_error(pair: Pair) -> tuple[float, float]:
    """(absolute difference of integrated loudness in LU, 1)."""
    made, real = (clip.once("lufs", partial(_lufs, clip)) for clip in (pair.generated, pair.reference))
    return abs(made - real), 1.0


def _lufs(clip: Observation) -> float:
    waveform, rate = clip.channels()
    return max(QUIETEST_LUFS, integrated_lufs(waveform, rate))


def true_envelope(pair: Pair) -> Tensor:
    """(M,) at 100 Hz: the one stored with the reference, of its foreground alone, else that of its sound. Raises
    LeftOut for a stored one that is not there or no envelope."""
    path = pair.facts.envelope
    if path is None:
        return envelope_of(pair.reference)
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LeftOut(f"has no readable envelope in {path.name} ({type(error).__name__}); export it again") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 1 or not np.issubdtype(stored.dtype, np.floating):
        raise LeftOut(f"has no envelope (M,) of numbers in {path.name}; export it again")
    return torch.from_numpy(stored).float()


def _both_envelopes(pair: Pair) -> tuple[Tensor, Tensor]:
    made, true = envelope_of(pair.generated), true_envelope(pair)
    length = min(len(made), len(true))
    if length < 2:
        raise LeftOut(f"has {length} values of its envelope")
    return made[:length], true[:length]


def envelope_r(pair: Pair) -> tuple[float, float]:
    """(Pearson correlation of the envelopes at lag zero, 1)."""
    return float(envelope_correlation(*_both_envelopes(pair))), 1.0


def envelope_lag(pair: Pair) -> tuple[float, float]:
    """(lag in ms at which the envelopes agree best, 1); positive: the sound is late. Raises LeftOut for silence, which
    is neither late nor on time."""
    made, true = _both_envelopes(pair)
    for side, envelope in (("generated", made), ("reference", true)):
        if envelope.amax() - envelope.amin() <= SILENT_PEAK:
            raise LeftOut(f"is of one loudness throughout ({side}), so it has no lag")
    return float(envelope_lag_ms(made, true, ENVELOPE_RATE)), 1.0


def envelope_error_db(pair: Pair, floor_db: float) -> tuple[float, float]:
    """(mean absolute difference of the envelopes in dB, 1), each relative to its own loudest value and not below
    `floor_db`: how far the course of loudness is off, whatever the level of the whole."""
    made, true = (20 * (x / x.amax().clamp_min(1e-9)).clamp_min(10 ** (floor_db / 20)).log10()
                  for x in _both_envelopes(pair))
    return float((made - true).abs().mean()), 1.0


def family_hit(pair: Pair) -> tuple[float, float]:
    """(1 if the classifier names the clip's family else 0, 1)."""
    families = pair.networks["scene_classifier"].model.families
    if pair.facts.label not in families:
        raise LeftOut(f"is labelled {pair.facts.label!r}, which is no family of the scenes")
    named = families[int(pair.generated.heard("scene_classifier")["logits"].argmax())]
    return float(named == pair.facts.label), 1.0


def gram_text_audio(pair: Pair) -> tuple[float, float]:
    """(cosine of sound and caption, 1)."""
    return _cosine(pair.generated.heard("gram")["embedding"], pair.read("gram"))


def gram_audio_video(pair: Pair) -> tuple[float, float]:
    """(cosine of sound and picture, 1)."""
    return _cosine(pair.generated.heard("gram")["embedding"], pair.picture.seen("gram")["embedding"])


def gram_volume(pair: Pair) -> tuple[float, float]:
    """(volume that caption, picture and sound span, 1): 0 where they say the same, 1 where nothing is in common."""
    return float(volume(pair.read("gram"), pair.picture.seen("gram")["embedding"],
                        pair.generated.heard("gram")["embedding"])), 1.0


def _cosine(first: Tensor, second: Tensor) -> tuple[float, float]:
    return float(torch.cosine_similarity(first, second, dim=-1)), 1.0


