"""The configuration: one TOML file, then environment variables SIDELIGHT_<SECTION>__<KEY>. Every mistake is named.

`python -m sidelight --print-config` prints all keys with their defaults and what they mean: what stands here.
"""

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

# ruff: noqa: RUF009 -- `option` makes a dataclass field; the rule does not see it beside a Path

PREFIX = "SIDELIGHT_"
SOURCES = ("factory", "torchscript", "export", "onnx")


class ConfigError(Exception):
    """`key` (dotted) in `source`, a file or the environment, will not do; `mend` says what would."""

    def __init__(self, source: str, key: str, mend: str) -> None:
        super().__init__(f"{source}: {key}: {mend}" if key else f"{source}: {mend}")
        self.source, self.key, self.mend = source, key, mend


def option(
    default: Any, what: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A key with its default, bounds and meaning. A `Path` is relative to the file that names it."""
    return dataclasses.field(default=default, metadata={"what": what, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class Server:
    """Where and how the service listens."""

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 for all, in a container")
    port: int = option(8085, "gRPC port; 0 chooses a free one", low=0, high=65535)
    metrics_port: int = option(8086, "HTTP port of /metrics; 0 chooses a free one", low=0, high=65535)
    max_request_bytes: int = option(64 << 20, "largest request in bytes", low=1024, high=1 << 30)
    max_requests: int = option(64, "explanations admitted at once", low=1, high=100_000)
    drain_seconds: float = option(30.0, "time for running explanations at shutdown", low=0, high=3600)
    certificate: Path | None = option(None, "PEM file with the certificate chain; with key: TLS")
    key: Path | None = option(None, "PEM file with the private key")
    tokens: tuple[str, ...] = option((), "bearer tokens that are let in; empty: everybody")


@dataclass(frozen=True)
class Limits:
    """Static limits of requests."""

    max_image_pixels: int = option(50_000_000, "largest image, width x height", low=1, high=1_000_000_000)
    max_text_characters: int = option(20_000, "longest text", low=1, high=10_000_000)
    max_units: int = option(2_000, "words or tokens of a text", low=1, high=100_000)
    max_targets: int = option(50, "results in one answer, of all models together", low=1, high=10_000)
    frame_bytes: int = option(512 << 20, "frames of all series of one request, in bytes", low=1 << 20, high=1 << 40)
    max_duration_seconds: float = option(600.0, "for callers that set no deadline", low=0.1, high=86_400)


@dataclass(frozen=True)
class Engine:
    """Threads and processes of this service."""

    plan_threads: int = option(4, "threads that step methods", low=1, high=256)
    codec_threads: int = option(2, "threads that decode images and encode answers", low=1, high=256)
    local_processes: int = option(1, "processes for heavy host work", low=1, high=256)
    frame_cache_bytes: int = option(1 << 30, "edited images kept for later requests, in bytes", low=0, high=1 << 40)
    poll_seconds: float = option(1.0, "how often models are asked for new versions", low=0.05, high=3600)


@dataclass(frozen=True)
class Logging:
    """Logs, on standard error."""

    level: str = option("info", "how much", choices=("debug", "info", "warning", "error"))
    format: str = option("json", "json, one object a line, or text", choices=("json", "text"))


@dataclass(frozen=True)
class Embedded:
    """A model inside this service: exactly one of factory, torchscript, export and onnx."""

    factory: str | None = option(None, 'Python function that makes it, "package.module:function" or "file.py:function"')
    arguments: Mapping[str, Any] | None = option(None, "keyword arguments of the factory, a table")
    torchscript: Path | None = option(None, "TorchScript file")
    export: Path | None = option(None, "torch.export file")
    onnx: Path | None = option(None, "ONNX file")
    version: str = option("1", "the version to answer with")
    precision: str = option(
        "float32", "arithmetic; auto measures which is fastest here", choices=("float32", "bfloat16", "float16", "auto")
    )

    @property
    def sources(self) -> dict[str, str | Path]:
        """Those of the four that are set."""
        return {name: getattr(self, name) for name in SOURCES if getattr(self, name) is not None}

    @property
    def source(self) -> tuple[str, str | Path]:
        """The one that is set, once the configuration was checked."""
        ((name, value),) = self.sources.items()
        return name, value


@dataclass(frozen=True)
class Twin:
    """The same network in this process, for gradients: one of factory, torchscript, export and onnx.

    An embedded torch model is its own: without any of them, what is set here is of that.
    """

    factory: str | None = option(None, 'Python function that makes it, "package.module:function" or "file.py:function"')
    arguments: Mapping[str, Any] | None = option(None, "keyword arguments of the factory, a table")
    torchscript: Path | None = option(None, "TorchScript file; gradients at the input only")
    export: Path | None = option(None, "torch.export file")
    onnx: Path | None = option(None, "ONNX file; needs the package onnx2torch")
    device: str | None = option(None, "where it runs; absent: the model's device")
    tolerance: float = option(
        1e-3, "largest difference from the served model, over its largest output", low=1e-9, high=1.0
    )
    layers: tuple[str, ...] = option((), "layers to list; empty: all")
    batch_rows: int | None = option(None, "rows in a batch; absent: as measured", low=1, high=4096)

    @property
    def sources(self) -> dict[str, str | Path]:
        """Those of the four that are set."""
        return {name: getattr(self, name) for name in SOURCES if getattr(self, name) is not None}


@dataclass(frozen=True)
class Model:
    """A model to explain: on a Triton, or embedded."""

    name: str | None = option(None, "its name in requests, and in Triton; absent: as its card says")
    card: Path | None = option(None, "its model card; absent: what Triton tells, and nothing of its outputs")
    triton: str | None = option(None, "Triton's gRPC address, host:port")
    embedded: Embedded | None = option(None, "instead of triton: a model inside this service")
    twin: Twin | None = option(None, "the same network in this process, for gradients")
    executor: str = option(
        "served", "who takes rows that need no gradient: the served model, or its twin", choices=("served", "twin")
    )
    concurrency: int = option(2, "Triton: batches under way there at once, of all its models", low=1, high=64)
    priority: int | None = option(None, "Triton: request priority, 1 the highest; absent: the lowest", low=1)
    timeout_seconds: float = option(60.0, "Triton: time for one batch", low=0.1, high=3600)
    shared_memory: str = option("auto", "Triton: how rows reach it", choices=("auto", "system", "cuda", "none"))
    batch_rows: int | None = option(None, "rows in a batch; absent: as the model prefers", low=1, high=4096)
    device: str = option("cpu", 'where rows are made, and an embedded model runs: "cpu", "cuda", "cuda:1"')


@dataclass(frozen=True)
class Editor:
    """An image editor with weights of its own; those that are arithmetic on pixels are always there."""

    kind: str | None = option(None, "what it is: instruct_pix2pix, sdedit or ledits; needed")
    name: str | None = option(None, "its name in requests, answers and metrics; absent: its kind")
    model: str | None = option(None, "a folder as diffusers saves it, or its name on the Hugging Face hub; needed")
    device: str = option("cpu", 'where it runs: "cpu", "cuda", "cuda:1"')
    precision: str = option(
        "auto", "arithmetic; auto: what suits the device", choices=("auto", "float32", "bfloat16", "float16")
    )
    batch_rows: int | None = option(None, "images in a batch; absent: what the editor prefers", low=1, high=4096)

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or self.kind or ""


@dataclass(frozen=True)
class Config:
    """All of it."""

    server: Server = Server()
    limits: Limits = Limits()
    engine: Engine = Engine()
    logging: Logging = Logging()
    models: tuple[Model, ...] = ()
    editors: tuple[Editor, ...] = ()


LISTS: dict[str, Any] = {"models": Model, "editors": Editor}  # tables that there may be several of
SECTIONS: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(Config) if f.name not in LISTS}


def load(
    path: Path | None,
    environment: Mapping[str, str],
    server: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Config:
    """Read `path` (None: no file), the environment, then the command line's `server` keys and its one more `model`.

    Raises ConfigError.
    """
    tables = _read(path) if path else {}
    source, base = str(path or "configuration"), path.parent if path else Path()
    known = [*SECTIONS, *LISTS]
    for key in tables:
        if key not in known:
            raise ConfigError(source, key, f"no such section; {_hint(key, known)}")
    sections = {name: _section(kind, tables.get(name, {}), source, name, base) for name, kind in SECTIONS.items()}
    for variable, section, key, text in _variables(environment):
        sections[section] = _override(sections[section], variable, section, key, text)
    arguments = _section(Server, server or {}, "arguments", "server", Path())
    changed = {key: getattr(arguments, key) for key in server or {}}
    sections["server"] = dataclasses.replace(sections["server"], **changed)
    lists = {name: _list(kind, tables.get(name, []), source, name, base) for name, kind in LISTS.items()}
    models = tuple(_rooted(entry, base) for entry in lists["models"])
    if model:
        models += (_section(Model, model, "arguments", "model", Path()),)
    config = Config(**sections, models=models, editors=tuple(_placed(e, base) for e in lists["editors"]))
    check(config, source)
    return config


def check(config: Config, source: str) -> None:
    """Raises ConfigError for what each key cannot tell by itself."""
    if (config.server.certificate is None) != (config.server.key is None):
        missing = "key" if config.server.key is None else "certificate"
        raise ConfigError(source, f"server.{missing}", "TLS needs both certificate and key")
    if not config.models:
        raise ConfigError(source, "models", "name at least one model: [[models]], or --triton and --model")
    of_triton: dict[str, tuple[str, Model]] = {}
    for i, model in enumerate(config.models):
        _check_model(model, source, f"models[{i}]", of_triton)
    names = [m.name for m in config.models if m.name is not None]
    for i, model in enumerate(config.models):
        if model.name is not None and names.count(model.name) > 1:
            raise ConfigError(source, f"models[{i}].name", f"{model.name!r} is used twice; names are unique")
    labels = [e.label for e in config.editors]
    for i, editor in enumerate(config.editors):
        _check_editor(editor, source, f"editors[{i}]")
        if labels.count(editor.label) > 1:
            raise ConfigError(source, f"editors[{i}].name", f"{editor.label!r} is used twice; names are unique")


def _check_editor(editor: Editor, source: str, key: str) -> None:
    if editor.kind is None:
        raise ConfigError(source, f"{key}.kind", "is needed: what editor it is")
    if not editor.model:
        raise ConfigError(source, f"{key}.model", "is needed: where its weights come from")
    if editor.model.startswith((".", "/", "~")) and not Path(editor.model).is_dir():
        raise ConfigError(source, f"{key}.model", f"a folder, or a name on the hub; there is no {editor.model}")
    if not re.fullmatch(r"[\w.-]{1,64}", editor.label):
        raise ConfigError(source, f"{key}.name", f"at most 64 letters, digits, _, - and ., not {editor.label!r}")


def _check_model(model: Model, source: str, key: str, of_triton: dict[str, tuple[str, Model]]) -> None:
    if (model.triton is None) == (model.embedded is None):
        raise ConfigError(source, key, 'set either triton = "host:port" or embedded = {...}')
    if model.name is None and model.card is None:
        raise ConfigError(source, f"{key}.name", "is needed where there is no card to tell it")
    if model.embedded is not None:
        _check_embedded(model.embedded, source, f"{key}.embedded")
    if model.triton is not None:
        _check_served(model, model.triton, source, key, of_triton)
    if model.twin is not None:
        _check_twin(model.twin, model.embedded is not None, source, f"{key}.twin")
    elif model.executor == "twin" and model.embedded is None:
        raise ConfigError(source, f"{key}.executor", 'served: a twin needs a table "twin" that names its source')


def _check_served(model: Model, url: str, source: str, key: str, of_triton: dict[str, tuple[str, Model]]) -> None:
    host, _, port = url.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(source, f"{key}.triton", f"host:port, such as localhost:8001, not {url!r}")
    first, same = of_triton.setdefault(url, (key, model))
    for name in ("concurrency", "timeout_seconds", "shared_memory", "device"):
        if getattr(same, name) != getattr(model, name):
            raise ConfigError(source, f"{key}.{name}", f"the same as {first}.{name}: both are of {url}")


def _check_embedded(embedded: Embedded, source: str, key: str) -> None:
    if len(embedded.sources) != 1:
        raise ConfigError(source, key, f"exactly one of {', '.join(SOURCES)}")
    _check_source(embedded, source, key)


def _check_twin(twin: Twin, embedded: bool, source: str, key: str) -> None:
    if len(twin.sources) > 1 or not (twin.sources or embedded):
        raise ConfigError(source, key, f"exactly one of {', '.join(SOURCES)}")
    if twin.sources:
        _check_source(twin, source, key)


def _check_source(of: Embedded | Twin, source: str, key: str) -> None:
    ((name, value),) = of.sources.items()
    if isinstance(value, Path) and not value.is_file():
        raise ConfigError(source, f"{key}.{name}", f"a file; there is no {value}")
    if name == "factory" and ":" not in str(value):
        raise ConfigError(source, f"{key}.factory", f"package.module:function or file.py:function, not {value!r}")
    if of.arguments is not None and name != "factory":
        raise ConfigError(source, f"{key}.arguments", "are for a factory: leave them out")


# -- reading ---------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"is not TOML: {error}") from None


def _section(kind: Any, table: Any, source: str, name: str, base: Path) -> Any:
    """The dataclass `kind` from a TOML table."""
    if not isinstance(table, Mapping):
        raise ConfigError(source, name, f"a table, not {table!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    found = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(source, f"{name}.{key}", f"no such key; {_hint(key, fields)}")
        found[key] = _value(fields[key], value, source, f"{name}.{key}", base)
    return kind(**found)


def _list(kind: Any, tables: Any, source: str, name: str, base: Path) -> tuple[Any, ...]:
    """The dataclasses `kind` from a list of tables."""
    if not isinstance(tables, list):
        raise ConfigError(source, name, f"tables, one for each: [[{name}]]")
    return tuple(_section(kind, table, source, f"{name}[{i}]", base) for i, table in enumerate(tables))


def _placed(editor: Editor, base: Path) -> Editor:
    """The editor with a folder relative to the configuration's; what is no folder there is a name on the hub."""
    folder = base / Path(editor.model or "").expanduser()
    return dataclasses.replace(editor, model=str(folder)) if editor.model and folder.is_dir() else editor


def _rooted(model: Model, base: Path) -> Model:
    """The model with factories' files relative to the configuration's."""
    for key in ("embedded", "twin"):
        of = getattr(model, key)
        name, separator, function = ((of and of.factory) or "").partition(":")
        if name.endswith(".py"):
            factory = f"{base / Path(name).expanduser()}{separator}{function}"
            model = dataclasses.replace(model, **{key: dataclasses.replace(of, factory=factory)})
    return model


def _value(field: dataclasses.Field, value: Any, source: str, key: str, base: Path) -> Any:
    """`value` as the field's type, within its bounds."""
    optional = isinstance(field.type, types.UnionType)
    kind: Any = typing.get_args(field.type)[0] if optional else field.type
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, source, key, base)
    if typing.get_origin(field.type) is tuple:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ConfigError(source, key, f"a list of texts, not {value!r}")
        return tuple(value)
    if typing.get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(source, key, f"a table, not {value!r}")
        return value
    names = {int: "a whole number", float: "a number", str: "a text", Path: "a file name", bool: "true or false"}
    accepted = {int: int, float: int | float, str: str, Path: str, bool: bool}[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(source, key, f"{names[kind]}, not {value!r}")
    if kind is Path:
        return base / Path(str(value)).expanduser()
    low, high, choices = (field.metadata[n] for n in ("low", "high", "choices"))
    if choices and value not in choices:
        raise ConfigError(source, key, f"one of {', '.join(choices)}, not {value!r}")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" if high is None else f"in {low}..{high}"
        raise ConfigError(source, key, f"{names[kind]} {bounds}, not {value!r}")
    return kind(value)


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """(variable, section, key, text) of the variables that are ours."""
    for variable, text in sorted(environment.items()):
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        if section not in SECTIONS:
            raise ConfigError("environment", variable, f"no such section; {_hint(section, SECTIONS)}")
        yield variable, section, key, text


def _override(section: Any, variable: str, name: str, key: str, text: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(section)}
    if key not in fields:
        raise ConfigError("environment", variable, f"no such key in {name}; {_hint(key, fields)}")
    field = fields[key]
    value = _value(field, _parsed(field, text), "environment", variable, Path())
    return dataclasses.replace(section, **{key: value})


def _parsed(field: dataclasses.Field, text: str) -> Any:
    """An environment variable's text as the TOML value that it stands for; lists are separated by commas."""
    if typing.get_origin(field.type) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if field.type in (int, float, bool):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _hint(word: str, known: typing.Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"


# -- printing --------------------------------------------------------------------------------------------------------


def documented() -> str:
    """Every key with its default and meaning, as a TOML file. Keys without a default are commented out."""
    lines = ["# Sidelight's configuration: every key with its default. All may be left out but [[models]]."]
    lines += [f"# A variable {PREFIX}<SECTION>__<KEY> overrides a key, for instance {PREFIX}SERVER__PORT=8085."]
    lines += ["# File names are relative to this file."]
    for name, kind in SECTIONS.items():
        lines += ["", f"[{name}]  # {kind.__doc__}", *_documented(kind)]
    lines += ["", f"# [[models]]  # {Model.__doc__}", *(f"# {line.removeprefix('# ')}" for line in _documented(Model))]
    for name, of in (("embedded", Embedded), ("twin", Twin)):
        about = " ".join((of.__doc__ or "").split())
        lines += ["#", f"# [models.{name}]  # {about}"]
        lines += [f"# {line.removeprefix('# ')}" for line in _documented(of)]
    lines += ["", f"# [[editors]]  # {Editor.__doc__}"]
    lines += [f"# {line.removeprefix('# ')}" for line in _documented(Editor)]
    return "\n".join(lines) + "\n"


def _documented(kind: type) -> Iterator[str]:
    for field in dataclasses.fields(kind):
        what, choices = field.metadata["what"], field.metadata["choices"]
        about = f"{what} ({', '.join(choices)})" if choices else what
        if field.default is None:
            yield f"# {field.name} =  # {about}"
        else:
            yield f"{field.name} = {_toml(field.default)}  # {about}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
