"""Metrics for Prometheus and logs as JSON. Labels come from configured lists only: no caller can make new series."""

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import prometheus_client
import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import ThreadingWSGIServer

import sidelight
from sidelight.core.ask import TWIN, Ask, Edit
from sidelight.engine.observer import Label
from sidelight.rpc.observer import request_id

RPC = ("grpc_type", "grpc_service", "grpc_method")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ERRORS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100)
TENTHS = tuple(n / 10 for n in range(1, 11))
BUSY_WINDOW = 30.0  # seconds over which a lane's busy ratio is taken
UNKNOWN = "unknown"  # method or model of a request that was refused before it could be told


class Telemetry:
    """All metrics of one service, in a registry of their own. Observes the engine and the RPC layer."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        for collector in (
            prometheus_client.ProcessCollector,
            prometheus_client.PlatformCollector,
            prometheus_client.GCCollector,
        ):
            collector(registry=r)
        self._started = Counter("grpc_server_started", "RPCs begun.", RPC, registry=r)
        self._handled = Counter("grpc_server_handled", "RPCs ended, by code.", (*RPC, "grpc_code"), registry=r)
        self._handling = Histogram("grpc_server_handling_seconds", "Seconds of RPCs.", RPC, registry=r, buckets=SECONDS)
        whose = ("method", "model")
        self._explanations = Counter(
            "sidelight_explanations", "Explanations ended, by gRPC code.", (*whose, "outcome"), registry=r
        )
        self._explanation_seconds = Histogram(
            "sidelight_explanation_seconds", "Seconds from receipt to answer.", whose, registry=r, buckets=SECONDS
        )
        self._converged = Counter(
            "sidelight_converged", "Answers that reached their tolerance, or did all rows.", whose, registry=r
        )
        self._partial = Counter("sidelight_partial", "Answers of fewer rows than asked.", ("reason",), registry=r)
        self._attribution_error = Histogram(
            "sidelight_attribution_error_ratio",
            "|R - T| over |T| of maps along a path.",
            whose,
            registry=r,
            buckets=ERRORS,
        )
        self._gradient = Histogram(
            "sidelight_property_gradient",
            "Expected property gradient magnitude S of a series, by what edited it; of any N.",
            ("model", "property"),
            registry=r,
            buckets=ERRORS,
        )
        self._wait = Histogram(
            "sidelight_queue_wait_seconds", "Seconds from admission to the first row.", registry=r, buckets=SECONDS
        )
        self._depth = Gauge("sidelight_queue_depth", "Explanations admitted and not answered.", registry=r)
        self._batch_rows = Histogram("sidelight_batch_rows", "Rows in a batch.", ("ask",), registry=r, buckets=ROWS)
        self._fill = Histogram(
            "sidelight_batch_fill_ratio", "Rows in a batch over its room.", ("ask",), registry=r, buckets=TENTHS
        )
        self._evaluations = Counter(
            "sidelight_model_evaluations", "Model evaluations answered.", (*whose, "executor"), registry=r
        )
        self._edits = Counter("sidelight_image_edits", "Images edited.", ("editor",), registry=r)
        self._edit_seconds = Histogram(
            "sidelight_edit_batch_seconds",
            "Seconds of batches of edits.",
            ("editor", "code"),
            registry=r,
            buckets=SECONDS,
        )
        self._upstream = Histogram(
            "sidelight_upstream_seconds", "Seconds of calls to a model.", ("model", "code"), registry=r, buckets=SECONDS
        )
        self._in_flight = Gauge("sidelight_upstream_in_flight", "Calls to models under way.", ("lane",), registry=r)
        self._busy = Gauge(
            "sidelight_device_busy_ratio", f"Part of the last {BUSY_WINDOW:.0f} s.", ("lane",), registry=r
        )
        self._memory = Gauge("sidelight_device_memory_bytes", "Memory held on the device.", ("lane",), registry=r)
        self._ready = Gauge("sidelight_model_ready", "1 where the model answers.", ("model",), registry=r)
        self._editor_ready = Gauge(
            "sidelight_editor_ready", "1 where the editor can be asked.", ("editor",), registry=r
        )
        self._twin_gap = Gauge(
            "sidelight_twin_gap", "The twin's last difference from the served model, over its largest output.",
            ("model",), registry=r,
        )  # fmt: skip
        Gauge("sidelight_build_info", "The running version.", ("version",), registry=r).labels(
            sidelight.__version__
        ).set(1)
        self._windows: dict[str, Window] = {}

    # -- the engine (engine.observer.Observer) -----------------------------------------------------------------------

    def batch(self, lane: str, ask: Ask, rows: int, room: int, seconds: float) -> None:
        self._batch_rows.labels(ask.kind).observe(rows)
        self._fill.labels(ask.kind).observe(rows / room)
        if lane not in self._windows:
            self._windows[lane] = Window(BUSY_WINDOW)
            self._busy.labels(lane).set_function(self._windows[lane].ratio)
        self._windows[lane].add(seconds)

    def rows(self, label: Label, ask: Ask, rows: int) -> None:
        if isinstance(ask, Edit):
            self._edits.labels(ask.editor).inc(rows)
        else:
            executor = TWIN if _variant_of(ask) else label.executor
            self._evaluations.labels(label.method, _model_of(ask) or label.model, executor).inc(rows)

    def call(self, ask: Ask, seconds: float, code: str) -> None:
        if isinstance(ask, Edit):
            self._edit_seconds.labels(ask.editor, code).observe(seconds)
        else:
            self._upstream.labels(_model_of(ask) or UNKNOWN, code).observe(seconds)

    def in_flight(self, lane: str, calls: int) -> None:
        self._in_flight.labels(lane).set(calls)

    def queue_wait(self, seconds: float) -> None:
        self._wait.observe(seconds)

    # -- the RPC layer (rpc.observer.RpcObserver) --------------------------------------------------------------------

    def started(self, kind: str, service: str, method: str) -> None:
        self._started.labels(kind, service, method).inc()

    def handled(self, kind: str, service: str, method: str, code: str, seconds: float) -> None:
        self._handled.labels(kind, service, method, code).inc()
        self._handling.labels(kind, service, method).observe(seconds)

    def explained(self, method: str, models: tuple[str, ...], outcome: str, seconds: float) -> None:
        for model in models or (UNKNOWN,):
            self._explanations.labels(method or UNKNOWN, model, outcome).inc()
            self._explanation_seconds.labels(method or UNKNOWN, model).observe(seconds)

    def answered(self, method: str, model: str, converged: bool, stop: str) -> None:
        if converged:
            self._converged.labels(method, model).inc()
        else:
            self._partial.labels(stop).inc()

    def twin_gap(self, model: str, gap: float) -> None:
        self._twin_gap.labels(model).set(gap)

    def attribution_error(self, method: str, model: str, ratio: float) -> None:
        self._attribution_error.labels(method, model).observe(ratio)

    def property_gradient(self, model: str, editor: str, score: float) -> None:
        self._gradient.labels(model, editor).observe(score)

    # -- what is asked for at each scrape ----------------------------------------------------------------------------

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Report the number of admitted requests."""
        self._depth.set_function(length)

    def watch_memory(self, lane: str, device: torch.device) -> None:
        """Report the memory that this process holds on a CUDA device."""
        self._memory.labels(lane).set_function(lambda: torch.cuda.memory_allocated(device))

    def editor_ready(self, editor: str, ready: bool) -> None:
        """Report whether an editor can be asked."""
        self._editor_ready.labels(editor).set(ready)

    def model_ready(self, model: str, ready: bool) -> None:
        """Report whether a model answers."""
        self._ready.labels(model).set(ready)


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> WSGIServer:
    """Serve /metrics from a thread until `shutdown`. Raises OSError where the address cannot be had."""
    app = prometheus_client.make_wsgi_app(registry)
    server = make_server(host, port, app, ThreadingWSGIServer, handler_class=_Quiet)
    # prometheus_client's own start_http_server takes half a second to shut down.
    options = {"poll_interval": 0.05}
    threading.Thread(target=server.serve_forever, kwargs=options, name="metrics", daemon=True).start()
    return server


