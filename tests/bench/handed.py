"""A network as other packages are handed it: a function of images."""

import numpy as np
import torch
from live import photo

from bench.plain import SIDE


class Handed:
    """The photo [H, W, 3] as the network wants its colours, and a function of such rows, run in batches of `batch`."""

    def __init__(self, net: torch.nn.Module, batch: int) -> None:
        self.net, self.batch = net, batch
        self.image = (np.asarray(photo().resize((SIDE, SIDE)), np.float32) - 127) / 128

    @torch.inference_mode()
    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Rows [k, H, W, 3] to probabilities [k, 1000]."""
        x = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).permute(0, 3, 1, 2)
        return self.net(x).softmax(1).numpy()
