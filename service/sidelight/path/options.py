"""The choices of path attribution, by the names that the protocol has for them. AUTO is what is left unset."""

from dataclasses import dataclass, replace
from enum import Enum

MAX_LAYERS = 16
MAX_NODES = 2000


class Attribution(Enum):
    """Which attribution."""

    GRADIENT = "gradient"
    GRADIENT_X_ACTIVATION = "gradient_x_activation"
    TAYLOR = "taylor"
    TAYLOR_SECOND_ORDER = "taylor_second_order"
    MIDPOINT = "midpoint"
    INTEGRATED_GRADIENTS = "integrated_gradients"
    EXPECTED_GRADIENTS = "expected_gradients"
    GRAD_CAM = "grad_cam"
    LAYER_CAM = "layer_cam"
    ODAM = "odam"
    DIFFERENCE_MAP = "difference_map"


class Path(Enum):
    """The way from the baseline to the input."""

    STRAIGHT = "straight"
    BLUR = "blur"
    GUIDED = "guided"


class Quadrature(Enum):
    """Where the gradient is taken along the path."""

    AUTO = "auto"
    GAUSS_LEGENDRE = "gauss_legendre"
    MIDPOINT = "midpoint"
    TRAPEZOID = "trapezoid"
    RIGHT = "right"
    LEFT = "left"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class Options:
    """What is asked of one explanation of the family."""

    method: str  # its name, for errors
    attributions: tuple[Attribution, ...]
    layers: tuple[str, ...] = ()  # none: the input of an image model, the token embeddings of a text model
    path: Path = Path.STRAIGHT
    quadrature: Quadrature = Quadrature.AUTO
    nodes: int = 50
    draws: int = 200  # of expected gradients
    smooth_copies: int = 0  # of SmoothGrad; 0: none
    smooth_noise: float = 0.15  # its standard deviation over the range of z
    allow_partial_cut: bool = False
    takes_partial_cuts: bool = True  # whether the method lets the caller say so
    fuses: bool = False  # whether each layer is attributed by itself, and the maps are fused, as LayerCAM has it
    last: bool = False  # without layers: the last one that has positions

    def field(self, name: str) -> str:
        """The request's field, for errors."""
        return f"{self.method}.{name}"

    def over(self, **changed: object) -> "Options":
        """The same with some changed."""
        return replace(self, **changed)  # type: ignore[arg-type]