class _Quiet(WSGIRequestHandler):
    """Scrapes are not worth a line in the log."""

    def log_message(self, format: str, *args: Any) -> None: ...


def _model_of(ask: Ask) -> str | None:
    model = getattr(ask, "model", None)
    return model.name if model else None


def _variant_of(ask: Ask) -> str:
    """Of the model; empty for the served one, which checks of its twin are asked of too."""
    model = getattr(ask, "model", None)
    return model.variant if model else ""


class Window:
    """The busy part of the last `length` seconds. Thread-safe."""

    def __init__(self, length: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._length, self._clock = length, clock
        self._spans: deque[tuple[float, float]] = deque()  # when a span ended, its seconds
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Note that the lane was busy for the last `seconds`."""
        with self._lock:
            self._spans.append((self._clock(), seconds))
            self._forget()

    def ratio(self) -> float:
        """In 0..1."""
        with self._lock:
            self._forget()
            since = self._clock() - self._length
            return min(sum(end - max(end - s, since) for end, s in self._spans) / self._length, 1.0)

    def _forget(self) -> None:
        while self._spans and self._spans[0][0] <= self._clock() - self._length:
            self._spans.popleft()


# -- logs ------------------------------------------------------------------------------------------------------------

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id where there is one, and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up_logging(level: str, form: str) -> None:
    """Log to standard error, as `form` "json" or "text"."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
