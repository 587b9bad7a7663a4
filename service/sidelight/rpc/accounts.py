"""Accounts of path attributions to messages: what was to be attributed, what was, and where the rest comes from."""

import math
from typing import Any

from sidelight_proto.v1 import types_pb2

from sidelight.core.ask import INPUT
from sidelight.core.inputs import ImageInput, TextInput
from sidelight.core.job import Account, Job
from sidelight.rpc.tensors import encode_tensor

ATTRIBUTIONS = len(types_pb2.Attribution.keys()) - 1


def encode_account(a: Account, *, features: bool, axes: tuple[str, ...]) -> types_pb2.AttributionResult:
    """With A by layer, if `features`, and with its own map, if `axes` names those."""
    message = types_pb2.AttributionResult(
        attribution=types_pb2.Attribution.Value(f"ATTRIBUTION_{a.attribution.upper()}"),
        baseline=a.baseline,
        rule=a.rule,
        output_value=a.output,
        result=a.result,
        parts=[types_pb2.ErrorPart(name=name, value=value) for name, value in a.parts.items()],
        steps=[types_pb2.DisplayStep(name=s.name, result=s.result, error=s.result - a.target) for s in a.steps],
        residual=a.residual,
        indicator=a.indicator,
        converged=a.converged,
        evaluations=a.evaluations,
        baseline_output_values=a.baseline_outputs,
    )
    if math.isfinite(a.target):
        message.baseline_output_value, message.target, message.error = a.baseline_output, a.target, a.error
        message.error_relative = a.error_relative
    if features:
        message.features.extend(encode_tensor(layer, values, ()) for layer, values in a.raw.items())
    if axes and a.map is not None:
        message.map.CopyFrom(encode_tensor("map", a.map, axes))
    return message


def account_bytes(job: Job, params: Any, *, features: bool, maps: bool) -> int:
    """Bytes of the tensors of one target's accounts, as far as the shapes of the layers that were settled are known."""
    if not hasattr(params, "layers") or job.twin is None:
        return 0
    several = getattr(params, "attributions", None)
    count = 1 if several is None else len(several) or ATTRIBUTIONS
    total = math.prod(job.input.shape) * maps if several is not None else 0
    if features:
        total += sum(_numbers(job, layer) for layer in params.layers)
    return 4 * count * total


def _numbers(job: Job, layer: str) -> int:
    if layer == INPUT and isinstance(job.input, ImageInput):
        return job.input.pixels.numel()
    assert job.twin is not None
    shapes = {known.name: known.shape for known in job.twin.layers}
    return math.prod(n if n > 0 else _varying(job) for n in shapes.get(layer, ()))


def _varying(job: Job) -> int:
    """What an axis that varies with the input comes to at most: tokens, or pixels."""
    if isinstance(job.input, TextInput) and job.twin is not None and job.twin.pieces is not None:
        return len(job.twin.pieces(job.input.text))
    return max(job.input.shape)
