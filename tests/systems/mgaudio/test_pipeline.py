"""The pipeline's contract: lengths, seeds, takes, windows, conditions, guides, cancelling, and its saved folder."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file

from postsync.diffusion.solvers import FlowSolverName
from postsync.errors import Cancelled, ConditionError, WeightsError
from postsync.protocols.pipeline import Pictures
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.checkpoint import load_official, to_official
from postsync.systems.mgaudio.pipeline import MGAudioPipeline


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FRAMES = torch.rand(6, 3, 20, 24, generator=seeded(1))


def run(pipe, **changes):
    return pipe(**{"video": FRAMES, "generator": seeded(), "output_type": "latent"} | changes).audios


def other(pipe, **sampler) -> MGAudioPipeline:
    """The same parts with other sampler settings."""
    preset = replace(presets.tiny(), sampler=replace(presets.tiny().sampler, **sampler))
    made = MGAudioPipeline.from_parts(preset, **pipe.components)
    made.set_progress_bar_config(disable=True)
    return made


def test_call_is_the_contract(mgaudio):
    names = list(inspect.signature(mgaudio.__call__).parameters)
    assert names == list(inspect.signature(FoleyGRAMPipeline.__call__).parameters)[1:]
    assert names.pop() == "options"
    refused = {"prompt", "negative_prompt", "envelope", "control_scale", "reference_audio"}
    assert mgaudio.accepts == set(names) - refused
    for name in refused:
        with pytest.raises(ConditionError, match=rf"mgaudio does not take {name}; it takes .*video"):
            run(mgaudio, **{name: 1.0})


@pytest.mark.parametrize("samples", [400, 10240, 16001])
def test_length_is_exact_shorter_and_longer_than_native(mgaudio, samples):
    audios = mgaudio(video=FRAMES, duration_s=samples / 16000, generator=seeded(), output_type="np").audios
    assert audios.shape == (1, 1, samples)
    assert audios.std() > 0


def test_duration_defaults_to_the_native_one(mgaudio):
    assert mgaudio(video=FRAMES, generator=seeded()).audios.shape == (1, 1, 10240)
    assert (mgaudio.sampling_rate, mgaudio.native_s) == (16000, 0.64)


def test_same_seed_same_bytes_and_takes_are_runs_of_their_own(mgaudio):
    one, again, next_seed = run(mgaudio), run(mgaudio), run(mgaudio, generator=seeded(8))
    assert torch.equal(one, again)
    takes = run(mgaudio, num_waveforms_per_prompt=2)
    torch.testing.assert_close(takes, torch.cat([one, next_seed]), atol=1e-4, rtol=1e-4)
    given = run(mgaudio, latents=torch.randn(1, 8, 16, 16, generator=seeded()))
    assert torch.equal(given, one)


def test_recorded_latents(mgaudio):
    out = run(mgaudio)
    assert [float(out.mean()), float(out.std())] == pytest.approx([0.0550402, 1.7964190], rel=1e-3)


@pytest.mark.parametrize("change", [
    {"video": None}, {"video": FRAMES.flip(0)}, {"guidance_scale": 1.0}, {"num_inference_steps": 4},
    {"latents": torch.zeros(1, 8, 16, 16)}])
def test_every_condition_has_a_say(mgaudio, change):
    assert (run(mgaudio, **change) - run(mgaudio)).abs().max() > 1e-3


def test_features_may_stand_for_frames_and_bytes_for_floats(mgaudio):
    from_bytes = run(mgaudio, video=(FRAMES * 255).round().to(torch.uint8))
    assert torch.equal(from_bytes, run(mgaudio))
    features = mgaudio.cavp.video_features((FRAMES * 255).round().to(torch.uint8)[[0, 2]])["steps"]
    torch.testing.assert_close(run(mgaudio, video=features), run(mgaudio), atol=1e-5, rtol=1e-4)
    repeated = run(mgaudio, video=features[:1])
    assert torch.equal(repeated, run(mgaudio, video=features[[0, 0]]))


def test_the_solver_may_be_chosen(mgaudio):
    assert torch.equal(run(mgaudio, solver="heun"), run(other(mgaudio, solver="heun")))
    assert mgaudio.options["solver"].choices == get_args(FlowSolverName)
    with pytest.raises(ConditionError, match="euler or heun or euler_maruyama"):
        run(mgaudio, solver="dpm")
    with pytest.raises(ConditionError, match="no option eta"):
        run(mgaudio, eta=1.0)


@pytest.mark.parametrize("change", [{"solver": "heun"}, {"solver": "euler_maruyama"},
                                    {"guidance_interval": (0.0, 0.5)}])
def test_solver_and_interval_are_the_presets(mgaudio, change):
    pipe = other(mgaudio, **change)
    assert torch.equal(run(pipe), run(pipe))
    assert (run(pipe) - run(mgaudio)).abs().max() > 1e-3


def test_outside_the_interval_there_is_no_guidance(mgaudio):
    pipe, rows = other(mgaudio, guidance_interval=(0.5, 0.7)), []
    handle = pipe.transformer.register_forward_pre_hook(lambda _m, given: rows.append(len(given[0])))
    run(pipe)
    handle.remove()
    assert rows == [1, 2, 1]  # at times 1, 2/3 and 1/3


def test_windows_see_the_picture_of_their_own_time(mgaudio):
    first, last = torch.nn.functional.normalize(torch.rand(2, 4, 12, generator=seeded(3)), dim=-1)
    long = {"duration_s": 2.0, "num_inference_steps": 2}
    out = run(mgaudio, **long, video=torch.cat([first, last]))
    assert out.shape == (1, 8, 50, 16)
    changed = (run(mgaudio, **long, video=torch.cat([first, -last])) - out).abs().amax((0, 1, 3))
    assert changed[:10].max() < 1e-6 < changed[30:].min()


def test_guides_see_the_step_and_move_the_latents(mgaudio):
    seen = []

    class Nudge:
        def after_step(self, step):
            with torch.enable_grad():
                latents = step.latents.detach().requires_grad_()
                wave = step.decode(step.clean_estimate(latents))
                wave.square().sum().backward()
            assert (step.alpha + step.sigma, step.sigma) == pytest.approx((1.0, step.timestep))
            clean = step.clean_estimate(step.latents_before)
            assert torch.equal(clean, step.latents_before - step.timestep * step.model_output)
            seen.append((step.index, step.num_steps, step.timestep, wave.shape, float(latents.grad.abs().max())))
            return step.latents + 0.1

    guided = run(mgaudio, guides=[Nudge()])
    assert [s[:2] for s in seen] == [(0, 3), (1, 3), (2, 3)]
    assert [s[2] for s in seen] == pytest.approx([1, 2 / 3, 1 / 3])
    assert all(s[3] == (1, 1, 10240) and s[4] > 0 for s in seen)
    assert (guided - run(mgaudio)).abs().max() > 0.05


def test_callback_sees_each_step_may_change_latents_and_cancel(mgaudio):
    steps = []

    def halve(pipeline, i, t, given):
        steps.append(i)
        return {"latents": given["latents"] / 2}

    assert (run(mgaudio, callback_on_step_end=halve) - run(mgaudio)).abs().max() > 1e-3
    assert steps == [0, 1, 2]

    def cancel(pipeline, i, t, given):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run(mgaudio, callback_on_step_end=cancel)


@pytest.mark.parametrize(("change", "message"), [
    ({"video": torch.zeros(3, 20, 20)}, "frames"), ({"video": torch.zeros(2, 5)}, "features"),
    ({"video": torch.full((2, 12), 12**-0.5), "duration_s": 2.0}, "2 rows for a clip of 2.00 s"),
    ({"video": torch.full((2, 12), torch.nan)}, "unit length"),
    ({"duration_s": 0.0}, "duration"), ({"duration_s": torch.inf}, "duration"),
    ({"num_inference_steps": 0}, "1 or more"), ({"output_type": "wav"}, "'latent'"),
    ({"latents": torch.zeros(1, 8, 3, 16)}, "latents"), ({"generator": [seeded(), seeded()]}, "2 generators")])
def test_conditions_of_a_wrong_form_are_refused(mgaudio, change, message):
    with pytest.raises(ConditionError, match=message):
        run(mgaudio, **change)


@pytest.mark.parametrize("duration_s", [2.0, 8.16])
def test_frames_are_taken_at_the_time_of_the_features(mgaudio, duration_s):
    wanted = mgaudio.pictures_wanted(duration_s, {"prompt": "rain"})
    count = wanted.count
    assert wanted == Pictures(int(4 * duration_s), 32, 4.0)
    frames = torch.rand(count, 3, 32, 32, generator=seeded(2))
    features = mgaudio.cavp.video_features((255 * frames).round().to(torch.uint8))["steps"]
    assert torch.equal(mgaudio._video_features(frames, duration_s), features)
    held = frames.repeat_interleave(5, dim=0)[:round(20 * duration_s)]  # 20 a second
    torch.testing.assert_close(mgaudio._video_features(held, len(held) / 20), features[:len(held) // 5])


def test_without_cavp_frames_are_refused(mgaudio):
    with pytest.raises(ConditionError, match="without CAVP"):
        run(MGAudioPipeline.from_parts(presets.tiny(), codec=mgaudio.codec))


def test_an_official_checkpoint_of_either_sign_and_scale(mgaudio, tmp_path):
    save_file(to_official(mgaudio.transformer, sign="paper"), tmp_path / "theirs.safetensors")
    shared = {"codec": mgaudio.codec, "cavp": mgaudio.cavp}
    pipe = load_official(tmp_path / "theirs.safetensors", presets.tiny(), sign="paper", **shared)
    torch.testing.assert_close(run(pipe), run(mgaudio))
    wrong = load_official(tmp_path / "theirs.safetensors", presets.tiny(), **shared)
    assert (run(wrong) - run(mgaudio)).abs().max() > 0.1
    scaled = MGAudioPipeline.from_parts(replace(presets.tiny(), latent_scale=4.0), **mgaudio.components)
    latents = torch.randn(1, 8, 16, 16, generator=seeded())
    assert torch.equal(scaled._decode(4 * latents, 10240), mgaudio._decode(latents, 10240))


LOAD = """
import sys, torch
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
pipe = MGAudioPipeline.from_pretrained(sys.argv[1], parts={"codec": sys.argv[2], "cavp": sys.argv[3]})
pipe.set_progress_bar_config(disable=True)
video = torch.rand(6, 3, 20, 24, generator=torch.Generator().manual_seed(1))
out = pipe(video=video, generator=torch.Generator().manual_seed(7), output_type="latent").audios
torch.save(out, sys.argv[4])
"""


def test_a_saved_folder_loads_in_a_fresh_process(mgaudio, tmp_path):
    MGAudioPipeline.from_parts(presets.tiny(), transformer=mgaudio.transformer).save_pretrained(tmp_path / "pipe")
    mgaudio.codec.save_pretrained(tmp_path / "codec")
    mgaudio.cavp.save_pretrained(tmp_path / "cavp")
    folders = [str(tmp_path / name) for name in ("pipe", "codec", "cavp", "out.pt")]
    subprocess.run([sys.executable, "-c", LOAD, *folders], check=True)
    torch.testing.assert_close(torch.load(tmp_path / "out.pt"), run(mgaudio), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("whole", [True, False])
def test_half_precision_is_close(mgaudio, tmp_path, whole):
    named = {"transformer": mgaudio.transformer} | (mgaudio.components if whole else {})
    MGAudioPipeline.from_parts(presets.tiny(), **named).save_pretrained(tmp_path / "pipe")
    mgaudio.codec.save_pretrained(tmp_path / "codec")
    mgaudio.cavp.save_pretrained(tmp_path / "cavp")
    folders = {} if whole else {"codec": tmp_path / "codec", "cavp": tmp_path / "cavp"}
    half = MGAudioPipeline.from_pretrained(tmp_path / "pipe", torch_dtype=torch.bfloat16, parts=folders)
    assert (half.transformer.dtype, half.cavp.dtype) == (torch.bfloat16, torch.float32)
    expected = run(mgaudio)
    assert (run(half) - expected).norm() < 0.05 * expected.norm()
    assert bool(run(half, output_type="pt").isfinite().all())


def test_a_folder_without_shared_parts_asks_for_the_bundled_ones(mgaudio, tmp_path):
    own = MGAudioPipeline.from_parts(presets.tiny(), transformer=mgaudio.transformer)
    own.register_to_config(codec_folder="no-such-codec")
    own.save_pretrained(tmp_path)
    assert MGAudioPipeline.from_pretrained(tmp_path, codec=None, cavp=None).codec is None
    with pytest.raises(WeightsError, match="no-such-codec"):
        MGAudioPipeline.from_pretrained(tmp_path)
