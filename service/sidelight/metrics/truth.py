"""The ground truth that a map is held against."""

import torch

from sidelight.core.errors import InvalidRequest


def region(mask: torch.Tensor | None, shape: tuple[int, ...], field: str) -> torch.Tensor:
    """The mask [*shape] bool. Raises InvalidRequest naming `field` where it is absent, empty or of another shape."""
    if mask is None:
        raise InvalidRequest(field, f"this metric needs the true region: a mask of shape {list(shape)}")
    if mask.shape != shape:
        raise InvalidRequest(field, f"a mask of the map's shape {list(shape)}, not {list(mask.shape)}")
    mask = mask.bool()
    if not mask.any():
        raise InvalidRequest(field, "the mask marks nothing: mark the true region, or leave this metric out")
    return mask
