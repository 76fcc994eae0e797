"""VATT's pipeline: the contract, captions, windows, takes and batches, what is refused, its saved folder."""

from __future__ import annotations

import inspect

import pytest
import torch

from postsync.errors import Cancelled, ConditionError
from postsync.protocols.pipeline import Captions
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
from postsync.systems.vatt.pipeline import VATTPipeline, texts_of

FRAMES = torch.randint(0, 256, (16, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(pipe, **changes):
    return pipe(**{"prompt": "rain", "generator": seeded(), "num_inference_steps": 3, "output_type": "latent"}
                | changes).audios


def test_call_is_the_contract(vatt) -> None:
    names = list(inspect.signature(vatt.__call__).parameters)
    assert names == list(inspect.signature(FoleyGRAMPipeline.__call__).parameters)[1:]
    assert isinstance(vatt, Captions)
    for name in ("negative_prompt", "envelope", "control_scale", "latents", "reference_audio"):
        assert name not in vatt.accepts
        with pytest.raises(ConditionError, match=rf"vatt does not take {name}"):
            tokens(vatt, **{name: 1.0})
    with pytest.raises(ConditionError, match="vatt has no option speed"):
        tokens(vatt, speed=2)
    with pytest.raises(ConditionError, match="temperature is 99"):
        tokens(vatt, temperature=99)


@pytest.mark.parametrize("samples", [4000, 64000, 80001])
def test_length_is_exact_shorter_and_longer_than_native(vatt, samples) -> None:
    out = vatt(prompt="rain", duration_s=samples / 16000, num_inference_steps=2, generator=seeded(), output_type="np")
    assert out.audios.shape == (1, 1, samples)
    assert out.captions == ("rain",)
    assert (vatt.sampling_rate, vatt.native_s, vatt.num_inference_steps) == (16000, 4.0, 16)


def test_same_seed_same_tokens_and_takes_are_runs_of_their_own(vatt) -> None:
    one, again, next_seed = tokens(vatt), tokens(vatt), tokens(vatt, generator=seeded(8))
    assert torch.equal(one, again)
    assert one.shape == (1, 2, 100)
    assert int(one.max()) < vatt.codec.codebook_size
    takes = tokens(vatt, num_waveforms_per_prompt=2)
    assert torch.equal(takes, torch.cat([one, next_seed]))


def test_prompts_of_different_lengths_in_a_batch_equal_each_alone(vatt) -> None:
    words = ["rain", "a hammer strikes a long metal bar in a large hall"]
    both = tokens(vatt, prompt=words, generator=[seeded(1), seeded(2)])
    alone = [tokens(vatt, prompt=text, generator=seeded(k + 1)) for k, text in enumerate(words)]
    assert torch.equal(both, torch.cat(alone))
    assert not torch.equal(both[0], both[1])


def test_a_longer_sound_is_made_in_windows_that_share_tokens(vatt) -> None:
    seen: list[torch.Tensor] = []

    def watch(pipe, step, timestep, latents):
        seen.append(latents["latents"].clone())

    long = tokens(vatt, duration_s=6.0, callback_on_step_end=watch)
    assert long.shape == (1, 2, 150)
    assert torch.equal(long[..., :100], tokens(vatt))  # the first window is a run of its own
    second = seen[3:]
    assert all(torch.equal(made[..., :50], long[..., 50:100]) for made in second)  # known from the first one on
    assert len(seen) == 6


def test_the_picture_has_a_say_and_the_caption_is_told(vatt) -> None:
    out = vatt(video=FRAMES, num_inference_steps=2, generator=seeded(), output_type="latent")
    assert out.captions is None or len(out.captions) == 1
    question = vatt(video=FRAMES, num_inference_steps=2, generator=seeded(), output_type="latent", own_caption=False)
    assert question.captions is None
    assert not torch.equal(question.audios, tokens(vatt, video=FRAMES, num_inference_steps=2))
    blind = tokens(vatt, num_inference_steps=2)
    assert not torch.equal(blind, tokens(vatt, video=FRAMES, num_inference_steps=2))
    assert torch.equal(blind, tokens(vatt, video=FRAMES, picture="never", num_inference_steps=2))
    floats = tokens(vatt, video=FRAMES.float() / 255, num_inference_steps=2)
    assert torch.equal(floats, tokens(vatt, video=FRAMES, num_inference_steps=2))
    assert isinstance(vatt.caption(FRAMES, 4.0, max_new_tokens=4), str)


def test_pictures_are_asked_for_where_they_are_used(vatt) -> None:
    wanted = vatt.pictures_wanted(8.16, {})
    assert (wanted.count, wanted.size, wanted.fps) == (33, 64, 4.0)
    assert vatt.pictures_wanted(8.16, {"prompt": "rain"}) is None  # the mini's eyes know drawn pictures only
    assert vatt.pictures_wanted(8.16, {"prompt": "rain", "picture": "always"}) is not None
    assert vatt.pictures_wanted(8.16, {"picture": "never"}) is None


def test_what_is_wrong_is_refused(vatt) -> None:
    with pytest.raises(ConditionError, match="neither a picture nor a prompt"):
        vatt(generator=seeded())
    with pytest.raises(ConditionError, match="drop the cues"):
        tokens(vatt, prompt=[(0.0, 1.0, "rain")])
    with pytest.raises(ConditionError, match="frames"):
        tokens(vatt, video=torch.zeros(3, 4))
    with pytest.raises(ConditionError, match="tokens and the model takes"):
        tokens(vatt, prompt="rain on a roof " * 60)
    with pytest.raises(ConditionError, match="steps and top_k"):
        tokens(vatt, num_inference_steps=0)
    with pytest.raises(ConditionError, match="without eyes"):
        VATTPipeline(vatt.transformer, vatt.codec, vatt.converter).pictures_wanted(1.0, {})
    assert texts_of(None) == [None]


def test_cancelling_ends_the_run(vatt) -> None:
    def stop(pipe, step, timestep, latents):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        tokens(vatt, callback_on_step_end=stop)


def test_a_saved_folder_makes_the_same(vatt, tmp_path) -> None:
    vatt.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"codec", "converter", "eyes", "transformer",
                                                          "model_index.json"}
    again = VATTPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(tokens(again), tokens(vatt))
    assert again.config["native_frames"] == 100
    assert set(again.weights) >= {"codec", "converter", tmp_path.name}
