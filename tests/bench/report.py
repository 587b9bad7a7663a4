"""How a benchmark says what it found: one line on the terminal, one JSON file in build/bench."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"


def in_turn(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Seconds of each and their ratio, medians over `rounds` of A B A B ...: a machine's drift hits both alike."""
    seconds = turns((ours, peer), rounds)
    a, b = (statistics.median(s[i] for s in seconds) for i in (0, 1))
    return a, b, ratio(seconds, 0, 1)


def turns(works: Sequence[Callable[[], object]], rounds: int) -> list[tuple[float, ...]]:
    """Seconds of each in every round of A B C A B C ...; each has run once before, uncounted."""
    for work in works:
        work()
    return [tuple(_seconds(work) for work in works) for _ in range(rounds)]


def ratio(seconds: Sequence[tuple[float, ...]], above: int, below: int) -> float:
    """Median over rounds of the time of one of them over another's."""
    return statistics.median(s[above] / s[below] for s in seconds)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def report(name: str, ratio: float, bound: float | None, what: str, how: str, **figures: object) -> None:
    """Write build/bench/NAME.json and fail where the ratio is above its bound; without one it is only told."""
    holds = bound is None or ratio <= bound
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {"name": name, "ratio": round(ratio, 4), "bound": bound, "holds": holds, "what": what, "how": how}
    (FOLDER / f"{name}.json").write_text(json.dumps(found | figures, indent=1) + "\n")
    state = "told" if bound is None else f"{'holds' if holds else 'FAILS'}, bound {bound:g}"
    print(f"\n{name}: {ratio:.3f} ({state})  {what}  {_words(figures)}")
    assert holds, f"{name}: {ratio:.3f} is above {bound:g}"


def _words(figures: dict[str, object]) -> str:
    return "  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in figures.items())


def percentile(values: Sequence[float], q: float) -> float:
    """The q-th percentile, q in 0..100."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(q) - 1]
