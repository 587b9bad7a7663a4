"""The question put to a row. Frozen and hashable: rows with equal asks may share a batch."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Model:
    """A served model, its version pinned at admission; `variant` names a changed copy, e.g. "randomised:fc:7"."""

    name: str
    version: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """Model outputs: columns are the inputs (and substituted activations `a.<layer>`) -> y [k, K]."""

    kind: ClassVar[str] = "forward"
    model: Model
    at: tuple[str, ...] = ()
    exact: bool = False  # one padded batch shape, so that neighbours cannot change a bit of the answer


@dataclass(frozen=True, slots=True)
class Activation:
    """Activations at the layers `at`: columns are the inputs -> a.<layer> [k, *A_l]."""

    kind: ClassVar[str] = "activation"
    model: Model
    at: tuple[str, ...]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Gradient:
    """Gradients of weighted outputs: columns are inputs, a.<layer>, w [k, L*K] -> y [k, K], g.<layer> [k, *A_l]."""

    kind: ClassVar[str] = "gradient"
    model: Model
    at: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """Edited images: columns x, instruction, strength [k], noise -> x [k, C, H, W]."""

    kind: ClassVar[str] = "edit"
    editor: str
    size: tuple[int, ...]
    steps: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """Heavy pure host work, by the name it is registered under: runs in a process pool, off every other thread."""

    kind: ClassVar[str] = "local"
    name: str
    exact: bool = False


Ask = Forward | Activation | Gradient | Edit | Local
