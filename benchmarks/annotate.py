"""Accuracy and time of interactive segmentation methods after each round of strokes.

    python -m benchmarks.annotate [--methods a,b] [--sets a,b] [--group tuning|reported] [--rounds 20] [--seeds 3]
        [--start MODEL.safetensors ...]

With ``--start``, the head is also taught on other models, each a method with the name of its file. Train them with
``napari-fcn train-tasks --without SETS``, so that they have not seen the sets on which they are compared.

In each round, a simulated annotator (``benchmarks.annotator``) paints one stroke per class on the errors of the method
under test. Methods are interleaved on every image. Each finished run is a line of OUT.jsonl and is not repeated; delete
the file to start over. OUT.md has the tables, OUT.png the curves.

Dice is the mean over the classes in the image without the background. It is computed over all pixels, and over those
without strokes: a method that only memorises strokes improves the first one. Time is processor time, so that other
programs do not affect it; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
import zlib
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.annotated_sets import SETS, UNKNOWN, examples
from benchmarks.annotator import strokes
from benchmarks.machine import describe
from benchmarks.rivals import Convpaint, RandomForest
from napari_fcn.training.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.annotated_sets import Example
    from benchmarks.rivals import Method

    Run = dict  # one line of the file

ROOT = Path(__file__).parent
OUT = {"reported": ROOT / "results" / "annotate", "tuning": ROOT.parent / "build" / "annotate-tuning"}
ROUNDS_SHOWN = (1, 3, 5, 10, 20)
ROUNDS_BY_SET = (5, 20)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito 2008
METHODS: dict[str, Callable[[], Method]] = {"random-forest": RandomForest, "convpaint": Convpaint}


def all_methods(starts: Iterable[Path] = ()) -> Mapping[str, Callable[[], Method]]:
    """Return the methods by name, with those of napari-fcn if they can be imported, and one for each model file."""
    if not importlib.util.find_spec("benchmarks.ours"):
        return METHODS
    ours = importlib.import_module("benchmarks.ours")
    started = {path.stem: partial(ours.TaughtModel, path.stem, model=str(path)) for path in starts}
    return METHODS | ours.METHODS | started


def score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean Dice over the classes in the truth without the background; unknown pixels are ignored."""
    is_known = truth != UNKNOWN
    present = np.setdiff1d(truth, (0, UNKNOWN))
    return float(np.mean([dice((predicted == number) & is_known, truth == number) for number in present]))


def teach(method: Method, example: Example, seed: int, rounds: int) -> Run:
    """Return Dice and seconds of one method on one image, round by round."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{example.set}/{example.name}".encode())])
    clock = getattr(method, "clock", time.process_time)
    painted = np.zeros(example.truth.shape, np.uint8)
    predicted, scores, times = None, {"dice": [], "unpainted": []}, [clock()]
    method.start(example.image, len(example.classes))
    times.append(clock())
    for _ in range(rounds):
        added = strokes(example.truth, predicted, painted, len(example.classes), rng)
        painted = np.where(added, added, painted)
        begin = clock()
        method.fit(painted.copy())
        predicted = method.predict()
        times.append(clock() - begin)
        scores["dice"].append(score(predicted, example.truth))
        scores["unpainted"].append(score(predicted, np.where(painted, np.uint8(UNKNOWN), example.truth)))
    return {"start": times[1] - times[0], "seconds": times[2:], **scores}


def warm_up(method: Method) -> None:
    """Run a method once on another image, so that its imports are not timed."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 64, 64), np.uint8)
    labels = np.zeros(image.shape, np.uint8)
    labels[0, 10:20, 10:20], labels[0, 40:50, 40:50] = 1, 2
    method.start(image, 2)
    method.fit(labels)
    method.predict()


def key(run: Run) -> tuple[str, str, int, str]:
    """Return the identifier of a run."""
    return run["set"], run["example"], run["seed"], run["method"]


def read_runs(path: Path, rounds: int) -> list[Run]:
    """Return the finished runs of a file with at least this many rounds, truncated to it."""
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    long_enough = {key(run): run for run in runs if len(run["dice"]) >= rounds}
    return [
        {**run, **{part: run[part][:rounds] for part in ("dice", "unpainted", "seconds")}}
        for run in long_enough.values()
    ]


def run_all(names: Iterable[str], settings: argparse.Namespace, path: Path) -> None:
    """Do the runs that are missing in the file, and append them."""
    done = {key(run) for run in read_runs(path, settings.rounds)}
    methods: dict[str, Method] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for example in examples(settings.group, settings.sets):
        for seed in range(settings.seeds):
            for name in names:
                header = {"set": example.set, "example": example.name, "seed": seed, "method": name}
                if key(header) in done:
                    continue
                if name not in methods:
                    methods[name] = all_methods(settings.start)[name]()
                    warm_up(methods[name])
                run = {**header, "name": methods[name].name, **teach(methods[name], example, seed, settings.rounds)}
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run) + "\n")
                if not settings.quiet:
                    print(*header.values(), f"Dice {run['dice'][-1]:.3f}", file=sys.stderr)


def curve(runs: list[Run], part: str = "dice") -> np.ndarray:
    """Return the mean score after each round, over images and seeds of each set, then over the sets."""
    sets = defaultdict(list)
    for run in runs:
        sets[run["set"]].append(run[part])
    return np.mean([np.mean(curves, axis=0) for curves in sets.values()], axis=0)


