"""What the engine knows of a model: its specification, and how to start a batch of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sidelight.core.ask import Ask
from sidelight.core.fold import Out
from sidelight.core.sweep import Placement, Rows
from sidelight.core.target import OutputKind


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the model without its batch axis; -1 where the size varies."""

    name: str
    datatype: str  # FP32, FP16, UINT8, INT64, BYTES
    shape: tuple[int, ...]


@dataclass(frozen=True)
class PixelSpace:
    """How pixels 0..255 become what the model takes: x * scale, minus mean, over sd, by channel of `order`."""

    order: str = "RGB"  # RGB, BGR or L
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"  # NCHW or NHWC
    integer: bool = False  # the model takes whole numbers (UINT8)


@dataclass(frozen=True)
class Fit:
    """How an image of any size becomes the model's: the shorter side to `resize`, then a centred crop."""

    size: tuple[int, int] | None  # (H, W) that the model takes; None where it takes any
    resize: int | None = None  # None: the image is scaled so that the crop just fits
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class ModelSpec:
    """One served version of a model, as metadata, configuration and model card say together."""

    name: str
    version: str
    modality: str  # image, text, tokens
    input: TensorSpec
    output: TensorSpec
    kind: OutputKind = OutputKind.AS_SERVED
    classes: int = 0  # length of the output vector as scored; 0: not known before the first answer
    labels: tuple[str, ...] = ()
    pixels: PixelSpace = PixelSpace()
    fit: Fit = Fit(None)
    platform: str = ""
    digest: str = ""
    precision: str = "as_served"
    carded: bool = False
    vocabulary: int = 0  # token ids that there are, from 0; 0: not known


@dataclass(frozen=True)
class Unit:
    """A piece of text: characters [begin, end) of the whole."""

    begin: int
    end: int


@dataclass(frozen=True)
class Layer:
    """A layer of a twin: a module by its dotted name, called once in a pass, with one tensor as its output."""

    name: str
    shape: tuple[int, ...]  # of its output without the batch axis; -1 where it varies
    cut: bool  # whether every path from the input to the output passes through it


@dataclass(frozen=True)
class Twin:
    """The served model in this process, differentiable, and what its agreement with the served one was measured at."""

    layers: tuple[Layer, ...]  # in the order in which they run
    digest: str  # SHA-256 of the weights
    tolerance: float  # largest difference from the served model over its largest output
    gap: float = 0.0  # the same as measured on the probes
    embedding: str = ""  # for text and tokens: the layer that gives token embeddings [L, D]
    pieces: Callable[[str], tuple[Unit, ...]] | None = None  # for text: characters of each token; empty ones: specials
    note: str = ""  # why it lists no layers
    ids: Callable[[str], tuple[int, ...]] | None = None  # for text: the token of each piece; rows may be ids
    blank: int | None = None  # id of the token that stands for no particular one: [MASK]
    specials: frozenset[int] = frozenset()  # ids that no baseline replaces: [CLS], [SEP]
    pad: int | None = None  # id of the token that is not there: [PAD], wherever it stands


@dataclass(frozen=True)
class Endpoint:
    """Where the rows go, for the catalogue."""

    executor: str  # triton, triton_explanation, embedded, twin
    address: str
    shares_production: bool
    shared_memory: str = "none"  # system, cuda, none


class Call(Protocol):
    """A batch under way."""

    def done(self) -> bool:
        """Whether `result` would return, or raise, at once."""

    def result(self) -> Out:
        """Wait for the outputs, first axis: row. Raises a SidelightError; MemoryError where the device's is full."""

    def cancel(self) -> None:
        """Give up the work as far as it can be; `result` is not called after."""


class Executor(Protocol):
    """Answers rows of the asks that name it. Called from its lane's worker only, except where said."""

    name: str
    lane: str  # executors with equal lanes share a device or endpoint, and its worker
    depth: int  # batches worth having under way at once

    @property
    def placement(self) -> Placement:
        """How `render` should make rows."""

    @property
    def tile_rows(self) -> int:
        """Rows of a tile."""

    @property
    def batch_rows(self) -> int:
        """Rows worth handing over at once, a multiple of `tile_rows`."""

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Call:
        """Start one batch of the tiles' rows, in order. `wake()` is called (from any thread) when it is done."""

    def close(self) -> None:
        """Give back connections, regions and memory."""


class Predictor(Executor, Protocol):
    """Answers rows of one model, all its versions."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the rows go."""

    def spec(self, version: str | None = None) -> ModelSpec:
        """The specification of `version`, or of the newest that is ready. Any thread; may ask the endpoint.

        Raises Unknown for a version that is not served and Unavailable where the endpoint does not answer.
        """

    def versions(self) -> tuple[str, ...]:
        """Versions that are ready, newest last. Any thread."""


class Differentiable(Predictor, Protocol):
    """The twin of a served model: also answers gradients, activations and substitutions."""

    twin: Twin  # its gap not measured yet

    def probes(self) -> Rows:
        """Rows to compare with the served model on."""


@dataclass(frozen=True)
class Probe:
    """What was measured of a model at start-up."""

    neighbour_gap: float  # largest difference of a row alone and among neighbours, over the largest output
    repeat_gap: float  # the same between two identical calls
    classes: int
