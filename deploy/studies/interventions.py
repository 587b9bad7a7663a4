"""Do gradual interventions find what a classifier was biased towards? On drawn lesions, where the truth is known.

    python deploy/studies interventions              # `make study-interventions`: minutes
    python deploy/studies interventions --full       # `make study-interventions FULL=1`: more seeds and lesions

After Penzel & Denzler, arXiv 2503.05424. Classifiers are trained here, on sets that tie a sticker or a hue to the class
and on one that ties nothing; every epoch is kept, and explained by the service's own plans. Rows go to CSV files as
they are found; the same command goes on where it was stopped.
"""

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import intervention_domain as domain
import intervention_findings
import intervention_rows as rows
from intervention_clinic import GUIDANCE, Classifier, Clinic, diffusion_editor
from intervention_domain import PROPERTIES, SCENARIOS, UNBIASED
from intervention_findings import Measured
from intervention_networks import ARCHITECTURES
from intervention_rows import Row
from intervention_training import Recipe, Weights, accuracy, network_of, trained
from lesions import Lesion
from progress import Line
from running import BUILD, ended
from sidelight.core.sequence import Sequence as Edits
from sidelight.core.sweep import Plan
from table import Table

EDITOR = Path(__file__).resolve().parents[1] / "editor" / "pix2pix"
DEFAULTS = {"seeds": 3, "lesions": 24, "mapped": 12, "edited": 6, "trained_on": 1200, "epochs": 8, "samples": 100}
FULL = DEFAULTS | {"seeds": 6, "lesions": 60, "mapped": 30, "edited": 24}
TESTED = 400  # lesions that accuracy is measured on
FOLLOWED = ("patch-biased", "unbiased")  # scenarios whose epochs are explained, of the first seed
LAID = ("patch", "ruler")  # properties that are laid over the picture there
INSTRUCTED = ("patch", "ruler", "hue", "darkness")  # of which the diffusion editor is asked
EDITS = 11  # N of its series

TRAINED_KEY = ("trained_on", "epochs", "scenario", "architecture", "seed", "epoch")
TRAINED_VALUES = ("accuracy", "accuracy_as_trained")  # on lesions drawn without a tie, and with the scenario's own

Keyed = tuple[list[Row], Callable[[], Plan[list[Row]]]]  # which rows, and how to get them


def recipes(args: argparse.Namespace) -> list[Recipe]:
    """All that are trained, seed by seed."""
    return [
        Recipe(scenario, architecture, seed, args.trained_on, args.epochs)
        for seed in range(args.seeds)
        for scenario in SCENARIOS
        for architecture in ARCHITECTURES
    ]


def training(wanted: Sequence[Recipe], folder: Path, table: Table) -> dict[Classifier, Weights]:
    """The weights of every epoch; how accurate the first and the last are goes to the table."""

    @functools.lru_cache(maxsize=len(SCENARIOS))
    def data(scenario: str, seed: int, count: int) -> domain.Labelled:
        return domain.training_set(scenario, seed, count)

    tests = functools.cache(lambda scenario: domain.test_set(scenario, TESTED))
    found: dict[Classifier, Weights] = {}
    line = Line(len(wanted))
    for done, r in enumerate(wanted):
        line.tell(done)
        epochs = trained(r, functools.partial(data, r.scenario, r.seed, r.lesions), folder)
        found |= {Classifier(r, epoch): weights for epoch, weights in enumerate(epochs)}
        for one in (Classifier(r, 0), Classifier(r, r.epochs)):
            if one.key not in table:
                network = network_of(r.architecture, found[one])
                told = (accuracy(network, tests(scenario)) for scenario in (UNBIASED, r.scenario))
                table.append([one.key | dict(zip(TRAINED_VALUES, told, strict=True))])
    line.close()
    return found


def filled(clinic: Clinic, table: Table, wanted: Sequence[Keyed], cost: int) -> list[dict[str, str]]:
    """The rows of the table that are wanted; first those that it lacks are found. cost: about the rows of one plan."""
    left = [(None, plan()) for keys, plan in wanted if not all(key in table for key in keys)]
    line = Line(len(left) * cost)
    for _, made in clinic.results(left, line):
        table.append(row for row in made if row not in table)
    line.close()
    return [row for keys, _ in wanted for key in keys if (row := table.get(key)) is not None]


def scores(
    clinic: Clinic, classifiers: Sequence[Classifier], several: Sequence[Lesion], properties: Sequence[str],
    edit: Callable[[Lesion, str, int], Edits], editor: str, count: int,
) -> list[Keyed]:  # fmt: skip
    """What each property of each lesion does to all of the classifiers, edited by `edit` in `count` strengths."""

    def plan(i: int, x: Lesion) -> Plan[list[Row]]:
        return rows.scored(clinic, classifiers, i, x, [edit(x, name, count) for name in properties], editor)

    return [
        (rows.keys(classifiers, i, properties, editor, count), functools.partial(plan, i, x))
        for i, x in enumerate(several)
    ]


