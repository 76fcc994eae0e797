"""Sessions: a clip read once, edited timing, frames in memory, progress, an end asked for at every stage, guides."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import postsync
from postsync import generation
from postsync.errors import Cancelled, ConditionError, MediaError
from postsync.generation.repetition import redo
from postsync.generation.result import publish
from postsync.generation.sidecar import Provenance, Sidecar
from postsync.media import video
from postsync.media.picture import ClipPicture
from postsync.media.video import probe
from postsync.protocols.pipeline import Origin
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
    for options in ({}, {"prompt": "hammer"}):
        timing = session.timing(**options)
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
    assert (sidecar.video, sidecar.video_sha256, sidecar.picture_file) == (None, None, target)
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
    with pytest.raises(ConditionError, match="system is foleygram, but the pipeline was loaded with mgaudio"):
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


def test_what_the_pipeline_was_loaded_with_is_recorded_and_not_contradicted(pipe, clip, monkeypatch):
    monkeypatch.setattr(type(pipe), "origin", Origin("mini", dtype="bfloat16", parts={"codec": "/a/codec"}))
    options = generation.generate(clip, "hammer", pipeline=pipe, seed=1).options
    assert (options.preset, options.dtype, options.parts) == ("mini", "bfloat16", {"codec": "/a/codec"})
    for wrong in ({"dtype": "float32"}, {"preset": "tiny"}, {"device": "cuda"}):
        with pytest.raises(ConditionError, match="but the pipeline was loaded with"):
            generation.generate(clip, "hammer", pipeline=pipe, **wrong)
    with pytest.raises(ConditionError, match="parts from loading"):
        generation.generate(clip, "hammer", pipeline=pipe, parts={"gram": "/b"})


def test_info_and_timing_in_any_order_decode_once(pipe, clip, decoded):
    session = generation.open_clip(clip, pipe)
    assert session.info.num_frames > 1
    session.timing()
    list(session.takes("hammer", seed=1))
    session.timing()
    assert decoded["hammer.mp4"] == 1
    other = generation.open_clip(clip, pipe)
    list(other.takes("hammer", seed=1))
    other.timing()
    assert decoded["hammer.mp4"] == 2


def test_an_edited_tensor_does_not_reach_the_session(pipe, clip):
    session = generation.open_clip(clip, pipe)
    before = next(session.takes("hammer", seed=1)).waveform
    session.timing().envelope.values.zero_()
    assert np.array_equal(next(session.takes("hammer", seed=1)).waveform, before)


def test_one_timing_only_and_at_least_one_take(pipe, clip):
    session = generation.open_clip(clip, pipe)
    for other in ({"timing": "motion"}, {"onsets": "hits.csv"}):
        with pytest.raises(ConditionError, match="give one of them"):
            session.takes("hammer", envelope=torch.full((80,), 0.3), **other)
    with pytest.raises(ConditionError, match="num_samples is 0"):
        session.takes("hammer", num_samples=0)


@pytest.mark.parametrize(("guides", "word"), [
    ([object()], "neither before_step nor"), (["quiet"], "no guide 'quiet'"),
    (["builtins:repr"], "neither before_step"),
    (["json:nothing"], "cannot be imported"), (["math:sqrt"], "cannot be built")])
def test_what_is_no_guide_is_refused(pipe, clip, guides, word):
    with pytest.raises(ConditionError, match=word):
        next(generation.open_clip(clip, pipe).takes("hammer", seed=1, guides=guides))


def test_settings_of_a_guide_that_is_not_named_are_refused(pipe, clip):
    with pytest.raises(ConditionError, match="add --guide quiet"):
        generation.generate(clip, "hammer", pipeline=pipe, settings={"quiet.strength": 1.0})


def test_notes_do_not_depend_on_the_log(pipe, clip, tmp_path):
    (tmp_path / "hits.csv").write_text("0.2\n5\n")
    logging.disable(logging.CRITICAL)
    try:
        result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, onsets=str(tmp_path / "hits.csv"))
    finally:
        logging.disable(logging.NOTSET)
    assert any("beyond the end" in note for note in result.notes)


def test_sound_without_a_picture(pipe, mgaudio, tmp_path):
    result = generation.generate(None, "rain", pipeline=pipe, seed=1, duration_s=0.5)
    assert result.waveform.shape == (1, 24000)
    assert result.waveform.any()
    assert result.recipes[0].timing is None
    assert result.save(tmp_path / "rain.wav").is_file()
    with pytest.raises(MediaError, match=r"end the name in \.wav"):
        result.save(tmp_path / "rain.mp4")
    hits = Timing.of_hits([0.1, 0.3], 0.5)
    timed = generation.generate(None, "hammer", pipeline=pipe, seed=1, duration_s=0.5, envelope=hits)
    assert timed.onsets_s.tolist() == pytest.approx([0.1, 0.3])
    assert generation.generate(None, pipeline=mgaudio, seed=1, duration_s=0.5).waveform.any()
    with pytest.raises(ConditionError, match="no picture to read"):
        generation.open_clip(None, pipe, duration_s=1.0).timing()
    with pytest.raises(ConditionError, match="duration_s says how long"):
        generation.generate(None, "rain", pipeline=pipe)


def test_a_picture_of_the_systems_own_is_encoded(mgaudio, tmp_path, monkeypatch):
    frames = torch.randint(0, 255, (1, 10, 3, 32, 32), dtype=torch.uint8)
    original = type(mgaudio).__call__
    monkeypatch.setattr(type(mgaudio), "__call__", lambda self, *args, **kwargs: replace(
        original(self, *args, **kwargs), frames=frames, frame_rate=20.0, captions=("noise",)))
    result = generation.generate(None, pipeline=mgaudio, seed=1, duration_s=0.5)
    info = probe(result.save(tmp_path / "made.mp4"))
    assert (info.num_frames, info.width, info.has_audio) == (10, 32, True)
    assert info.duration_s == pytest.approx(0.5)
    assert result.captions == ("noise",)


def test_redo_adds_to_the_systems_options_and_keeps_notes(pipe, clip, monkeypatch):
    earlier = generation.generate(clip, "hammer", pipeline=pipe, seed=1, eta=0.5, fader_db=3)
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    result = redo(earlier, 0.2, 0.5, {"solver": "dpmpp_2m_sde", "prompt": "a theremin", "seed": 2}, pipe)
    assert result.options.settings == {"eta": 0.5, "fader_db": 3.0, "solver": "dpmpp_2m_sde"}
    assert any("theremin" in note for note in result.notes)
    with pytest.raises(ConditionError, match="has no option tempo"):
        redo(earlier, 0.2, 0.5, {"tempo": 3}, pipe)
