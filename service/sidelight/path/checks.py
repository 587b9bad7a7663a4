"""Which options go together. Raised when a request is read, before anything is asked of a model."""

from dataclasses import replace
from typing import Any, TypeVar

from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.path.blur import starts_blurred
from sidelight.path.layers import resolve
from sidelight.path.options import Attribution, Options, Path, Quadrature

P = TypeVar("P")


def adapts(options: Options, job: Job) -> bool:
    """Whether Integrated Gradients take the adaptive rule."""
    if Attribution.INTEGRATED_GRADIENTS not in options.attributions:
        return False
    if options.quadrature is Quadrature.AUTO:
        return job.tolerance is not None and not options.smooth_copies and options.path is Path.STRAIGHT
    return options.quadrature is Quadrature.ADAPTIVE


def _has_rule(options: Options) -> bool:
    """Whether anything is integrated by a rule."""
    return Attribution.INTEGRATED_GRADIENTS in options.attributions and options.path is not Path.GUIDED


def settled(params: P, options: Options, job: Job) -> P:
    """The parameters of which `options` were made, with the layers and the rule that they come to."""
    found: dict[str, Any] = {}
    if job.twin is not None:
        found["layers"] = resolve(job, options)
    if hasattr(params, "quadrature") and options.quadrature is Quadrature.AUTO and _has_rule(options):
        found["quadrature"] = Quadrature.ADAPTIVE if adapts(options, job) else Quadrature.GAUSS_LEGENDRE
    return replace(params, **found)  # type: ignore[type-var]


def check(options: Options, job: Job) -> None:
    """Raises InvalidRequest naming the field."""
    if options.quadrature is Quadrature.ADAPTIVE:
        if job.tolerance is None:
            raise InvalidRequest(options.field("quadrature"), "adaptive needs `budget.tolerance`, to know when to stop")
        if options.smooth_copies:
            raise InvalidRequest(
                options.field("smooth_copies"), "take a fixed rule: adaptive looks at one path's residual"
            )
    if options.quadrature is not Quadrature.AUTO and not _has_rule(options):
        what = "the guided path takes" if options.path is Path.GUIDED else "these attributions take"
        raise InvalidRequest(options.field("quadrature"), f"leave it out: {what} no rule")
    if options.quadrature is Quadrature.TRAPEZOID and options.nodes < 2:
        raise InvalidRequest(options.field("nodes"), "at least 2: a trapezoid has both ends")
    if options.path is not Path.STRAIGHT:
        _check_path(options, job)
    if job.twin is not None:
        resolve(job, options)


def _check_path(options: Options, job: Job) -> None:
    name = options.path.value
    if Attribution.INTEGRATED_GRADIENTS not in options.attributions:
        raise InvalidRequest(options.field("path"), f"{name} is a way of integrated_gradients; straight for the others")
    if options.smooth_copies:
        raise InvalidRequest(options.field("smooth_copies"), "0 along another path than the straight one")
    if options.quadrature is Quadrature.ADAPTIVE:
        raise InvalidRequest(
            options.field("quadrature"), f"a fixed rule along {name}: adaptive is for the straight path"
        )
    if options.path is Path.BLUR:
        if not isinstance(job.input, ImageInput):
            raise InvalidRequest(options.field("path"), "blur is for images")
        if options.layers not in ((), (INPUT,)):
            raise InvalidRequest(options.field("layers"), f"{INPUT} alone: only an image can be blurred")
        starts_blurred(job)
