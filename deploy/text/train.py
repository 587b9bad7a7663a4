"""Train the demo's text classifier, or measure the one that ships (run by `make train-text`).

    python deploy/text/train.py                # a few minutes on two cores; writes sentiment.safetensors
    python deploy/text/train.py --evaluate     # the accuracy of what is written there on the part never trained on

Only a low-rank change of the last layers' matrices is trained, and the head: it ships in a third of a megabyte.
"""

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import sentiment_data
import torch
from sentiment_data import Snippet
from sentiment_network import CHANGES, Sentiment, sentiment, token_ids, tokenizer, untrained
from torch import nn
from torch.nn.utils import parametrize

DOWNLOADS = Path(__file__).resolve().parents[2] / "build" / "data"
SAMPLE = CHANGES.with_name("held_out_sample.tsv")
SAMPLED = 250  # snippets of the held-out part that ship, for the tests
FIRST_LAYER = 3  # of 6; the layers below stay as they are
RANK = 8
EPOCHS = 3
BATCH = 32
LEARNING_RATE = 1e-3  # at its highest
CLEAR = 0.25  # snippets rated nearer to 0 than this are not trained on: their raters did not agree on the sign


class LowRank(nn.Module):
    """V -> V + up @ down. At first up is zero, so that nothing is changed."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(rows, RANK))
        self.down = nn.Parameter(torch.randn(RANK, columns) / math.sqrt(columns))

    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix + self.up @ self.down


def made_trainable(network: Sentiment) -> dict[str, LowRank]:
    """Leave only head and low-rank changes to be trained; returns the changes by the names of their modules."""
    network.requires_grad_(False)
    network.head.requires_grad_(True)
    layers = network.encoder.encoder.layer
    linear = {
        f"encoder.encoder.layer.{number}.{name}": module
        for number in range(FIRST_LAYER, len(layers))
        for name, module in layers[number].named_modules()
        if isinstance(module, nn.Linear)
    }
    changes = {name: LowRank(*module.weight.shape) for name, module in linear.items()}
    for name, module in linear.items():
        parametrize.register_parametrization(module, "weight", changes[name])
    return changes


def train(network: Sentiment, snippets: Sequence[Snippet], validation: Sequence[Snippet]) -> None:
    """Adam on the cross entropy, the rate rising for a tenth of the steps and then falling to zero."""
    made = tokenizer()
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)
    steps = EPOCHS * math.ceil(len(snippets) / BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1, anneal_strategy="linear", cycle_momentum=False
    )
    random = torch.Generator().manual_seed(0)
    began = time.monotonic()
    for epoch in range(1, EPOCHS + 1):
        for number, batch in enumerate(batches(snippets, random), start=1):
            logits = network(token_ids(made, [s.text for s in batch]))
            wanted = torch.tensor([int(s.positive) for s in batch])
            loss = nn.functional.cross_entropy(logits, wanted, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            if number % 25 == 0:
                print(f"epoch {epoch}, batch {number}: loss {loss.item():.3f}, {time.monotonic() - began:.0f} s")
        print(f"epoch {epoch}: on the validation part {accuracies(network, validation)}", flush=True)


def batches(snippets: Sequence[Snippet], random: torch.Generator) -> list[list[Snippet]]:
    """All snippets in a random order, those of a batch of like length, so that few positions are padding."""
    order = torch.randperm(len(snippets), generator=random).tolist()
    pools = [order[i : i + 32 * BATCH] for i in range(0, len(order), 32 * BATCH)]
    order = [i for pool in pools for i in sorted(pool, key=lambda i: len(snippets[i].text))]
    made = [[snippets[i] for i in order[at : at + BATCH]] for at in range(0, len(order), BATCH)]
    return [made[i] for i in torch.randperm(len(made), generator=random)]


@torch.no_grad()
def accuracies(network: Sentiment, snippets: Sequence[Snippet]) -> str:
    """Shares of the snippets whose sign the network tells, in words."""
    made = tokenizer()
    right = {True: [0, 0], False: [0, 0]}  # of positive and of negative ones: how many were told, how many there are
    by_length = sorted(snippets, key=lambda s: len(s.text))
    for at in range(0, len(by_length), 64):
        batch = by_length[at : at + 64]
        told = network(token_ids(made, [s.text for s in batch])).argmax(1)
        for snippet, label in zip(batch, told.tolist(), strict=True):
            right[snippet.positive][0] += snippet.positive == bool(label)
            right[snippet.positive][1] += 1
    positive, negative = (told / there for told, there in right.values())
    accuracy = sum(told for told, _ in right.values()) / len(snippets)
    balanced = (positive + negative) / 2
    return (
        f"accuracy {accuracy:.3f}, balanced {balanced:.3f} (negative {negative:.3f}, positive {positive:.3f}) "
        f"of {len(snippets)}"
    )


def save(network: Sentiment, changes: Mapping[str, LowRank]) -> None:
    """Write head and changes, in half precision."""
    tensors = {f"head.{name}": value for name, value in network.head.state_dict().items()}
    for name, change in changes.items():
        tensors |= {f"{name}.weight.up": change.up, f"{name}.weight.down": change.down}
    half = {key: tensor.detach().half().contiguous() for key, tensor in tensors.items()}
    CHANGES.write_bytes(safetensors.torch.save(half))  # its own save_file makes a file that only the owner may read


def save_sample(snippets: Sequence[Snippet]) -> None:
    """Write the snippets that ship, evenly spaced in the order of their texts: rating, tab, text."""
    ordered = sorted(snippets, key=lambda s: s.text)
    chosen = [ordered[i * len(ordered) // SAMPLED] for i in range(SAMPLED)]
    SAMPLE.write_text("".join(f"{s.rating:.4g}\t{s.text}\n" for s in chosen), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the demo's text classifier, or measure it.")
    parser.add_argument("--evaluate", action="store_true", help="only measure the one that is there")
    parser.add_argument("--downloads", type=Path, default=DOWNLOADS, help="folder for the snippets (%(default)s)")
    args = parser.parse_args()
    parts = sentiment_data.read(sentiment_data.fetch(args.downloads))
    if not args.evaluate:
        torch.manual_seed(0)
        network = untrained()
        changes = made_trainable(network)
        train(network, [s for s in parts.training if abs(s.rating) >= CLEAR], parts.validation)
        save(network, changes)
        save_sample(parts.held_out)
    network = sentiment()
    print(f"{CHANGES.name}, {CHANGES.stat().st_size / 1e6:.2f} MB, on the held-out part:")
    print(f"  all: {accuracies(network, parts.held_out)}")
    clear = [s for s in parts.held_out if abs(s.rating) >= 0.5]
    print(f"  rated at least 0.5 from neutral: {accuracies(network, clear)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
