"""Editors of a service: those without weights at once, the configured ones in the background, if need be again."""

import asyncio
import dataclasses

import pytest
import torch
from doubles import LinearPredictor
from editor_doubles import StepEditor
from in_process import running
from sidelight import wiring
from sidelight.config import Config, ConfigError
from sidelight.config import Editor as EditorConfig
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.errors import Exhausted, SidelightError, Unavailable, Unsupported
from sidelight.editors.store import FrameStore
from sidelight.engine.engine import Engine
from sidelight.rpc.studio import Studio
from sidelight.workshop import EditorSource, EditorWatch


@pytest.fixture
def engine():
    started = Engine()
    yield started
    started.close()


def watch(engine, make, **kwargs):
    studio = Studio(FrameStore(0))
    return studio, EditorWatch("step", EditorSource("step", make), engine, studio, **kwargs)


def state(studio):
    return next(s for s in studio.states() if s.name == "step")


async def test_an_editor_that_is_made_can_be_asked(engine):
    editor, told, joined = StepEditor(), [], []
    ready = lambda name, ready: told.append((name, ready))  # noqa: E731
    studio, follower = watch(engine, lambda: editor, ready=ready, joined=joined.append)
    assert told == [("step", False)] and state(studio).editor is None
    await follower.follow()
    assert told == [("step", False), ("step", True)] and state(studio).editor is editor
    assert [executor.lane for executor in joined] == ["steps"]


async def test_one_that_cannot_be_made_is_given_up_with_its_reason(engine):
    def make():
        raise Unsupported("EDITOR_SOURCE", "step", "no such pipeline")

    studio, follower = watch(engine, make)
    await asyncio.wait_for(follower.follow(), 5)
    assert state(studio).given_up and "no such pipeline" in state(studio).reason


async def test_one_that_has_to_wait_is_made_when_it_can_be(engine):
    tries = []

    def make():
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("the hub does not answer")
        return StepEditor()

    studio, follower = watch(engine, make, soonest=0.05)
    task = asyncio.create_task(follower.follow())
    await asyncio.sleep(0.03)
    assert "the hub" in state(studio).reason and not state(studio).given_up
    await asyncio.wait_for(task, 5)
    assert len(tries) == 3 and state(studio).editor is not None


async def test_a_service_has_editors_without_weights_and_starts_before_the_others_are_made():
    made = asyncio.Event()
    loop = asyncio.get_running_loop()

    def make():
        asyncio.run_coroutine_threadsafe(made.wait(), loop).result(10)
        return StepEditor()

    async with running(LinearPredictor(), editors={"step": EditorSource("step", make)}) as up:
        studio = up.service.studio
        assert studio.find("parametric").name == "parametric" and studio.find("captured").name == "captured"
        assert state(studio).editor is None and up.metric("sidelight_editor_ready", editor="step") == 0
        made.set()
        while state(studio).editor is None:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)
        assert up.metric("sidelight_editor_ready", editor="step") == 1
    assert state(studio).editor.closed


@pytest.fixture
def registered(monkeypatch):
    """A kind with weights, made by what a test puts in the list."""
    makers = []
    kind = kinds.Kind("step", object, "none", lambda **given: makers[0](**given), True, "Adds up.")
    monkeypatch.setattr(kinds, "_KINDS", {**kinds.kinds(), "step": kind})
    return makers


CONFIGURED = EditorConfig(kind="step", name="mine", model="weights", device="cpu", precision="float32", batch_rows=3)


def source(*editors):
    return wiring.editors(Config(editors=editors), "s.toml")


def test_a_kind_is_given_what_is_configured(registered):
    given = []
    registered.append(lambda **kwargs: given.append(kwargs) or StepEditor())
    made = source(CONFIGURED)["mine"]
    assert made.kind == "step"
    made.make()
    device = torch.device("cpu")
    assert given == [
        {"name": "mine", "model": "weights", "device": device, "precision": "float32", "batch_rows": 3}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("no such folder"), Unavailable),
        (torch.OutOfMemoryError("device"), Exhausted),
        (RuntimeError("CUDA error: out of memory"), Exhausted),
        (KeyError("unet"), Unsupported),
        (Exhausted("device memory", "full"), Exhausted),
    ],
)
def test_what_keeps_an_editor_from_being_made_is_tried_again_where_that_may_help(registered, error, told):
    def broken(**kwargs):
        raise error

    registered.append(broken)
    with pytest.raises(SidelightError) as raised:
        source(CONFIGURED)["mine"].make()
    assert type(raised.value) is told


def test_a_kind_whose_package_is_absent_is_told_when_it_is_made_and_keeps_nothing_from_starting(monkeypatch):
    wiring.editors(Config(), "s.toml")
    monkeypatch.setattr(registry, "_ABSENT", {"editors": {"far": "needs the package diffusers"}})
    with pytest.raises(Unsupported, match="needs the package diffusers"):
        source(EditorConfig(kind="far", model="weights"))["far"].make()


def test_a_kind_that_there_is_not_or_that_needs_no_weights_is_a_mistake_of_the_configuration(registered):
    for wrong in ("clay", "parametric"):
        with pytest.raises(ConfigError, match="step") as refused:
            source(dataclasses.replace(CONFIGURED, kind=wrong))
        assert refused.value.key == "editors[0].kind"
    with pytest.raises(ConfigError) as refused:
        source(dataclasses.replace(CONFIGURED, name="captured"))
    assert refused.value.key == "editors[0].name"
