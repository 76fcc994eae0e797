"""Every log-mel front end in one table. All are differentiable torch functions of a mono waveform.

A front end is a `SpectrogramConfig`; `log_mel_spectrogram` computes any of them. Filter banks follow Slaney's Auditory
Toolbox (as librosa does by default), the HTK formula (triangles in Hz), or Kaldi (the same, triangles in mel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BEATS_MEAN = 15.41663
BEATS_STD = 6.55582
SYNCHFORMER_MEAN = -4.2677393
SYNCHFORMER_STD = 4.5689974


@dataclass(frozen=True)
class SpectrogramConfig:
    """A log-mel front end. Lengths in samples, frequencies in Hz."""

    sample_rate: int = 16000
    n_fft: int = 1024
    window_length: int = 1024
    hop_length: int = 160
    num_mel_bins: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    mel_scale: str = "slaney"  # "slaney" (of unit area) | "htk" | "kaldi"
    window: str = "hann"  # "hann" (periodic) | "hann_symmetric" | "povey"
    power: float = 1.0  # 1 magnitude, 2 power
    floor: float = 1e-5  # smallest value before the logarithm
    floor_added: bool = False  # add the floor to every value, instead of lifting smaller values to it
    centred: bool = True  # reflect-pad window_length / 2 at both ends; else only whole frames are used
    gain: float = 1.0  # applied to the waveform
    mean_subtract: bool = False  # remove the mean of the whole waveform
    frame_mean_subtract: bool = False  # remove the mean of each frame
    preemphasis: float = 0.0  # inside each frame
    waveform_preemphasis: float = 0.0  # over the whole waveform, which loses its first sample


def audioldm() -> SpectrogramConfig:
    """AudioLDM's TacotronSTFT at 16 kHz: 1024/160/1024, 64 bins, ln(max(magnitude, 1e-5))."""
    return SpectrogramConfig()


def vggish() -> SpectrogramConfig:
    """VGGish's: 25/10 ms frames, 64 bins of magnitude in 125 Hz to 7.5 kHz, ln(mel + 0.01)."""
    return SpectrogramConfig(n_fft=512, window_length=400, f_min=125.0, f_max=7500.0, mel_scale="kaldi", floor=0.01,
                             floor_added=True, centred=False)


def yamnet() -> SpectrogramConfig:
    """YAMNet's: as VGGish's, but ln(mel + 0.001)."""
    return replace(vggish(), floor=0.001)


def panns() -> SpectrogramConfig:
    """That of PANNs' Cnn14 at 16 kHz: 512/160, 64 bins of power, 50 Hz to 8 kHz; times 10 / ln 10 it is dB."""
    return SpectrogramConfig(n_fft=512, window_length=512, f_min=50.0, power=2.0, floor=1e-10)


def passt() -> SpectrogramConfig:
    """PaSST's at 32 kHz before scaling: 25/10 ms frames in an FFT of 1024, 128 bins of power up to 15 kHz."""
    return SpectrogramConfig(sample_rate=32000, window_length=800, hop_length=320, num_mel_bins=128, f_max=15000.0,
                             mel_scale="kaldi", window="hann_symmetric", power=2.0, floor_added=True,
                             waveform_preemphasis=0.97)


def synchformer() -> SpectrogramConfig:
    """Synchformer's before padding and scaling: 25/10 ms frames in an FFT of 1024, 128 HTK bins of power."""
    return SpectrogramConfig(window_length=400, num_mel_bins=128, mel_scale="htk", power=2.0, floor=1e-6,
                             floor_added=True)


def kaldi(num_mel_bins: int = 128) -> SpectrogramConfig:
    """Kaldi's fbank as BEATs uses it: 25/10 ms Povey frames of the waveform in 16-bit units, 20 Hz to 8 kHz."""
    return SpectrogramConfig(n_fft=512, window_length=400, num_mel_bins=num_mel_bins, f_min=20.0, mel_scale="kaldi",
                             window="povey", power=2.0, floor=1.1920929e-07, centred=False, gain=2.0**15,
                             frame_mean_subtract=True, preemphasis=0.97)


def imagebind() -> SpectrogramConfig:
    """ImageBind's front end before padding and normalisation: Kaldi fbank, Hann window, waveform minus its mean."""
    return replace(kaldi(128), window="hann_symmetric", gain=1.0, mean_subtract=True)


def cavp(hop_length: int = 250) -> SpectrogramConfig:
    """CAVP's front end before scaling: 1024-sample frames, 128 bins of magnitude, 125 to 7600 Hz (`cavp_mel`)."""
    return SpectrogramConfig(hop_length=hop_length, num_mel_bins=128, f_min=125.0, f_max=7600.0)


