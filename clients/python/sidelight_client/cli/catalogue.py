"""List models, methods with their parameters, and what else the service offers."""

import argparse
from collections.abc import Iterable

from google.protobuf import json_format
from rich.table import Table
from sidelight_proto.v1 import catalogue_pb2, types_pb2

from sidelight_client import baselines
from sidelight_client.calls import QUICK_DEADLINE
from sidelight_client.cli.terminal import add_connection, connect, print_json, stdout

EXAMPLES = """\
examples:
  sidelight catalogue
  sidelight catalogue efficientnet_lite0
  sidelight catalogue --json | jq -r '.models[].name'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="only this model, with the layers of its twin")
    add_connection(parser, QUICK_DEADLINE)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found = client.catalogue(args.model, deadline=args.deadline)
    if args.json:
        print_json(json_format.MessageToDict(found, preserving_proto_field_name=True))
        return 0
    stdout.print(f"Sidelight {found.service_version}\n")
    stdout.print(_models(found.models))
    for model in found.models:
        if args.model and model.twin.layers:
            stdout.print(_layers(model))
    for method in found.methods:
        stdout.print(_method(method))
    for editor in found.editors:
        stdout.print(_editor(editor))
    if found.metrics:
        stdout.print(_plugins("metrics", found.metrics))
    return 0


def _models(models: Iterable[catalogue_pb2.ModelEntry]) -> Table:
    table = _table("models", "name", "versions", "input", "classes", "evaluated by", "rows/s", "twin", "state")
    for model in models:
        executor = types_pb2.Executor.Name(model.executor).removeprefix("EXECUTOR_").lower().replace("_", " ")
        size = "×".join(map(str, model.size))
        table.add_row(
            model.name,
            ", ".join(model.versions),
            f"{model.modality} {size}".strip(),
            str(model.classes or "?"),
            executor + (" (production)" if model.shares_production else ""),
            f"{model.determinism.rows_per_second:.0f}" if model.HasField("determinism") else "",
            _twin(model),
            _state(model.ready, model.reason, "ready"),
        )
    return table


def _twin(model: catalogue_pb2.ModelEntry) -> str:
    """What there is to take gradients from: the differentiable twin, and how far it is from the served model."""
    if not model.HasField("twin"):
        return "none"
    if not model.twin.verified:
        return f"not used: {model.twin.reason}"
    return f"agrees to {model.twin.gap:.0e}" if model.twin.gap else "agrees exactly"


def _layers(model: catalogue_pb2.ModelEntry) -> Table:
    """Where paths may run: at a cut, through which every way from input to output passes, or at a set that is one."""
    table = _table(f"layers of {model.name}", "layer", "shape", "cut")
    for layer in model.twin.layers:
        shape = "×".join("?" if n < 0 else str(n) for n in layer.shape)
        table.add_row(layer.name, shape, "cut" if layer.cut else "")
    return table


def _method(method: catalogue_pb2.MethodEntry) -> Table:
    state = _state(method.available, method.unavailable_reason, "")
    table = _table(f"{method.name}: {method.summary} {state}", "parameter", "type", "default", "bounds", "meaning")
    for own in method.baselines:
        table.add_row("", "baseline", baselines.words(own.baseline), own.modality, "where the request names none")
    _add_parameters(table, method.parameters)
    return table


def _editor(editor: catalogue_pb2.PluginEntry) -> Table:
    state = _state(editor.available, editor.unavailable_reason, "")
    names = f" Configured: {', '.join(editor.configured)}." if editor.configured else ""
    title = f"editor {editor.name}: {editor.summary}{names} {state}"
    table = _table(title, "parameter", "type", "default", "bounds", "meaning")
    _add_parameters(table, editor.parameters)
    return table


def _add_parameters(table: Table, parameters: Iterable[catalogue_pb2.ParameterEntry], above: str = "") -> None:
    """A line for each, and below it one for each of a record's own."""
    for p in parameters:
        table.add_row(above + p.name, p.type, p.default, _bounds(p), p.description)
        _add_parameters(table, p.parameters, f"{above}{p.name}.")


def _bounds(parameter: catalogue_pb2.ParameterEntry) -> str:
    if parameter.choices:
        return " | ".join(parameter.choices)
    low = f"{parameter.low:g}" if parameter.HasField("low") else ""
    high = f"{parameter.high:g}" if parameter.HasField("high") else ""
    dots = ".." if not parameter.open else " < .. < "
    return f"{low}{dots}{high}" if low or high else ""


def _plugins(title: str, plugins: Iterable[catalogue_pb2.PluginEntry]) -> Table:
    table = _table(title, "name", "summary", "state")
    for plugin in plugins:
        table.add_row(plugin.name, plugin.summary, _state(plugin.available, plugin.unavailable_reason, "available"))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    return table


def _state(good: bool, reason: str, word: str) -> str:
    return word if good else f"not available: {reason}"
