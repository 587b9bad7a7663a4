"""LIME and Shapley values of other packages, each handed the network and the segments in the form that it wants."""

import contextlib
import io
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import shap
import torch
from build_models import network
from captum.attr import KernelShap, Lime
from dianna.methods.kernelshap_image import KERNELSHAPImage
from dianna.methods.lime_image import LIMEImage
from lime.lime_image import LimeImageExplainer
from live import MODEL, REPOSITORY
from sidelight.process import keep_freed_memory

from bench.handed import Handed
from bench.memory import Memory, forget_peak, peak

CLASS = 282


class Peers(Handed):
    """The packages, by name: one explanation of so many rows each, of which the network's hook counts the real number.

    All that a package does for other classes than the explained one is spared it.
    """

    def __init__(self, net: torch.nn.Module, batch: int, labels: np.ndarray, folder: Path) -> None:
        """`labels` [H, W] from 0 on: the segments; `folder` is for the network as a file."""
        super().__init__(net, batch)
        self.labels, self.file, self.seen = labels, folder / "one_class.onnx", 0
        net.register_forward_pre_hook(self._count)
        if not self.file.exists():
            save_one_class(self.file)

    def _count(self, net: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        self.seen += len(given[0])

    def explained(self, rows: np.ndarray) -> np.ndarray:
        """Rows [k, H, W, 3] to the explained class's probability [k, 1]."""
        return self.scores(rows)[:, CLASS : CLASS + 1]

    def captum_kernel_shap(self, rows: int) -> object:
        return self._captum(KernelShap(self.net), rows)

    def captum_lime(self, rows: int) -> object:
        return self._captum(Lime(self.net), rows)

    def _captum(self, method: KernelShap | Lime, rows: int) -> object:
        x = torch.from_numpy(self.image).permute(2, 0, 1).unsqueeze(0)  # so laid, it is channels last
        segments = torch.from_numpy(self.labels).expand(1, 1, -1, -1)
        return method.attribute(
            x, baselines=0, target=CLASS, feature_mask=segments, n_samples=rows, perturbations_per_eval=self.batch
        )

    def lime(self, rows: int) -> object:
        return LimeImageExplainer().explain_instance(self.image, self.explained, **self._as_lime_has_it(rows))

    def dianna_lime(self, rows: int) -> object:
        method = LIMEImage(axis_labels={2: "channels"})
        return method.explain(self.explained, self.image, **self._as_lime_has_it(rows))

    def _as_lime_has_it(self, rows: int) -> dict[str, object]:
        return {
            "labels": (0,),
            "top_labels": None,
            "hide_color": 0,
            "num_samples": rows,
            "batch_size": self.batch,
            "segmentation_fn": lambda x: self.labels,
        }

    def shap_partition(self, rows: int) -> object:
        masker = shap.maskers.Image(np.zeros_like(self.image), self.image.shape)
        explainer = shap.PartitionExplainer(self.explained, masker)
        return explainer(self.image[None], max_evals=rows, batch_size=self.batch, silent=True)

    def dianna_kernel_shap(self, rows: int) -> object:
        """Runs the network's export in onnxruntime, and cuts the segments itself."""
        method = KERNELSHAPImage(axis_labels={0: "channels"})
        x = np.ascontiguousarray(self.image.transpose(2, 0, 1))
        self.seen += rows
        return method.explain(
            str(self.file), x, labels=[0], nsamples=rows, background=0, n_segments=int(self.labels.max()) + 1
        )


Peer = Callable[[Peers, int], object]
PEERS: dict[str, tuple[Peer, ...]] = {
    "lime": (Peers.captum_lime, Peers.lime, Peers.dianna_lime),
    "kernel_shap": (Peers.captum_kernel_shap, Peers.shap_partition, Peers.dianna_kernel_shap),
}


def save_one_class(file: Path) -> None:
    """The export of the network with the explained class as its only output: dianna takes hours over a thousand."""
    model = onnx.load(REPOSITORY / MODEL / "1" / "model.onnx")
    chosen = onnx.numpy_helper.from_array(np.array([CLASS]), "chosen")
    model.graph.initializer.append(chosen)
    model.graph.node.append(onnx.helper.make_node("Gather", [model.graph.output[0].name, chosen.name], ["y"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1]))
    onnx.save(model, file)


def quiet(peer: Peer, peers: Peers, rows: int) -> None:
    """Run it without its progress bar."""
    with contextlib.redirect_stderr(io.StringIO()):
        peer(peers, rows)


def memory_of(peer: Peer, rows: int, batch: int, labels: np.ndarray, folder: Path) -> tuple[Memory, int]:
    """Of one explanation in a process of its own that has run a batch, and how many rows it gave the network."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_memory_of, peer, rows, batch, labels, folder).result()


def _memory_of(peer: Peer, rows: int, batch: int, labels: np.ndarray, folder: Path) -> tuple[Memory, int]:
    keep_freed_memory()  # as the service does: what a pass over the network takes by itself is then there before
    peers = Peers(network().eval().to(memory_format=torch.channels_last), batch, labels, folder)
    peers.scores(np.stack([peers.image] * batch))
    peers.seen = 0
    before = forget_peak(os.getpid())
    quiet(peer, peers, rows)
    return Memory(before, peak(os.getpid())), peers.seen
