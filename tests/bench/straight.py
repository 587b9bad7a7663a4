"""Gradients along a straight line by real networks, rows in batches, and the rules that are compared on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from build_models import network
from PIL import Image, ImageOps
from sentiment_network import sentiment, token_ids, tokenizer
from sidelight.path.adaptive import Adaptive, Integral
from skimage import data

TOGETHER = 8  # rows of a batch


@dataclass(frozen=True, eq=False)
class Line:
    """From b to z [*A], and the explained score of rows between them [k, *A] -> [k]."""

    b: torch.Tensor
    z: torch.Tensor
    score: Callable[[torch.Tensor], torch.Tensor]

    def at(self, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores [k] and gradients times Δ, [k, d] float64."""
        delta, scores, gradients = self.z - self.b, [], []
        for some in torch.from_numpy(alphas).float().split(TOGETHER):
            rows = (self.b + some.view(-1, *[1] * delta.ndim) * delta).requires_grad_()
            s = self.score(rows)
            gradients.append((torch.autograd.grad(s.sum(), rows)[0] * delta).flatten(1))
            scores.append(s.detach())
        return torch.cat(scores).double().numpy(), torch.cat(gradients).double().numpy()

    def adaptive(self, tolerance: float, most: int = 400) -> tuple[list[Integral], np.ndarray]:
        """What the adaptive rule has after each round, and its nodes; its ends are nodes, so it has no other rows."""
        rule, rounds, nodes = Adaptive(tolerance, torch.ones(self.z.numel()), most), [], []
        while wanted := rule.next():
            for alpha, s, g in zip(wanted, *self.at(np.array(wanted)), strict=True):
                rule.add(alpha, float(s), torch.from_numpy(g))
            rounds.append(rule.value())
            nodes += wanted
        return rounds, np.sort(nodes)


def gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


def away(map: np.ndarray, truth: np.ndarray) -> float:
    """L1 over L1."""
    return float(np.abs(map - truth).sum() / np.abs(truth).sum())


@cache
def _reader():
    net = sentiment().requires_grad_(False)
    return net, tokenizer(), net.encoder.get_input_embeddings().weight


def sentence(text: str) -> Line:
    """Token embeddings over those of [MASK], [CLS] and [SEP] kept, for the logit of the class that wins."""
    net, words, embedding = _reader()
    ids = token_ids(words, [text])
    z = embedding[ids[0]]
    b = embedding[words.token_to_id("[MASK]")].expand_as(z).clone()
    b[[0, -1]] = z[[0, -1]]
    wins = int(net(ids)[0].argmax())
    return Line(b, z, lambda rows: net.from_embeddings(rows, torch.ones(rows.shape[:2], dtype=torch.bool))[:, wins])


@cache
def _seer():
    return network().requires_grad_(False)


def photo(name: str, blocks: int | None) -> Line:
    """A photo over the mean colour, at the input or after so many blocks, for the logit of the class that wins."""
    net = _seer()
    square = ImageOps.fit(Image.fromarray(getattr(data, name)()), (224, 224), Image.Resampling.BICUBIC)
    x = (torch.from_numpy(np.array(square)).permute(2, 0, 1).float() - 127) / 128

    def first(rows):
        rows = net._swish(net._bn0(net._conv_stem(rows)))
        for block in net._blocks[:blocks]:
            rows = block(rows)
        return rows

    def rest(rows):
        for block in net._blocks[blocks:]:
            rows = block(rows)
        rows = net._swish(net._bn1(net._conv_head(rows)))
        return net._fc(net._avg_pooling(rows).flatten(1))

    wins = int(net(x[None])[0].argmax())
    z, b = x, torch.zeros_like(x)
    if blocks is None:
        return Line(b, z, lambda rows: net(rows)[:, wins])
    return Line(first(b[None])[0], first(z[None])[0], lambda rows: rest(rows)[:, wins])
