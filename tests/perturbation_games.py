"""Games: what a model is to a calculator. Random, with interactions of every order; and what is common to the tests."""

import torch
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.perturbation.attribution import Attribution
from sidelight.perturbation.fields import Units


class Game:
    """v [n, T] of coalitions z [n, M]: a small random network, bounded to (0, 1); not additive."""

    def __init__(self, units, outputs=1, seed=0, hidden=12):
        u = torch.from_numpy(Stream(seed).child("game").normal(range(hidden), units + 1 + outputs))
        self.units, self.outputs = units, outputs
        self.w, self.b, self.out = u[:, :units] * 2 / units**0.5, u[:, units], u[:, units + 1 :]

    def __call__(self, z):
        z = torch.as_tensor(z, dtype=torch.float64)
        return ((z @ self.w.T + self.b).tanh() @ self.out / 2).sigmoid()

    @property
    def ends(self):
        """[2, T]."""
        return self(torch.stack([torch.ones(self.units), torch.zeros(self.units)]))


def target(outputs=1):
    return Target(OutputKind.PROBABILITIES, Link.PROBABILITY, tuple(range(outputs)))


def fold(calculator, sampler, game, tolerance=None, field=None, per_pixel=True, labels=None):
    field = field or Units(game.units)
    return Attribution(calculator, sampler, field, per_pixel, target(game.outputs), game.ends, tolerance, labels)


def attribute(calculator, sampler, game, rows, tile=None):
    """Scores over so many rows, in tiles."""
    a = fold(calculator, sampler, game)
    play(a, sampler, game, rows, tile)
    return a.value()


def play(a, sampler, game, rows, tile=None, start=0):
    """Fold rows `start` to `rows` in tiles."""
    tile = tile or rows
    for begin in range(start, rows, tile):
        part = range(begin, min(begin + tile, rows))
        z = sampler.draw(part)
        a.add(part, z, {"y": game(z)})
