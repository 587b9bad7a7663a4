"""EfficientNet-Lite0 (ImageNet, 1000 classes) for Triton's Python backend."""

import numpy as np
from onnx_rows import Graph, answered


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.graph = Graph(args)

    def execute(self, requests: list) -> list:
        """Answer the requests of one dynamic batch, image [n,3,224,224] -> logits [n,1000] each."""
        return answered(requests, "image", lambda images: self.graph.run(np.concatenate(images), np.asarray))
