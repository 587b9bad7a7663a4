"""The Triton predictor beyond what every predictor promises: errors, versions, priorities, transports, cancelling."""

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from server import Ports, TritonServer
from sidelight.core.ask import Forward, Model
from sidelight.core.errors import ModelFailed, SidelightError, Unavailable, Unknown, Unsupported, VersionGone
from sidelight.core.target import OutputKind
from sidelight.predictors.card import Card, CardError
from sidelight.predictors.triton import TritonPredictor
from sidelight.predictors.triton_call import TritonCall
from sidelight.predictors.triton_endpoint import TritonEndpoint
from triton_fixture import regions, triton_server
from triton_models import reference, repository
from tritonclient.utils import InferenceServerException


class Maker:
    """Makes predictors of one Triton, each on an endpoint of its own, and closes them."""

    def __init__(self, triton: TritonServer) -> None:
        self._triton = triton
        self.endpoint: dict[TritonPredictor, TritonEndpoint] = {}

    def __call__(self, name: str, card: Card | None = None, **options: object) -> TritonPredictor:
        ours = {k: options.pop(k) for k in ("priority", "batch_rows") if k in options}
        endpoint = TritonEndpoint(self._triton.grpc, **options)
        predictor = TritonPredictor(endpoint, card or Card(name), **ours)
        self.endpoint[predictor] = endpoint
        return predictor

    def in_flight(self, predictor: TritonPredictor) -> int:
        return self.endpoint[predictor].in_flight

    def settled(self, predictor: TritonPredictor, seconds: float = 10.0) -> bool:
        """Whether everything in flight comes to an end."""
        until = time.monotonic() + seconds
        while self.in_flight(predictor) and time.monotonic() < until:
            time.sleep(0.01)
        return not self.in_flight(predictor)


@pytest.fixture
def predict(triton: TritonServer) -> Iterator[Maker]:
    yield from closing(Maker(triton))


def closing(maker: Maker) -> Iterator[Maker]:
    before = regions()
    yield maker
    for predictor in maker.endpoint:
        predictor.close()
    assert regions() == before


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, 3, 8, 8), generator=torch.Generator().manual_seed(seed))


def start(predictor: TritonPredictor, *tiles: object, version: str = "1", wake=lambda: None) -> TritonCall:
    name = predictor.spec(version).input.name
    return predictor.start(Forward(Model(predictor.name, version)), [{name: tile} for tile in tiles], wake)


def right(y: torch.Tensor, x: torch.Tensor, version: int = 1) -> bool:
    return np.allclose(y.numpy(), reference.linear(x.numpy(), 5, version), atol=1e-5)


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "error"), [("refusing", ModelFailed), ("full", MemoryError)])
def test_an_error_of_the_model_fails_its_own_batch_only(predict, model, error):
    predictor = predict(model)
    good, bad = images(4), images(4)
    bad[2, 0, 0, 0] = 99
    calls = [start(predictor, good), start(predictor, bad), start(predictor, good)]
    assert right(calls[0].result()["y"], good)
    with pytest.raises(error, match=r"row refused|out of memory"):
        calls[1].result()
    assert right(calls[2].result()["y"], good)


def test_nan_is_handed_on_in_its_row_alone(predict):
    x = images(4)
    x[2, 0, 0, 0] = 99
    y = start(predict("nan"), x).result()["y"]
    assert y[2].isnan().all()
    assert right(y[[0, 1, 3]], x[[0, 1, 3]])


def test_a_call_beyond_its_time_is_unavailable(predict):
    predictor = predict("slow", timeout=0.15)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer for model slow in time"):
        start(predictor, images(1)).result()
    assert time.monotonic() - began < 2
    assert predict.settled(predictor)


