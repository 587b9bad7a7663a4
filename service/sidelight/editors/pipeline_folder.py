"""A diffusers pipeline in a folder: what has to be there, its digest, and its components.

Only safetensors are read, and only classes of diffusers and transformers that are named here: a folder brings weights
and settings, never code. Where `model` is no folder it is a repository of the Hugging Face hub, of which the same files
are fetched, or found in the local cache.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sidelight.loading import ONE_BY_ONE

COMPONENTS = {
    # component: package, class; a scheduler may be any of SCHEDULERS
    "vae": ("diffusers", "AutoencoderKL"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "scheduler": ("diffusers", ""),
}
SCHEDULERS = (  # those of latent diffusion models that keep all that they draw to the generator they are given
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
PATTERNS = ["model_index.json"] + [
    f"{name}/{files}" for name in COMPONENTS for files in ("*.json", "*.txt", "*.safetensors")
]
_SETTINGS = {"use_safetensors": True, "local_files_only": True}
_OF_DIFFUSERS = {"low_cpu_mem_usage": False}  # which would ask for the package accelerate
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Components:
    """The parts of a latent diffusion model with one text encoder, in eval mode, and the digest of their files."""

    vae: Any  # AutoencoderKL
    unet: Any  # UNet2DConditionModel
    text_encoder: Any  # CLIPTextModel
    tokenizer: Any  # CLIPTokenizer
    scheduler: Any  # as it is saved; copied for every batch
    digest: str


def load(model: str, device: torch.device, dtype: torch.dtype) -> Components:
    """The components, their weights in `dtype`. Raises ValueError with what is wrong with the folder."""
    folder = found(model)
    index, digest = _index(folder), digest_of(folder)
    with ONE_BY_ONE:  # and not what takes long, a download
        return _read(folder, index, digest, device, dtype)


def _read(
    folder: Path, index: dict[str, list[str]], digest: str, device: torch.device, dtype: torch.dtype
) -> Components:
    import diffusers
    import transformers

    scheduler = _scheduler(diffusers, index["scheduler"][1], folder)
    packages = {"diffusers": diffusers, "transformers": transformers}
    networks = {}
    for name in ("vae", "unet", "text_encoder"):
        package, kind = COMPONENTS[name]
        made = getattr(packages[package], kind)
        settings = _SETTINGS | (_OF_DIFFUSERS if package == "diffusers" else {})
        try:
            with _no_bar(transformers.utils.logging):
                network = made.from_pretrained(folder, subfolder=name, torch_dtype=dtype, **settings)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f"{folder}: its {name} does not load: {error}") from error
        networks[name] = network.to(device).eval().requires_grad_(False)
    there = {file.name for file in (folder / "tokenizer").glob("*")}
    if "tokenizer.json" not in there and not there >= {"vocab.json", "merges.txt"}:  # it would load, and know no word
        raise ValueError(f"{folder}: its tokenizer has no vocabulary: tokenizer.json, or vocab.json and merges.txt")
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{folder}: its tokenizer does not load: {error}") from error
    return Components(**networks, tokenizer=tokenizer, scheduler=scheduler, digest=digest)


@contextmanager
def _no_bar(bars: Any) -> Iterator[None]:
    """Weights are loaded without a progress bar: a service's log is no terminal."""
    before = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            bars.enable_progress_bar()


def found(model: str) -> Path:
    """The folder `model`, or the local copy of that repository of the hub.

    Raises ValueError, or OSError where the hub does not answer, which may pass.
    """
    if Path(model).is_dir():
        return Path(model)
    if Path(model).is_absolute() or model.count("/") != 1:
        raise ValueError(f"{model}: no such folder, and no repository of the Hugging Face hub (owner/name)")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, allow_patterns=PATTERNS))


def digest_of(folder: Path) -> str:
    """SHA-256 of the files that decide what the pipeline does, with their names."""
    total = hashlib.sha256()
    files = sorted({file for pattern in PATTERNS for file in folder.glob(pattern)})
    for file in files:
        one = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                one.update(block)
        total.update(f"{file.relative_to(folder)}:{one.hexdigest()}\n".encode())
    return total.hexdigest()


def _index(folder: Path) -> dict[str, list[str]]:
    """Package and class of each component. Raises ValueError where one is missing, or another than is supported."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: no pipeline saved by diffusers: {error}") from error
    for name, (package, kind) in COMPONENTS.items():
        there = index.get(name) if isinstance(index, dict) else None
        if not isinstance(there, list) or len(there) != 2:
            raise ValueError(f"{folder}: model_index.json names no {name}")
        if there[0] != package or (kind and there[1] != kind):
            raise ValueError(f"{folder}: its {name} is {there[1]} of {there[0]}, not {kind or 'one'} of {package}")
    return index


def _scheduler(diffusers: Any, kind: str, folder: Path) -> Any:
    if kind not in SCHEDULERS:
        raise ValueError(f"{folder}: its scheduler {kind} is none of {', '.join(SCHEDULERS)}")
    try:
        made = getattr(diffusers, kind).from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: its scheduler does not load: {error}") from error
    if not made.config.get("skip_prk_steps", True):  # several times of one step: no place to begin at
        raise ValueError(f"{folder}: its scheduler has Runge-Kutta steps, which is not supported: set skip_prk_steps")
    return made
