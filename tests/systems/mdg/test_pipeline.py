"""MDG's pipeline: the contract, seeds and takes, windows, its guide, cancelling, folders."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch

from postsync.errors import Cancelled, ConditionError, WeightsError
from postsync.protocols.pipeline import Pictures
from postsync.systems.mdg import presets
from postsync.systems.mdg.checkpoint import assemble
from postsync.systems.mdg.pipeline import MDGPipeline
from tiny_published import audioldm_folder


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def made(codec, gram) -> MDGPipeline:
    torch.manual_seed(3)
    pipe = MDGPipeline.from_parts(presets.tiny(), codec=codec, gram=gram.requires_grad_(False))
    pipe.unet.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: MDGPipeline, **changes) -> torch.Tensor:
    return pipe(**{"prompt": "hammer on metal", "generator": seeded(), "output_type": "latent"} | changes).audios


def film(frames: int = 2) -> torch.Tensor:
    return torch.randint(0, 255, (frames, 3, 16, 16), dtype=torch.uint8, generator=seeded(1))


def test_call_is_the_contract(made: MDGPipeline) -> None:
    names = set(inspect.signature(made.__call__).parameters) - {"options"}
    assert made.accepts == names - {"envelope", "control_scale", "reference_audio"}
    assert (made.system, made.sampling_rate, made.channels, made.num_inference_steps) == ("mdg", 16000, 1, 4)
    with pytest.raises(ConditionError, match="mdg does not take envelope"):
        run(made, envelope=torch.ones(10))
    with pytest.raises(ConditionError, match="cues"):
        run(made, prompt=[(0.0, 1.0, "rain")])
    with pytest.raises(ConditionError, match="step_size is 0"):
        run(made, step_size=0.0)


def test_lengths_seeds_and_takes(made: MDGPipeline) -> None:
    sound = made(prompt="rain", generator=seeded(), duration_s=0.5).audios
    assert sound.shape == (1, 1, 8000)
    assert torch.equal(run(made), run(made))
    together = run(made, num_waveforms_per_prompt=2, guided=False)
    for take in range(2):
        torch.testing.assert_close(run(made, generator=seeded(7 + take), guided=False), together[take:take + 1],
                                   atol=1e-4, rtol=1e-4)
    long = made(prompt="rain", generator=seeded(), duration_s=1.5)
    assert long.audios.shape == (1, 1, 24000)


def test_the_guide_moves_towards_words_and_picture(made: MDGPipeline) -> None:
    free, guided = run(made, guided=False), run(made, step_size=0.05)
    assert not torch.equal(free, guided)
    seen = run(made, video=film(), step_size=0.05)
    assert not torch.equal(seen, guided)
    assert torch.equal(run(made, video=film(), picture="never", step_size=0.05), guided)
    unguided = MDGPipeline.from_parts(replace(presets.tiny(), sampler=replace(presets.tiny().sampler, guide=None)),
                                      **made.components)
    assert torch.equal(run(unguided), free)
    assert torch.equal(run(made, prompt=None, guidance_scale=3.0), run(made, prompt=None, guided=False))


def test_guidance_lowers_the_volume_step_by_step(made: MDGPipeline) -> None:
    values: dict[float, list[float]] = {}
    for size in (1e-4, 0.4):
        guide = made._guide({"step_size": size, "warmup": 0.0, "stop": 1.0})
        guide.condition(["hammer on metal"], film())
        run(made, guided=False, num_inference_steps=8, guides=[guide])
        values[size] = [float(value) for value in guide.values]
    assert len(values[0.4]) == 7
    assert values[0.4][-1] < values[1e-4][-1] - 0.01


def test_pictures_are_wanted_where_the_guide_looks(made: MDGPipeline) -> None:
    assert made.pictures_wanted(0.5, {"prompt": "rain"}) is None  # drawn pictures alone are known
    assert made.pictures_wanted(0.5, {}) == Pictures(made.gram.num_frames, 16)
    assert made.pictures_wanted(0.5, {"prompt": "rain", "picture": "always"}) is not None
    assert made.pictures_wanted(0.5, {"guided": False}) is None
    knowing = MDGPipeline.from_parts(replace(presets.tiny(), sees_film=True), **made.components)
    assert knowing.pictures_wanted(0.5, {"prompt": "rain"}) is not None
    assert knowing.pictures_wanted(0.5, {"modalities": "text"}) is None


def test_a_callback_cancels_and_negative_words_count(made: MDGPipeline) -> None:
    def stop(_pipe, step, _time, _given):
        if step == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(made, callback_on_step_end=stop)
    assert not torch.equal(run(made, negative_prompt="rain", guided=False), run(made, guided=False))


def test_it_is_saved_and_assembled(made: MDGPipeline, codec, gram, tmp_path) -> None:
    made.unet.save_pretrained(tmp_path / "audioldm" / "unet")
    made.scheduler.save_pretrained(tmp_path / "audioldm" / "scheduler")
    with pytest.raises(WeightsError, match="name the other size"):
        assemble(tmp_path / "audioldm")
    pipe = assemble(tmp_path / "audioldm", size="mini")
    assert (pipe.codec, pipe.gram, pipe.config["folded_bins"]) == (None, None, 4)
    pipe.save_pretrained(tmp_path / "saved")
    again = MDGPipeline.from_pretrained(tmp_path / "saved", codec=codec, gram=gram)
    again.set_progress_bar_config(disable=True)
    assert again.settings.guide == {"step_size": 0.03}
    assert not any(p.requires_grad for p in again.unet.parameters())


def test_published_parts_become_one_folder(codec, gram, tmp_path) -> None:
    audioldm_folder(tmp_path / "audioldm", codec)
    with pytest.raises(WeightsError, match="GRAM's published towers"):
        assemble(tmp_path / "audioldm")
    gram.save_pretrained(tmp_path / "gram")
    pipe = assemble(tmp_path / "audioldm", tmp_path / "gram")
    pipe.save_pretrained(tmp_path / "whole")
    again = MDGPipeline.from_pretrained(tmp_path / "whole")
    again.set_progress_bar_config(disable=True)
    assert again.config["native_frames"] == 250
    assert again.settings.guide["optimizer"] == "adam"
    sound = again(prompt="rain", video=film(), duration_s=0.4, num_inference_steps=3, generator=seeded()).audios
    assert sound.shape == (1, 1, 6400)
    assert sound.isfinite().all()
    with pytest.raises(WeightsError, match="neither a saved pipeline of mdg nor an AudioLDM's folder"):
        MDGPipeline.from_pretrained(tmp_path / "gram")
    (tmp_path / "audioldm" / "model_index.json").write_text('{"_class_name": "AudioLDMPipeline"}')
    fetched = MDGPipeline.from_pretrained(tmp_path / "audioldm", parts={"gram": tmp_path / "gram"})
    fetched.set_progress_bar_config(disable=True)
    same = fetched(prompt="rain", video=film(), duration_s=0.4, num_inference_steps=3, generator=seeded()).audios
    assert torch.equal(same, sound)
    assert set(fetched.weights) == {"audioldm", "gram"}
    assert not any(p.requires_grad for p in fetched.unet.parameters())
    with_bundled = MDGPipeline.from_pretrained(tmp_path / "audioldm")
    assert (with_bundled.settings.guide, with_bundled.knows_film) == ({"step_size": 0.03}, False)
    (tmp_path / "audioldm" / "tokenizer" / "vocab.json").unlink()
    (tmp_path / "audioldm" / "tokenizer" / "tokenizer_config.json").unlink()
    for left in (tmp_path / "audioldm" / "tokenizer").iterdir():
        left.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        assemble(tmp_path / "audioldm", tmp_path / "gram")
