"""A latent diffusion model on one device: texts and images are encoded once, and latents are decoded to frames."""

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch

from sidelight.core.editor import Canvas, Frame
from sidelight.core.errors import Cancelled, InvalidRequest
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Rows, Shared
from sidelight.editors import pipeline_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KEPT = 64  # encodings on the device: texts, images, inversions
DECODED = 8  # frames at once: the decoder works at full resolution
TOKENS = 512  # of embeddings that a caller gives

Alive = Callable[[], bool]


def needed(*packages: str) -> None:
    """Raises ModuleNotFoundError for one that is not installed. None is imported: that takes seconds."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def check(alive: Alive) -> None:
    """Raises Cancelled where nobody waits any more."""
    if not alive():
        raise Cancelled


class LatentDiffusion:
    """The components of a pipeline and what has been encoded by them.

    precision: of the networks' arithmetic; "auto" is float16 on a GPU and float32 elsewhere. Guidance and the steps of
    the scheduler are float32 always. Raises ValueError for a folder or an option that will not do.
    """

    def __init__(self, model: str, device: torch.device | str, precision: str, *, image_channels: int) -> None:
        if precision not in (*DTYPES, "auto"):
            raise ValueError(f"precision is one of {', '.join(DTYPES)}, auto, not {precision!r}")
        self.device = torch.device(device)
        if precision == "auto":
            precision = "float16" if self.device.type == "cuda" else "float32"
        self.precision, self.dtype = precision, DTYPES[precision]
        self.placement = Placement(self.device)
        parts = pipeline_folder.load(model, self.device, self.dtype)
        self.vae, self.unet, self.text_encoder = parts.vae, parts.unet, parts.text_encoder
        self.scheduler, self.digest = parts.scheduler, parts.digest
        self._tokenizer, self._tokenizing = parts.tokenizer, threading.Lock()  # it keeps its padding in itself
        self.channels = self.vae.config.latent_channels
        self._check(model, image_channels * self.channels)
        if self.device.type == "cuda":
            self.vae, self.unet = (n.to(memory_format=torch.channels_last) for n in (self.vae, self.unet))
        self.factor = 2 ** (len(self.vae.config.block_out_channels) - 1)  # pixels of a latent's side
        self._multiple = self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        # A tokenizer that was saved without its limit has none.
        self.tokens = min(self._tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        self.width = self.unet.config.cross_attention_dim
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
        self.unet_rows = 0  # that were computed, for whoever measures

    def _check(self, model: str, image_channels: int) -> None:
        unet, wanted = self.unet.config, self.channels + image_channels
        if unet.in_channels != wanted or unet.out_channels != self.channels:
            raise ValueError(
                f"{model}: its unet has {unet.in_channels} channels in and {unet.out_channels} out, not {wanted} and "
                f"{self.channels}: the pipeline of another kind of editor"
            )
        if unet.time_cond_proj_dim or unet.addition_embed_type or unet.class_embed_type or unet.num_class_embeds:
            raise ValueError(
                f"{model}: its unet wants more than latents, time and text, as Stable Diffusion XL does, which is not "
                "supported"
            )
        if not isinstance(unet.sample_size, int):
            raise ValueError(f"{model}: its unet tells no sample_size that is one number: images of what size it knows")
        if getattr(self.text_encoder.config, "use_attention_mask", False):
            raise ValueError(f"{model}: its text encoder wants an attention mask, which is not supported")
        if unet.cross_attention_dim != self.text_encoder.config.hidden_size:
            raise ValueError(f"{model}: its unet takes texts of another width than its text encoder gives")

    # -- columns: any thread -------------------------------------------------------------------------------------------

    def size(self, canvas: Canvas) -> tuple[int, int]:
        """Of a frame: the image's shape, with about the area that the model was trained on, in whole latents.

        Raises InvalidRequest for an image so narrow that its frames would have many times that area.
        """
        height, width = canvas.pixels.shape[1:]
        factor = self.unet.config.sample_size * self.factor / (height * width) ** 0.5
        high, wide = (round(side * factor / self._multiple) for side in (height, width))
        if not high or not wide:
            raise InvalidRequest("", f"takes no image as narrow as {width} x {height}: cut it nearer to a square")
        return high * self._multiple, wide * self._multiple

    def image(self, canvas: Canvas, size: tuple[int, int]) -> Shared:
        """The image at this size, uint8 [3, H, W]."""
        return Shared(("image", canvas.digest, size), _resized(canvas.pixels, size))

    def noise(self, stream: Stream, size: tuple[int, int], rows: int = 1) -> Shared:
        """Standard normal latents [rows, C, h, w] from the stream."""
        shape = (self.channels, size[0] // self.factor, size[1] // self.factor)
        drawn = stream.normal(range(rows), shape[0] * shape[1] * shape[2])
        return Shared(
            ("noise", stream.seed, stream.name, rows, shape), torch.from_numpy(drawn).float().view(-1, *shape)
        )

    def text(self, prompt: str, embeds: torch.Tensor | None, field: str) -> Shared:
        """The ids of a prompt, or embeddings [tokens, width] as they are. Raises InvalidRequest naming `field`."""
        if embeds is not None:
            return self._given(prompt, embeds, field)
        with self._tokenizing:
            ids = self._tokenizer(prompt, padding="max_length", max_length=self.tokens).input_ids
        if len(ids) > self.tokens:
            raise InvalidRequest(field, f"at most {self.tokens} tokens of this editor, not {len(ids)}: shorten it")
        return Shared(("ids", tuple(ids)), torch.tensor(ids))

    def _given(self, prompt: str, embeds: torch.Tensor, field: str) -> Shared:
        path = f"{field}_embeds"
        if prompt:
            raise InvalidRequest(path, f"instead of {field}: leave one of them out")
        if embeds.dim() != 2 or embeds.shape[1] != self.width or not 1 <= len(embeds) <= TOKENS:
            raise InvalidRequest(path, f"[tokens, {self.width}], at most {TOKENS} tokens, not {list(embeds.shape)}")
        if not embeds.is_floating_point() or not embeds.isfinite().all():
            raise InvalidRequest(path, "finite floating-point numbers")
        digest = hashlib.sha256(embeds.float().contiguous().numpy().tobytes()).hexdigest()
        return Shared(("embeds", tuple(embeds.shape), digest), embeds.float())

    # -- encodings and frames: the lane's thread -----------------------------------------------------------------------

    def spread(self, tiles: Sequence[Rows], name: str, encoded: Callable[[Shared], torch.Tensor]) -> torch.Tensor:
        """A shared column, encoded once, for each row of the tiles [k, ...]."""
        parts = [encoded(shared_of(tile, name)) for tile in tiles]
        return torch.cat([x.expand(rows_of(tile), *x.shape) for x, tile in zip(parts, tiles, strict=True)])

    def kept(self, key: Hashable, made: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What was made under this key, if it is still there."""
        if key not in self._kept:
            self._kept[key] = made()
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def uploaded(self, column: Shared) -> torch.Tensor:
        """The column itself, on the device."""
        return self.kept(column.key, lambda: column.value.to(self.device))

    def encoded_text(self, column: Shared) -> torch.Tensor:
        """[tokens, width] in the networks' precision."""

        def made() -> torch.Tensor:
            value = column.value.to(self.device)
            if value.is_floating_point():
                return value.to(self.dtype)
            return self.text_encoder(value[None]).last_hidden_state[0]

        return self.kept(("text", column.key), made)

    def encoded_image(self, column: Shared) -> torch.Tensor:
        """The mode of its latents [C, h, w], float32, not scaled."""

        def made() -> torch.Tensor:
            x = column.value[None].to(self.device).float() / 127.5 - 1
            return self.vae.encode(x.to(self.dtype)).latent_dist.mode()[0].float()

        return self.kept(("latents", column.key), made)

    def predicted(self, x: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """What the network says of latents [k, C, h, w] at time t, float32."""
        self.unet_rows += len(x)
        x = x.to(self.dtype)
        if self.device.type == "cuda":
            x = x.contiguous(memory_format=torch.channels_last)
        return self.unet(x, t, encoder_hidden_states=text, return_dict=False)[0].float()

    def frames(self, latents: torch.Tensor, alive: Alive) -> torch.Tensor:
        """Frames [k, 3, H, W] uint8 of scaled latents. Raises FloatingPointError where they are not finite."""
        made: list[Frame] = []
        for part in (latents / self.vae.config.scaling_factor).to(self.dtype).split(DECODED):
            check(alive)
            image = self.vae.decode(part, return_dict=False)[0].float()
            if not image.isfinite().all():
                raise FloatingPointError(f"NaN or infinity in a frame at precision {self.precision}")
            made.append(((image / 2 + 0.5).clamp(0, 1) * 255).round().byte())
        return torch.cat(made).contiguous()

    def forget(self) -> None:
        """Keep no encoding."""
        self._kept.clear()

    def close(self) -> None:
        """Give back memory."""
        self.forget()
        del self.vae, self.unet, self.text_encoder
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def shared_of(tile: Rows, name: str) -> Shared:
    """A column that is the same for all rows of a tile."""
    column = tile[name]
    assert isinstance(column, Shared), name
    return column


def rows_of(tile: Rows) -> int:
    """How many."""
    return len(tile["strength"])  # type: ignore[arg-type]  # a tensor


def strengths_of(tiles: Sequence[Rows]) -> list[float]:
    """Of each row, as it was asked."""
    return [strength for tile in tiles for strength in torch.as_tensor(tile["strength"]).tolist()]


def column_of(tiles: Sequence[Rows], name: str, device: torch.device) -> torch.Tensor:
    """A column of numbers [k], float32."""
    return torch.cat([torch.as_tensor(tile[name]) for tile in tiles]).to(device, torch.float32)


def _resized(pixels: Frame, size: tuple[int, int]) -> Frame:
    """By cubic interpolation, after a low-pass where it shrinks."""
    if tuple(pixels.shape[1:]) == size:
        return pixels
    resized = torch.nn.functional.interpolate(pixels[None].float(), size, mode="bicubic", antialias=True)
    return resized[0].round().clamp(0, 255).byte()
