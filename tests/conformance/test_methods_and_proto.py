"""Registered methods and metrics and their messages in the protocol's oneofs agree, field by field."""

import dataclasses

import pytest
import torch
from google.protobuf.descriptor import FieldDescriptor
from sidelight import methods, metrics
from sidelight.core import metric, registry
from sidelight.core.inputs import ImageInput, TextInput, words
from sidelight.core.params import build, kind_of
from sidelight.core.predictor import PixelSpace
from sidelight.rpc.parameters import numbers
from sidelight_proto.v1.explanation_pb2 import ExplainRequest
from sidelight_proto.v1.metrics_pb2 import Metric

registry.load(methods)
registry.load(metrics)


def messages(kind, oneof):
    return {field.name: field.message_type for field in kind.DESCRIPTOR.oneofs_by_name[oneof].fields}


FOLDERS = {
    "methods": (registry.methods(), messages(ExplainRequest, "method")),
    "metrics": (metric.metrics(), messages(Metric, "kind")),
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
    "choice": {FieldDescriptor.TYPE_ENUM},
    "choices": {FieldDescriptor.TYPE_ENUM},
    "names": {FieldDescriptor.TYPE_STRING},
    "tensor": {FieldDescriptor.TYPE_MESSAGE},
    "spans": {FieldDescriptor.TYPE_MESSAGE},
}
INPUTS = (
    ImageInput("x", torch.zeros(3, 28, 28), torch.zeros(3, 28, 28), PixelSpace()),
    TextInput("x", "a few words", words("a few words")),
)


def params_of(folder, name):
    found, described = FOLDERS[folder]
    return dataclasses.fields(found[name].params), described[name]


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_a_message_for_every_plugin_and_a_plugin_for_every_message(folder):
    found, described = FOLDERS[folder]
    assert set(found) | set(registry.absent(folder)) >= set(described)
    assert set(found) <= set(described)


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_parameters_have_the_messages_fields_in_its_order(folder, name):
    parameters, message = params_of(folder, name)
    assert [p.name for p in parameters] == [f.name for f in sorted(message.fields, key=lambda f: f.number)]


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_every_parameter_has_a_type_that_its_field_can_carry_and_can_be_left_unset(folder, name):
    parameters, message = params_of(folder, name)
    for parameter in parameters:
        field = message.fields_by_name[parameter.name]
        assert field.type in TYPES[kind_of(parameter)], parameter.name
        many = kind_of(parameter) in ("choices", "names", "spans")
        assert field.is_repeated == many
        assert many or field.has_presence, f"{parameter.name}: 0 must not mean unset"


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_every_parameter_has_bounds_that_its_default_and_its_field_keep(folder, name):
    parameters, message = params_of(folder, name)
    for parameter in parameters:
        assert parameter.metadata["what"]
        if kind_of(parameter) in ("choice", "choices", "names", "spans", "tensor"):
            continue
        low, high = parameter.metadata["low"], parameter.metadata["high"]
        assert parameter.default is None or low <= parameter.default <= high
        unsigned = message.fields_by_name[parameter.name].type in (
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_UINT64,
        )
        assert not (unsigned and low < 0)
    given = {p.name: p.default for p in parameters if p.default is not None}
    build(FOLDERS[folder][0][name].params, given, name)


@pytest.mark.parametrize(("folder", "name"), PLUGINS)
def test_every_choice_has_the_names_of_its_enum_in_the_protocol(folder, name):
    parameters, message = params_of(folder, name)
    for parameter in parameters:
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
