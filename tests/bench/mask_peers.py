"""The paper's per-pixel optimiser of masks on the demo's photo, in a process of its own: its time and its memory."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from live import photo
from masks.replica import Found, Question, optimise
from sidelight.process import keep_freed_memory

from bench.gradient_peers import frozen
from bench.memory import Memory, forget_peak, peak

SIZE, CROP = (256, 256), 224  # of the photo as it is sent, which the model's card leaves as it is; what the model sees
BASELINES = (0.0, 255.0, 127.0)  # black, white, the model's mean


def question() -> Question:
    """Why the network sees the class that wins in the photo, over the paper's baselines."""
    net, edge = frozen(), (SIZE[0] - CROP) // 2
    pixels = np.asarray(photo().resize(SIZE), np.float32)[edge:-edge, edge:-edge]
    x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1) - 127) / 128
    baselines = torch.stack([torch.full_like(x, (value - 127) / 128) for value in BASELINES])
    with torch.no_grad():
        return Question(net, x, baselines, int(net(x.unsqueeze(0)).argmax()))


@dataclass(frozen=True)
class Peer:
    """What the replica came to."""

    found: Found
    memory: Memory  # beyond a forward and backward pass of its rows


def peer(steps: int) -> Peer:
    """At most so many steps of the replica."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_peer, steps).result()


def _peer(steps: int) -> Peer:
    keep_freed_memory()  # as the service does
    asked = question()
    mask = torch.full((CROP, CROP), 0.5, requires_grad=True)
    sum(asked.terms(mask).values()).backward()
    before = forget_peak(os.getpid())
    found = optimise(asked, steps)
    return Peer(found, Memory(before, peak(os.getpid())))