def test_a_server_that_is_not_there_is_unavailable_at_once():
    predictor = TritonPredictor(TritonEndpoint(f"127.0.0.1:{Ports.free().grpc}"), Card("nchw"))
    began = time.monotonic()
    for question in (predictor.spec, predictor.versions, lambda: start(predictor, images(1))):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            question()
        assert caught.value.retry_after > 0
    assert time.monotonic() - began < 5
    predictor.close()


def test_an_unknown_model_is_named_with_those_that_are_close(predict):
    with pytest.raises(Unknown, match="no model 'nchv'; there is nchw"):
        predict("nchv").spec()


def test_a_wrong_shape_fails_with_what_triton_says(predict):
    with pytest.raises(ModelFailed, match="unexpected shape for input 'x'"):
        start(predict("nchw"), torch.zeros(2, 3, 8, 9)).result()


def test_a_model_that_needs_a_card_says_which_field(predict):
    with pytest.raises(CardError, match=r"input\.name: say which of the model's is meant: a, b"):
        predict("ambiguous").spec()
    with pytest.raises(CardError, match=r"input\.crop"):
        predict("anysize").spec()


def test_a_single_sigmoid_answers_one_number_and_is_scored_as_two_classes(predict):
    predictor = predict("chance", Card("chance", "image", output_kind=OutputKind.SIGMOID))
    assert predictor.spec().classes == 2
    x = images(3)
    y = start(predictor, x).result()["y"]
    assert np.allclose(y.numpy(), reference.sigmoid(x.numpy(), 1), atol=1e-6)


def test_errors_leave_no_region_taken(predict):
    predictor = predict("refusing")
    bad = images(4)
    bad[:, 0, 0, 0] = 99
    for _ in range(5):
        with pytest.raises(SidelightError):
            start(predictor, bad).result()
    assert len(regions()) == 1


# -- versions and priorities ---------------------------------------------------------------------------------------


def test_requests_are_pinned_to_their_version(predict):
    predictor, x = predict("nchw"), images(3)
    assert predictor.versions() == ("1", "2")
    assert predictor.spec().version == "2"
    for version in (1, 2):
        assert right(start(predictor, x, version=str(version)).result()["y"], x, version)


@pytest.mark.parametrize(("wanted", "level"), [(None, 3), (2, 2), (9, 3)])
def test_the_lowest_priority_is_asked_for_unless_another_is_configured(predict, wanted, level):
    predictor, x = predict("nchw", priority=wanted), images(2)
    assert right(start(predictor, x).result()["y"], x)
    predictor.spec()
    assert f"priority {level}" in predictor.endpoint.address


def test_a_model_without_priorities_is_not_asked_for_one(predict):
    predictor, x = predict("nhwc"), images(2).permute(0, 2, 3, 1).contiguous()
    assert start(predictor, x).result()["y"].shape == (2, 5)
    assert "priority" not in predictor.endpoint.address


def test_batches_are_as_large_as_the_model_prefers_unless_configured(predict):
    def sizes(name: str, **options: int) -> tuple[int, int]:
        predictor = predict(name, **options)
        predictor.spec()
        return predictor.tile_rows, predictor.batch_rows

    assert sizes("nchw") == (8, 8)  # its largest preferred size
    assert sizes("half") == (8, 16)
    assert sizes("half", batch_rows=13) == (8, 8)  # whole tiles
    assert sizes("half", batch_rows=4) == (4, 4)
    assert sizes("half", batch_rows=500) == (8, 16)  # its max_batch_size
    assert sizes("lone") == sizes("onebyone") == sizes("four") == (4, 4)


# -- many at once, and cancelling ----------------------------------------------------------------------------------


def test_no_more_requests_than_configured_are_under_way(predict):
    predictor = predict("slow", concurrency=2)
    x = images(1)
    calls = [start(predictor, x) for _ in range(4)]
    most = 0
    while not all(call.done() for call in calls):
        most = max(most, predict.in_flight(predictor))
        time.sleep(0.005)
    assert most == 2
    assert all(right(call.result()["y"], x) for call in calls)


