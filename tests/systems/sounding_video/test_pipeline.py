"""Sounding Video's pipeline: both from words, either for the other, long clips, seeds and batches; bad input."""

from __future__ import annotations

import pytest
import torch

from postsync import weights
from postsync.codecs.mel_vae import MelCodec
from postsync.codecs.pictures import even_frames, picture_codec
from postsync.encoders.gram import load_gram
from postsync.errors import Cancelled, ConditionError
from postsync.features.onsets import audio_onsets
from postsync.metrics.onsets import onset_scores
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, impacts, render_scene
from postsync.systems.sounding_video import presets
from postsync.systems.sounding_video.pipeline import SoundingVideoPipeline


@pytest.fixture(scope="module")
def pipe() -> SoundingVideoPipeline:
    torch.manual_seed(0)
    gram = load_gram(weights.bundled("gram")).float()
    made = SoundingVideoPipeline.from_parts(
        presets.tiny(text_dim=gram.embedding_dim), codec=MelCodec.from_pretrained(weights.bundled("mel_codec")),
        pictures=picture_codec("tiny").codec.eval(), gram=gram)
    for parameter in made.connectors.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    made.set_progress_bar_config(disable=True)
    return made


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_sentence_gives_sound_and_picture_of_one_length(pipe) -> None:
    out = pipe(prompt="a stick hits a metal bowl", duration_s=3.3, generator=seeded())
    assert out.audios.shape == (1, 1, 52800)
    assert out.frames.shape == (1, 26, 3, 16, 16)
    assert out.frames.dtype == torch.uint8
    assert out.frame_rate == 8.0
    again = pipe(prompt="a stick hits a metal bowl", duration_s=3.3, generator=seeded())
    assert torch.equal(out.audios, again.audios)
    assert torch.equal(out.frames, again.frames)
    other = pipe(prompt="rain", duration_s=3.3, generator=seeded())
    assert not torch.equal(out.audios, other.audios)


def test_takes_of_a_batch_are_those_made_alone(pipe) -> None:
    both = pipe(prompt="a bell", num_waveforms_per_prompt=2, generator=seeded(5), output_type="latent")
    alone = pipe(prompt="a bell", generator=seeded(6), output_type="latent")
    torch.testing.assert_close(both.audios[1:], alone.audios, atol=1e-4, rtol=1e-4)
    assert (both.frames[1].int() - alone.frames[0].int()).abs().max() <= 1


def test_a_given_picture_gets_its_sound_and_a_given_sound_its_picture(pipe) -> None:
    frames = torch.randint(256, (32, 3, 16, 16), dtype=torch.uint8, generator=seeded())
    wanted = pipe.pictures_wanted(4.0, {})
    assert (wanted.count, wanted.size, wanted.fps) == (32, 16, 8.0)
    heard = pipe(video=frames, prompt="a bell", generator=seeded())
    assert heard.frames is None
    assert heard.audios.shape == (1, 1, 64000)
    assert not torch.equal(heard.audios, pipe(video=frames.flip(0), prompt="a bell", generator=seeded()).audios)
    sound = 0.1 * torch.randn(1, 64000, generator=seeded())
    seen = pipe(sound=sound, prompt="a bell", generator=seeded())
    assert torch.equal(seen.audios[0], sound)
    assert seen.frames.shape == (1, 32, 3, 16, 16)
    assert not torch.equal(seen.frames, pipe(sound=sound.flip(1), prompt="a bell", generator=seeded()).frames)


def test_longer_clips_are_made_in_windows_of_the_same_time(pipe) -> None:
    windows = pipe._windows(round(9.5 * 16000), 1.0)
    assert [(heard.start / 25, heard.stop / 25) for heard, _ in windows] == [
        (seen.start / 8, seen.stop / 8) for _, seen in windows]
    assert windows[0][0].start == 0
    assert windows[-1][0].stop == 250
    out = pipe(prompt="a bell", duration_s=5.0, num_inference_steps=1, generator=seeded())
    assert out.audios.shape == (1, 1, 80000)
    assert out.frames.shape[1] == 40


