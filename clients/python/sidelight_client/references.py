"""Reference vectors of cosine targets: of each class one, or several whose similarities are averaged."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from sidelight_proto.v1 import types_pb2

from sidelight_client.errors import InvalidRequest

Vectors: TypeAlias = Sequence[float] | Sequence[Sequence[float]] | Sequence[np.ndarray] | np.ndarray


def embeddings(references: Mapping[str, Vectors]) -> list[types_pb2.Embedding]:
    """One for each vector: of a name its vector [K], or its vectors [n, K], K the length of the model's output.

    Raises InvalidRequest for what is no such mapping, and for vectors of other lengths or to which nothing is similar.
    """
    if not isinstance(references, Mapping):
        raise InvalidRequest.of("references", 'a name to its vector or vectors: {"cat": [0.2, 0.9]}')
    found: list[types_pb2.Embedding] = []
    for name, values in references.items():
        if not isinstance(name, str):
            raise InvalidRequest.of("references", f"names are texts, not {name!r}")
        for i, vector in enumerate(_rows(values, f"references[{name!r}]")):
            where = f"references[{name!r}][{i}]"
            if found and len(found[0].values) != len(vector):
                raise InvalidRequest.of(where, f"{len(found[0].values)} numbers as the first has, not {len(vector)}")
            if not np.isfinite(vector).all():
                raise InvalidRequest.of(where, "finite numbers, in 32 bits")
            if not vector.any():
                raise InvalidRequest.of(where, "not all zero: nothing is similar to that")
            found.append(types_pb2.Embedding(name=name, values=vector))
    return found


def _rows(values: Vectors, where: str) -> np.ndarray:
    """float32 [n, K]."""
    try:
        with np.errstate(over="ignore"):  # infinite then, which is refused
            array = np.asarray(values, np.float32)
    except (TypeError, ValueError):  # no numbers, or rows of several lengths
        array = np.empty(0, np.float32)
    if array.ndim not in (1, 2) or not array.size:
        raise InvalidRequest.of(where, "a vector of numbers, or several of equal length: [v1, v2], or an array [n, K]")
    return np.atleast_2d(array)
