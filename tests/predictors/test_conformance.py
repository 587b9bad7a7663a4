"""What every predictor promises, whoever answers: Triton by either transport, or a network in this process."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import predictor_networks as made
import pytest
import torch
from server import TritonServer
from sidelight.core.ask import Activation, Forward, Model
from sidelight.core.errors import SidelightError, Unknown, Unsupported
from sidelight.core.predictor import Predictor
from sidelight.core.sweep import Rows
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.triton import TritonPredictor
from sidelight.predictors.triton_endpoint import TritonEndpoint
from triton_fixture import regions
from triton_models import reference, repository

CPU = torch.device("cpu")
WORDS = "", "a", "hello", "ünïcödé", "eight vowels in a row: aeiouaei", "x" * 300, "\n", "日本語"


@dataclass(frozen=True)
class Case:
    """A predictor with the truth about it. tolerance: relative to the largest output."""

    make: Callable[[TritonServer | None, Path], Predictor]
    compute: str = "linear"
    outputs: int = 5
    shape: tuple[int, ...] = (3, 8, 8)
    dtype: torch.dtype = torch.float32
    version: str = "1"
    placed: torch.dtype = torch.float32
    tolerance: float = 1e-5
    triton: bool = False


def triton_case(name: str, card: Card | None = None, memory: str = "system", **truth: Any) -> Case:
    def make(triton: TritonServer | None, folder: Path) -> Predictor:
        return TritonPredictor(TritonEndpoint(triton.grpc, shared_memory=memory), card or Card(name))

    return Case(make, **({"compute": repository.MODELS[name].compute, "triton": True} | truth))


def embedded_case(network: Callable[[Path], Network], card: Card | None = None, **truth: Any) -> Case:
    options = truth.pop("options", {})

    def make(triton: TritonServer | None, folder: Path) -> Predictor:
        return EmbeddedPredictor(network(folder), card or Card("net", "image", crop=(8, 8)), **options)

    return Case(make, **truth)


def module(net: torch.nn.Module) -> Callable[[Path], Network]:
    return lambda folder: networks.Network(net.eval(), "python", networks.weights_digest(net), net.eval())


CASES = {
    **{
        f"triton-{memory}-{name}": triton_case(name, memory=memory, **truth)
        for memory in ("system", "none")
        for name, truth in {
            "nchw": {"version": "2"},
            "nhwc": {"shape": (8, 8, 3)},
            "half": {"dtype": torch.float16, "placed": torch.float16, "tolerance": 2e-3},
            "bytes": {"shape": (8, 8, 3), "dtype": torch.uint8, "outputs": 10},
            "lone": {},
            "axis": {},
            "four": {},
            "onebyone": {},
            "chance": {"outputs": 1},
        }.items()
    },
    "triton-pinned-old-version": triton_case("nchw", version="1"),
    "triton-any-size": triton_case("anysize", Card("anysize", crop=(5, 7)), shape=(3, 5, 7)),
    "triton-text": triton_case("texts", outputs=2),
    "triton-tokens": triton_case("tokens", outputs=3, shape=(7,), dtype=torch.int64),
    "module": embedded_case(module(made.Linear())),
    "module-convolution-channels-last": embedded_case(module(made.Convolution()), options={"channels_last": True}),
    "module-convolution-auto": embedded_case(module(made.Convolution())),
    "module-bfloat16": embedded_case(
        module(made.Linear()), options={"precision": "bfloat16"}, placed=torch.bfloat16, tolerance=2e-2
    ),
    "module-nhwc": embedded_case(
        module(made.Linear(shape=(8, 8, 3))), Card("net", "image", crop=(8, 8), layout="NHWC"), shape=(8, 8, 3)
    ),
    "module-mapping": embedded_case(
        module(made.several("logits", "features")), Card("net", "image", crop=(8, 8), output="logits")
    ),
    "module-tokens": embedded_case(
        module(made.Tokens()), Card("net", "tokens"), compute="tokens", outputs=3, shape=(7,), dtype=torch.int64
    ),
    "function-of-texts": embedded_case(
        lambda folder: Network(made.vowels, "python", ""), Card("net", "text", input="x"), compute="texts", outputs=2
    ),
    "torchscript": embedded_case(lambda f: networks.from_torchscript(made.torchscript(f / "net.pt"), CPU)),
    "export-any-rows": embedded_case(lambda f: networks.from_exported(made.exported(f / "net.pt2", None), CPU)),
    "export-three-rows": embedded_case(lambda f: networks.from_exported(made.exported(f / "net.pt2", 3), CPU)),
    "onnx": embedded_case(lambda f: networks.from_onnx(made.onnx_file(f / "net.onnx"), CPU), Card("net")),
    "onnx-four-rows": embedded_case(lambda f: networks.from_onnx(made.onnx_file(f / "net.onnx", 4), CPU), Card("net")),
    "onnx-one-row": embedded_case(lambda f: networks.from_onnx(made.onnx_file(f / "net.onnx", None), CPU), Card("net")),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def predictor(case: Case, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Predictor]:
    triton = request.getfixturevalue("triton") if case.triton else None
    before = regions()
    predictor = case.make(triton, tmp_path)
    predictor.spec()
    yield predictor
    predictor.close()
    assert regions() == before


def some_rows(case: Case, n: int, seed: int = 0) -> Any:
    """n rows as they are placed."""
    if case.compute == "texts":
        return [WORDS[(i + seed) % len(WORDS)] + str(i) for i in range(n)]
    random = torch.Generator().manual_seed(seed)
    if case.dtype in (torch.uint8, torch.int64):
        return torch.randint(0, 99, (n, *case.shape), generator=random).to(case.dtype)
    return torch.randn((n, *case.shape), generator=random).to(case.placed)


def truth(case: Case, rows: Any) -> np.ndarray:
    if case.compute == "texts":
        rows = np.array([row.encode() for row in rows], dtype=np.object_)[:, None]
    else:
        rows = rows.double().numpy() if rows.is_floating_point() else rows.numpy()
    return getattr(reference, case.compute)(rows, case.outputs, int(case.version))


def ask(predictor: Predictor, case: Case, exact: bool = False) -> Forward:
    return Forward(Model(predictor.name, case.version), exact=exact)


def answer(predictor: Predictor, case: Case, *tiles: Any, exact: bool = False) -> torch.Tensor:
    name = predictor.spec(case.version).input.name
    woken = threading.Event()
    columns: list[Rows] = [{name: tile} for tile in tiles]
    call = predictor.start(ask(predictor, case, exact), columns, woken.set)
    assert woken.wait(20)
    assert call.done()
    return call.result()["y"]


def close_to(y: torch.Tensor, wanted: np.ndarray, tolerance: float) -> bool:
    assert y.dtype == torch.float32
    assert y.shape == wanted.shape
    return bool(np.abs(y.double().numpy() - wanted).max() <= tolerance * np.abs(wanted).max())


def test_outputs_equal_the_reference_for_any_number_of_rows(predictor, case):
    for n in (1, 2, predictor.tile_rows, predictor.batch_rows, predictor.batch_rows + 3):
        rows = some_rows(case, n, seed=n)
        assert close_to(answer(predictor, case, rows), truth(case, rows), case.tolerance)


def test_tiles_are_answered_in_order(predictor, case):
    tiles = [some_rows(case, n, seed=n) for n in (3, 1, 2)]
    together = np.concatenate([truth(case, tile) for tile in tiles])
    assert close_to(answer(predictor, case, *tiles), together, case.tolerance)


def test_a_row_alone_equals_the_row_in_a_batch(predictor, case):
    rows = some_rows(case, 7)
    batch = answer(predictor, case, rows)
    alone = torch.cat([answer(predictor, case, rows[i : i + 1]) for i in range(7)])
    exact = torch.cat([answer(predictor, case, rows[i : i + 1], exact=True) for i in range(7)])
    scale = float(batch.abs().max())
    tolerance = max(1e-5, case.tolerance if case.placed is torch.bfloat16 else 0)
    assert float((batch - alone).abs().max()) <= tolerance * scale
    assert float((batch - exact).abs().max()) <= tolerance * scale


def test_rows_are_asked_for_as_the_model_takes_them(predictor, case):
    assert predictor.placement.dtype is case.placed
    assert predictor.placement.device == CPU
    assert predictor.batch_rows % predictor.tile_rows == 0
    assert 1 <= predictor.depth <= 2


def test_the_specification_fits_the_answers(predictor, case):
    spec = predictor.spec(case.version)
    assert spec.version == case.version
    assert case.version in predictor.versions()
    assert predictor.spec().version == predictor.versions()[-1]
    assert spec.classes == case.outputs
    y = answer(predictor, case, some_rows(case, 2))
    assert y.shape[1] == case.outputs
    fixed = [(a, b) for a, b in zip(spec.input.shape, case.shape, strict=False) if a != -1]
    assert case.compute == "texts" or all(a == b for a, b in fixed)


def test_several_batches_may_be_under_way_and_be_read_in_any_order(predictor, case):
    name = predictor.spec(case.version).input.name
    rows = [some_rows(case, 3, seed=i) for i in range(4)]
    calls = [predictor.start(ask(predictor, case), [{name: r}], lambda: None) for r in rows]
    for call, r in reversed(list(zip(calls, rows, strict=True))):
        assert close_to(call.result()["y"], truth(case, r), case.tolerance)


def test_after_a_cancelled_call_the_next_is_right(predictor, case):
    name = predictor.spec(case.version).input.name
    for seed in range(3):
        predictor.start(ask(predictor, case), [{name: some_rows(case, 5, seed)}], lambda: None).cancel()
    rows = some_rows(case, 6, seed=9)
    assert close_to(answer(predictor, case, rows), truth(case, rows), case.tolerance)


def test_versions_that_are_not_served_are_unknown(predictor, case):
    with pytest.raises(Unknown, match="version '77'"):
        predictor.spec("77")
    with pytest.raises(SidelightError, match="77"):
        predictor.start(Forward(Model(predictor.name, "77")), [{"x": some_rows(case, 1)}], lambda: None).result()


def test_only_outputs_can_be_asked_for(predictor, case):
    model = Model(predictor.name, case.version)
    for question in (Activation(model, ("layer",)), Forward(model, ("layer",))):
        with pytest.raises(Unsupported):
            predictor.start(question, [{"x": some_rows(case, 1)}], lambda: None)


def test_a_missing_column_is_named(predictor, case):
    name = predictor.spec(case.version).input.name
    with pytest.raises(SidelightError, match=f"input.{name}: .*, not nothing"):
        predictor.start(ask(predictor, case), [{"another": some_rows(case, 1)}], lambda: None)
