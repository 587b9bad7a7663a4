"""Imports point one way: core knows nobody, plug-ins and the engine know core, rpc sees both, wiring sees all."""

import ast
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service" / "sidelight"
LAYERS = {
    # layer: what of this project it may import beside itself
    "core": set(),
    "perturbation": {"core"},
    "path": {"core"},
    "masks": {"core", "path", "perturbation"},  # tokens at the twin as the one has them, segments as the other
    "interventions": {"core"},
    "methods": {"core", "perturbation", "path", "masks", "interventions"},
    "metrics": {"core", "perturbation", "masks", "methods"},
    "editors": {"core", "loading"},
    "predictors": {"core", "loading"},
    "engine": {"core"},
    "rpc": {"core", "engine"},
    "config": set(),
    "telemetry": {"core", "engine", "rpc"},
    "watch": {"core", "engine", "rpc"},
    "workshop": {"core", "engine", "editors", "rpc"},
    "wiring": {
        "core",
        "engine",
        "rpc",
        "predictors",
        "methods",
        "metrics",
        "editors",
        "config",
        "telemetry",
        "watch",
        "workshop",
    },
    "loading": set(),
    "process": set(),
    "__main__": {"process", "config", "telemetry", "wiring"},
    "__init__": set(),
}
GEOMETRY = "sidelight.predictors.fit"  # rpc needs it to place inputs and maps; it is arithmetic, not a predictor
OUTSIDE = {
    # layer: packages that it must do without
    "core": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent", "PIL"},
    "perturbation": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "path": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "masks": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "methods": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "metrics": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "engine": {"grpc", "tritonclient", "sidelight_proto"},
    "predictors": {"grpc", "sidelight_proto"},
    "editors": {"grpc", "tritonclient", "sidelight_proto"},
    "interventions": {"grpc", "tritonclient", "sidelight_proto", "threading", "time", "asyncio", "concurrent"},
    "rpc": {"tritonclient", "prometheus_client"},
    "config": {"torch"},
}
PURE = {"engine/scheduler.py": {"threading", "time", "asyncio", "torch"}}
FILES = sorted(p for p in SERVICE.rglob("*.py") if "__pycache__" not in p.parts)


def layer_of(path: Path) -> str:
    first = path.relative_to(SERVICE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports; `from a import b` counts as `a.b` where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {_module(node.module, alias.name) for alias in node.names}
    return found


def _module(package: str, name: str) -> str:
    inside = SERVICE.parent.joinpath(*package.split("."))
    return f"{package}.{name}" if (inside / f"{name}.py").exists() or (inside / name).is_dir() else package


def own(name: str) -> bool:
    return name == "sidelight" or name.startswith("sidelight.")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SERVICE)))
def test_a_module_imports_only_what_its_layer_may(path):
    layer = layer_of(path)
    for name in imports(path):
        if not own(name) or name == "sidelight" or (layer == "rpc" and name == GEOMETRY):
            continue
        there = name.split(".")[1]
        assert there == layer or there in LAYERS[layer], f"{layer} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SERVICE)))
def test_a_module_does_without_the_packages_that_belong_elsewhere(path):
    barred = OUTSIDE.get(layer_of(path), set()) | PURE.get(str(path.relative_to(SERVICE)), set())
    used = {name.split(".")[0] for name in imports(path)}
    assert not used & barred


def test_the_rules_are_about_files_that_there_are():
    assert {layer_of(p) for p in FILES} <= set(LAYERS)
    assert all((SERVICE / name).exists() for name in PURE)
