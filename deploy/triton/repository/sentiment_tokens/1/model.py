"""The sentiment network (negative, positive) for Triton's Python backend, of texts that are token ids already."""

import numpy as np
from onnx_rows import Graph, answered


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.graph = Graph(args)

    def execute(self, requests: list) -> list:
        """Answer the requests of one dynamic batch, ids [n,L] -> logits [n,2] each; id 0 is no token."""
        return answered(requests, "ids", lambda ids: self.graph.run([row for x in ids for row in x], padded))


def padded(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of token ids, of requests that differ in length, as one array [n,L]."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = row
    return ids
