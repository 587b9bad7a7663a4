"""A real Triton, where there can be one."""

from pathlib import Path

import pytest
from installation import Installation, TritonUnavailable
from server import VENV

ECHO_CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
ECHO_MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        rows = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in rows]
"""


@pytest.fixture(scope="session")
def triton_venv() -> Path:
    """Triton's environment. Tests that need it are skipped, with the reason, where it is not installed."""
    try:
        return Installation.find(VENV).venv
    except TritonUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def echo_repository(tmp_path: Path) -> Path:
    """A model repository with one model, which returns its input."""
    model = tmp_path / "models" / "echo"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(ECHO_CONFIG)
    (model / "1" / "model.py").write_text(ECHO_MODEL)
    return model.parent
