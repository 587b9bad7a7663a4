"""Integrals and predictions from values at arbitrary nodes, by polynomials through the nearest ones.

Weights only, of nodes a_0 < ... < a_m in float64; a function's values at the nodes are rows, so both are products with
them. A gap is what lies between two neighbouring nodes.
"""

import torch

_GAUSS = 3**-0.5  # of the two-point rule on [-1, 1], exact for cubics


def integrals(a: torch.Tensor) -> torch.Tensor:
    """[gaps, nodes]: of a function over every gap, as the mean of the two parabolas through its ends and one node more.

    Exact for parabolas, of fourth order inside evenly spaced nodes, where it is (-1, 13, 13, -1) h / 24. Of two nodes
    it is the trapezoid. All its weights are small, so a jump between two nodes does no harm elsewhere.
    """
    n = len(a)
    weights = a.new_zeros(n - 1, n)
    for k in range(n - 1):
        half = (a[k + 1] - a[k]) / 2
        x = (a[k] + a[k + 1]) / 2 + half * a.new_tensor([-_GAUSS, _GAUSS])
        starts = [s for s in (k - 1, k) if 0 <= s <= n - 3]
        for s in starts or [k]:
            stencil = slice(s, s + 3 if starts else s + 2)
            weights[k, stencil] += half * _lagrange(a[stencil], x).sum(0) / max(len(starts), 1)
    return weights


def surprises(a: torch.Tensor, degree: int) -> torch.Tensor:
    """[nodes, nodes]: a function's value at every node less what its neighbours predict there.

    The prediction is the polynomial of `degree`, or as high as there are nodes for, through the nearest others by
    index: at most degree + 1 nodes away.
    """
    n = len(a)
    size = min(degree + 2, n)
    weights = torch.eye(n, dtype=a.dtype)
    for k in range(n):
        start = min(max(k - size // 2, 0), n - size)
        others = torch.tensor([i for i in range(start, start + size) if i != k])
        weights[k, others] = -_lagrange(a[others], a[k : k + 1])[0]
    return weights


def _lagrange(nodes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """[points, nodes]: the basis polynomials of the nodes at x."""
    own = torch.eye(len(nodes), dtype=torch.bool)
    above = (x[:, None] - nodes).unsqueeze(1).expand(-1, len(nodes), -1).masked_fill(own, 1.0).prod(2)
    return above / (nodes[:, None] - nodes).masked_fill(own, 1.0).prod(1)
