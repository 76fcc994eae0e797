"""Folders of published models in diffusers' layout, all parts of toy size with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, PNDMScheduler, UNet2DConditionModel
from transformers import (
    ClapTextConfig,
    ClapTextModelWithProjection,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from postsync.backbones.audioldm import SCHEDULE, unet_arguments
from postsync.codecs.mel_vae import MelCodec

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def audioldm_folder(folder: Path, codec: MelCodec, widths: tuple[int, ...] = (16, 32)) -> None:
    """AudioLDM's layout, all parts of toy size."""
    torch.manual_seed(4)
    unet = UNet2DConditionModel(**unet_arguments(widths, 1, (False, True), 12, heads=2, groups=4), sample_size=16)
    unet.save_pretrained(folder / "unet")
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    codec.vae.save_pretrained(folder / "vae")
    SpeechT5HifiGan(SpeechT5HifiGanConfig(
        model_in_dim=64, sampling_rate=16000, upsample_initial_channel=32, upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
        normalize_before=False)).save_pretrained(folder / "vocoder")
    ClapTextModelWithProjection(ClapTextConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, projection_dim=12)).save_pretrained(folder / "text_encoder")
    letters = {token: place for place, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>",
                                                           *LETTERS])}
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(letters))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    RobertaTokenizer(str(folder / "tokenizer" / "vocab.json"), str(folder / "tokenizer" / "merges.txt"),
                     model_max_length=20).save_pretrained(folder / "tokenizer")


def stable_diffusion_folder(folder: Path, widths: tuple[int, ...] = (64, 32)) -> None:
    """The layout of Stable Diffusion's family, and `motion/`, an adapter for it."""
    torch.manual_seed(5)
    blocks = {"block_out_channels": widths, "layers_per_block": 1, "norm_num_groups": 8}
    UNet2DConditionModel(in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                         up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=8,
                         attention_head_dim=4, sample_size=8, **blocks).save_pretrained(folder / "unet")
    MotionAdapter(motion_layers_per_block=1, motion_mid_block_layers_per_block=1, motion_num_attention_heads=4,
                  motion_norm_num_groups=8, block_out_channels=widths, motion_max_seq_length=32,
                  use_motion_mid_block=True).save_pretrained(folder / "motion")
    PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                  skip_prk_steps=True).save_pretrained(folder / "scheduler")
    AutoencoderKL(block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
                  down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                  scaling_factor=0.18215).save_pretrained(folder / "vae")
    tokens = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "tokenizer" / "vocab.json"), str(folder / "tokenizer" / "merges.txt"),
                  model_max_length=12).save_pretrained(folder / "tokenizer")
    CLIPTextModel(CLIPTextConfig(vocab_size=len(tokens), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=16, max_position_embeddings=12)).save_pretrained(
        folder / "text_encoder")
