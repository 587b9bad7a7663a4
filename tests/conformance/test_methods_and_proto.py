"""Each registered method and its message in the request's `oneof method` agree, field by field."""

import dataclasses

import pytest
from google.protobuf.descriptor import FieldDescriptor
from sidelight import methods
from sidelight.core import registry
from sidelight.core.params import build
from sidelight.rpc.catalogue import KIND_OF
from sidelight_proto.v1.explanation_pb2 import ExplainRequest

registry.load(methods)
ONEOF = ExplainRequest.DESCRIPTOR.oneofs_by_name["method"]
MESSAGES = {field.name: field.message_type for field in ONEOF.fields}
NAMES = sorted(registry.methods())
WHOLE = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
}
TYPES = {int: WHOLE, float: {FieldDescriptor.TYPE_DOUBLE}, bool: {FieldDescriptor.TYPE_BOOL}}


def test_there_is_a_message_for_every_method_and_a_method_for_every_message():
    assert set(NAMES) | set(registry.absent()) == set(MESSAGES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_messages_fields_in_its_order(name):
    params = [f.name for f in dataclasses.fields(registry.find(name).params)]
    fields = sorted(MESSAGES[name].fields, key=lambda f: f.number)
    assert params == [f.name for f in fields]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_type_that_its_field_can_carry_and_can_be_left_unset(name):
    for parameter in dataclasses.fields(registry.find(name).params):
        field = MESSAGES[name].fields_by_name[parameter.name]
        assert field.type in TYPES[parameter.type], parameter.name
        assert field.has_presence, f"{parameter.name}: 0 must not mean unset"


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_bounds_that_its_default_and_its_field_keep(name):
    params = registry.find(name).params
    for parameter in dataclasses.fields(params):
        low, high = parameter.metadata["low"], parameter.metadata["high"]
        assert low <= parameter.default <= high
        assert parameter.metadata["what"]
        unsigned = MESSAGES[name].fields_by_name[parameter.name].type in (
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_UINT64,
        )
        assert not (unsigned and low < 0)
    build(params, {f.name: f.default for f in dataclasses.fields(params)}, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_can_name_every_parameters_type(name):
    assert {f.type for f in dataclasses.fields(registry.find(name).params)} <= set(KIND_OF)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_what_it_is_where_it_is_from_and_what_it_costs(name):
    method = registry.find(name)
    assert method.summary.endswith(".")
    assert method.paper
    assert method.needs
    assert method.cost(method.params()) >= 1
