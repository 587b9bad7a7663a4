"""The studio: an editor by kind and name, or why there is none."""

import pytest
from editor_doubles import StepEditor
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.errors import InvalidRequest, Unavailable, Unknown, Unsupported
from sidelight.editors.store import FrameStore
from sidelight.rpc.studio import Studio


@pytest.fixture
def studio(monkeypatch):
    """Of two kinds that there are, and one whose package is absent."""
    registered = {
        "step": kinds.Kind("step", object, "none", StepEditor, True, "Adds up."),
        "plain": kinds.Kind("plain", object, "none", StepEditor, False, "Adds up."),
    }
    monkeypatch.setattr(kinds, "_KINDS", registered)
    monkeypatch.setattr(registry, "_ABSENT", {"editors": {"far": "needs the package diffusers"}})
    found = Studio(FrameStore(0))
    found.note("plain", "plain", PLAIN)
    return found


PLAIN, A, B = StepEditor("plain"), StepEditor("a"), StepEditor("b")


def test_the_only_editor_of_a_kind_needs_no_name(studio):
    assert studio.find("plain") is PLAIN
    studio.note("a", "step", A)
    assert studio.find("step") is A and studio.find("step", "a") is A


def test_of_several_one_has_to_be_named(studio):
    studio.note("a", "step", A)
    studio.note("b", "step", B)
    assert studio.find("step", "b") is B
    with pytest.raises(InvalidRequest, match="a, b") as refused:
        studio.find("step")
    assert refused.value.field == "editor"


def test_a_name_of_another_kind_is_unknown(studio):
    studio.note("a", "step", A)
    for name in ("plain", "c"):
        with pytest.raises(Unknown, match="there is a"):
            studio.find("step", name)
    with pytest.raises(Unknown, match="kind of editor"):
        studio.find("clay")


def test_why_there_is_none_is_told(studio):
    with pytest.raises(Unsupported, match=r"none is configured.*\[\[editors\]\]"):
        studio.find("step")
    with pytest.raises(Unsupported, match="needs the package diffusers"):
        studio.find("far")
    studio.note("a", "step")
    with pytest.raises(Unavailable, match="being made"):
        studio.find("step")
    studio.note("a", "step", reason="the hub does not answer")
    with pytest.raises(Unavailable, match="the hub"):
        studio.find("step", "a")
    studio.note("a", "step", reason="another architecture", given_up=True)
    with pytest.raises(Unsupported, match="another architecture"):
        studio.find("step")


def test_states_are_of_every_kind_with_the_reason(studio):
    studio.note("a", "step", A)
    studio.note("b", "step")
    states = {s.name: s for s in studio.states()}
    assert list(states) == ["a", "b", "plain", "far"]
    assert (states["a"].editor, states["a"].reason) == (A, "")
    assert states["b"].editor is None and "being made" in states["b"].reason and not states["b"].given_up
    assert states["far"].given_up and "diffusers" in states["far"].reason


def test_a_kind_without_an_editor_is_told_by_its_own_name(studio):
    (step, *_) = studio.states()
    assert (step.name, step.kind, step.editor) == ("step", "step", None) and "none is configured" in step.reason
