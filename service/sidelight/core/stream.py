"""Counter-based randomness: row i of a named stream is the same whatever the chunking, the device or the neighbours.

Philox 4x64-10 (Salmon et al., SC 2011) keyed by seed and name, its counter advanced to the row.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LANES = 4  # 64-bit words that one Philox block yields


@dataclass(frozen=True, slots=True)
class Stream:
    """A tree of named random streams. Draw with one width under one name: another width is another stream."""

    seed: int
    name: str = ""

    def child(self, name: str) -> "Stream":
        """The stream `name` below this one, independent of its siblings."""
        return Stream(self.seed, f"{self.name}/{name}")

    def words(self, rows: range, width: int) -> NDArray[np.uint64]:
        """Uniform 64-bit words [rows, width]; `rows` has step 1."""
        if rows.step != 1:
            raise ValueError("rows must be consecutive")
        blocks = -(-width // _LANES)
        digest = hashlib.sha256(f"{self.seed}:{width}:{self.name}".encode()).digest()
        key = np.frombuffer(digest[:16], dtype=np.uint64)
        bits = np.random.Philox(key=key, counter=rows.start * blocks)
        return bits.random_raw(len(rows) * blocks * _LANES).reshape(len(rows), -1)[:, :width]

    def uniform(self, rows: range, width: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1), [rows, width], with 53 random bits."""
        return (self.words(rows, width) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(self, rows: range, width: int, high: int) -> NDArray[np.int64]:
        """Uniform integers in [0, high), [rows, width]; the bias is below high / 2**53."""
        return (self.uniform(rows, width) * high).astype(np.int64)

    def normal(self, rows: range, width: int) -> NDArray[np.float64]:
        """Standard normal numbers [rows, width], by Box and Muller: two of each word, at most 6.7 from 0.

        Angles are of float32: there are 2**24 of them, and their sines come ten times as fast as in float64.
        """
        words = self.words(rows, -(-width // 2))
        u = (words >> np.uint64(32)).astype(np.float64) * 2.0**-32  # in [0, 1), as 1 - u is to lie in (0, 1]
        radius = np.sqrt(-2.0 * np.log1p(-u))
        angle = (words & np.uint64(0xFFFFFFFF)).astype(np.float32) * np.float32(2.0 * np.pi * 2.0**-32)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)[:, :width]
