"""The small editor's parts, of diffusers' and transformers' own classes, and how they are saved.

    pix2pix/         StableDiffusionInstructPix2PixPipeline: an image is changed as an instruction says
    text_to_image/   StableDiffusionPipeline, its autoencoder, text encoder and tokenizer links to those of pix2pix

Both are 64 x 64 pixels wide; latents are [6, 16, 16].
"""

import json
import shutil
import string
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

FOLDER = Path(__file__).resolve().parent
PIX2PIX, TEXT_TO_IMAGE = FOLDER / "pix2pix", FOLDER / "text_to_image"
LATENTS, TOKENS, WIDTH = 6, 24, 64
SHARED = ("vae", "text_encoder", "tokenizer")


@dataclass(frozen=True, eq=False)
class Parts:
    """All that is trained, and the tokenizer."""

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    edits: UNet2DConditionModel  # of pix2pix
    pictures: UNet2DConditionModel  # of text_to_image


def untrained(words: list[str]) -> Parts:
    """Parts with random weights, their tokenizer made for these words."""
    made = tokenizer(words)
    text = CLIPTextConfig(
        vocab_size=len(made), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=TOKENS, projection_dim=WIDTH,
        bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id, pad_token_id=made.pad_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64), layers_per_block=1, latent_channels=LATENTS, norm_num_groups=4,
        sample_size=64, mid_block_add_attention=False,
    )  # fmt: skip
    return Parts(vae, CLIPTextModel(text), made, _unet((32, 64, 96), 2 * LATENTS), _unet((32, 64, 64), LATENTS))


def _unet(channels: tuple[int, int, int], inputs: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=inputs, out_channels=LATENTS, block_out_channels=channels, layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=8,
    )  # fmt: skip


def tokenizer(words: list[str]) -> CLIPTokenizer:
    """CLIP's tokenizer, each of these words one token; others fall apart into letters."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, special_tokens=["<|startoftext|>", "<|endoftext|>"],
        end_of_word_suffix="</w>", initial_alphabet=list(string.ascii_lowercase), show_progress=False,
    )  # fmt: skip
    trained.train_from_iterator([" ".join(sorted(set(words))), " ".join(string.ascii_lowercase)], trainer)
    model = json.loads(trained.to_str())["model"]
    return CLIPTokenizer(
        vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], model_max_length=TOKENS
    )


def scheduler(prediction: str) -> DDIMScheduler:
    """The noise levels of Stable Diffusion, stepped through without drawing."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, prediction_type=prediction,
    )  # fmt: skip


def load(device: str = "cpu") -> Parts:
    """What is saved, in single precision."""
    edits = StableDiffusionInstructPix2PixPipeline.from_pretrained(PIX2PIX, torch_dtype=torch.float32).to(device)
    pictures = UNet2DConditionModel.from_pretrained(TEXT_TO_IMAGE, subfolder="unet", torch_dtype=torch.float32)
    return Parts(edits.vae, edits.text_encoder, edits.tokenizer, edits.unet, pictures.to(device))


def save(parts: Parts, folder: Path = FOLDER) -> None:
    """Write both pipelines in half precision; `parts` are half precision afterwards."""
    shared = {
        "vae": parts.vae.half(), "text_encoder": parts.text_encoder.half(), "tokenizer": parts.tokenizer,
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip
    edits = StableDiffusionInstructPix2PixPipeline(
        unet=parts.edits.half(), scheduler=scheduler("v_prediction"), **shared
    )
    pictures = StableDiffusionPipeline(unet=parts.pictures.half(), scheduler=scheduler("epsilon"), **shared)
    pix2pix, text_to_image = folder / PIX2PIX.name, folder / TEXT_TO_IMAGE.name
    for made in (pix2pix, text_to_image):
        shutil.rmtree(made, ignore_errors=True)
    edits.save_pretrained(pix2pix)
    pictures.save_pretrained(text_to_image)
    for name in SHARED:
        shutil.rmtree(text_to_image / name)
        (text_to_image / name).symlink_to(Path("..") / PIX2PIX.name / name, target_is_directory=True)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # they are made for their owner alone