def test_each_modality_follows_its_own_scale_and_gamma_counts(pipe) -> None:
    settings = {"prompt": "a bell", "num_inference_steps": 2, "output_type": "latent"}
    plain = pipe(**settings, generator=seeded())
    louder = pipe(**settings, generator=seeded(), guidance_scale=6.0)
    assert (louder.audios - plain.audios).abs().max() > 10 * (
        pipe(**settings, generator=seeded(), video_guidance_scale=9.0).audios - plain.audios).abs().max()
    assert not torch.equal(pipe(**settings, generator=seeded(), video_guidance_scale=30.0).frames, plain.frames)
    assert not torch.equal(pipe(**settings, gamma=4.0, generator=seeded()).audios,
                           pipe(**settings, gamma=1.0, generator=seeded()).audios)
    negative = pipe(**settings, negative_prompt="rain", generator=seeded())
    assert not torch.equal(negative.audios, plain.audios)


def test_a_saved_pipeline_is_the_same(pipe, tmp_path) -> None:
    pipe.save_pretrained(tmp_path)
    again = SoundingVideoPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    made, expected = (each(prompt="a bell", num_inference_steps=1, generator=seeded()) for each in (again, pipe))
    torch.testing.assert_close(made.audios, expected.audios, atol=1e-3, rtol=0)
    assert (made.frames.int() - expected.frames.int()).abs().max() <= 1


def test_the_callback_sees_both_and_cancels(pipe) -> None:
    seen = []

    def stop(_pipe, step, _time, tensors):
        seen.append(sorted(tensors))
        raise Cancelled

    with pytest.raises(Cancelled):
        pipe(prompt="a bell", generator=seeded(), callback_on_step_end=stop)
    assert seen == [["latents", "video_latents"]]


def test_bad_input_is_named(pipe) -> None:
    for settings, message in (({"prompt": " "}, "sentence is empty"), ({}, "sentence is empty"),
                              ({"prompt": [(0.0, 1.0, "a bell")]}, "prompts over time"),
                              ({"prompt": "a bell", "duration_s": 0.0}, "holds no sample"),
                              ({"prompt": "a bell", "gamma": 0.0}, "gamma is 0"),
                              ({"prompt": "a bell", "num_inference_steps": 1001}, "1 to 1000"),
                              ({"prompt": "a bell", "envelope": torch.ones(400)}, "does not take envelope"),
                              ({"sound": torch.zeros(2, 16000)}, r"is not \(1, N\)"),
                              ({"sound": torch.zeros(1, 16000), "video": torch.zeros(8, 3, 16, 16)}, "both given")):
        with pytest.raises(ConditionError, match=message):
            pipe(generator=seeded(), **settings)
    with pytest.raises(ConditionError, match="give video_unet"):
        SoundingVideoPipeline.from_parts(presets.paper())


def test_the_bundled_mini_puts_sound_to_what_hits() -> None:
    """A held-out scene: onsets of the sound lie at its hits, not at those of its mirror in time."""
    config = SceneConfig(duration_s=4.0, size=64, fps=8.0, **impacts())
    mini = SoundingVideoPipeline.from_pretrained(weights.bundled("sounding_video"))
    mini.set_progress_bar_config(disable=True)
    clip = render_scene(HELD_OUT_SEED + 13, config, needs=frozenset({"frames"}))
    out = mini(video=even_frames(clip, 4.0, 8.0), prompt=clip.captions[0], num_inference_steps=8, generator=seeded())
    onsets = audio_onsets(out.audios[0, 0], 16_000).tolist()
    hits = [event.t for event in clip.events]
    assert onset_scores(onsets, hits, 0.1).f1 > 0.6
    assert onset_scores(onsets, [4.0 - time for time in hits], 0.1).f1 < 0.5
