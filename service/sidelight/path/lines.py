"""All straight lines of an explanation: from each of M baselines to the input, or to each of C noisy copies of it."""

from collections.abc import Sequence

import torch

from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.path.line import Features, Line

HELD = 4  # lines to noisy copies that are kept at a time: a copy has as many numbers as the features


class Lines:
    """Line c * M + m goes from baseline m to copy c. Without copies there is one of them: the input itself.

    Copy c has Gaussian noise of standard deviation `noise` times the range of z at the layer (SmoothGrad: Smilkov et
    al., 2017), drawn by its number, so that it is the same whenever it is made.
    """

    def __init__(self, z: Features, b: Sequence[Features], copies: int, noise: float, stream: Stream) -> None:
        self.z, self.b, self.copies, self.noise, self.stream = z, b, copies, noise, stream
        self._made: dict[int, Line] = {}
        self._z_on: dict[Placement, Features] = {}

    def __len__(self) -> int:
        return max(1, self.copies) * len(self.b)

    def __getitem__(self, index: int) -> Line:
        """The line; made again where it is no longer held. Any thread."""
        found = self._made.get(index)
        if found is None:
            copy, m = divmod(index, len(self.b))
            if not self.copies:
                found = Line(self.z, self.b[m], self._z_on)
            else:
                found = Line(self.copy(copy), self.b[m])
                if len(self._made) >= HELD:
                    self._made = {}
            self._made[index] = found
        return found

    def copy(self, c: int) -> Features:
        """z of copy c."""
        if not self.copies:
            return self.z
        return {layer: a + self._noise(layer, a, c) for layer, a in self.z.items()}

    def _noise(self, layer: str, a: torch.Tensor, c: int) -> torch.Tensor:
        drawn = self.stream.child(f"smooth.{layer}").normal(range(c, c + 1), a.numel())
        return self.noise * (a.max() - a.min()) * torch.from_numpy(drawn).view(a.shape)