def clap() -> SpectrogramConfig:
    """LAION-CLAP's front end at 48 kHz: 1024/480, 64 bins of power, 50 Hz to 14 kHz; times 10 / ln 10 it is dB."""
    return SpectrogramConfig(sample_rate=48000, hop_length=480, f_min=50.0, f_max=14000.0, power=2.0, floor=1e-10)


def cavp_mel(waveform: Tensor, hop_length: int = 250) -> Tensor:
    """CAVP mel of a 16 kHz waveform (B, N) in -1..1: (B, ceil(N / hop_length), 128) in 0..1, where 1 is 20 dB.

    Hop 250 for the CAVP encoder, 256 for Diff-Foley's autoencoder. The last sample is dropped, as the official code
    does to avoid an extra frame (luosiallen/Diff-Foley: data_preprocess/wav2spec.py, with librosa 0.8's reflection).
    """
    decibels = log_mel_spectrogram(waveform[:, :-1], cavp(hop_length)) * (20 / math.log(10))
    return ((decibels + 80) / 100).clamp(0, 1)


def audioldm_log_mel(waveform: Tensor) -> Tensor:
    """AudioLDM log-mel of a 16 kHz waveform (B, N) in -1..1: (B, N // 160 + 1, 64), values ln(1e-5) and up."""
    return log_mel_spectrogram(waveform, audioldm())


def kaldi_fbank(waveform: Tensor, num_mel_bins: int = 128) -> Tensor:
    """Kaldi log-mel of a 16 kHz waveform (B, N) in -1..1: (B, 1 + (N - 400) // 160, num_mel_bins), not normalised.

    Follows torchaudio.compliance.kaldi.fbank without dither, as called by BEATs (microsoft/unilm beats/BEATs.py).
    """
    return log_mel_spectrogram(waveform, kaldi(num_mel_bins))


def beats_normalise(fbank: Tensor) -> Tensor:
    """The fixed normalisation of BEATs, any shape: (x - 15.41663) / (2 * 6.55582)."""
    return (fbank - BEATS_MEAN) / (2 * BEATS_STD)


def vggish_examples(waveform: Tensor) -> Tensor:
    """VGGish's input from a 16 kHz waveform (B, N) in -1..1: (B, n, 96, 64), one row for each whole 0.96 s.

    n may be 0. In float64, as the original (harritaylor/torchvggish: vggish_input.py); 240 samples more than 0.96 s n
    are needed, since the last frame of an example reaches beyond its end. Raises ValueError for less than 400 samples.
    """
    log_mel = log_mel_spectrogram(waveform.double(), vggish()).to(torch.float32)
    examples = log_mel.shape[1] // 96
    return log_mel[:, : 96 * examples].unflatten(1, (examples, 96))


def panns_log_mel(waveform: Tensor) -> Tensor:
    """Cnn14's input from a 16 kHz waveform (B, N) in -1..1: (B, N // 160 + 1, 64) in dB, -100 and up."""
    return log_mel_spectrogram(waveform, panns()) * (10 / math.log(10))


def passt_mel(waveform: Tensor) -> Tensor:
    """PaSST's input from a 32 kHz waveform (B, N) in -1..1: (B, 128, (N - 1) // 320 + 1).

    Follows kkoutini/passt_hear21: models/preprocess.py in eval mode.
    """
    return (log_mel_spectrogram(waveform, passt()).transpose(1, 2) + 4.5) / 5


def synchformer_mel(segments: Tensor) -> Tensor:
    """Synchformer's input from segments (B, 10240) of 0.64 s at 16 kHz in -1..1: (B, 128, 66).

    The 65 frames are followed by one of zeros, added before the scaling (hkchengrex/av-benchmark: av_bench/extract.py).
    """
    log_mel = F.pad(log_mel_spectrogram(segments, synchformer()), (0, 0, 0, 1))
    return (log_mel.transpose(1, 2) - SYNCHFORMER_MEAN) / (2 * SYNCHFORMER_STD)


def log_mel_spectrogram(waveform: Tensor, config: SpectrogramConfig) -> Tensor:
    """Natural logarithm of the mel spectrogram of a waveform (B, N): (B, frames, config.num_mel_bins).

    Half precision is computed in float32. Raises ValueError for another shape, or for a waveform shorter than one frame
    where the front end does not pad.
    """
    with torch.autocast(waveform.device.type, enabled=False):
        mel = mel_spectrogram(waveform, config)
        return (mel + config.floor if config.floor_added else mel.clamp_min(config.floor)).log()


