"""Everything put together, and taken apart again: the only module that imports all the others."""

import asyncio
import dataclasses
import json
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

import torch

import sidelight.editors
import sidelight.methods
import sidelight.metrics
from sidelight.config import Config, ConfigError, Embedded
from sidelight.config import Editor as EditorConfig
from sidelight.config import Model as ModelConfig
from sidelight.config import Twin as TwinConfig
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.editor import Editor
from sidelight.core.errors import Exhausted, SidelightError, Unavailable, Unsupported
from sidelight.core.memory import is_full
from sidelight.core.predictor import Executor, ModelSpec, Predictor
from sidelight.editors.store import FrameStore
from sidelight.engine.engine import Engine
from sidelight.engine.gate import Gate
from sidelight.engine.threads import alone
from sidelight.predictors import networks
from sidelight.predictors.card import Card, CardError, read_card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.explanation import ExplanationPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.triton import TritonPredictor
from sidelight.predictors.triton_endpoint import TritonEndpoint
from sidelight.predictors.twin import TwinPredictor, own_twin
from sidelight.predictors.twin_networks import differentiable
from sidelight.rpc.catalogue import Static
from sidelight.rpc.desk import Desk
from sidelight.rpc.roster import Roster
from sidelight.rpc.server import CannotListen, Listen, Server
from sidelight.rpc.servicer import ExplanationServicer
from sidelight.rpc.sources import Limits
from sidelight.rpc.studio import Studio
from sidelight.telemetry import Telemetry, serve_metrics
from sidelight.watch import TwinSource, Watch
from sidelight.workshop import EditorSource, EditorWatch

log = logging.getLogger(__name__)

SENDING = 5.0  # seconds in which finished answers are still sent at shutdown
Makers = dict[str, Callable[[], Predictor]]  # by the model's name
Twins = dict[str, TwinSource]  # likewise
Editors = dict[str, EditorSource]  # by the editor's name


class Service:
    """The service. `start`, then `stop`, on one event loop."""

    def __init__(
        self, config: Config, makers: Makers, twins: Twins | None = None, editors: Editors | None = None
    ) -> None:
        """`makers` make the predictors: in the background, again and again where the endpoint is away.

        `twins` make the twins of those models that have any, `editors` the image editors that have weights.
        """
        twins = twins or {}
        registry.load(sidelight.methods)
        registry.load(sidelight.metrics)
        registry.load(sidelight.editors)
        self._config = config
        self.telemetry = Telemetry()
        self.engine = Engine(
            self.telemetry, plan_threads=config.engine.plan_threads, local_processes=config.engine.local_processes
        )
        self.roster = Roster()
        self.studio = Studio(FrameStore(config.engine.frame_cache_bytes))
        self._editors = self._set_up(editors or {})
        self._gate = Gate(config.server.max_requests)
        self.telemetry.watch_queue(lambda: self._gate.inside())
        limits = Limits(
            config.limits.max_image_pixels,
            config.limits.max_text_characters,
            config.limits.max_units,
            config.limits.max_targets,
            config.limits.frame_bytes,
        )
        longest = config.limits.max_duration_seconds
        self._desk = Desk(
            self.engine, self._gate, self.roster, limits, self.telemetry, self.studio,
            max_duration=longest, threads=config.engine.codec_threads,
        )  # fmt: skip
        self._static = Static(limits, config.server.max_request_bytes, config.server.max_requests, longest)
        self._watches = [
            Watch(
                name,
                make,
                self.engine,
                self.roster,
                config.engine.poll_seconds,
                self._joined,
                twins.get(name),
                self.telemetry.twin_gap,
            )
            for name, make in makers.items()
        ]
        self._tasks: list[asyncio.Task] = []
        self._draining = False
        self._hurried = False
        self._metrics: WSGIServer | None = None
        self._server: Server | None = None

    async def start(self) -> dict[str, str]:
        """Listen, and look for the models. Returns the addresses. Raises CannotListen."""
        server = self._config.server
        self._server = Server(_listen(self._config), ExplanationServicer(self._desk, self._static), self.telemetry)
        try:
            self._metrics = serve_metrics(self.telemetry.registry, server.host, server.metrics_port)
        except OSError as error:
            raise CannotListen(f"cannot listen on {server.host}:{server.metrics_port}: {error.strerror}") from error
        await self._server.start()
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(lambda: self._spawn(self._tell_readiness()))

        self.roster.changed = changed
        await self._tell_readiness()
        for watch in self._watches:
            self._spawn(watch.follow())
        for editor in self._editors:
            self._spawn(editor.follow())
        return {
            "grpc": f"{server.host}:{self._server.port}",
            "metrics": f"http://{server.host}:{self._metrics.server_port}/metrics",
        }

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and task.exception():
            log.error("a background task failed", exc_info=task.exception())

    def _set_up(self, editors: Editors) -> list[EditorWatch]:
        """Have the editors without weights at once, on the CPU, and return what makes the others."""

        def watch(name: str, source: EditorSource) -> EditorWatch:
            return EditorWatch(name, source, self.engine, self.studio, self._joined, self.telemetry.editor_ready)

        for name, kind in kinds.kinds().items():
            if not kind.weights:
                source = EditorSource(name, partial(kind.make, torch.device("cpu")))
                watch(name, source).join(source.make())
        return [watch(name, source) for name, source in editors.items()]

    def _joined(self, executor: Executor) -> None:
        device = executor.placement.device
        if device.type == "cuda":
            self.telemetry.watch_memory(executor.lane, device)

    async def _tell_readiness(self) -> None:
        states = self.roster.states()
        for state in states:
            self.telemetry.model_ready(state.name, state.ready)
        if self._server is not None:
            await self._server.set_ready(not self._draining and any(s.ready for s in states))

    async def stop(self) -> None:
        """Take nothing new, let what runs end within `drain_seconds`, kill the rest, stop every thread."""
        self._draining = True
        self._desk.drain()
        if self._server is not None:
            await self._server.set_ready(False)
        ends = asyncio.get_running_loop().time() + self._config.server.drain_seconds
        log.info("draining", extra={"running": self._gate.inside()})
        # Polled: places are freed from other threads, and a shutdown is in no hurry.
        while self._gate.inside() and not self._hurried and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.to_thread(self._close)
        if self._server is not None:
            await self._server.stop(SENDING)
        self._desk.close()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.shutdown)
            self._metrics.server_close()
        log.info("stopped")

    def hurry(self) -> None:
        """Wait for nobody: cut a drain short."""
        self._hurried = True

    def _close(self) -> None:
        for watch in self._watches:
            watch.close()
        self.engine.close()


