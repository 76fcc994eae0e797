"""The pipeline's contract: lengths, seeds, takes, windows, conditions, guides, cancelling, and its saved folder."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from postsync.diffusion.solvers import SOLVERS
from postsync.encoders.stand_ins import StandIns
from postsync.errors import Cancelled, ConditionError, WeightsError
from postsync.features.envelope import CAUSAL, Envelope, frame_rms
from postsync.protocols.pipeline import Cue, Pictures
from postsync.systems.foleygram import presets
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(pipe, **changes):
    return pipe(**{"prompt": "hammer on metal", "generator": seeded(), "output_type": "latent"} | changes).audios


def test_call_is_the_contract(pipe):
    names = list(inspect.signature(pipe.__call__).parameters)
    assert names == ["video", "prompt", "negative_prompt", "duration_s", "num_inference_steps", "guidance_scale",
                     "num_waveforms_per_prompt", "generator", "envelope", "control_scale", "latents",
                     "reference_audio", "guides", "callback_on_step_end", "output_type", "options"]
    assert pipe.accepts == set(names) - {"options"}
    assert (pipe.system, pipe.origin, pipe.weights) == ("foleygram", None, {})
    assert pipe.options["solver"].choices == tuple(SOLVERS)
    with pytest.raises(ConditionError, match="foleygram has no option promt; its options are eta"):
        pipe(promt="rain")


@pytest.mark.parametrize("own", [{"eta": 0.0}, {"solver": "dpmpp_2m_sde"}])
def test_own_options_come_before_the_presets(pipe, own):
    preset = replace(presets.tiny(), sampler=replace(presets.tiny().sampler, **own))
    assert torch.equal(run(pipe, **own), run(FoleyGRAMPipeline.from_parts(preset, **pipe.components)))
    assert (run(pipe, **own) - run(pipe)).abs().max() > 1e-3


@pytest.mark.parametrize(("own", "message"), [({"eta": 1.5}, "0 to 1"), ({"solver": "euler"}, "dpmpp_2m_sde"),
                                              ({"fader_db": 61}, "60 dB"), ({"picture": "maybe"}, "auto or always")])
def test_own_options_out_of_range_are_refused(pipe, own, message):
    with pytest.raises(ConditionError, match=message):
        run(pipe, **own)


def test_pictures_are_wanted_where_nothing_else_says_what_sounds(pipe, monkeypatch):
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    assert pipe.pictures_wanted(0.5, {}) == Pictures(2, 16)
    assert pipe.pictures_wanted(2.0, {"prompt": None}) == Pictures(8, 16)
    for asked in ({"prompt": "rain"}, {"reference_audio": torch.zeros(1, 9)}, {"picture": "never"}):
        assert pipe.pictures_wanted(0.5, asked) is None
    assert pipe.pictures_wanted(0.5, {"prompt": "rain", "picture": "always"}) == Pictures(2, 16)
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: True))
    assert pipe.pictures_wanted(0.5, {"prompt": "rain"}) == Pictures(2, 16)
    assert pipe.pictures_wanted(0.5, {"prompt": "rain", "picture": "never"}) is None
    blind = FoleyGRAMPipeline.from_parts(presets.tiny(), codec=pipe.codec)
    with pytest.raises(ConditionError, match="without GRAM"):
        blind.pictures_wanted(0.5, {})
    frames = torch.rand(3, 3, 20, 24)
    assert torch.equal(run(pipe, video=frames, picture="never"), run(pipe))


@pytest.mark.parametrize("samples", [400, 10240, 16001])
def test_length_is_exact_shorter_and_longer_than_native(pipe, samples):
    audios = pipe(prompt="rain", duration_s=samples / 16000, generator=seeded(), output_type="np").audios
    assert audios.shape == (1, 1, samples)
    assert audios.std() > 0


def test_duration_defaults_to_the_envelope_then_to_native(pipe):
    assert pipe(prompt="rain", envelope=torch.zeros(31), generator=seeded()).audios.shape[-1] == 4960
    assert pipe(prompt="rain", generator=seeded()).audios.shape[-1] == 16 * 640
    assert pipe.sampling_rate == 16000


def test_same_seed_same_bytes_and_takes_are_runs_of_their_own(pipe):
    one, again, other = run(pipe), run(pipe), run(pipe, generator=seeded(8))
    assert torch.equal(one, again)
    takes = run(pipe, num_waveforms_per_prompt=2)
    torch.testing.assert_close(takes, torch.cat([one, other]), atol=1e-4, rtol=1e-4)
    listed = run(pipe, num_waveforms_per_prompt=2, generator=[seeded(7), seeded(8)])
    assert torch.equal(listed, takes)


def test_recorded_latents(pipe):
    out = run(pipe)
    assert float(out.mean()) == pytest.approx(1.3849807, rel=1e-3)
    assert float(out.std()) == pytest.approx(13.2233095, rel=1e-3)


@pytest.mark.parametrize("change", [
    {"prompt": "bell"}, {"prompt": None}, {"negative_prompt": "bell"}, {"video": torch.rand(3, 3, 20, 24)},
    {"reference_audio": torch.randn(1, 4000, generator=seeded())}, {"envelope": torch.linspace(0, 1, 64)},
    {"guidance_scale": 1.0}, {"num_inference_steps": 4}, {"latents": torch.zeros(1, 128, 16)},
    {"prompt": [(0, 0.3, "hammer on metal"), (0.3, 2, "bell")]}])
def test_every_condition_has_a_say(pipe, change):
    assert (run(pipe, **change) - run(pipe)).abs().max() > 1e-3


def test_control_scale_multiplies_the_branch(pipe):
    envelope = torch.linspace(0, 1, 64)
    off = run(pipe, envelope=envelope, control_scale=0.0)
    assert torch.equal(off, run(pipe, envelope=1 - envelope, control_scale=0.0))
    assert (run(pipe, envelope=envelope) - off).abs().max() > 1e-3


def test_an_estimated_envelope_is_taken_otherwise_than_a_measured_one(pipe):
    curve = torch.linspace(0, 1, 64)
    estimated = run(pipe, envelope=Envelope(curve, estimated=True))
    assert (estimated - run(pipe, envelope=curve)).abs().max() > 1e-3
    short = Envelope(curve[:31], estimated=True)
    assert pipe(prompt="rain", envelope=short, generator=seeded()).audios.shape[-1] == 4960


def test_an_envelope_of_another_rate_is_resampled_and_of_another_recipe_refused(pipe):
    curve = torch.linspace(0, 1, 64)
    assert torch.equal(run(pipe, envelope=Envelope(curve)), run(pipe, envelope=curve))
    fine = torch.nn.functional.interpolate(curve[None, None], 127, mode="linear", align_corners=True)[0, 0, :126]
    torch.testing.assert_close(run(pipe, envelope=Envelope(fine, rate=200.0), duration_s=0.63),
                               run(pipe, envelope=curve[:63], duration_s=0.63), atol=1e-4, rtol=1e-4)
    assert pipe(prompt="rain", envelope=Envelope(fine, rate=200.0), generator=seeded()).audios.shape[-1] == 10080
    with pytest.raises(ConditionError, match="'centred_rms_40ms', not 'causal_window'"):
        run(pipe, envelope=Envelope(curve, recipe=CAUSAL))


def test_the_fader_is_the_presets_and_scaled_by_the_control(pipe):
    sampler = replace(presets.tiny().sampler, fader_db=40.0)
    riding = FoleyGRAMPipeline.from_parts(replace(presets.tiny(), sampler=sampler), **pipe.components)
    riding.set_progress_bar_config(disable=True)
    asked = torch.linspace(0.02, 0.2, 64)
    given = {"prompt": "rain", "envelope": asked, "generator": seeded()}
    missed = (frame_rms(pipe(**given).audios[:, 0], 16000) - asked).abs().mean()
    assert (frame_rms(riding(**given | {"generator": seeded()}).audios[:, 0], 16000) - asked).abs().mean() < missed / 2
    own = pipe(**given | {"generator": seeded(), "fader_db": 40}).audios
    assert torch.equal(own, riding(**given | {"generator": seeded()}).audios)
    off = [p(**given | {"control_scale": 0.0, "generator": seeded()}).audios for p in (pipe, riding)]
    assert torch.equal(*off)


def test_a_cue_over_the_whole_clip_is_the_prompt(pipe):
    torch.testing.assert_close(run(pipe, prompt=[Cue(0, 0.64, "hammer on metal")]), run(pipe))
    cued = run(pipe, prompt=[(0, 0.3, "hammer on metal"), (0.3, 2, "bell")])
    assert torch.equal(run(pipe, prompt=[Cue(0, 0.3, "hammer on metal"), Cue(0.3, 2, "bell")]), cued)
    torch.testing.assert_close(run(pipe, prompt=[Cue(0, 2, None)]), run(pipe, prompt=None))


def test_a_list_of_prompts_gives_a_sound_each(pipe):
    both = run(pipe, prompt=["hammer on metal", "bell"], generator=[seeded(), seeded()])
    torch.testing.assert_close(both, torch.cat([run(pipe), run(pipe, prompt="bell")]), atol=1e-4, rtol=1e-4)


def test_windows_give_each_part_its_own_envelope_and_words(pipe):
    long = {"duration_s": 1.6, "num_inference_steps": 2}
    out = run(pipe, **long)
    assert out.shape == (1, 128, 40)
    late = torch.zeros(160)
    late[120:] = 0.5
    changed = (run(pipe, **long, envelope=late) - run(pipe, **long, envelope=torch.zeros(160))).abs().amax(1)[0]
    assert changed[:12].max() < 1e-6 < changed[30:].min()
    cued = (run(pipe, **long, prompt=[(0, 1.2, "hammer on metal"), (1.2, 1.6, "bell")]) - out).abs().amax(1)[0]
    assert cued[:12].max() < 1e-6 < cued[34:].min()


def test_guides_see_the_step_and_move_the_latents(pipe):
    seen = []

    class Nudge:
        def after_step(self, step):
            with torch.enable_grad():
                latents = step.latents.detach().requires_grad_()
                wave = step.decode(step.clean_estimate(latents))
                wave.square().sum().backward()
            seen.append((step.index, step.num_steps, step.timestep, wave.shape, float(latents.grad.abs().max())))
            return step.latents + 0.1

    guided = run(pipe, guides=[Nudge()])
    assert [s[:2] for s in seen] == [(0, 3), (1, 3), (2, 3)]
    assert 1 > seen[0][2] > seen[1][2] > seen[2][2] > 0
    assert all(s[3] == (1, 1, 10240) and s[4] > 0 for s in seen)
    assert (guided - run(pipe)).abs().max() > 0.05


def test_a_guide_may_act_before_the_step_and_decode_a_part(pipe):
    seen = []

    class Early:
        def before_step(self, step):
            seen.append((step.alpha, step.sigma, step.sigma_next, step.model_output))
            return step.latents + 0.1

        def after_step(self, step):
            part, whole = step.decode(step.latents, 0.1, 0.2), step.decode(step.latents)
            assert part.shape == (1, 1, 1600)
            assert (part - whole[..., 1600:3200]).norm() < 0.2 * part.norm()  # the norms see other frames
            return step.latents

    moved = run(pipe, guides=[Early()])
    assert (moved - run(pipe)).abs().max() > 0.05
    sigmas = [s[1] for s in seen]
    assert sigmas[0] == pytest.approx(80.0)
    assert [s[2] for s in seen] == [*sigmas[1:], 0.0]
    assert all(s[0] == 1.0 and s[3] is None for s in seen)


def test_callback_sees_each_step_may_change_latents_and_cancel(pipe):
    steps = []

    def halve(pipeline, i, t, given):
        steps.append(i)
        return {"latents": given["latents"] / 2}

    assert (run(pipe, callback_on_step_end=halve) - run(pipe)).abs().max() > 1e-3
    assert steps == [0, 1, 2]

    def cancel(pipeline, i, t, given):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run(pipe, callback_on_step_end=cancel)


@pytest.mark.parametrize(("change", "message"), [
    ({"envelope": torch.full((64,), 1.5)}, "0..1"), ({"envelope": torch.full((64,), torch.nan)}, "0..1"),
    ({"video": torch.zeros(3, 20, 20)}, "frames"), ({"prompt": []}, "empty"), ({"prompt": [(1, 0, "bell")]}, "ends at"),
    ({"prompt": [(0, "bell")]}, "cue"), ({"duration_s": 0.0}, "duration"), ({"num_inference_steps": 0}, "1 or more"),
    ({"latents": torch.zeros(1, 128, 3)}, "latents"), ({"generator": [seeded(), seeded()]}, "2 generators")])
def test_conditions_of_a_wrong_form_are_refused(pipe, change, message):
    with pytest.raises(ConditionError, match=message):
        run(pipe, **change)


def test_without_a_branch_an_envelope_is_refused(pipe):
    plain = FoleyGRAMPipeline.from_parts(presets.tiny(), codec=pipe.codec, gram=pipe.gram)
    with pytest.raises(ConditionError, match="no control branch"):
        plain(envelope=torch.zeros(64))


LOAD = """
import sys, torch
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
pipe = FoleyGRAMPipeline.from_pretrained(sys.argv[1])
assert not any(p.requires_grad for part in (pipe.transformer, pipe.codec, pipe.gram) for p in part.parameters())
pipe.set_progress_bar_config(disable=True)
out = pipe(prompt="hammer on metal", generator=torch.Generator().manual_seed(7), output_type="latent").audios
torch.save(out, sys.argv[2])
"""


def test_a_saved_folder_loads_in_a_fresh_process(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "pipe")
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path / "pipe"), str(tmp_path / "out.pt")], check=True)
    torch.testing.assert_close(torch.load(tmp_path / "out.pt"), run(pipe), atol=1e-3, rtol=1e-3)


def test_a_folder_without_shared_parts_asks_for_the_bundled_ones(pipe, tmp_path):
    own = FoleyGRAMPipeline.from_parts(presets.tiny(), transformer=pipe.transformer)
    own.register_to_config(codec_folder="no-such-codec")
    own.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["codec"] == [None, None]
    assert FoleyGRAMPipeline.from_pretrained(tmp_path, codec=None, gram=None).codec is None
    with pytest.raises(WeightsError, match="no-such-codec"):
        FoleyGRAMPipeline.from_pretrained(tmp_path)


def test_parts_may_be_named_and_all_of_them_are_frozen(pipe, tmp_path):
    named = {name: tmp_path / f"my_{name}" for name in ("codec", "gram")}
    for name, folder in named.items():
        getattr(pipe, name).save_pretrained(folder)
    own = {name: part for name, part in pipe.components.items() if name not in named}
    FoleyGRAMPipeline.from_parts(presets.tiny(), **own).save_pretrained(tmp_path / "own")
    pipe.save_pretrained(tmp_path / "whole")
    loaded = FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts=named)
    assert loaded.weights == {"own": tmp_path / "own", "my_codec": named["codec"], "my_gram": named["gram"]}
    assert loaded.origin.preset == str(tmp_path / "own")
    whole = FoleyGRAMPipeline.from_pretrained(tmp_path / "whole")
    assert list(whole.weights) == ["whole"]
    replaced = FoleyGRAMPipeline.from_pretrained(tmp_path / "whole", parts={"codec": named["codec"]})
    assert list(replaced.weights) == ["whole", "my_codec"]
    for each in (loaded, whole, replaced):
        each.set_progress_bar_config(disable=True)
        torch.testing.assert_close(run(each), run(pipe), atol=1e-3, rtol=1e-3)
        parts = [part for part in each.components.values() if isinstance(part, torch.nn.Module)]
        assert len(parts) == 6
        assert not any(part.training or p.requires_grad for part in parts for p in part.parameters())
    with pytest.raises(ConditionError, match="no part cavp that can be replaced; these can: codec, gram"):
        FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts={"cavp": tmp_path})
    with pytest.raises(WeightsError, match="no such folder"):
        FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts={"gram": tmp_path / "nowhere"})
    with pytest.raises(WeightsError, match="no readable GRAM towers"):
        FoleyGRAMPipeline.from_pretrained(tmp_path / "own", parts=named | {"gram": named["codec"]})


def test_guidance_may_sharpen_the_timing_too(pipe):
    sampler = replace(presets.tiny().sampler, guide_envelope=True)
    sharper = FoleyGRAMPipeline.from_parts(replace(presets.tiny(), sampler=sampler), **pipe.components)
    sharper.set_progress_bar_config(disable=True)
    asked = torch.linspace(0, 0.6, 64)
    assert torch.equal(*(run(p, envelope=asked, guidance_scale=1.0) for p in (pipe, sharper)))
    assert not torch.equal(*(run(p, envelope=asked, guidance_scale=3.0) for p in (pipe, sharper)))
    torch.testing.assert_close(*(run(p, guidance_scale=3.0) for p in (pipe, sharper)))


def test_beyond_the_guidance_interval_no_unconditional_half_is_made(pipe):
    halves = []
    hook = pipe.transformer.register_forward_hook(lambda module, inputs, output: halves.append(len(output)))
    sampler = pipe.config["sampler"]
    try:
        run(pipe, guidance_scale=3.0)
        pipe.register_to_config(sampler=sampler | {"guidance_interval": (0.0, 0.9)})
        run(pipe, guidance_scale=3.0)
        pipe.register_to_config(sampler=sampler | {"guidance_interval": (1.0, 1.0)})
        assert torch.equal(run(pipe, guidance_scale=3.0), run(pipe, guidance_scale=1.0))
    finally:
        pipe.register_to_config(sampler=sampler)
        hook.remove()
    assert halves == [2, 2, 2, 1, 2, 2, *[1] * 6]  # the noisiest of three steps is at time 0.99


def test_recordings_stand_in_where_words_name_them_and_no_reference_is_given(pipe, tmp_path):
    torch.manual_seed(5)
    StandIns({"metal_strike": torch.randn(pipe.gram.embedding_dim)}).save(tmp_path)
    try:
        pipe._part_folders = {"gram": tmp_path}
        plain, stood = run(pipe), run(pipe, stand_in="recordings")
        assert not torch.equal(plain, stood)
        assert torch.equal(run(pipe, prompt="zzz"), run(pipe, prompt="zzz", stand_in="recordings"))
        reference = {"reference_audio": torch.randn(16000, generator=torch.Generator().manual_seed(0))}
        assert torch.equal(run(pipe, **reference), run(pipe, **reference, stand_in="recordings"))
    finally:
        del pipe._part_folders


def test_hits_of_the_envelope_rise_at_once_where_asked(pipe):
    values = torch.full((64,), 0.2)
    plain = Envelope(values)
    hits = Envelope(values, hits_s=torch.tensor([0.3], dtype=torch.float64))
    sounds = {(name, sharp): run(pipe, envelope=envelope, sharp_attacks=sharp, output_type="pt")
              for name, envelope in (("plain", plain), ("hits", hits)) for sharp in (False, True)}
    assert torch.equal(sounds["plain", False], sounds["plain", True])
    assert torch.equal(sounds["hits", False], sounds["plain", False])
    assert not torch.equal(sounds["hits", True], sounds["hits", False])
