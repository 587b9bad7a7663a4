"""Images whose evidence is known, networks that see it, and jobs over them: for mask optimisation, run inline."""

from dataclasses import replace

import torch
from differentiable import WIDE, Answers
from inline import inline
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.predictor import PixelSpace, Twin
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.masks.optimise import optimise
from sidelight.masks.options import IMAGE_CNN
from torch import nn

SPACE = PixelSpace(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
RAW = PixelSpace()


class Patch(nn.Module):
    """Pixels [k, 3, H, W] -> logits of "no" and "red": how red the pixels of one region are, and of no other."""

    def __init__(self, region):
        super().__init__()
        self.region = region

    def forward(self, x):
        rows, columns = self.region
        seen = x[:, :, rows, columns] / 255
        red = (seen[:, 0] - seen[:, 1:].mean(1)).mean((1, 2))
        return torch.stack([torch.zeros_like(red), 20 * (red - 0.4)], 1)


def small_net(classes=3, channels=3, seed=0):
    """A convolutional network in float64, differentiable everywhere."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, stride=2), nn.GELU(), nn.Conv2d(4, 6, 3, padding=1), nn.GELU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes),
    )  # fmt: skip
    with torch.no_grad():
        net[-1].weight *= 20  # so that the outputs differ from row to row
    return net.double().eval()


def reddish(size):
    """Pixels [3, *size]: red everywhere, with noise."""
    torch.manual_seed(0)
    pixels = torch.rand(3, *size) * 60
    pixels[0] += 190
    return pixels


def image_job(
    net, *, size=(12, 10), pixels=None, space=SPACE, baselines=(100.0,), classes=(1,), kind=OutputKind.LOGITS, **more
):
    """A job over a random image, or over `pixels`, and grey baselines of these values; its outputs are known."""
    torch.manual_seed(0)
    pixels = (torch.rand(3, *size) * 255).round() if pixels is None else pixels
    first, *others = (ImageInput("x", pixels, torch.full_like(pixels, b), space) for b in baselines)
    keep = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, *first.shape)
    with torch.no_grad():
        y = net(first.blend(keep, WIDE)["x"].double()).double()
    known = {"target": Target(kind, Link.LOGIT, classes), "twin": Twin((), "digest", 1e-3), "stream": Stream(3)}
    return Job(Model("net", "1"), first, others=tuple(others), ends=y, **(known | more))


def optimised(job, net, tile=16, options=IMAGE_CNN, **changed):
    """The answer; the rows that it took are counted on `optimised.answers`."""
    optimised.answers = Answers(net, kind=job.target.kind)
    return inline(optimise(job, replace(options, **changed)), optimised.answers, tile, WIDE)


def iou(mask, truth):
    """Of a mask at the threshold .5 and the pixels that are `truth`."""
    kept = mask >= 0.5
    return (kept & truth).sum().item() / (kept | truth).sum().item()
