"""Small networks to make twins of, and the twins."""

from dataclasses import dataclass

import torch
from sidelight.core.ask import TWIN, Model
from sidelight.core.predictor import Fit, ModelSpec, PixelSpace, TensorSpec
from sidelight.core.sweep import Placement
from sidelight.core.target import OutputKind
from sidelight.predictors.networks import Network, weights_digest
from sidelight.predictors.tuning import Tuned
from sidelight.predictors.twin import TwinPredictor
from torch import nn

SIZE = 8
ASKED = Model("net", "1", TWIN)


class Block(nn.Module):
    """x + bn(conv(act(x))): only the whole is a cut. Changes what it is given in place, as many do."""

    def __init__(self, channels):
        super().__init__()
        self.act, self.conv, self.bn = (
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            norm(channels),
        )

    def forward(self, x):
        return x + self.bn(self.conv(self.act(x.clone())))


def norm(channels):
    """With statistics that matter."""
    made = nn.BatchNorm2d(channels)
    made.running_mean.normal_(0, 0.3)
    made.running_var.uniform_(0.5, 2)
    return made


class Residual(nn.Module):
    """Images [n, 3, 8, 8] -> [n, 4]; its rectifier is used twice, and the batch size is read off the input."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.relu = nn.Conv2d(3, 6, 3, padding=1), norm(6), nn.ReLU(inplace=True)
        self.blocks = nn.ModuleList([Block(6), Block(6)])
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(24, 4)

    def forward(self, x):
        rows = x.shape[0]
        x = self.relu(self.bn(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(self.relu(x)).view(rows, -1))


@dataclass
class Hidden:
    """What a transformer's block gives."""

    state: torch.Tensor
    weights: None = None


class Encoder(nn.Module):
    """Token ids [n, L] -> [n, 2]; 0 is no token. Its blocks give a dataclass and a tuple."""

    embedding = "words"

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(100, 8)
        self.first, self.second, self.head = Mixing(lambda h: Hidden(h)), Mixing(lambda h: (h, None)), nn.Linear(8, 2)

    def forward(self, ids):
        there = (ids != 0).unsqueeze(-1).float()
        h = self.second(self.first(self.words(ids), there).state, there)[0]
        return self.head((h * there).sum(1) / there.sum(1).clamp(min=1))


class Mixing(nn.Module):
    """Tokens look at the mean of those that are there."""

    def __init__(self, give):
        super().__init__()
        self.mix, self.give = nn.Linear(8, 8), give

    def forward(self, h, there):
        mean = (h * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        return self.give(h + torch.tanh(self.mix(h + mean)))


def seeded(make, seed=0):
    """A module of `make` in eval mode, its weights drawn by `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def spec(outputs=4, kind=OutputKind.LOGITS, **changes):
    """Of a model of images, or with `input` of something else."""
    tensor = TensorSpec("x", "FP32", (3, SIZE, SIZE))
    base = {"modality": "image", "input": tensor, "output": TensorSpec("y", "FP32", (outputs,))}
    pixels = PixelSpace(mean=(0.0,) * 3, std=(1.0,) * 3)
    fields = {**base, "kind": kind, "classes": outputs, "pixels": pixels, "fit": Fit((SIZE, SIZE)), **changes}
    return ModelSpec("net", "1", **fields)


TOKENS = {"modality": "tokens", "input": TensorSpec("ids", "INT64", (-1,))}


def network(module):
    """As a factory's."""
    return Network(module, "python", weights_digest(module), module)


def twin(module, of=None, *, plain=True, **options):
    """The twin; `plain`: as the module is, without looking for a faster form."""
    if plain:
        options["tuned"] = Tuned(module.requires_grad_(False), Placement(), "float32")
    return TwinPredictor(network(module), of or spec(), **{"batch_rows": 4, **options})


def images(rows, seed=0):
    """Random rows."""
    return torch.randn(rows, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def ask(predictor, question, **columns):
    """The answers to rows in two tiles, where there are two."""
    n = len(next(iter(columns.values())))
    half = (n + 1) // 2
    named = {name.replace("__", "."): column for name, column in columns.items()}
    tiles = [{k: c[:half] for k, c in named.items()}, {k: c[half:] for k, c in named.items()}]
    return predictor.start(question, tiles[: 1 if n == 1 else 2], lambda: None).result()
