"""Pipelines of diffusers' classes with random weights, small enough to be made in a test."""

import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENTS, TOKENS, WIDTH, SIDE = 4, 8, 16, 32


def ddim(**settings):
    """The noise levels of Stable Diffusion."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, **settings,
    )  # fmt: skip


def tokenizer():
    """One token a letter."""
    letters = [*string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
    letters = ["<|startoftext|>", "<|endoftext|>", *letters]
    return CLIPTokenizer(vocab={c: i for i, c in enumerate(letters)}, merges=[], model_max_length=TOKENS)


def parts(images, scheduler, **settings):
    """All that a pipeline is made of; `images` are what its network takes besides the noisy latents.

    settings: of that network, others than here.
    """
    torch.manual_seed(0)
    made = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(made), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=TOKENS, bos_token_id=0, eos_token_id=1, pad_token_id=1, initializer_factor=20.0,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), layers_per_block=1, latent_channels=LATENTS, norm_num_groups=4, sample_size=SIDE,
    )  # fmt: skip
    shape = {
        "sample_size": SIDE // 2, "in_channels": LATENTS * (1 + images), "out_channels": LATENTS,
        "block_out_channels": (8, 16), "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": WIDTH, "attention_head_dim": 2,
        "norm_num_groups": 4,
    }  # fmt: skip
    unet = UNet2DConditionModel(**shape | settings)
    return {
        "vae": vae, "text_encoder": CLIPTextModel(text), "tokenizer": made, "unet": unet,
        "scheduler": scheduler or ddim(), "safety_checker": None, "feature_extractor": None,
        "requires_safety_checker": False,
    }  # fmt: skip


def instruct_pix2pix(folder: Path, scheduler=None) -> Path:
    """A folder with one that edits by instruction."""
    StableDiffusionInstructPix2PixPipeline(**parts(1, scheduler)).save_pretrained(folder)
    return folder


def text_to_image(folder: Path, scheduler=None, **settings) -> Path:
    """A folder with one that draws what a prompt says."""
    StableDiffusionPipeline(**parts(0, scheduler, **settings)).save_pretrained(folder)
    return folder
