"""Metrics of sets: the rows of each clip, and the cautions for figures of few rows.

The classes of `postsync.metrics` compare the pooled rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.flow import flow_blocks, luma
from ..features.resize import centre_crop, resize_pictures, short_side_size
from ..metrics.captions import caption_words
from ..metrics.frechet import NUM_FRAMES, favd_rows, first_frame
from .clip_inputs import captions
from .networks import Network
from .observation import Observation, Pair
from .sides import Skipped


def side_of(pair: Pair, side: str) -> Observation:
    """One side of a pair; Skipped where it is missing."""
    return pair.generated if side == "generated" else pair.reference


def sound_rows(pair: Pair, side: str, network: str, key: str) -> Tensor:
    """Rows (n, D) that a network gives for the sound: one a clip, or one a window."""
    return _some(side_of(pair, side).audio_features(network)[key].flatten(0, -2), network)


def windowed_rows(pair: Pair, side: str, network: str, window_s: float, hop_s: float) -> Tensor:
    """Rows (n, D) of windows that start at every hop up to the end, continued with silence (fadtk)."""
    clip, extractor = side_of(pair, side), pair.networks[network]
    rate = extractor.sample_rate
    size = round(window_s * rate)

    def features() -> dict[str, Tensor]:
        sound = clip.sound(rate, "kaiser")
        pieces = [sound[start:start + size] for start in range(0, len(sound), round(hop_s * rate))]
        batch = torch.stack([F.pad(piece, (0, size - len(piece))) for piece in pieces])
        return extractor.run(lambda: extractor.model.features(batch.to(extractor.device)))

    return _some(clip.cached((network, window_s, hop_s), features)["embedding"], network)


def picture_and_sound_rows(pair: Pair, side: str, flow: str | None = None) -> Tensor:
    """FAVD's rows (n, 1152): I3D of the picture beside VGGish of the sound, every 0.96 s.

    `flow`: the source of the flow whose I3D stream is added to the picture's, "files" or "Farneback" (postsync's).
    """
    clip = side_of(pair, side)
    shown = clip if clip.decoded.frames is not None else pair.picture
    seen = shown.video_features("i3d")["features"]
    if flow is not None:
        seen = seen + shown.cached(("i3d_flow", flow), lambda: _flow_stream(shown, flow, pair.networks["i3d_flow"]))
    return _some(favd_rows(seen, clip.audio_features("vggish")["activation"][0]).float(), "i3d")


def _flow_stream(clip: Observation, flow: str, network: Network) -> Tensor:
    """I3D of the flow, (S, 1024), for as many stacks as there are of pictures."""
    i3d = network.module
    pictures = clip.pictures(i3d.FPS)
    num_pairs = (len(pictures) - 1) // i3d.STACK_FRAMES * i3d.STACK_FRAMES

    def features() -> dict[str, Tensor]:
        if flow == "files":
            pairs = _stored_flow(clip, num_pairs, i3d.SHORT_SIDE)
        else:
            shown = pictures[:num_pairs + 1].split(i3d.STACK_FRAMES)
            bright = torch.cat([luma(i3d.flow_frames(some)) for some in shown])
            pairs = torch.cat([centre_crop(block, i3d.CROP) for block in flow_blocks(bright)])
        return network.model.features(pairs.to(network.device))

    if not num_pairs:
        return torch.zeros(0, clip.video_features("i3d")["features"].shape[1])
    return network.run(features)["features"]


def _stored_flow(clip: Observation, num_pairs: int, short_side: int) -> Tensor:
    """The first `num_pairs` of the clip's precomputed flow, (P, 2, H, W) float32; Skipped if its shape does not
    match."""
    path = clip.decoded.files.flow
    if path is None:
        raise Skipped("has no file of optical flow")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Skipped(f"has optical flow that cannot be read: {path.name}: {error}") from error
    if stored.ndim != 4 or stored.shape[1] != 2 or min(stored.shape[2:]) != short_side or len(stored) < num_pairs:
        raise Skipped(f"has optical flow of {stored.shape}; wanted are {num_pairs} pairs of pictures at 25 fps, 2 "
                      f"directions, height and width, the shorter of them {short_side}")
    return torch.from_numpy(np.array(stored[:num_pairs], np.float32))


def video_rows(pair: Pair, side: str, seed: int = 0) -> Tensor:
    """A row (1, 400) of I3D logits of 16 pictures at their own rate: a real video's start at a random one, which `seed`
    and the clip's id decide, a generated video's at the first."""
    clip, network = side_of(pair, side), pair.networks["i3d"]
    pictures = clip.pictures()
    first = first_frame(len(pictures), pair.clip_id if side == "reference" else None, seed)
    if first is None:
        raise Skipped(f"has {len(pictures)} pictures; FVD needs {NUM_FRAMES}")

    def features() -> dict[str, Tensor]:
        shown = pictures[first:first + NUM_FRAMES]
        height, width = shown.shape[-2:]
        if min(height, width) > network.module.SHORT_SIDE:  # the published frames were stored at this size
            shown = resize_pictures(shown, short_side_size(height, width, network.module.SHORT_SIDE))
        frames = F.interpolate(shown.float(), (224, 224), mode="bilinear", align_corners=False)
        clips = (2 * frames / 255 - 1).transpose(0, 1)[None].to(network.device)
        return network.model(clips)

    return clip.cached(("fvd", first), lambda: network.run(features))["logits"]


def _some(rows: Tensor, network: str) -> Tensor:
    if not len(rows):
        raise Skipped(f"is shorter than the window of {network}")
    return rows


def frechet_note(generated: Tensor, reference: Tensor | None, caution: str = "") -> str:
    """Number of rows, and the effect on a Frechet distance if there are fewer than features.

    `caution`: a further warning, put first.
    """
    assert reference is not None
    fewest, width = min(len(generated), len(reference)), generated.shape[1]
    rows = f"{caution}{'; ' * bool(caution)}{len(generated)} rows against {len(reference)}"
    if fewest > width:
        return rows
    return (f"{rows}, of {width} features: with so few the covariances are singular and the distance is too large; "
            "compare it only with distances of as many rows")


def kid_note(generated: Tensor, reference: Tensor | None, subset_size: int) -> str:
    """Number of rows, and how they were taken."""
    assert reference is not None
    rows = f"{len(generated)} rows against {len(reference)}"
    few = min(len(generated), len(reference)) < subset_size
    return f"{rows}: all taken once, for subsets of {subset_size} there are too few" if few else rows


def inception_note(generated: Tensor, reference: Tensor | None) -> str | None:
    """The effect of few clips on an inception score."""
    return f"{len(generated)} clips: splits of few clips lower the score" if len(generated) < 5000 else None


def caption_rows(pair: Pair, side: str) -> Tensor:
    """The clip's captions as rows (L, 1) of hashed words, since CIDEr-D needs all clips at once."""
    return caption_words(*captions(pair))