def test_requests_to_a_model_with_priorities_go_one_by_one(predict):
    """Triton would leave a second one in its queue for half a second now and then."""
    predictor = predict("nchw", concurrency=4)
    x = images(8)
    slowest = 0.0
    for _ in range(20):
        began = time.monotonic()
        calls = [start(predictor, x) for _ in range(3)]
        assert predict.in_flight(predictor) <= 1
        assert all(right(call.result()["y"], x) for call in calls)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.45


def test_every_call_wakes_once_and_a_cancelled_one_not_at_all(predict):
    predictor, woken = predict("slow", concurrency=1), []
    calls = [start(predictor, images(1), wake=lambda i=i: woken.append(i)) for i in range(4)]
    calls[1].cancel()
    calls[2].cancel()
    for i in (0, 3):
        calls[i].result()
    assert predict.settled(predictor)
    assert woken == [0, 3]


def test_cancelled_calls_leave_nothing_behind(predict):
    predictor = predict("slow", concurrency=2)
    began = time.monotonic()
    for seed in range(20):
        start(predictor, images(8, seed)).cancel()
    assert predict.settled(predictor)
    assert time.monotonic() - began < 4  # twenty runs of 0.4 s were not waited for
    assert len(regions()) <= 2
    x = images(8, 99)
    assert right(start(predictor, x).result()["y"], x)


def test_a_call_of_several_requests_stops_between_them_when_cancelled(predict):
    predictor = predict("slow", batch_rows=1)
    call = start(predictor, images(10))
    time.sleep(0.1)
    call.cancel()
    assert predict.settled(predictor, 2.0)


def test_answers_of_many_threads_are_kept_apart(predict):
    predictor = predict("nhwc", concurrency=3)
    wrong = []

    def work(seed: int) -> None:
        for i in range(5):
            x = images(5, 100 * seed + i)
            y = start(predictor, x.permute(0, 2, 3, 1)).result()["y"]
            if not right(y, x.permute(0, 2, 3, 1).contiguous()):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- transports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["nchw", "half", "bytes", "lone", "four"])
def test_shared_memory_and_the_wire_give_the_same_bits(predict, model):
    shape = (8, 8, 3) if model == "bytes" else (3, 8, 8)
    x = torch.randint(0, 255, (11, *shape), generator=torch.Generator().manual_seed(1)).float()
    answers = []
    for memory in ("system", "none"):
        predictor = predict(model, shared_memory=memory)
        answers.append(start(predictor, x[:8], x[8:]).result()["y"])
        assert predictor.endpoint.shared_memory == memory
    assert torch.equal(*answers)


def test_memory_is_shared_by_itself_with_a_server_on_this_host(predict):
    predictor = predict("nchw")
    start(predictor, images(1)).result()
    assert predictor.endpoint.shared_memory == "system"
    assert len(regions()) == 1


def test_rows_in_any_memory_layout_and_dtype_arrive_right(predict):
    predictor = predict("nchw")
    x = images(4)
    for rows in (x.contiguous(memory_format=torch.channels_last), x.double(), x[:, :, :, :].flip(3).flip(3)):
        assert right(start(predictor, rows).result()["y"], x)


