"""A small transformer that reads texts, of token ids too: float64, with words cut into pieces of three characters."""

import re
import zlib

import torch
import torch.nn.functional as F
from sidelight.core.predictor import Twin, Unit
from torch import nn

PAD, BEGIN, END, BLANK, FIRST = 0, 1, 2, 3, 4
WORDS = 60


class Block(nn.Module):
    """Attention and a GELU layer, each beside a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, h, there):
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v, there.unsqueeze(1))
        return h + self.mix(h)


class Reader(nn.Module):
    """n texts, or ids [n, L] int64 -> logits [n, 3]."""

    embedding = "embed"
    blank = BLANK
    specials = frozenset({PAD, BEGIN, END})

    def __init__(self, seed: int = 0, width: int = 8, longest: int = 200) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.place = nn.Embedding(FIRST + WORDS, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.head = nn.Linear(width, 3)
        self.double().eval().requires_grad_(False)

    def forward(self, rows):
        ids = rows if isinstance(rows, torch.Tensor) else self._padded(rows)
        there = ids != PAD
        h = self.embed(ids) + self.place(torch.arange(ids.shape[1]))
        for block in self.blocks:
            h = block(h, there)
        there = there.unsqueeze(-1)
        return self.head((h * there).sum(1) / there.sum(1).clamp(min=1))

    def pieces(self, text):
        found = [(0, 0)]
        for m in re.finditer(r"\w+|[^\w\s]", text):
            found += [(at, min(at + 3, m.end())) for at in range(m.start(), m.end(), 3)]
        return (*found, (0, 0))

    def ids(self, text):
        inner = [FIRST + zlib.crc32(text[b:e].encode()) % WORDS for b, e in self.pieces(text)[1:-1]]
        return (BEGIN, *inner, END)

    def _padded(self, texts):
        rows = [torch.tensor(self.ids(text)) for text in texts]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def twin_of(reader: Reader, layers=()) -> Twin:
    """What the service would know of it."""
    return Twin(
        tuple(layers), "", 1e-3, embedding=reader.embedding, ids=reader.ids, blank=reader.blank,
        specials=reader.specials, pieces=lambda text: tuple(Unit(*p) for p in reader.pieces(text)),
    )  # fmt: skip