def mel_spectrogram(waveform: Tensor, config: SpectrogramConfig) -> Tensor:
    """The mel spectrogram before the logarithm, (B, frames, config.num_mel_bins); arguments of log_mel_spectrogram."""
    if waveform.dim() != 2 or waveform.shape[-1] == 0:
        raise ValueError(f"waveform has shape {tuple(waveform.shape)}; give a mono batch (B, N) with N > 0")
    if waveform.dtype in (torch.float16, torch.bfloat16):
        waveform = waveform.float()
    frames = _frames(waveform * config.gain, config)
    spectrum = torch.fft.rfft(frames, n=config.n_fft).abs()
    if config.power != 1.0:
        spectrum = spectrum**config.power
    return spectrum @ mel_filters(config).to(spectrum).T


def _frames(waveform: Tensor, config: SpectrogramConfig) -> Tensor:
    """Windowed frames (B, frames, window_length)."""
    length, hop = config.window_length, config.hop_length
    if config.mean_subtract:
        waveform = waveform - waveform.mean(-1, keepdim=True)
    if config.waveform_preemphasis:
        waveform = waveform[:, 1:] - config.waveform_preemphasis * waveform[:, :-1]
    if config.centred:
        waveform = _reflect_pad(waveform, length // 2)
    elif waveform.shape[-1] < length:
        raise ValueError(f"waveform has {waveform.shape[-1]} samples, one frame needs {length}; pad it with silence")
    frames = waveform.unfold(-1, length, hop)
    if config.frame_mean_subtract:
        frames = frames - frames.mean(-1, keepdim=True)
    if config.preemphasis:
        frames = frames - config.preemphasis * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    return frames * _window(config.window, length).to(frames)


def _reflect_pad(waveform: Tensor, padding: int) -> Tensor:
    """Mirror both ends; a waveform too short to be mirrored is continued with silence first."""
    num_samples = waveform.shape[-1]
    waveform = F.pad(waveform, (0, max(0, padding + 1 - num_samples)))
    return F.pad(waveform, (padding, padding), mode="reflect")[..., : num_samples + 2 * padding]


@lru_cache(maxsize=16)
def _window(name: str, length: int) -> Tensor:
    if name == "hann":
        return torch.hann_window(length, dtype=torch.float64)
    symmetric = torch.hann_window(length, periodic=False, dtype=torch.float64)
    if name == "hann_symmetric":
        return symmetric
    if name == "povey":
        return symmetric**0.85
    raise ValueError(f"unknown window '{name}'; choose hann, hann_symmetric or povey")


@lru_cache(maxsize=16)
def mel_filters(config: SpectrogramConfig) -> Tensor:
    """The filter bank of a front end, float64 (num_mel_bins, n_fft // 2 + 1). Cached: do not write into it."""
    frequencies = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)
    if config.mel_scale == "kaldi":
        # Kaldi's triangles are linear in mel and its banks exclude the Nyquist bin
        edges = np.linspace(_kaldi_mel(config.f_min), _kaldi_mel(config.f_max), config.num_mel_bins + 2)
        bank = _triangles(_kaldi_mel(frequencies), edges)
        bank[:, -1] = 0
    elif config.mel_scale == "htk":
        bank = _triangles(frequencies, _kaldi_hz(np.linspace(_kaldi_mel(config.f_min), _kaldi_mel(config.f_max),
                                                             config.num_mel_bins + 2)))
    elif config.mel_scale == "slaney":
        edges = slaney_edges(config.num_mel_bins, config.f_min, config.f_max)
        bank = _triangles(frequencies, edges) * (2 / (edges[2:] - edges[:-2]))[:, None]  # unit area
    else:
        raise ValueError(f"unknown mel scale '{config.mel_scale}'; choose slaney, htk or kaldi")
    return torch.from_numpy(bank)


def slaney_edges(num_mel_bins: int, f_min: float, f_max: float) -> np.ndarray:
    """Edges in Hz (num_mel_bins + 2,) of Slaney's bands: band k rises from edge k to k + 1 and falls to k + 2."""
    return _slaney_hz(np.linspace(_slaney_mel(f_min), _slaney_mel(f_max), num_mel_bins + 2))


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangle k rises from edges[k] to 1 at edges[k + 1] and falls to 0 at edges[k + 2]: (len(edges) - 2, points)."""
    width = np.diff(edges)
    rising = (points[None] - edges[:-2, None]) / width[:-1, None]
    falling = (edges[2:, None] - points[None]) / width[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


def _kaldi_mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def _kaldi_hz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * np.expm1(mel / 1127.0)


_LINEAR_MEL_PER_HZ = 3 / 200  # Slaney: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4
_LOG_STEP = np.log(6.4) / 27


def _slaney_mel(hz: float) -> float:
    return 15 + np.log(hz / 1000) / _LOG_STEP if hz >= 1000 else hz * _LINEAR_MEL_PER_HZ


def _slaney_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel >= 15, 1000 * np.exp(_LOG_STEP * (mel - 15)), mel / _LINEAR_MEL_PER_HZ)
