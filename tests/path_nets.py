"""Small networks for path attribution, and jobs over them in float64."""

import torch
from differentiable import WIDE, Answers, layers
from inline import inline
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput, TokenInput
from sidelight.core.job import Job
from sidelight.core.predictor import PixelSpace, Twin
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.path.options import Options
from sidelight.path.plan import attribute
from torch import nn

RAW = PixelSpace()  # pixels as they are
SPACE = PixelSpace(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def seeded(make, seed=0):
    """A module in float64, its weights drawn by `seed`."""
    torch.manual_seed(seed)
    return make().double().eval()


class Residual(nn.Module):
    """ReLU blocks with a connection past each: only what comes after the sum is a cut."""

    def __init__(self, channels=4, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, stride=2)
        self.branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(channels))
        self.sum = nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        h = self.stem(x)
        return self.head(self.pool(torch.relu(self.sum(h + self.branch(h)))).flatten(1))


def relu_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3),
    )  # fmt: skip


def gelu_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.GELU(), nn.Conv2d(4, 6, 3, padding=1), nn.GELU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.GELU(), nn.Linear(8, 3),
    )  # fmt: skip


class Transformer(nn.Module):
    """Token ids [k, L] -> logits; a pre-norm block of two heads with GELU."""

    def __init__(self, words=20, width=8, classes=2):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, ids):
        return self.head(self.block(self.embedding(ids)).mean(1))


def image_job(
    module, *, cuts=(), classes=(1,), seed=0, size=(12, 10), baseline=None, space=SPACE, others=0, swap=None, **more
):
    """A job over a random image of `size`, or over `swap`, its outputs known as the engine would."""
    torch.manual_seed(seed)
    pixels = (torch.rand(3, *size) * 255).round()
    baseline = torch.full_like(pixels, 100.0) if baseline is None else baseline
    x = swap or ImageInput("x", pixels, baseline, space)
    rows = x.blend(torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, *size), WIDE)["x"]
    found = layers(module, rows[:1], cuts)
    more["others"] = tuple(
        ImageInput("x", pixels, torch.full_like(pixels, 20.0 + 50 * i), space) for i in range(others)
    )
    return _job(module, x, rows, found, classes, **more)


def vector_job(module, z, b=None, **more):
    """A job over features z [C, H, W] as if they were an image, over zero where no b is given."""
    x = ImageInput("x", z, torch.zeros_like(z) if b is None else b, RAW)
    return image_job(module, swap=x, size=z.shape[1:], classes=(0,), **more)


def token_job(module, ids, *, cuts=(), classes=(1,), replacement=0, **more):
    """A job over token ids."""
    x = TokenInput("x", torch.tensor(ids), replacement)
    rows = x.blend(torch.tensor([[1.0], [0.0]]).expand(2, len(ids)), WIDE)["x"]
    found = layers(module, rows[:1], cuts)
    return _job(module, x, rows, found, classes, embedding="embedding", **more)


def _job(module, x, rows, found, classes, *, embedding="", kind=OutputKind.LOGITS, link=Link.LOGIT, **more):
    with torch.no_grad():
        y = module(rows).double()
    twin = Twin(found, "digest", 1e-3, embedding=embedding)
    known = {"target": Target(kind, link, classes), "twin": twin, "stream": Stream(3), "ends": y}
    return Job(Model("net", "1"), x, **(known | more))


def run(job, module, *attributions, tile=16, **options):
    """Attribute inline; the saliency, with the asks counted on `run.answers`."""
    run.answers = Answers(module, kind=job.target.kind)
    return inline(attribute(job, Options("path_attribution", attributions, **options)), run.answers, tile, WIDE)
