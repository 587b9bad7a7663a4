"""EfficientNet-Lite0 (ImageNet, 1000 classes) for Triton's Python backend: an ONNX graph run by onnxruntime."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


def parameter(config: dict, name: str) -> int:
    """An integer of the `parameters` section of config.pbtxt."""
    return int(config["parameters"][name]["string_value"])


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        config = json.loads(args["model_config"])
        self.rows_per_run = parameter(config, "rows_per_run")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = parameter(config, "intra_op_threads")
        # Spinning threads would burn the cores that clients on the same host need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list) -> list:
        """Answer the requests of one dynamic batch, image [n,3,224,224] -> logits [n,1000] each."""
        gone = [request.is_cancelled() for request in requests]
        alive = [request for request, left in zip(requests, gone, strict=True) if not left]
        answers = iter(self.answers([pb_utils.get_input_tensor_by_name(r, "image").as_numpy() for r in alive]))
        return [cancelled() if left else response(next(answers)) for left in gone]

    def answers(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """The logits of each request's images; rows of all requests run together, `rows_per_run` at a time."""
        if not images:
            return []
        rows = np.concatenate(images)
        starts = range(0, len(rows), self.rows_per_run)
        logits = [self.session.run(["logits"], {"image": rows[i : i + self.rows_per_run]})[0] for i in starts]
        return np.split(np.concatenate(logits), np.cumsum([len(image) for image in images])[:-1])


def response(logits: np.ndarray) -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse([pb_utils.Tensor("logits", logits)])


def cancelled() -> "pb_utils.InferenceResponse":
    error = pb_utils.TritonError("the caller cancelled the request", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)
