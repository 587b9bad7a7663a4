"""The classifier of drawn lesions (regular, atypical) for Triton's Python backend."""

import numpy as np
from onnx_rows import Graph, answered


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.graph = Graph(args)

    def execute(self, requests: list) -> list:
        """Answer the requests of one dynamic batch, image [n,3,64,64] -> logits [n,2] each."""
        return answered(requests, "image", lambda images: self.graph.run(np.concatenate(images), np.asarray))
