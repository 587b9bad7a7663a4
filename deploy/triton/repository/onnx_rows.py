"""What the repository's models share: an ONNX graph run by onnxruntime in Triton's Python backend.

`build_models.py` puts it beside each model.py.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class Graph:
    """The graph model.onnx beside model.py; `parameters` of config.pbtxt say how it is run.

    intra_op_threads: threads of one run, 0 for one for each core. rows_per_run: rows of one run.
    """

    def __init__(self, args: dict) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self.rows_per_run = int(parameters["rows_per_run"]["string_value"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_threads"]["string_value"])
        # Spinning threads would burn the cores that clients on the same host need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(self, rows: Sequence, batch: Callable[[Sequence], np.ndarray]) -> np.ndarray:
        """The logits of the rows, `rows_per_run` at a time; `batch` makes the graph's input of some rows."""
        (name,) = (tensor.name for tensor in self.session.get_inputs())
        starts = range(0, len(rows), self.rows_per_run)
        runs = [self.session.run(["logits"], {name: batch(rows[i : i + self.rows_per_run])})[0] for i in starts]
        return np.concatenate(runs)


def answered(requests: list, name: str, answer: Callable[[list[np.ndarray]], np.ndarray]) -> list:
    """The responses to one dynamic batch; rows of all requests run together, but for what was cancelled.

    answer: the requests' tensors `name` -> the logits of all their rows.
    """
    gone = [request.is_cancelled() for request in requests]
    inputs = [
        pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        for request, left in zip(requests, gone, strict=True)
        if not left
    ]
    logits = answer(inputs) if inputs else []
    parts = iter(np.split(logits, np.cumsum([len(x) for x in inputs])[:-1]) if inputs else ())
    return [cancelled() if left else response(next(parts)) for left in gone]


def response(logits: np.ndarray) -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse([pb_utils.Tensor("logits", logits)])


def cancelled() -> "pb_utils.InferenceResponse":
    error = pb_utils.TritonError("the caller cancelled the request", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)