def _listen(config: Config) -> Listen:
    server = config.server
    return Listen(
        server.host,
        server.port,
        server.max_request_bytes,
        # The gate refuses first and says when to come back; this only bounds what waits to be looked at.
        max_calls=2 * server.max_requests + 64,
        certificate=server.certificate.read_bytes() if server.certificate else None,
        key=server.key.read_bytes() if server.key else None,
        tokens=server.tokens,
    )


def makers(config: Config, source: str) -> Makers:
    """How to make the predictor of each model. Raises ConfigError for cards that will not do."""
    endpoints = Endpoints()
    found: Makers = {}
    for i, model in enumerate(config.models):
        card = _card(model, source, f"models[{i}]")
        if card.model in found:
            raise ConfigError(source, f"models[{i}].name", f"{card.model!r} is used twice; names are unique")
        if model.embedded is not None:
            found[card.model] = _embedded(model.embedded, model, card)
        elif model.triton is not None:
            found[card.model] = _served(model.triton, model, card, endpoints)
    return found


def _card(model: ModelConfig, source: str, key: str) -> Card:
    if model.card is None:
        return Card(str(model.name))
    try:
        card = read_card(model.card)
    except CardError as error:
        raise ConfigError(source, f"{key}.card", str(error)) from error
    if model.embedded is not None and model.name is not None:
        return dataclasses.replace(card, model=model.name)  # the same card may serve a copy beside the served model
    if model.name not in (None, card.model):
        raise ConfigError(source, f"{key}.name", f"{card.model!r} as its card says, or leave it out")
    return card


class Endpoints:
    """One connection for each Triton, whatever the number of its models."""

    def __init__(self) -> None:
        self._by_url: dict[str, TritonEndpoint] = {}

    def at(self, url: str, model: ModelConfig) -> TritonEndpoint:
        """The endpoint at `url`, with the settings of the first model that needs it."""
        if url not in self._by_url:
            self._by_url[url] = TritonEndpoint(
                url,
                concurrency=model.concurrency,
                timeout=model.timeout_seconds,
                shared_memory=model.shared_memory,
                device=model.device,
            )
        return self._by_url[url]


def _served(url: str, model: ModelConfig, card: Card, endpoints: Endpoints) -> Callable[[], Predictor]:
    def made(at: str, of: Card) -> TritonPredictor:
        return TritonPredictor(endpoints.at(at, model), of, priority=model.priority, batch_rows=model.batch_rows)

    aside = card.explanation
    if aside is None:
        return lambda: made(url, card)
    there = replace(card, model=aside.model or card.model)
    return lambda: ExplanationPredictor(made(url, card), made(aside.url or url, there), aside.tolerance, aside.version)


def _embedded(embedded: Embedded, model: ModelConfig, card: Card) -> Callable[[], Predictor]:
    def make() -> Predictor:
        device = torch.device(model.device)
        try:
            network = _network(embedded, device)
            return EmbeddedPredictor(
                network,
                card,
                device,
                precision=embedded.precision,
                batch_rows=model.batch_rows,
                version=embedded.version,
            )
        except SidelightError:
            raise
        except Exception as error:  # somebody else's network may raise anything, and only its model must be away
            log.exception("model %s cannot be made", card.model)
            raise Unsupported("MODEL_SOURCE", card.model, f"it cannot be made: {error}") from error

    return make