def measured(args: argparse.Namespace, weights: Mapping[Classifier, Weights]) -> Measured:
    """Everything that is asked of the trained classifiers."""
    table = Table(args.out / "interventions.csv", rows.KEY, rows.VALUES)
    maps = Table(args.out / "intervention_maps.csv", rows.MAP_KEY, rows.MAP_VALUES)
    several = domain.explained(max(args.lesions, args.mapped, args.edited))
    last = [one for one in weights if one.epoch == one.recipe.epochs]
    followed = [one for one in weights if one.recipe.seed == 0 and one.recipe.scenario in FOLLOWED]
    with Clinic({one: weights[one] for one in last}, last) as clinic:
        print(f"Scores: {len(PROPERTIES)} properties of {args.lesions} lesions, {domain.COUNT} strengths")
        wanted = scores(clinic, last, several[: args.lesions], PROPERTIES, clinic.drawn, "captured", domain.COUNT)
        drawn = filled(clinic, table, wanted, len(last) * len(PROPERTIES) * domain.COUNT)
        print(f"Saliency maps: {len(rows.METHODS)} methods on {args.mapped} lesions and {len(rows.TASK)} edits of each")
        pairs = [(one, i, several[i]) for i in range(args.mapped) for one in last]
        keyed = [
            (rows.map_keys(one, i, args.samples), functools.partial(rows.compared, clinic, one, i, x, args.samples))
            for one, i, x in pairs
        ]
        changes = filled(clinic, maps, keyed, rows.evaluations(args.samples))
        both, missing = instructed(args, clinic, table, last, several[: args.edited])
    with Clinic({one: weights[one] for one in followed}) as clinic:
        print(f"Epochs: {len(followed)} classifiers on {args.lesions} lesions")
        wanted = scores(clinic, followed, several[: args.lesions], LAID, clinic.laid, "parametric", domain.COUNT)
        epochs = filled(clinic, table, wanted, len(followed) * len(LAID) * domain.COUNT)
    return Measured(drawn, changes, epochs, both, missing)


def instructed(
    args: argparse.Namespace, clinic: Clinic, table: Table, last: Sequence[Classifier], several: Sequence[Lesion]
) -> tuple[list[dict[str, str]], str]:
    """Scores of drawn series and of a diffusion editor's of the same properties, or why there are none."""
    editor = diffusion_editor(args.editor)
    if isinstance(editor, str):
        print(f"Left out, the diffusion editor: {editor}")
        return [], editor
    clinic.join(editor)
    print(f"Diffusion editor: {len(INSTRUCTED)} properties of {len(several)} lesions, {EDITS} strengths")
    found = []
    edits = {f"{editor.name} to {last:g}": functools.partial(clinic.instructed, last) for last in GUIDANCE}
    for name, edit in ({"captured": clinic.drawn} | edits).items():
        wanted = scores(clinic, last, several, INSTRUCTED, edit, name, EDITS)
        found += filled(clinic, table, wanted, (len(last) + 1) * len(INSTRUCTED) * EDITS)
    return found, ""


def run(args: argparse.Namespace) -> None:
    """Train, measure, and say what was found."""
    import intervention_plot  # here, since the rest of a study needs no matplotlib

    for name, value in (FULL if args.full else DEFAULTS).items():
        setattr(args, name, getattr(args, name) or value)
    began = time.monotonic()
    accuracies = Table(args.out / "intervention_classifiers.csv", TRAINED_KEY, TRAINED_VALUES)
    wanted = recipes(args)
    print(f"Training: {len(wanted)} classifiers on {args.trained_on} lesions, {args.epochs} epochs")
    weights = training(wanted, args.out / "classifiers", accuracies)
    told = [row for one in weights if (row := accuracies.get(one.key)) is not None]
    found = intervention_findings.of(told, measured(args, weights))
    print(f"\nDone in {(time.monotonic() - began) / 60:.1f} minutes.\n\n{found.text}\n")
    print(f"Plot: {intervention_plot.interventions(found, args.out / 'interventions.png')}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="studies interventions", description="Train biased classifiers, and find their bias by interventions."
    )
    parser.add_argument("--full", action="store_true", help="more seeds and lesions: hours")
    for name, what in (
        ("seeds", "of training sets and classifiers"), ("lesions", "that are explained"),
        ("mapped", "lesions whose saliency maps are compared"), ("edited", "lesions that the diffusion editor edits"),
        ("trained-on", "lesions of a training set"), ("epochs", "of training"),
        ("samples", "rows of LIME and of Kernel SHAP"),
    ):  # fmt: skip
        default = DEFAULTS[name.replace("-", "_")]
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} ({default})")
    parser.add_argument("--editor", type=Path, default=EDITOR, metavar="FOLDER", help="its pipeline (%(default)s)")
    parser.add_argument("--out", type=Path, default=BUILD, help="folder of tables and plot (%(default)s)")
    args = parser.parse_args()
    if args.mapped is not None and args.mapped < 2:
        parser.error("--mapped: at least 2, since a lesion's threshold is taken from the others")
    return ended(run, args)
