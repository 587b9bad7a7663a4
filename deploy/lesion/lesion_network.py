"""The demo's classifier of drawn lesions, regular or atypical, biased on purpose (README.md is its card).

It is the study's residual network (deploy/studies/intervention_networks.py) with weights of train_lesion.py.
"""

import sys
from pathlib import Path

import safetensors.torch
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

from intervention_networks import resnet

WEIGHTS = Path(__file__).with_name("lesion.safetensors")


def lesion(weights: Path = WEIGHTS) -> torch.nn.Module:
    """The trained network, image [n, 3, 64, 64] -> logits [n, 2] of regular and atypical."""
    network = resnet()
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network.eval()
