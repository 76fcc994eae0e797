"""Sessions: a clip read once, edited timing, frames in memory, progress, an end asked for at every stage, guides."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import postsync
from postsync import generation
from postsync.errors import Cancelled, ConditionError, MediaError
from postsync.generation.sidecar import Provenance, Sidecar, publish
from postsync.media import video
from postsync.media.picture import ClipPicture
from postsync.media.video import probe
from postsync.timing.timing import Timing

STAGES = ["reading", "denoising", "decoding", "levelling", "writing"]


@pytest.fixture
def decoded(monkeypatch):
    """How often each file's picture was decoded."""
    counts: Counter[str] = Counter()
    original = video.shown_frames

    def counted(path, *rest):
        counts[path.name] += 1
        return original(path, *rest)

    for module in ("video", "picture"):
        monkeypatch.setattr(f"postsync.media.{module}.shown_frames", counted)
    return counts


def frames_of(clip) -> np.ndarray:
    return np.stack([frame.image for frame in ClipPicture(clip).iter_frames(size=(64, 64))])


@pytest.mark.parametrize("name", ["pipe", "mgaudio"])
def test_the_picture_is_decoded_once_for_all_takes_and_for_the_timing(name, clip, decoded, request, tmp_path):
    pipeline = request.getfixturevalue(name)
    session = generation.open_clip(clip, pipeline)
    assert session.timing().duration_s == pytest.approx(0.8)
    results = list(session.takes(num_samples=2, seed=3))
    results[0].save(tmp_path / "out.mp4")
    assert decoded["hammer.mp4"] == 1
    assert len(results) == 2
    generation.generate(clip, pipeline=pipeline, seed=3, start_s=0.2)
    assert decoded["hammer.mp4"] == 2


def test_a_session_gives_what_generate_gives(pipe, clip):
    session = generation.open_clip(clip, pipe)
    timing = session.timing()
    for options in ({}, {"prompt": "hammer"}):
        one = generation.generate(clip, pipeline=pipe, seed=3, **options).waveform
        assert np.array_equal(next(session.takes(seed=3, **options)).waveform, one)
        assert np.array_equal(next(session.takes(seed=3, envelope=timing, **options)).waveform, one)


def test_an_edited_timing_is_followed(pipe, clip):
    session = generation.open_clip(clip, pipe)
    hits = Timing.of_hits([0.1, 0.5], session.info.duration_s, [1.0, 0.5])
    result = next(session.takes("hammer", seed=1, envelope=hits))
    assert result.onsets_s.tolist() == pytest.approx([0.1, 0.5])
    later = next(session.takes("hammer", seed=1, envelope=hits.moved(0.1)))
    assert later.onsets_s.tolist() == pytest.approx([0.2, 0.6])
    assert not np.array_equal(result.waveform, later.waveform)


def test_progress_names_every_stage_in_order_and_rises(pipe, clip, tmp_path):
    seen: list[generation.Progress] = []
    result = next(generation.open_clip(clip, pipe).takes("hammer", seed=1, on_progress=seen.append))
    result.save(tmp_path / "out.mp4", seen.append)
    assert list(dict.fromkeys(p.stage for p in seen)) == STAGES
    for stage in STAGES:
        fractions = [p.fraction for p in seen if p.stage == stage]
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert [p.fraction for p in seen if p.stage == "denoising"] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("stage", STAGES)
def test_cancelled_ends_the_run_in_every_stage_and_leaves_nothing(pipe, clip, tmp_path, stage):
    def stop(progress):
        if progress.stage == stage:
            raise Cancelled

    session = generation.open_clip(clip, pipe)
    with pytest.raises(Cancelled):
        next(session.takes("hammer", seed=1, on_progress=stop)).save(tmp_path / "out.mp4", stop)
    assert list(tmp_path.iterdir()) == []
    assert next(session.takes("hammer", seed=1)).waveform.any()  # the session goes on


def test_frames_in_memory_sound_like_the_same_clip_and_are_encoded(mgaudio, pipe, clip, tmp_path):
    frames = frames_of(clip)
    fps = len(frames) / probe(clip).duration_s
    result = generation.generate(frames, "hammer", pipeline=pipe, fps=fps, seed=1)
    assert result.waveform.shape[1] == pytest.approx(round(0.8 * 48000), abs=1)
    written = result.save(tmp_path / "out.mp4")
    info = probe(written)
    assert (info.num_frames, info.has_audio) == (len(frames), True)
    assert result.save(tmp_path / "out.wav").is_file()
    with pytest.raises(MediaError, match="name the file"):
        result.save()
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    again = generation.generate(tensor, "hammer", pipeline=pipe, fps=fps, seed=1)
    assert np.array_equal(again.waveform, result.waveform)
    assert generation.generate(frames, pipeline=mgaudio, fps=fps, seed=1).waveform.any()
    with pytest.raises(ConditionError, match="fps"):
        generation.generate(frames, "hammer", pipeline=pipe)
    with pytest.raises(ConditionError, match="fps"):
        generation.generate(clip, "hammer", pipeline=pipe, fps=25)


