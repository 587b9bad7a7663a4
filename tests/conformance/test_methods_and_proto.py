"""Registered methods, metrics and editors and their messages in the protocol's oneofs agree, field by field.

So do the records inside of them, and a choice of plug-ins agrees with the oneof of its name.
"""

import dataclasses

import pytest
import torch
from google.protobuf.descriptor import FieldDescriptor
from sidelight import editors, methods, metrics
from sidelight.core import editor, metric, registry
from sidelight.core.inputs import ImageInput, TextInput, words
from sidelight.core.params import build, kind_of
from sidelight.core.predictor import PixelSpace
from sidelight.rpc.parameters import numbers
from sidelight_proto.v1.explanation_pb2 import ExplainRequest
from sidelight_proto.v1.intervention_pb2 import Property
from sidelight_proto.v1.metrics_pb2 import Metric

for folder_of_plugins in (methods, metrics, editors):
    registry.load(folder_of_plugins)


def messages(kind, oneof):
    return {field.name: field.message_type for field in kind.DESCRIPTOR.oneofs_by_name[oneof].fields}


FOLDERS = {
    "methods": (registry.methods(), messages(ExplainRequest, "method")),
    "metrics": (metric.metrics(), messages(Metric, "kind")),
    "editors": (editor.kinds(), messages(Property, "editor")),
}
PLUGINS = [(folder, name) for folder, (found, _) in FOLDERS.items() for name in sorted(found)]
WHOLE = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
}
TYPES = {
    "integer": WHOLE,
    "number": {FieldDescriptor.TYPE_DOUBLE},
    "boolean": {FieldDescriptor.TYPE_BOOL},
    "text": {FieldDescriptor.TYPE_STRING},
    "choice": {FieldDescriptor.TYPE_ENUM},
    "choices": {FieldDescriptor.TYPE_ENUM},
    "names": {FieldDescriptor.TYPE_STRING},
    "numbers": {FieldDescriptor.TYPE_DOUBLE},
    "tensor": {FieldDescriptor.TYPE_MESSAGE},
    "picture": {FieldDescriptor.TYPE_BYTES},
    "spans": {FieldDescriptor.TYPE_MESSAGE},
    "records": {FieldDescriptor.TYPE_MESSAGE},
}
SEVERAL = {"choices", "names", "numbers", "spans", "records"}
BOUNDED = {"integer", "number", "boolean", "numbers"}
INPUTS = (
    ImageInput("x", torch.zeros(3, 28, 28), torch.zeros(3, 28, 28), PixelSpace()),
    TextInput("x", "a few words", words("a few words")),
)


def typed(path, params, message):
    """(path, dataclass, message) of parameters, and of the records inside of them."""
    yield path, params, message
    for parameter in dataclasses.fields(params):
        if kind_of(parameter) == "records":
            inner = message.fields_by_name[parameter.name].message_type
            yield from typed(f"{path}.{parameter.name}", parameter.metadata["records"], inner)


TYPED = [
    each
    for folder, name in PLUGINS
    for each in typed(f"{folder}.{name}", FOLDERS[folder][0][name].params, FOLDERS[folder][1][name])
]
every = pytest.mark.parametrize(("path", "params", "message"), TYPED, ids=[path for path, _, _ in TYPED])


def plain(params):
    """The parameters that are one field of the message each: all but choices of plug-ins."""
    return [p for p in dataclasses.fields(params) if kind_of(p) != "one of"]


def oneofs(message):
    """By name; a field that tells whether it was set is no oneof to anybody."""
    return {o.name: o for o in message.oneofs if not (len(o.fields) == 1 and o.name == f"_{o.fields[0].name}")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_a_message_for_every_plugin_and_a_plugin_for_every_message(folder):
    found, described = FOLDERS[folder]
    assert set(found) | set(registry.absent(folder)) >= set(described)
    assert set(found) <= set(described)


@every
def test_parameters_have_the_messages_fields_in_its_order(path, params, message):
    inside = {field.name: name for name, oneof in oneofs(message).items() for field in oneof.fields}
    fields = [inside.get(f.name, f.name) for f in sorted(message.fields, key=lambda f: f.number)]
    assert [p.name for p in dataclasses.fields(params)] == list(dict.fromkeys(fields))


@every
def test_every_parameter_has_a_type_that_its_field_can_carry_and_can_be_left_unset(path, params, message):
    for parameter in plain(params):
        field = message.fields_by_name[parameter.name]
        assert field.type in TYPES[kind_of(parameter)], parameter.name
        many = kind_of(parameter) in SEVERAL
        assert field.is_repeated == many
        assert many or field.has_presence, f"{parameter.name}: 0 must not mean unset"


@every
def test_a_choice_of_plugins_is_the_oneof_of_its_name(path, params, message):
    choices = [p for p in dataclasses.fields(params) if kind_of(p) == "one of"]
    assert {p.name for p in choices} == set(oneofs(message))
    for parameter in choices:
        described = {f.name: f.message_type for f in oneofs(message)[parameter.name].fields}
        found = parameter.metadata["one_of"]()
        assert found and set(found) <= set(described)
        assert [described] == [d for f, d in FOLDERS.values() if f == found]  # of a folder whose plug-ins are tested


@every
def test_every_parameter_has_bounds_that_its_default_and_its_field_keep(path, params, message):
    for parameter in plain(params):
        assert parameter.metadata["what"]
        if kind_of(parameter) not in BOUNDED:
            continue
        low, high = parameter.metadata["low"], parameter.metadata["high"]
        defaults = parameter.default if isinstance(parameter.default, tuple) else (parameter.default,)
        assert low < high and all(d is None or low <= d <= high for d in defaults)
        unsigned = message.fields_by_name[parameter.name].type in (
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_UINT64,
        )
        assert not (unsigned and low < 0)
    given = {p.name: p.default for p in plain(params) if p.default is not None}
    build(params, given, path)


@every
def test_every_list_and_text_is_bounded(path, params, message):
    for parameter in plain(params):
        most = {"text": "text", "names": "names", "numbers": "numbers", "spans": "spans", "records": "most"}
        if (key := most.get(kind_of(parameter))) is not None:
            assert 1 <= parameter.metadata[key] <= 100_000, parameter.name


@every
def test_every_choice_has_the_names_of_its_enum_in_the_protocol(path, params, message):
    for parameter in plain(params):
        if kind_of(parameter) in ("choice", "choices"):
            members = {member.value for member in parameter.metadata["choices"]} - {"auto"}
            assert members == set(numbers(message.fields_by_name[parameter.name]))


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_a_plugin_says_what_it_is_where_it_is_from(folder, name):
    plugin = FOLDERS[folder][0][name]
    assert plugin.summary.endswith(".")
    assert plugin.paper


@pytest.mark.parametrize("x", INPUTS, ids=("image", "text"))
@pytest.mark.parametrize("name", sorted(registry.methods()))
def test_a_method_tells_what_it_costs_on_every_kind_of_input(name, x):
    method = registry.find(name)
    assert method.cost(method.params(), x) >= len(method.needs)
