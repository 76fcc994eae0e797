"""The guide of MDG: moves latents so that the sound they promise agrees with the words and the picture.

Source: arXiv 2509.24550 and `Zulino/GRAM-LDM: v2a/audioldm/pipelines/pipeline_audioldm.py` (read, not copied). The
clean latents are estimated, decoded and heard by GRAM's audio tower; one step of an optimiser on the noisy latents
lowers an objective (`objectives.py`). No weight changes, and no gradient passes the network that denoises.

It works on eps, v and flow: a step of `step_size` is one of unit-variance latents, and is scaled to the state's own
level sqrt(alpha^2 + sigma^2). Multistep solvers forget their history where a guide moves the state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import ceil, hypot
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ... import weights
from ...encoders.gram import SAMPLE_RATE, GramEncoder, load_gram, pick_frames, take_slice
from ...errors import ConditionError
from ...protocols.guide import Step
from ...protocols.pipeline import Pictures, Pipeline
from .mel_ear import load_mel_ear
from .objectives import OBJECTIVES

log = logging.getLogger(__name__)
QUIETEST = 1e-4  # sounds are heard at a peak of 1, but silence stays silence
SHORTEST = 400  # samples that GRAM hears
LONG_S = 10.0  # of guiding, before which a user is warned
FRAME_RATE = 100  # of its filterbank, a second
SOFTENING = 0.3  # of the gradient's root mean square, in the softened sign

Order = Literal["code", "paper"]
Optimizer = Literal["adam", "soft_sign"]
Modalities = Literal["both", "text", "video"]
Hears = Literal["waveform", "mel"]


class VolumeGuide:
    """Lowers the volume that words, picture and sound span in GRAM's space, or another objective.

    `order` "code", as published: the state that the solver reached is moved, although its clean latents are estimated
    at the level before; "paper": the state before the step is moved, and what the step makes of it follows.
    `optimizer` "adam", as published: a fresh Adam each time, whose single step is a sign, so that samples of a batch
    and alone differ; "soft_sign": g / (|g| + 0.3 rms(g)), for which they agree. `warmup` and `stop`: shares of the
    steps before and after which nothing is moved. `every`: only each so manyth of the others. Moved too far the volume
    stays low and the sound gets worse (`docs/mdg.md`).

    `hears` "mel": GRAM hears the codec's log-mel through a linear map (`mel_ear.py`) in place of the vocoder's
    waveform, at a third of the cost, but the waveform follows less surely.

    Clips longer than GRAM's window are heard window by window, so memory does not grow with them. `values` holds the
    objective (B,) of every guided step, before it was moved.
    """

    def __init__(self, gram: GramEncoder, *, objective: str = "volume", step_size: float = 0.1, inner_steps: int = 1,
                 warmup: float = 0.2, stop: float = 0.75, every: int = 1, order: Order = "paper",
                 optimizer: Optimizer = "soft_sign", modalities: Modalities = "both", words: str | None = None,
                 full_scale: bool = True, hears: Hears = "waveform") -> None:
        """`words`: in place of the prompt, and for systems that take none. `full_scale`: sounds are heard at a peak of
        1, as GRAM's mini was trained. Raises ConditionError for values out of range."""
        if objective not in OBJECTIVES:
            raise ConditionError(f"there is no objective '{objective}'; choose from {', '.join(OBJECTIVES)}.")
        if step_size <= 0 or inner_steps < 1 or every < 1 or not 0 <= warmup <= 1 or not 0 <= stop <= 1:
            raise ConditionError(f"step_size={step_size}, inner_steps={inner_steps}, every={every}, warmup={warmup}, "
                                 f"stop={stop}: the first is above 0, the next two are 1 or more, the last in 0..1.")
        self.gram, self.objective = gram, OBJECTIVES[objective]
        self.step_size, self.inner_steps, self.every = step_size, inner_steps, every
        self.warmup, self.stop, self.order, self.optimizer = warmup, stop, order, optimizer
        self.modalities, self.words, self.full_scale = modalities, words, full_scale
        self.values: list[Tensor] = []
        self.seconds_ahead: float | None = None  # of a whole run's guiding, as estimated at its first step
        self.mel_ear = None if hears == "waveform" else load_mel_ear(weights.bundled("mdg") / "mel_ear").to(gram.device)
        self._text: Tensor | None = None
        self._video: Tensor | None = None  # (windows, D)

    @property
    def window_s(self) -> float:
        """Seconds of sound that GRAM hears at once."""
        return self.gram.config["slice_frames"] / FRAME_RATE

    def pictures_wanted(self, duration_s: float) -> Pictures | None:
        """GRAM's number of pictures for each window of a clip; None where the picture is not looked at."""
        if self.modalities == "text":
            return None
        return Pictures(self.gram.num_frames * self._num_windows(duration_s), self.gram.image_size)

    @torch.no_grad()
    def condition(self, prompts: Sequence[str | None], video: Tensor | None) -> None:
        """Encode the words of each sound and the pictures (F, 3, H, W), uint8 or float in 0..1, once for all steps.

        Raises ConditionError where neither is there, or only some of the sounds have words.
        """
        prompts = [self.words or prompt for prompt in prompts]
        words = [prompt for prompt in prompts if prompt]
        self._text = self._video = None
        self.values, self.seconds_ahead = [], None
        if self.modalities != "video" and words:
            if len(words) != len(prompts):
                raise ConditionError("the guide takes words for all sounds of a batch or for none; give each a prompt.")
            self._text = self.gram.encode_text(words)
        if self.modalities != "text" and video is not None:
            pictures = video.to(self.gram.device).float() / (255 if video.dtype == torch.uint8 else 1)
            parts = pictures.tensor_split(max(1, len(pictures) // self.gram.num_frames))
            self._video = torch.cat([self.gram.encode_video(part[pick_frames(len(part), self.gram.num_frames)][None])
                                     for part in parts])
        if self._text is None and self._video is None:
            raise ConditionError("the guide has neither words nor a picture to follow; give a prompt or a clip.")

    def acts(self, step: Step) -> bool:
        """Whether the state is moved at this step: after the warm-up, strictly, as the published code counts."""
        first, last = int(self.warmup * step.num_steps), ceil(self.stop * step.num_steps)
        return first < step.index < last and (step.index - first - 1) % self.every == 0 and step.alpha > 0

    def after_step(self, step: Step) -> Tensor:
        """See `protocols/guide.py`. A sample whose gradient is not finite stays where it is."""
        if step.index == 0:
            self._announce(step)
        if not self.acts(step):
            return step.latents
        if self.order == "code":
            return self._moved(step, step.latents, self.step_size * hypot(step.alpha_next, step.sigma_next))
        before = step.latents_before
        moved = self._moved(step, before, self.step_size * hypot(step.alpha, step.sigma))
        with torch.no_grad():  # what the step, its output held fixed, makes of the difference
            change, clean = moved - before, step.clean_estimate(moved) - step.clean_estimate(before)
            noise = (change - step.alpha * clean) / step.sigma
            return step.latents + (step.alpha_next * clean + step.sigma_next * noise).to(step.latents)

    def _announce(self, step: Step) -> None:
        """Tell once, at the first step, which is not guided, how long the guided ones will take: by one gradient of the
        first window."""
        if self.seconds_ahead is not None:
            return
        guided = sum(self.acts(replace(step, index=index)) for index in range(step.num_steps))
        started = time.perf_counter()
        self.gradient(step, step.latents_before, windows=1)
        each = (time.perf_counter() - started) * self._num_windows(step.duration_s) * self.inner_steps
        self.seconds_ahead = guided * each
        log.log(logging.WARNING if self.seconds_ahead > LONG_S else logging.INFO,
                "guiding %d of %d steps takes about %.0f s more (less with every=2 or hears=mel)",
                guided, step.num_steps, self.seconds_ahead)

    def _moved(self, step: Step, latents: Tensor, length: float) -> Tensor:
        """`latents` after the inner steps of a new optimiser, each of `length` at most an element."""
        state = latents.detach().clone()
        adam = torch.optim.Adam([state], lr=length) if self.optimizer == "adam" else None
        for inner in range(self.inner_steps):
            gradient, values = self.gradient(step, state)
            if inner == 0:
                self.values.append(values)
            finite = gradient.flatten(1).isfinite().all(1)
            if not finite.all():
                log.warning("step %d: the guide's gradient is not finite for %d sounds, which are left alone",
                            step.index + 1, int((~finite).sum()))
                gradient = torch.where(finite.view(-1, *[1] * (gradient.dim() - 1)), gradient, 0.0)
            if adam is not None:
                state.grad = gradient
                adam.step()
            else:
                rms = gradient.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (gradient.dim() - 1))
                state -= length * gradient / (gradient.abs() + SOFTENING * rms).clamp_min(1e-30)
        return state

    def gradient(self, step: Step, latents: Tensor, windows: int | None = None) -> tuple[Tensor, Tensor]:
        """The objective's gradient at the latents (B, ...), and its mean over the first `windows` or all (B,)."""
        total, values, count = torch.zeros_like(latents), torch.zeros(len(latents), device=latents.device), 0
        for index, start_s, end_s in islice(self._windows(step), windows):
            with torch.enable_grad():
                state = latents.detach().requires_grad_(True)
                heard = self._hear_part(step, step.clean_estimate(state), start_s, end_s)
                loss = self.objective(heard, self._others(index, len(latents)))
                total = total + torch.autograd.grad(loss.sum(), state)[0]
            values, count = values + loss.detach().to(values), count + 1
        return total / count, values / count

    def _hear_part(self, step: Step, clean: Tensor, start_s: float, end_s: float | None) -> Tensor:
        """Clean latents -> unit vectors (B, D) of the sound between two times. Raises ConditionError where mels are
        to be heard and the codec has none, or the ear takes other ones."""
        if self.mel_ear is None:
            return self._hear(step.decode(clean, start_s, end_s).mean(1))
        if step.decode_mel is None or self.mel_ear.config["mel_bins"] != self.gram.config["mel_bins"]:
            raise ConditionError("the guide cannot hear the mel of this codec with this GRAM; set hears to waveform.")
        bands = take_slice(self.mel_ear(step.decode_mel(clean, start_s, end_s), self.full_scale),
                           self.gram.config["slice_frames"])
        return self.gram.project_audio(self.gram.audio_tokens(bands))

    def _hear(self, sound: Tensor) -> Tensor:
        """Sound (B, N) at 16 kHz -> unit vectors (B, D); its level does not count."""
        if self.full_scale:
            sound = sound / sound.detach().abs().amax(-1, keepdim=True).clamp_min(QUIETEST)
        return self.gram.encode_audio(functional.pad(sound, (0, max(0, SHORTEST - sound.shape[-1]))).float())

    def _others(self, window: int, size: int) -> list[Tensor]:
        """The embeddings (B, D) that the sound of a window is compared with, words first."""
        if self._text is None and self._video is None:
            raise ConditionError("the guide was not told what to follow; call condition(prompts, video) before the "
                                 "run.")
        others = []
        if self._text is not None:
            others.append(self._text.repeat_interleave(size // len(self._text), dim=0))
        if self._video is not None:
            others.append(self._video[min(window, len(self._video) - 1)].expand(size, -1))
        return others

    def _num_windows(self, duration_s: float) -> int:
        return max(1, ceil(round(duration_s / self.window_s, 3)))

    def _windows(self, step: Step) -> Iterator[tuple[int, float, float | None]]:
        """Index, start and end in seconds of the windows that are heard, of equal length; None: to the end."""
        count = self._num_windows(step.duration_s)
        for index in range(count):
            end_s = None if index == count - 1 else (index + 1) * step.duration_s / count
            yield index, index * step.duration_s / count, end_s


def build(pipeline: Pipeline, gram: str | None = None, **options: Any) -> VolumeGuide:
    """The guide for a pipeline, with GRAM's towers from the folder `gram` (default: the bundled ones).

    Raises ConditionError for a codec at another rate than GRAM's, WeightsError for a folder of another model.
    """
    if pipeline.sampling_rate != SAMPLE_RATE:
        raise ConditionError(f"the guide hears sound at {SAMPLE_RATE} Hz, and {pipeline.system} has "
                             f"{pipeline.sampling_rate} Hz; use it with another system.")
    towers = load_gram(weights.bundled("gram") if gram is None else Path(gram)).float().eval().requires_grad_(False)
    towers.lighten()
    device = "cpu" if pipeline.origin is None else pipeline.origin.device
    return VolumeGuide(towers.to(device), **{name: value for name, value in options.items()
                                                      if value is not None})
