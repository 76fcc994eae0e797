"""AudioLDM's parts: sizes, words, folding, levels, folders; and that training learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import ClapTextConfig, ClapTextModelWithProjection

from postsync.backbones import audioldm
from postsync.backbones.audioldm import AudioLDM, ClapWords, Denoiser, GramWords, load_unet
from postsync.backbones.objective import AudioLDMObjective
from postsync.errors import ConditionError, PostsyncError, WeightsError
from postsync.protocols.clip import Clip
from postsync.scenes.captions import paraphrases

TINY = audioldm.tiny()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> AudioLDM:
    torch.manual_seed(0)
    return AudioLDM(TINY).eval()


def test_the_published_size() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**audioldm.paper().unet)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(415.95e6, rel=1e-3)
    assert unet.config["projection_class_embeddings_input_dim"] == 512
    schedule = DDIMScheduler(**audioldm.paper().scheduler)
    schedule.set_timesteps(30)
    assert schedule.timesteps.tolist()[:2] + schedule.timesteps.tolist()[-2:] == [958, 925, 34, 1]


@torch.no_grad()
def test_any_length_and_folded_bins(model: AudioLDM) -> None:
    denoiser = Denoiser(model.unet, model.scheduler, TINY.folded_bins)
    words = torch.randn(2, 8, generator=generator())
    for frames in (16, 13, 7):
        x = torch.randn(2, 8, frames, 16, generator=generator(1))
        assert denoiser(x, 500, words).shape == x.shape
    x = torch.randn(2, 8, 16, 16, generator=generator(2))
    seen = {}
    hook = model.unet.conv_in.register_forward_pre_hook(lambda _m, given: seen.update(x=given[0]))
    denoiser(x, 500, words)
    hook.remove()
    assert torch.equal(seen["x"][:, 4 * 3 + 2, :, 1], x[:, 3, :, 4 * 1 + 2])  # channel 3, bin 6


@torch.no_grad()
def test_guidance_is_that_of_both_halves(model: AudioLDM) -> None:
    denoiser = Denoiser(model.unet, model.scheduler, TINY.folded_bins)
    x, told, without = (torch.randn(shape, generator=generator(k)) for k, shape in
                        enumerate(((2, 8, 16, 16), (2, 8), (2, 8))))
    one, other = denoiser(x, 300, told), denoiser(x, 300, without)
    torch.testing.assert_close(denoiser.guided(x, 300, told, without, 2.5), other + 2.5 * (one - other), atol=1e-4,
                               rtol=1e-4)
    assert torch.equal(denoiser.guided(x, 300, told, without, 1.0), one)


def test_levels_are_those_that_ddim_steps_between(model: AudioLDM) -> None:
    scheduler = DDIMScheduler(**TINY.scheduler)
    scheduler.set_timesteps(10)
    denoiser = Denoiser(model.unet, scheduler)
    alphas, sigmas = denoiser.levels(scheduler.timesteps)
    assert len(alphas) == len(sigmas) == 11
    state, eps = (torch.randn(1, 4, generator=generator(k)) for k in (3, 4))
    for i in (0, 4, 9):
        clean = (state - sigmas[i] * eps) / alphas[i]
        expected = alphas[i + 1] * clean + sigmas[i + 1] * eps
        torch.testing.assert_close(scheduler.step(eps, int(scheduler.timesteps[i]), state).prev_sample, expected,
                                   atol=1e-4, rtol=1e-4)


def test_words_by_gram_and_none_are_zeros(gram) -> None:
    with torch.no_grad():
        words = GramWords(gram, 3.0)(["rain", None, ""])
    torch.testing.assert_close(words[0].norm(), torch.tensor(3.0))
    assert words[1:].eq(0).all()


class Letters:
    """A tokeniser that numbers letters."""

    model_max_length = 6

    def __call__(self, text, padding, max_length, truncation, return_tensors):
        ids = [1 + ord(letter) % 20 for letter in text][:max_length]
        mask = [1] * len(ids) + [0] * (max_length - len(ids))
        found = type("Inputs", (dict,), {"to": lambda self, _: self, "__getattr__": dict.__getitem__})()
        found.update(input_ids=torch.tensor([ids + [0] * (max_length - len(ids))]), attention_mask=torch.tensor([mask]))
        return found


def test_words_by_clap_are_unit_vectors_and_none_is_the_long_empty_text() -> None:
    torch.manual_seed(0)
    tower = ClapTextModelWithProjection(ClapTextConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, projection_dim=12)).eval()
    lengths = []
    tower.register_forward_pre_hook(lambda _m, given: lengths.append(given[0].shape[1]))
    vectors = ClapWords(tower, Letters())(["rain on tin", None])
    assert vectors.shape == (2, 12)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    assert lengths == [6, 12]


def test_folders_of_other_models_are_named(tmp_path, model: AudioLDM) -> None:
    model.unet.save_pretrained(tmp_path / "good" / "unet")
    model.scheduler.save_pretrained(tmp_path / "good" / "scheduler")
    unet, scheduler = load_unet(tmp_path / "good")
    torch.testing.assert_close(unet.conv_in.weight, model.unet.conv_in.weight)
    assert scheduler.config["beta_end"] == 0.0195
    with pytest.raises(WeightsError, match="holds no AudioLDM"):
        load_unet(tmp_path / "absent")
    plain = UNet2DConditionModel(block_out_channels=(8, 8), down_block_types=("DownBlock2D", "DownBlock2D"),
                                 up_block_types=("UpBlock2D", "UpBlock2D"), norm_num_groups=2, layers_per_block=1,
                                 mid_block_type=None)
    plain.save_pretrained(tmp_path / "plain" / "unet")
    model.scheduler.save_pretrained(tmp_path / "plain" / "scheduler")
    with pytest.raises(WeightsError, match="takes no vector of words"):
        load_unet(tmp_path / "plain")


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    unit = torch.nn.functional.normalize
    return {"latents": torch.randn(size, 8, 16, 16, generator=generator(3)).half(),
            "text": unit(torch.randn(size, 3, 8, generator=generator(4)), dim=-1)}


def test_the_loss_follows_its_generator_and_learns() -> None:
    torch.manual_seed(1)
    objective = AudioLDMObjective(TINY)
    one, again, other = (objective(batch(), step=0, generator=generator(s))["loss"].item() for s in (1, 1, 2))
    assert one == again != other
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = objective(batch(), step=0, generator=generator(5))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_words_are_dropped_drawn_and_amplified() -> None:
    objective = AudioLDMObjective(replace(TINY, text_gain=5.0, condition_drop=0.25))
    text = torch.nn.functional.normalize(torch.randn(400, 3, 8, generator=generator(6)), dim=-1)
    words = objective._words(text, generator())
    gone = words.eq(0).all(-1)
    assert gone.float().mean() == pytest.approx(0.25, abs=0.06)
    torch.testing.assert_close(words[~gone].norm(dim=-1), torch.full((int((~gone).sum()),), 5.0))
    cropped = AudioLDMObjective(replace(TINY, crop_frames=5, crop_share=0.5))
    lengths = [cropped._crop(torch.zeros(1, 8, 16, 16), generator(s)).shape[2] for s in range(30)]
    assert set(lengths) == {5, 16}


def test_a_sample_is_prepared_and_what_is_trained_is_exported(codec, gram, tmp_path) -> None:
    objective = AudioLDMObjective(TINY, codec=codec, gram=gram)
    clip = Clip("a", 0.5, waveform=0.2 * torch.randn(1, 8000, generator=generator()), sample_rate=16000,
                captions=("rain on metal",), label="rain")
    sample = objective.prepare(clip)
    assert {name: tuple(value.shape) for name, value in sample.items()} == {"latents": (8, 16, 16), "text": (3, 8)}
    with torch.no_grad():
        torch.testing.assert_close(sample["text"][0], gram.encode_text(["rain on metal"])[0])
        assert paraphrases("rain")[0]
    assert objective.prepare(replace(clip, captions=(), label=None))["text"].eq(0).all()
    with pytest.raises(ConditionError, match="16000 Hz"):
        objective.prepare(replace(clip, sample_rate=8000))
    with pytest.raises(PostsyncError, match="give both"):
        AudioLDMObjective(TINY).prepare(clip)
    objective.export(tmp_path)
    unet, _ = load_unet(tmp_path)
    torch.testing.assert_close(unet.conv_in.weight, objective.unet.conv_in.weight, atol=1e-3, rtol=1e-3)
