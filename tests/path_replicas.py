"""Every attribution once more, as plain loops over one network in float64: nothing of the service's own plans."""

import numpy as np
import torch

INPUT = "input"


class Head:
    """g: the class's output as a function of the values at `layer`, the input being x [1, ...]."""

    def __init__(self, module, layer, x, target):
        self.module, self.layer, self.x, self.target = module, layer, x, target

    def __call__(self, a):
        if self.layer == INPUT:
            return self.module(a.unsqueeze(0))[0, self.target]
        handle = self.module.get_submodule(self.layer).register_forward_hook(lambda *_: a.unsqueeze(0))
        try:
            return self.module(self.x)[0, self.target]
        finally:
            handle.remove()

    def gradient(self, a):
        a = a.detach().clone().requires_grad_()
        return torch.autograd.grad(self(a), a)[0]

    def value(self, a):
        with torch.no_grad():
            return float(self(a))


def features(module, layer, x):
    """h(x) [*A] of x [1, ...]."""
    if layer == INPUT:
        return x[0]
    seen = []
    handle = module.get_submodule(layer).register_forward_hook(lambda m, i, y: seen.append(y.detach()[0]))
    with torch.no_grad():
        module(x)
    handle.remove()
    return seen[0]


def nodes(rule, n):
    """Nodes and weights, written down again."""
    if rule == "gauss_legendre":
        x, w = np.polynomial.legendre.leggauss(n)
        return [(float(a + 1) / 2, float(v) / 2) for a, v in zip(x, w, strict=True)]
    if rule == "midpoint":
        return [((k + 0.5) / n, 1 / n) for k in range(n)]
    if rule == "trapezoid":
        return [(k / (n - 1), (0.5 if k in (0, n - 1) else 1.0) / (n - 1)) for k in range(n)]
    if rule == "right":
        return [((k + 1) / n, 1 / n) for k in range(n)]
    return [(k / n, 1 / n) for k in range(n)]


def integrated(g, z, b, rule="gauss_legendre", n=50):
    total = torch.zeros_like(z)
    for alpha, weight in nodes(rule, n):
        total += weight * g.gradient(b + alpha * (z - b))
    return (z - b) * total


def over_positions(a, channels):
    return a.mean([i for i in range(a.ndim) if i != channels], keepdim=True)


def along(g, b, delta, step=0.01):
    """H(b) D, by a central difference."""
    return (g.gradient(b + step * delta) - g.gradient(b - step * delta)) / (2 * step)


def hessian_along(g, b, delta):
    """H(b) D, by differentiating twice."""
    b = b.detach().clone().requires_grad_()
    first = torch.autograd.grad(g(b), b, create_graph=True)[0]
    return torch.autograd.grad((first * delta).sum(), b)[0]


def attribution(name, g, z, b, channels, n=50):
    """A [*A] of one attribution, but for expected gradients."""
    delta, at_z = z - b, g.gradient(z)
    return {
        "gradient": lambda: at_z,
        "gradient_x_activation": lambda: z * at_z,
        "taylor": lambda: delta * g.gradient(b),
        "taylor_second_order": lambda: delta * (g.gradient(b) + 0.5 * along(g, b, delta)),
        "midpoint": lambda: delta * g.gradient((z + b) / 2),
        "integrated_gradients": lambda: integrated(g, z, b, n=n),
        "grad_cam": lambda: over_positions(at_z, channels) * z,
        "layer_cam": lambda: at_z.clamp(min=0) * z,
        "odam": lambda: at_z * z,
        "difference_map": lambda: delta,
    }[name]()
