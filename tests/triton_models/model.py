"""One Triton model for all test models; `parameters` in the configuration choose what it computes and how it fails.

A row whose first number is 99 is guilty: it is answered with NaN, an error or a full memory where `fault` says so.
"""

import json
import math
import time

import numpy as np
import reference
import triton_python_backend_utils as pb_utils

GUILTY = 99
FAULTS = {"error": "row refused", "memory": "CUDA error: out of memory"}


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        config = json.loads(args["model_config"])
        given = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        self.compute = getattr(reference, given.get("compute", "linear"))
        self.fault = given.get("fault", "")
        self.seconds = float(given.get("seconds", 0))
        self.version = int(args["model_version"])
        self.input, self.output = config["input"][0], config["output"][0]
        self.lone = given.get("axis") == "none"  # no batch axis
        self.shape = self.output["dims"] if self.lone or config["max_batch_size"] else self.output["dims"][1:]
        self.dtype = pb_utils.triton_string_to_numpy(self.output["data_type"])

    def execute(self, requests: list) -> list:
        return [self.answer(request) for request in requests]

    def answer(self, request: object) -> object:
        x = pb_utils.get_input_tensor_by_name(request, self.input["name"]).as_numpy()
        rows = x[None] if self.lone else x
        time.sleep(self.seconds)
        guilty = np.array([row.flat[0] == GUILTY for row in rows])
        if guilty.any() and self.fault in FAULTS:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(FAULTS[self.fault]))
        y = self.compute(rows, math.prod(self.shape), self.version)
        if self.fault == "nan":
            y[guilty] = np.nan
        y = y.reshape(self.shape if self.lone else (len(rows), *self.shape)).astype(self.dtype)
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output["name"], y)])
