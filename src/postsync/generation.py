"""The job: clip in -> conditions -> pipeline -> soundtrack -> file out. The command line and applications call this."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import registry
from .errors import ConditionError
from .features.envelope import ENVELOPE_RATE
from .features.onsets import pick_onsets
from .media.audio import blocks_of, read_audio, resampled_blocks, write_wav
from .media.loudness import LoudnessTarget, normalise_blocks
from .media.mux import default_output, mux
from .media.output import check_writable
from .media.video import VideoInfo, iter_frames, probe, read_frames
from .timing.envelope_file import read_envelope, write_envelope
from .timing.estimated import EstimatedEnvelope
from .timing.motion import MotionEnvelope

log = logging.getLogger(__name__)

DELIVERY_RATE = 48000  # what editors and AAC expect
ANALYSIS_SIZE = 96  # pixels a side; larger pictures did not time better


@dataclass(frozen=True)
class Result:
    """A soundtrack for a clip, with what it was made from."""

    video: VideoInfo
    waveform: np.ndarray  # (C, N) float32, exactly the clip's length
    sample_rate: int
    envelope: Tensor  # (M,) the envelope asked for, 100 Hz
    onsets_s: Tensor  # seconds, of the envelope asked for
    prompt: str | None
    seed: int

    @property
    def duration_s(self) -> float:
        """Length of the clip, seconds."""
        return self.video.duration_s

    def save(self, path: str | Path | None = None) -> Path:
        """Write the clip with this soundtrack (pictures copied packet by packet), or only the sound for `.wav`.

        Without `path`: beside the input, as `<stem>.postsync.<ext>`. Raises MediaError; never overwrites the input.
        """
        target = Path(path) if path is not None else default_output(self.video.path)
        if target.suffix.lower() == ".wav":
            check_writable(target, inputs=(self.video.path,))
            return write_wav(target, self.waveform, self.sample_rate)
        return mux(self.video.path, self.waveform, self.sample_rate, target, info=self.video)

    def save_envelope(self, path: str | Path) -> None:
        """Write the envelope that was asked for as CSV `seconds,value`."""
        write_envelope(path, self.envelope)

    def plot(self, path: str | Path) -> None:
        """Draw spectrogram, envelope and onsets as a picture."""
        from .plot import plot_result

        plot_result(self, Path(path))


def load(system: str = "foleygram", preset: str = "mini", *, device: str = "cpu",
         dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline of a system. Raises PostsyncError for names that do not exist or are not available."""
    pipeline = registry.load_pipeline(system, preset, torch_dtype=dtype)
    return pipeline if device == "cpu" else pipeline.to(device)


def motion_timing(video: Path) -> tuple[VideoInfo, Tensor]:
    """The clip's exact length, and the envelope (M,) at 100 Hz that its motion suggests; every frame is read once."""
    motion = MotionEnvelope()
    frames = iter_frames(video, size=(ANALYSIS_SIZE, ANALYSIS_SIZE), pixel_format="gray")
    for frame in frames:
        motion.push(frame.image, frame.time_s)
    return frames.info, motion.finish(frames.info.duration_s).envelope


def _frames_for(pipeline: Any, info: VideoInfo) -> Tensor:
    """Frames (n, 3, H, W) uint8 for the pipeline's video tower, its number of frames for each native length."""
    size = pipeline.gram.image_size
    count = pipeline.gram.num_frames * max(1, math.ceil(info.duration_s / pipeline.native_s))
    frames = read_frames(info.path, count, (size, size))
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def fresh_seed() -> int:
    """A seed nobody chose; it is printed and stored, so that the run can be repeated."""
    return secrets.randbelow(2**31)


