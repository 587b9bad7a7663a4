"""The real thing on loopback: Triton with the demo's models, the service as its own process, a photo."""

import functools
import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
# By its file: with deploy/ on the path, its folder triton/ would pass for the package that torch looks for.
_SPEC = importlib.util.spec_from_file_location("demo", ROOT / "deploy" / "demo.py")
demo = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(demo)
MODEL, Service, TritonServer = demo.MODEL, demo.Service, demo.TritonServer
TEXT_MODEL, TOKEN_MODEL = demo.TEXT_MODEL, "sentiment_tokens"

CARDS = ROOT / "deploy" / "triton" / "cards"
CARD = CARDS / f"{MODEL}.toml"
REPOSITORY = ROOT / "build" / "models"


@contextmanager
def triton(folder: Path, *repositories: Path) -> Iterator[demo.TritonServer]:
    """A real Triton with the demo's models, or the given repositories."""
    with TritonServer(list(repositories) or [REPOSITORY], log=folder / "triton.log") as server:
        yield server


@contextmanager
def service(folder: Path, config: str) -> Iterator[demo.Service]:
    """The service as its own process with the configuration `config` (TOML), all its models ready."""
    path = folder / "sidelight.toml"
    path.write_text(config)
    with Service(["--config", str(path)], folder / "sidelight.log") as running:
        yield running


def on_triton(address: str, more: str = "", name: str = MODEL) -> str:
    """Configuration for one of the demo's models on the Triton at `address`."""
    return f'[[models]]\ncard = "{CARDS / name}.toml"\ntriton = "{address}"\n{more}\n'


def twin(name: str = MODEL) -> str:
    """More of that: where the model's network comes from, for gradients."""
    return f'[models.twin]\nfactory = "{demo.TWINS[name]}"'


def embedded(more: str = "", name: str = MODEL) -> str:
    """Configuration for the demo's model inside the service."""
    return (
        f'[[models]]\nname = "{name}"\ncard = "{CARD}"\n{more}\n[models.embedded]\nfactory = "build_models:network"\n'
    )


def photo() -> Image.Image:
    """Chelsea the cat, 451 x 300 pixels."""
    return Image.fromarray(data.chelsea())


@functools.cache
def photo_file(size: tuple[int, int] | None = None) -> bytes:
    """The same as the PNG file that a caller would hold, at `size` (width, height) where given."""
    file = io.BytesIO()
    (photo().resize(size) if size else photo()).save(file, "PNG")
    return file.getvalue()
