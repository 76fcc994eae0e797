"""Media files in and out: frames by timestamp, sound, loudness, and sound put under a picture."""

from postsync.media.audio import audio_blocks, read_audio, resample, resampled_blocks, write_wav
from postsync.media.loudness import (
    LoudnessMeter,
    LoudnessReport,
    LoudnessTarget,
    integrated_lufs,
    normalise_blocks,
    normalise_loudness,
    true_peak_dbtp,
)
from postsync.media.mux import check_container, default_output, mux
from postsync.media.output import check_writable, whole_file
from postsync.media.video import Frame, FrameStream, VideoInfo, iter_frames, probe, read_frames

__all__ = [
    "Frame",
    "FrameStream",
    "LoudnessMeter",
    "LoudnessReport",
    "LoudnessTarget",
    "VideoInfo",
    "audio_blocks",
    "check_container",
    "check_writable",
    "default_output",
    "integrated_lufs",
    "iter_frames",
    "mux",
    "normalise_blocks",
    "normalise_loudness",
    "probe",
    "read_audio",
    "read_frames",
    "resample",
    "resampled_blocks",
    "true_peak_dbtp",
    "whole_file",
    "write_wav",
]