def cumulative_time(runs: list[Run]) -> np.ndarray:
    """Return the processor time until the prediction of each round, median over the runs."""
    return np.median([run["start"] + np.cumsum(run["seconds"]) for run in runs], axis=0)


def by_method(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of each method."""
    sorted_runs = defaultdict(list)
    for run in runs:
        sorted_runs[run["name"]].append(run)
    return dict(sorted_runs)


def markdown(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table."""
    head = list(head)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows))


def summary(methods: Mapping[str, list[Run]], rounds: int) -> str:
    """Return the table over all sets."""
    shown = [number for number in ROUNDS_SHOWN if number <= rounds]
    head = [
        "method",
        *(f"Dice after {number}" for number in shown),
        "±",
        f"unpainted, after {rounds}",
        "s per round",
        "s at start",
        "runs",
    ]
    rows = []
    for name, runs in methods.items():
        mean = curve(runs)
        seeds = defaultdict(list)
        for run in runs:
            seeds[run["seed"]].append(run)
        last = [curve(part)[-1] for part in seeds.values()]
        spread = f"{np.std(last, ddof=1):.3f}" if len(last) > 1 else ""
        seconds, start = (np.median(np.concatenate([np.atleast_1d(r[p]) for r in runs])) for p in ("seconds", "start"))
        dices = (f"{mean[number - 1]:.3f}" for number in shown)
        rows.append(
            [name, *dices, spread, f"{curve(runs, 'unpainted')[-1]:.3f}", f"{seconds:.2f}", f"{start:.2f}", len(runs)]
        )
    return markdown(head, rows)


def by_set(methods: Mapping[str, list[Run]], rounds: int) -> str:
    """Return the table of each set."""
    shown = [number for number in ROUNDS_BY_SET if number <= rounds] or [rounds]
    sets = [name for name in SETS if any(run["set"] == name for runs in methods.values() for run in runs)]
    rows = []
    for name, runs in methods.items():
        by_name = {each: [run for run in runs if run["set"] == each] for each in sets}
        cells = [
            " / ".join(f"{curve(part)[number - 1]:.2f}" for number in shown) if part else ""
            for part in by_name.values()
        ]
        rows.append([name, *cells])
    return f"Dice of each set after {' / '.join(map(str, shown))} strokes.\n\n" + markdown(["method", *sets], rows)


def plot(methods: Mapping[str, list[Run]], path: Path) -> None:
    """Save the curves over strokes and over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (over_strokes, over_time) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for i, (name, runs) in enumerate(methods.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": "osD^vPX"[i % 7], "markersize": 4, "label": name}
        dices = curve(runs)
        over_strokes.plot(np.arange(1, len(dices) + 1), dices, **style)
        over_time.plot(cumulative_time(runs), dices, **style)
    over_strokes.set(xlabel="strokes in each class", ylabel="Dice, mean of the sets")
    over_time.set(xlabel="seconds of one thread since the image was opened (median)", xscale="log")
    over_strokes.xaxis.get_major_locator().set_params(integer=True)
    over_time.xaxis.set_major_formatter("{x:g}")
    over_time.xaxis.set_minor_formatter(plt.NullFormatter())
    over_strokes.legend(frameon=False)
    for axes in (over_strokes, over_time):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def report(runs: list[Run], settings: argparse.Namespace, out: Path) -> str:
    """Write the tables and the figure, and return the text."""
    methods = by_method(runs)
    images = len({(run["set"], run["example"]) for run in runs})
    counts = sorted({len({run["seed"] for run in part}) for part in methods.values()})
    seeds = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]]))) + (" seed" if counts[-1] == 1 else " seeds")
    text = "\n\n".join(
        [
            f"# Teaching by strokes: {images} images of {len({run['set'] for run in runs})} sets",
            f"Mean Dice, with equal weights of the sets, by the number of strokes per class; {seeds}, each with "
            "strokes on the errors of the method. ±: standard deviation, over the seeds, of the last mean. "
            "Unpainted: without the pixels under strokes, which were used for training. "
            "Seconds: median processor time of training and prediction, on one thread.",
            summary(methods, settings.rounds),
            by_set(methods, settings.rounds),
            f"![Dice over strokes and over seconds]({out.name}.png)",
            f"{describe('cpu')}.",
        ]
    )
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    plot(methods, out.with_suffix(".png"))
    return text


def names(text: str) -> list[str]:
    """Return the items of a comma-separated list."""
    return [part for part in text.split(",") if part]


def main() -> None:
    """Run the methods, print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=names, default=[])
    parser.add_argument("--sets", type=names, default=[])
    parser.add_argument("--group", choices=["tuning", "reported"], default="reported")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="path of the results, without suffix")
    parser.add_argument("--start", nargs="+", type=Path, default=[], help="models whose head is taught, too")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    settings = parser.parse_args()
    known = all_methods(settings.start)
    chosen = [*(settings.methods or known), *(path.stem for path in settings.start if settings.methods)]
    if unknown := set(chosen) - set(known):
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    out = settings.out or OUT[settings.group]
    runs_file = out.with_suffix(".jsonl")
    run_all(chosen, settings, runs_file)
    selected = [
        run
        for run in read_runs(runs_file, settings.rounds)
        if run["method"] in chosen and run["seed"] < settings.seeds and run["set"] in (settings.sets or SETS)
    ]
    print(report(selected, settings, out))


if __name__ == "__main__":
    main()