def _network(embedded: Embedded, device: torch.device) -> Network:
    name, where = embedded.source
    if name == "factory":
        return networks.from_factory(str(where), embedded.arguments or {}, device)
    read = {"torchscript": networks.from_torchscript, "export": networks.from_exported, "onnx": networks.from_onnx}
    return read[name](Path(where), device)


def twins(config: Config, source: str) -> Twins:
    """How to make the twin of each model that has one: what its table says, or an embedded model's own network."""
    found: Twins = {}
    for i, model in enumerate(config.models):
        if model.twin is not None or model.embedded is not None:
            card = _card(model, source, f"models[{i}]")
            found[card.model] = TwinSource(_twin(model, model.twin or TwinConfig()), model.executor == "twin")
    return found


def _twin(model: ModelConfig, twin: TwinConfig) -> Callable[[Predictor, ModelSpec], TwinPredictor]:
    def make(predictor: Predictor, spec: ModelSpec) -> TwinPredictor:
        with ExitStack() as after:
            if isinstance(predictor, EmbeddedPredictor):
                after.callback(predictor.forget)
            try:
                return _made_twin(model, twin, predictor, spec)
            except SidelightError:
                raise
            except (MemoryError, torch.OutOfMemoryError) as error:
                after.pop_all()  # it is tried again, with the same network
                raise Exhausted("device memory", f"there is no room for the twin of {spec.name}: {error}") from error
            except Exception as error:  # somebody else's network may raise anything, and only its twin must be away
                log.exception("the twin of model %s cannot be made", spec.name)
                raise Unsupported("TWIN_SOURCE", spec.name, f"it cannot be made: {error}") from error

    return make


def _made_twin(model: ModelConfig, twin: TwinConfig, predictor: Predictor, spec: ModelSpec) -> TwinPredictor:
    """From the twin's own source, or else from the embedded model's."""
    device = torch.device(twin.device or model.device)
    options: dict[str, Any] = {"tolerance": twin.tolerance, "layers": twin.layers, "batch_rows": twin.batch_rows}
    sources: Mapping[str, str | Path] = twin.sources
    if not sources and model.embedded is not None and model.embedded.export is not None:
        sources = model.embedded.sources
    for name, where in sources.items():
        return TwinPredictor(differentiable(name, where, twin.arguments or {}, device), spec, device, **options)
    assert isinstance(predictor, EmbeddedPredictor)  # or else it has a source
    return own_twin(predictor, spec, device, **options)


def editors(config: Config, source: str) -> Editors:
    """How to make each configured editor. Raises ConfigError for kinds that there are not."""
    registry.load(sidelight.editors)
    absent = registry.absent("editors")
    known = sorted({*absent, *(name for name, kind in kinds.kinds().items() if kind.weights)})
    found: Editors = {}
    for i, editor in enumerate(config.editors):
        kind = str(editor.kind)
        if kind not in known:
            raise ConfigError(source, f"editors[{i}].kind", f"one of {', '.join(known) or 'none'}, not {kind!r}")
        if editor.label in kinds.kinds() and editor.label != kind:
            raise ConfigError(source, f"editors[{i}].name", f"another: {editor.label} is a kind of editors itself")
        found[editor.label] = EditorSource(kind, _editor(editor, absent.get(kind, "")))
    return found


def _editor(config: EditorConfig, absent: str) -> Callable[[], Editor]:
    def make() -> Editor:
        if absent:
            raise Unsupported("EDITOR_SOURCE", config.label, f"it {absent}")
        try:
            return kinds.find(str(config.kind)).make(
                name=config.label,
                model=config.model,
                device=torch.device(config.device),
                precision=config.precision,
                batch_rows=config.batch_rows,
            )
        except SidelightError:
            raise
        except OSError as error:  # a folder that is not there yet, or a hub that does not answer
            raise Unavailable(f"its weights cannot be read: {error}") from error
        except Exception as error:  # somebody else's pipeline may raise anything, and only its editor must be away
            log.exception("editor %s cannot be made", config.label)
            if is_full(error):
                raise Exhausted("device memory", f"there is no room for editor {config.label}: {error}") from error
            raise Unsupported("EDITOR_SOURCE", config.label, f"it cannot be made: {error}") from error

    return make


async def serve(config: Config, makers: Makers, twins: Twins | None = None, editors: Editors | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Says where it listens in one line of JSON on standard output."""
    service = Service(config, makers, twins, editors)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    alone()
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="aside", initializer=alone))

    def end() -> None:
        if ended.is_set():  # asked twice: whoever asks does not want to wait for the drain
            service.hurry()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        addresses = await service.start()
        service.engine.warm()
        print(json.dumps({"event": "ready", **addresses}), flush=True)
        await ended.wait()
    finally:
        await service.stop()