def test_a_full_dev_shm_falls_back_to_the_wire(predict, monkeypatch):
    def no_room(file: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    predictor, x = predict("nchw"), images(3)
    predict.endpoint[predictor].shares_memory()
    monkeypatch.setattr("os.posix_fallocate", no_room)
    assert right(start(predictor, x).result()["y"], x)
    assert predictor.endpoint.shared_memory == "none"
    assert not regions()


def test_shared_memory_that_was_demanded_and_cannot_be_had_is_an_error(predict):
    with pytest.raises(Unsupported, match="no cuda shared memory with Triton: rows are not rendered on a GPU"):
        start(predict("nchw", shared_memory="cuda"), images(1))


def test_a_region_that_triton_has_forgotten_is_registered_again(predict):
    predictor, x = predict("nchw"), images(3)
    start(predictor, x).result()
    for name in regions():
        predict.endpoint[predictor].client.unregister_system_shared_memory(name)
    assert right(start(predictor, x).result()["y"], x)
    assert predictor.endpoint.shared_memory == "system"


# -- restarts and reloads: a Triton of its own ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def restarting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    models = {name: repository.MODELS[name] for name in ("nchw", "slow")}
    with triton_server(tmp_path_factory.mktemp("restarting"), models) as server:
        yield server


@pytest.fixture
def predict_there(restarting: TritonServer) -> Iterator[Maker]:
    yield from closing(Maker(restarting))


def load(server: TritonServer, versions: list[int]) -> None:
    """Have Triton serve these versions of nchw, and no others."""
    endpoint = TritonEndpoint(server.grpc)
    config = {
        "backend": "python",
        "max_batch_size": 16,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [3, 8, 8]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [5]}],
        "version_policy": {"specific": {"versions": versions}},
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
    }
    endpoint.client.load_model("nchw", config=json.dumps(config))
    endpoint.client.close()


def test_a_version_that_disappears_is_gone_and_the_next_request_gets_the_new_one(restarting, predict_there):
    predictor, x = predict_there("nchw"), images(3)
    load(restarting, [1])
    assert predictor.spec().version == "1"
    ask = Forward(Model("nchw", "1"))
    assert right(predictor.start(ask, [{"x": x}], lambda: None).result()["y"], x)
    load(restarting, [2])
    with pytest.raises(VersionGone, match="version 1 of model nchw disappeared"):
        predictor.start(ask, [{"x": x}], lambda: None).result()
    time.sleep(1.1)  # for so long the list of versions is believed
    assert predictor.versions() == ("2",)
    assert predictor.spec().version == "2"
    assert right(start(predictor, x, version="2").result()["y"], x, 2)
    with pytest.raises(Unknown, match="version '1'"):
        predictor.spec("1")
    load(restarting, [1, 2])


@pytest.mark.parametrize("memory", ["system", "none"])
def test_a_killed_server_is_unavailable_and_works_again_when_it_is_back(restarting, predict_there, memory):
    slow, quick = predict_there("slow", shared_memory=memory), predict_there("nchw", shared_memory=memory)
    x = images(5)
    assert right(start(quick, x).result()["y"], x)
    woken = threading.Event()
    call = start(slow, x, wake=woken.set)
    time.sleep(0.1)
    restarting.kill()
    assert woken.wait(10)
    with pytest.raises(Unavailable):
        call.result()
    with pytest.raises(Unavailable):
        start(quick, x).result()
    with pytest.raises(Unavailable):
        quick.spec()
    restarting.start()
    restarting.wait_ready()
    until = time.monotonic() + 10
    while True:  # the channel tries again every second or two
        try:
            y = start(quick, x).result()["y"]
            break
        except Unavailable:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert right(y, x)
    assert quick.endpoint.shared_memory == memory
    assert predict_there.in_flight(slow) == predict_there.in_flight(quick) == 0


def test_a_restart_that_nobody_saw_needs_no_second_try(restarting, predict_there):
    predictor, x = predict_there("nchw"), images(5)
    assert right(start(predictor, x).result()["y"], x)
    restarting.kill()
    restarting.start()
    restarting.wait_ready()
    client = predict_there.endpoint[predictor].client
    until = time.monotonic() + 10
    while True:  # until the channel is connected again, without the predictor's knowing
        try:
            assert client.is_server_ready()
            break
        except InferenceServerException:
            assert time.monotonic() < until
            time.sleep(0.1)
    ask = Forward(Model("nchw", "1"))
    assert right(predictor.start(ask, [{"x": x}], lambda: None).result()["y"], x)
    assert predictor.endpoint.shared_memory == "system"
