"""A seed is a clip; what is asked for changes nothing else."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

from postsync.scenes.captions import paraphrases
from postsync.scenes.families import FAMILIES
from postsync.scenes.render import (
    HELD_OUT_SEED,
    SceneConfig,
    SceneDataset,
    clean_scenes,
    frame_times,
    full_scenes,
    render_scene,
)

SMALL = SceneConfig(duration_s=1.5, size=24)


def test_all_parts_have_their_shapes_and_types() -> None:
    clip = render_scene(3, SceneConfig(duration_s=1.5, size=24, fps=20, sample_rate=44100))
    assert clip.frames is not None
    assert clip.frames.shape == (30, 3, 24, 24)
    assert clip.frames.dtype == torch.uint8
    assert clip.times.dtype == torch.float64
    torch.testing.assert_close(clip.times, torch.arange(30, dtype=torch.float64) / 20)
    assert clip.waveform.shape == (1, 66150)
    assert clip.waveform.dtype == torch.float32
    assert clip.waveform.abs().max() <= 1
    assert clip.envelope.shape == (150,)
    assert clip.sample_rate == 44100
    assert clip.label in FAMILIES
    assert clip.captions[0] in paraphrases(clip.label)[0]


def test_asking_for_less_changes_nothing_else() -> None:
    whole = render_scene(11, SMALL)
    seen = render_scene(11, SMALL, needs=frozenset({"frames"}))
    heard = render_scene(11, SMALL, needs=frozenset({"waveform"}))
    told = render_scene(11, SMALL, needs=frozenset())
    assert torch.equal(seen.frames, whole.frames)
    assert torch.equal(heard.waveform, whole.waveform)
    assert seen.waveform is seen.envelope is heard.frames is heard.times is told.frames is told.waveform is None
    assert whole.events == seen.events == heard.events == told.events
    assert whole.captions == told.captions


@pytest.mark.parametrize("family", ["wood_strike", "cloth_scrape", "rain", "bark"])
def test_silent_scenes_move_and_make_no_sound(family: str) -> None:
    config = clean_scenes(duration_s=1.0, size=24, fps=10.0, families=(family,))
    silent, heard = render_scene(4, dataclasses.replace(config, silent=1.0)), render_scene(4, config)
    assert silent.events == ()
    assert silent.envelope.abs().max() == silent.waveform.abs().max() == 0
    assert silent.frames.float().std(0).max() > 1
    assert heard.envelope.max() > 0
    assert torch.equal(heard.frames, render_scene(4, dataclasses.replace(config, silent=0.0)).frames)


def test_the_share_of_silent_scenes_is_kept() -> None:
    config = clean_scenes(duration_s=1.0, size=24, silent=0.3)
    silent = [not render_scene(seed, config, needs=frozenset()).events for seed in range(200)]
    assert 0.2 < sum(silent) / 200 < 0.4
    with pytest.raises(ValueError, match="silent"):
        dataclasses.replace(config, silent=1.5)


def test_nuisances_change_the_picture_and_not_the_story() -> None:
    full, clean = render_scene(5, SMALL), render_scene(5, clean_scenes(duration_s=1.5, size=24))
    assert full.events == clean.events
    assert full.label == clean.label
    assert full.captions == clean.captions
    assert not torch.equal(full.waveform, clean.waveform)  # noise and room


def test_seeds_differ_and_repeat() -> None:
    assert torch.equal(render_scene(8, SMALL).frames, render_scene(8, SMALL).frames)
    assert len({render_scene(s, SMALL, needs=frozenset()).events for s in range(20)}) == 20
    labels = {render_scene(s, SMALL, needs=frozenset()).label for s in range(150)}
    assert len(labels) > 35


def test_the_envelope_rises_at_strikes() -> None:
    for seed in range(6):
        clip = render_scene(seed, clean_scenes(families=("wood_strike", "drum_strike"), size=8, fps=2.0))
        for event in clip.events:
            onset = round(event.t * 100)
            if onset > 5:
                assert clip.envelope[onset:onset + 4].max() > 1.5 * clip.envelope[onset - 5:onset - 2].min()


def test_frame_times_are_even_or_drawn_and_always_ascend() -> None:
    drawn = [frame_times(full_scenes(), np.random.default_rng(k)) for k in range(120)]
    variable = [t for t in drawn if np.ptp(np.diff(t)) > 1e-6]
    assert 0.15 < len(variable) / len(drawn) < 0.6
    assert len({len(t) for t in drawn if np.ptp(np.diff(t)) < 1e-6}) == 7  # 12 to 60 a second
    assert all(t[0] == 0 and t[-1] < 4.0 and np.diff(t).min() > 0 for t in drawn)
    fixed = frame_times(SceneConfig(fps=25), np.random.default_rng(0))
    np.testing.assert_allclose(fixed, np.arange(100) / 25)
    clean = [frame_times(clean_scenes(fps=None), np.random.default_rng(k)) for k in range(30)]
    assert max(np.ptp(np.diff(t)) for t in clean) < 1e-6


def test_held_out_captions_are_other_captions() -> None:
    config = dataclasses.replace(SMALL, held_out_captions=True)
    for seed in range(5):
        clip = render_scene(seed, config, needs=frozenset())
        assert clip.captions[0] in paraphrases(clip.label)[1]


def test_families_can_be_chosen() -> None:
    config = dataclasses.replace(SMALL, families=("bell", "rain"))
    assert {render_scene(s, config, needs=frozenset()).label for s in range(20)} == {"bell", "rain"}


@pytest.mark.parametrize(("changes", "message"), [
    ({"families": ("bell", "trumpet")}, "trumpet"), ({"families": ()}, "choose from"),
    ({"duration_s": 0.0}, "duration_s=0.0"), ({"size": 4}, "size=4"), ({"fps": -1.0}, "fps=-1.0"),
])
def test_impossible_worlds_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneConfig(**changes)


def test_unknown_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="smell"):
        render_scene(0, SMALL, needs=frozenset({"smell"}))


def test_dataset_maps_indices_to_seeds_and_travels_to_workers() -> None:
    data = SceneDataset(SMALL, range(HELD_OUT_SEED, HELD_OUT_SEED + 7), frozenset({"waveform"}))
    assert len(data) == 7
    clip = pickle.loads(pickle.dumps(data))[2]
    assert clip.clip_id == f"scenes.{HELD_OUT_SEED + 2}.0"
    assert clip.frames is None
    assert torch.equal(clip.waveform, render_scene(HELD_OUT_SEED + 2, SMALL).waveform)