def generate(video: str | Path, prompt: str | None = None, *, negative_prompt: str | None = None, pipeline: Any = None,
             reference: str | Path | None = None, seed: int = -1, num_inference_steps: int | None = None,
             guidance_scale: float | None = None, envelope: Tensor | str | Path | None = None,
             control_scale: float | None = None, target_lufs: float = -20.0,
             callback_on_step_end: Callable[..., dict[str, Any]] | None = None) -> Result:
    """Sound for a silent clip. The clip's own audio is never listened to.

    Args:
        video: path of the clip.
        reference: a recording whose timbre is imitated.
        seed: -1 draws one; the result names it.
        envelope: (M,) linear RMS 0..1 at 100 Hz, or a CSV file; None takes it from the motion in the picture.
        target_lufs: integrated loudness of the soundtrack (LUFS).

    Returns:
        Result with a waveform of exactly the clip's length at 48 kHz.

    Raises:
        MediaError: the clip or the reference cannot be read.
        ConditionError: the system does not accept a condition that was given.
    """
    video = Path(video)
    if envelope is None:
        info, curve = motion_timing(video)
        control: Tensor | EstimatedEnvelope = EstimatedEnvelope(curve)
    else:
        info = probe(video)
        curve = envelope if isinstance(envelope, Tensor) else read_envelope(envelope, info.duration_s)
        control = curve
    pipeline = load() if pipeline is None else pipeline
    seed = fresh_seed() if seed < 0 else seed
    asked = {"prompt": prompt, "negative_prompt": negative_prompt, "num_inference_steps": num_inference_steps,
             "guidance_scale": guidance_scale, "control_scale": control_scale}
    arguments: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if reference is not None:
        arguments["reference_audio"] = torch.from_numpy(read_audio(reference, pipeline.sampling_rate, mono=True))
    arguments["envelope"] = control
    if pipeline.sees_film or (prompt is None and reference is None):
        arguments["video"] = _frames_for(pipeline, info)
        if not pipeline.sees_film:
            log.warning("without a prompt or a reference the picture alone says what sounds, and this preset knows "
                        "only the drawn pictures of its scenes; say what is to be heard with a prompt")
    check_accepted(pipeline, arguments)
    output = pipeline(duration_s=info.duration_s, generator=torch.Generator().manual_seed(seed),
                      callback_on_step_end=callback_on_step_end, **arguments)
    waveform = deliver(output.audios[0], pipeline.sampling_rate, info.duration_s, curve, target_lufs)
    return Result(info, waveform, DELIVERY_RATE, curve, pick_onsets(curve, ENVELOPE_RATE), prompt, seed)


def check_accepted(pipeline: Any, arguments: dict[str, Any]) -> None:
    """Raise ConditionError for arguments the pipeline does not honour."""
    refused = sorted(set(arguments) - pipeline.accepts)
    if refused:
        raise ConditionError(f"{type(pipeline).__name__} does not take {', '.join(refused)}; "
                             f"it takes {', '.join(sorted(pipeline.accepts))}.")


def deliver(audio: Tensor, sampling_rate: int, duration_s: float, envelope: Tensor, target_lufs: float) -> np.ndarray:
    """(C, N) at the pipeline's rate -> (C, round(duration_s * 48000)), at the loudness asked for.

    Where nothing was asked to sound, the result is silence: what a network whispers must not be lifted to full level.
    """
    num_samples = round(duration_s * DELIVERY_RATE)
    mono = audio.detach().cpu().float().numpy()
    waveform = np.zeros((len(mono), num_samples), np.float32)  # the only copy at this rate, levelled where it lies
    if not bool((envelope > 0).any()):
        return waveform
    position = 0
    for block in resampled_blocks(mono, sampling_rate, DELIVERY_RATE):
        part = block[:, :num_samples - position]
        waveform[:, position:position + part.shape[1]] = part
        position += part.shape[1]
    blocks, report = normalise_blocks(lambda: blocks_of(waveform), DELIVERY_RATE, LoudnessTarget(lufs=target_lufs))
    position = 0
    for block in blocks:
        waveform[:, position:position + block.shape[1]] = block
        position += block.shape[1]
    log.info("loudness %.1f LUFS, gain %.1f dB, limited by %.1f dB",
             report.output_lufs, report.gain_db, report.limiting_db)
    return waveform
