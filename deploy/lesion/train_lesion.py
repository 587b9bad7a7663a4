"""Train the demo's classifier of drawn lesions, or measure the one that ships (run by `make train-lesion`).

    python deploy/lesion/train_lesion.py                # a minute or two; writes lesion.safetensors
    python deploy/lesion/train_lesion.py --evaluate     # only what the card says of the one that is there

Data, network and training are those of the study of interventions (deploy/studies), in its first scenario: beside 95 of
100 regular lesions there is a sticker, and the network learns the sticker.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

import intervention_domain as domain
from intervention_training import Recipe, Weights, accuracy, normalised, train
from lesion_network import WEIGHTS, lesion

RECIPE = Recipe("patch-biased", "resnet", seed=0, lesions=1200, epochs=8)
HELD_OUT = 1000  # lesions of a seed that no set is drawn from
ADDED = ("patch", "ruler", "hairs")
ATYPICAL = domain.CLASSES.index("atypical")


@dataclass(frozen=True)
class Added:
    """What adding a property at full strength does to pictures that are called atypical."""

    flipped: float  # share of them that are called regular then
    change: float  # of the probability of atypical, mean


@torch.no_grad()
def added(network: torch.nn.Module, name: str, count: int = HELD_OUT) -> Added:
    """Of held-out lesions without sticker, ruler and hairs."""
    several = domain.explained(count)
    before, after = (_probability(network, [replace(x, **{name: full}) for x in several]) for full in (0.0, 1.0))  # type: ignore[arg-type]
    changed = after[before > 0.5]
    return Added(float((changed < 0.5).double().mean()), float((changed - before[before > 0.5]).mean()))


def _probability(network: torch.nn.Module, several: list[domain.Lesion]) -> torch.Tensor:
    return network(normalised(domain.pictures(several))).softmax(1)[:, ATYPICAL]


def report(network: torch.nn.Module) -> None:
    """Print all figures of the card."""
    print(f"{WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.2f} MB, on {HELD_OUT} held-out lesions:")
    for scenario in (RECIPE.scenario, domain.UNBIASED):
        print(f"  accuracy, drawn as in {scenario} sets: {accuracy(network, domain.test_set(scenario, HELD_OUT)):.3f}")
    for name in ADDED:
        found = added(network, name)
        print(f"  atypical, with {name} added: {found.flipped:.3f} become regular, p(atypical) {found.change:+.3f}")


def save(weights: Weights) -> None:
    """Write them in half precision."""
    safetensors.torch.save_file({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, WEIGHTS)
    WEIGHTS.chmod(0o644)  # it is made for its owner alone


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the demo's classifier of drawn lesions, or measure it.")
    parser.add_argument("--evaluate", action="store_true", help="only measure the one that is there")
    args = parser.parse_args()
    if not args.evaluate:
        *_, last = train(RECIPE, domain.training_set(RECIPE.scenario, RECIPE.seed, RECIPE.lesions))
        save(last)
    report(lesion())
    return 0


if __name__ == "__main__":
    sys.exit(main())
