"""The question put to a row. Frozen and hashable: rows with equal asks may share a batch.

A layer is named as the twin lists it; `INPUT` is the model's own input. To substitute a layer l, `at` names it and the
rows have a column `a.<l>` [k, *A_l] in place of what the layer would give; with `INPUT` among them, `a.input` stands in
place of the input's own column.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from sidelight.core.evidence import Evidence
from sidelight.core.target import Link

INPUT = "input"
TWIN = "twin"  # the variant that is the differentiable twin as it is


@dataclass(frozen=True, slots=True)
class Model:
    """A served model, its version pinned at admission.

    `variant` names what stands in for it in this process: `TWIN`, or a changed copy of it, e.g. "randomised:fc:7".
    """

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
    """Activations at the layers `at`: columns are the inputs -> a.<layer> [k, *A_l], and y [k, K]."""

    kind: ClassVar[str] = "activation"
    model: Model
    at: tuple[str, ...]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Gradient:
    """Gradients with respect to the layers `at`, all of them substituted, of one number a row:

        s = sum_k w_k L(y)_k        L the link, or evidence for and against each class, as `evidence.read` has them

    Columns are the inputs, a.<layer> and w [k, K], of evidence [k, 2K] -> y [k, K], s [k] float64, g.<layer> [k, *A_l]
    = ds/da. The weights are a column, so rows for different classes share a batch.
    """

    kind: ClassVar[str] = "gradient"
    model: Model
    at: tuple[str, ...]
    link: Link | Evidence
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


def costing(ask: Ask) -> Ask:
    """The ask that stands for all that cost as much: one for every copy of a twin, of which there is no end."""
    if isinstance(ask, Edit | Local):
        return ask
    kind, _, _ = ask.model.variant.partition(":")
    return replace(ask, model=replace(ask.model, variant=kind))