def test_a_result_without_a_clip_has_a_sidecar_that_is_read(pipe, clip, tmp_path):
    result = generation.generate(frames_of(clip), "hammer", pipeline=pipe, fps=25, seed=1)
    target = publish(result, tmp_path / "out.mp4", Provenance({}, {}), None)
    sidecar = Sidecar.read(target)
    assert (sidecar.video, sidecar.video_sha256, sidecar.picture) == (None, None, target)
    assert torch.equal(sidecar.recipes[0].timing.envelope.values, result.envelope)


def test_a_sidecar_of_format_1_is_read(pipe, clip, tmp_path):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, cues=((0.0, 0.5, "rain"),))
    target = publish(result, tmp_path / "out.mp4", Provenance({}, {}), "0" * 64)
    data = json.loads((tmp_path / "out.mp4.json").read_text())
    old = {name: value for name, value in data.items() if name not in ("captions", "notes", "guides")} | {"format": 1}
    for name in ("parts", "guides", "settings"):
        del old["options"][name]
    (tmp_path / "out.mp4.json").write_text(json.dumps(old))
    recipe = Sidecar.read(target).recipes[0]
    assert recipe.options == result.options
    assert torch.equal(recipe.timing.onsets_s, result.recipes[0].timing.onsets_s)


def test_warnings_are_notes_of_the_result(pipe, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    (tmp_path / "hits.csv").write_text("0.2\n5\n")
    notes = generation.generate(clip, "a theremin", pipeline=pipe, seed=1, onsets=str(tmp_path / "hits.csv")).notes
    assert any("theremin" in note for note in notes)
    assert any("beyond the end" in note for note in notes)
    assert generation.generate(clip, "hammer", pipeline=pipe, seed=1).notes == ()


def test_the_pipelines_own_system_and_preset_are_recorded(mgaudio, clip):
    result = generation.generate(clip, pipeline=mgaudio, seed=1)
    assert (result.options.system, result.options.preset) == ("mgaudio", "(built in memory)")
    with pytest.raises(ConditionError, match="the pipeline runs mgaudio"):
        generation.generate(clip, pipeline=mgaudio, system="foleygram")


class Louder:
    """Moves latents up the gradient of the sound's energy."""

    def __init__(self) -> None:
        self.gradients: list[Tensor] = []

    def after_step(self, step: postsync.Step) -> Tensor:
        with torch.enable_grad():
            latents = step.latents.detach().requires_grad_(True)
            energy = step.decode(step.clean_estimate(latents)).square().mean().log()
            gradient, = torch.autograd.grad(energy, latents)
        self.gradients.append(gradient)
        return (latents.detach() + 0.1 * latents.detach().norm() * gradient / gradient.norm()).to(step.latents)


@pytest.mark.parametrize("name", ["pipe", "mgaudio"])
def test_a_guide_takes_gradients_through_generate(name, clip, request):
    pipeline, guide = request.getfixturevalue(name), Louder()
    plain = generation.generate(clip, pipeline=pipeline, seed=1)
    guided = generation.generate(clip, pipeline=pipeline, seed=1, guides=[guide])
    assert len(guide.gradients) == 3
    assert all(gradient.abs().max() > 0 for gradient in guide.gradients)
    assert not np.array_equal(plain.waveform, guided.waveform)
    assert guided.recipes[0].guides == ("Louder",)


def test_options_of_the_systems_own_go_by_keyword(pipe, clip):
    plain = generation.generate(clip, "hammer", pipeline=pipe, seed=1, sigma_max=None).waveform
    other = generation.generate(clip, "hammer", pipeline=pipe, seed=1, eta=0.0)
    assert not np.array_equal(plain, other.waveform)
    assert other.options.settings == {"eta": 0.0}
    with pytest.raises(ConditionError, match="eta is 3; it must be a number from 0 to 1"):
        generation.generate(clip, "hammer", pipeline=pipe, seed=1, eta=3)


def test_public_names_are_there() -> None:
    assert postsync.FoleyGRAMPipeline.system == "foleygram"
    assert postsync.MGAudioPipeline.system == "mgaudio"
    assert set(postsync.__all__) <= set(dir(postsync))
    assert all(getattr(postsync, name) is not None for name in postsync.__all__)
    assert "num_inference_steps" in postsync.Options.model_json_schema()["properties"]
    assert replace(postsync.Timing.of_hits([0.1], 1.0)).estimated is False
