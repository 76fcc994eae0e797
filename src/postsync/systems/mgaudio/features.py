"""MGAudio's inputs from a clip: feature vectors four times a second, and sound at its codec's level.

Source: specifications of CAVP's features in luosiallen/Diff-Foley and triton99/MDSGen (read, not copied): n = int(4 *
seconds) of them, computed on the whole clip and then cut; for shorter clips they are repeated.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...encoders.cavp import FPS, Cavp
from ...errors import ConditionError
from ...protocols.clip import frames_at

FILE_KEYS = ("feat", "arr_0")  # of Diff-Foley and FRIEREN, and of MDSGen


def steps_in(seconds: float) -> int:
    """Number of feature vectors of a clip, at least one."""
    return max(1, int(FPS * seconds + 1e-6))


def video_features(cavp: Cavp, frames: Tensor, times_s: Tensor, duration_s: float) -> Tensor:
    """Frames (F, 3, H, W), uint8 or float in 0..1, shown from times_s (F,) on -> unit vectors (S, E), four a second."""
    frames = frames_at(frames, times_s, torch.arange(steps_in(duration_s), dtype=torch.float64) / FPS)
    if frames.dtype != torch.uint8:
        frames = (frames.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return cavp.video_features(frames)["steps"]


def repeated(values: Tensor, length: int) -> Tensor:
    """The first `length` rows of `values` (N, ...), repeated cyclically."""
    return values[torch.arange(length, device=values.device) % len(values)]


def levelled(sound: Tensor, peak: float | None) -> Tensor:
    """Sound (..., N), each channel without its mean, the loudest with this peak, as AudioLDM's codec was trained on;
    None and silence unchanged."""
    if peak is None or not bool(sound.any()):
        return sound
    sound = sound - sound.mean(-1, keepdim=True)
    return sound / sound.abs().max().clamp(min=1e-8) * peak


def fitted(sound: Tensor, num_samples: int, peak: float | None) -> Tensor:
    """Sound (..., N) levelled, cut or padded with silence, and levelled again, as AudioLDM does."""
    sound = levelled(sound, peak)[..., :num_samples]
    return levelled(functional.pad(sound, (0, num_samples - sound.shape[-1])), peak)


def read_feature_file(path: Path, duration_s: float, feature_dim: int) -> Tensor:
    """CAVP features (S, E) of a clip from an `.npz` (key "feat" or "arr_0"), or `.npy`.

    Raises ConditionError for a file that is missing or damaged, of another width, without unit rows, or not of four
    rows a second.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            key = next((k for k in FILE_KEYS if k in loaded.files), None)
            if key is None:
                raise ConditionError(f"{path} holds {', '.join(loaded.files) or 'nothing'}, not "
                                     f"{' or '.join(FILE_KEYS)}; is it a file of CAVP features?")
            loaded = loaded[key]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ConditionError(f"{path} cannot be read as features ({error}); extract it again.") from error
    return checked_features(torch.from_numpy(np.asarray(loaded, dtype=np.float32)), duration_s, feature_dim, str(path))


def checked_features(features: Tensor, duration_s: float, feature_dim: int, name: str) -> Tensor:
    """`features` unchanged; raises ConditionError, naming `name`, if they cannot be CAVP's (S, E) of such a clip."""
    wanted = steps_in(duration_s)
    if features.dim() != 2 or features.shape[1] != feature_dim:
        raise ConditionError(f"{name} holds features of shape {tuple(features.shape)}; this model takes (steps, "
                             f"{feature_dim}).")
    if abs(len(features) - wanted) > 1:
        raise ConditionError(f"{name} holds {len(features)} rows for a clip of {duration_s:.2f} s; four a second are "
                             f"{wanted}. Extract them at {FPS:g} frames a second, or cut them to the clip.")
    if not torch.allclose(features.float().norm(dim=1).cpu(), torch.ones(len(features)), atol=1e-2):
        raise ConditionError(f"{name} holds rows that are not of unit length; CAVP's are normalised at every step.")
    return features
