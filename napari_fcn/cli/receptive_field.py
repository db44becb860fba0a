"""The commands ``napari-fcn field`` and ``napari-fcn certify``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_fcn.cli.flags import collect
from napari_fcn.cli.terminal import put, put_json, say
from napari_fcn.errors import FcnError, ImageError, OutputError
from napari_fcn.events import CheckStep, FieldDone
from napari_fcn.settings import PredictSettings
from napari_fcn.typed import read_axes, read_numbers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from napari_fcn.events import Certified
    from napari_fcn.figures import Scene
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis
    from napari_fcn.session import Session
    from napari_fcn.storage import Inputs

SYNTHETIC_SHAPES = {1: (4096,), 2: (512, 512), 3: (48, 160, 160)}  # by dimension; used without an image


def field(arguments: argparse.Namespace) -> None:
    """Print the receptive field of a model, layer by layer, and the effective one on an image."""
    from napari_fcn.io.run_inputs import collect_inputs
    from napari_fcn.models import zoo
    from napari_fcn.receptive_fields.theoretical import analyze

    if arguments.at and not arguments.image:
        raise FcnError("--at names a pixel, but no image was given. Add --image.")
    path = zoo.path_of(arguments.model)
    inputs = collect_inputs(
        {"the image": [arguments.image], "the label image": [arguments.labels], "the model": [path]}
    )
    if arguments.out:
        inputs.check_file(arguments.out)
    if arguments.out and arguments.out.exists() and not arguments.overwrite:
        raise OutputError(f"{arguments.out} exists. Choose another name or add --overwrite.")
    info = zoo.info(path)
    session, file_notes = _session(arguments, arguments.image) if arguments.image else (None, ())
    analysis = session.analysis if session else analyze(info.spec)
    effective = _effective(arguments, session) if session else None
    advice = _advice(arguments, analysis, effective)
    if arguments.out:
        _draw(arguments, analysis, _scene(arguments, session, effective), inputs)
    notes = _notes(session, file_notes)
    if arguments.json:
        put_json({**_report(analysis, effective, advice, session), **_axes(session), "notes": notes})
    else:
        put(*_lines(info.card.name or path.stem, analysis, effective, advice, session))


def certify(arguments: argparse.Namespace) -> None:
    """Compare the prediction in tiles with the prediction in one piece; fail if they differ."""
    session, file_notes = _session(arguments, arguments.image)
    result: Certified = _last(session.certify(), arguments.quiet)
    notes = _notes(session, file_notes)
    if arguments.json:
        put_json({**_certificate(result), **_axes(session), "notes": notes})
    else:
        put(f"{'EXACT' if result.is_exact else 'NOT EXACT'}. {result.reason}")
        put(
            f"{result.tiles} tiles; {result.label_flips} of {result.region.size} pixels of another class; mean "
            f"difference of a probability {result.mean_error:.1e}."
        )
    if not result.is_exact:
        raise FcnError("The tiles are not exact.")


def _axes(session: Session | None) -> dict[str, str]:
    """Return the axes of the image for ``--json``."""
    return {"axes": session.binding.axis_text} if session else {}


def _notes(session: Session | None, file_notes: tuple[str, ...]) -> tuple[str, ...]:
    """Print the notes on the image and return them."""
    notes = (*file_notes, *session.notes) if session else ()
    for note in notes:
        say(note)
    return notes


def _certificate(result: Certified) -> dict[str, Any]:
    """Return the data of ``certify --json``; its keys are a contract."""
    return {
        "exact": result.is_exact,
        "max_error": result.max_error,
        "mean_error": result.mean_error,
        "label_flips": result.label_flips,
        "halo": result.halo_used,
        "halo_needed": result.halo_needed,
        "tolerance": result.tolerance,
        "tiles": result.tiles,
        "region": asdict(result.region),
        "reason": result.reason,
    }


def _session(arguments: argparse.Namespace, image: str) -> tuple[Session, tuple[str, ...]]:
    """Return a session on the given image, or on synthetic cells, and the notes on its file."""
    import numpy as np

    from napari_fcn.geometry import Axes
    from napari_fcn.io import read_image
    from napari_fcn.models import zoo
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.sample_data import cells
    from napari_fcn.session import Session

    settings = collect(PredictSettings, arguments)
    checkpoint = Checkpoint.load(zoo.path_of(arguments.model))
    if image:
        file, names = read_image(image, memory=settings.memory), read_axes(arguments.axes)
        return Session(file.data, checkpoint, file.bind(checkpoint.info.spec, names), settings), file.notes
    spec = checkpoint.info.spec
    image_data = np.stack([cells(SYNTHETIC_SHAPES[spec.ndim], seed=seed)[0] for seed in range(spec.channels)])
    space = ("z", "y", "x")[-spec.ndim :]
    return Session(image_data, checkpoint, Axes(("c", *space), space, "c"), settings, rgb=False), ()


def _last(events: Iterable[Any], is_quiet: bool) -> Any:
    """Return the last event; show a progress bar for the others."""
    from tqdm import tqdm

    event = None
    with tqdm(unit="run", file=sys.stderr, leave=False, disable=is_quiet) as bar:
        for event in events:
            if isinstance(event, CheckStep):
                bar.total = event.total
                bar.update()
    return event


def _effective(arguments: argparse.Namespace, session: Session) -> FieldDone:
    """Return the effective receptive field at the given pixel, or the mean over the image."""
    label = _label(arguments.label, session.checkpoint)
    if not arguments.at:
        mean: FieldDone = _last(session.mean_influence(label), arguments.quiet)
        return mean
    try:
        index = list(read_numbers(arguments.at, int))
    except ValueError:
        raise ImageError(f"--at is {arguments.at!r}; needed are whole numbers such as 120,80.") from None
    return next(session.influence_at(index, label))


def _label(name: str, checkpoint: Checkpoint) -> int | None:
    """Return the index of a class, given its name or index; None if the text is empty."""
    names = [label.name for label in checkpoint.info.classes]
    if not name:
        return None
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise FcnError(f"There is no class {name!r}. Choose one of {', '.join(names)}.")


def _advice(arguments: argparse.Namespace, analysis: FieldAnalysis, effective: FieldDone | None) -> str:
    """Return advice for objects of the given or measured size; empty if there is none."""
    import numpy as np

    from napari_fcn.io import read_labels
    from napari_fcn.learning.labels import OBJECTS, decode_labels
    from napari_fcn.receptive_fields.advice import advise, object_size

    objects = arguments.object_size
    if arguments.labels:
        file = read_labels(arguments.labels)
        if file.rgb:
            raise ImageError(f"{arguments.labels} contains colours; needed is a number for each object, 0 elsewhere.")
        labels = np.squeeze(np.asarray(file.data))
        objects = object_size(decode_labels(labels, OBJECTS, f"The labels of {arguments.labels}"))
    if objects is None:
        return ""
    return advise(
        objects, max(effective.widths) if effective else 0, max(analysis.field.size), len(analysis.field.size)
    )


def _scene(arguments: argparse.Namespace, session: Session | None, effective: FieldDone | None) -> Scene | None:
    from napari_fcn.figures import Scene

    if not (session and effective):
        return None
    background = session.source.read(effective.region)[0] if arguments.at else None
    return Scene(effective, session.axes.image, background, session.checkpoint.info.classes[effective.label].name)


def _draw(arguments: argparse.Namespace, analysis: FieldAnalysis, scene: Scene | None, inputs: Inputs) -> None:
    from napari_fcn.figures import save_field

    position = f" at {arguments.at}" if arguments.at else ", mean over the image" if scene else ""
    save_field(arguments.out, f"Receptive field of {arguments.model}{position}", analysis.layers, scene, inputs)
    say(f"Wrote {arguments.out}.")


def _report(
    analysis: FieldAnalysis, effective: FieldDone | None, advice: str, session: Session | None
) -> dict[str, Any]:
    """Return the data of ``field --json``; its keys are a contract."""
    report: dict[str, Any] = {
        "size": analysis.field.size,
        "before": analysis.field.before,
        "after": analysis.field.after,
        "multiple": analysis.multiple,
        "phases": analysis.phases,
        "layers": [asdict(layer) for layer in analysis.layers],
        "effective": None,
        "advice": advice,
    }
    if effective and session:
        report["effective"] = {
            "r50": effective.r50,
            "r90": effective.r90,
            "r99": effective.r99,
            "widths": effective.widths,
            "used": effective.used,
            "at": effective.index,
            "class": session.checkpoint.info.classes[effective.label].name,
            "region": asdict(effective.region),
        }
    return report


def _lines(
    name: str, analysis: FieldAnalysis, effective: FieldDone | None, advice: str, session: Session | None
) -> list[str]:
    from napari_fcn.figures import joined

    size, grid = (" x ".join(map(str, lengths)) for lengths in (analysis.field.size, analysis.multiple))
    lines = [
        f"{name}: receptive field {size} px, up to {max(map(max, analysis.field.halo))} px to each side; "
        f"pooling grid {grid} px.",
        f"{'layer':28} {'size':>9} {'step':>7} {'start':>7}",
    ]
    lines += [
        f"{layer.name[-28:]:28} {joined(layer.size):>9} {joined(layer.jump):>7} {joined(layer.start):>7}"
        for layer in analysis.layers
    ]
    if effective and session:
        label = session.checkpoint.info.classes[effective.label].name
        lines.append(
            f"For {label}, half of the influence lies within {effective.r50:.1f} px, 90 % within {effective.r90:.1f} "
            f"px, 99 % within {effective.r99:.1f} px; {effective.used:.1%} of the box is used."
        )
    return [*lines, *filter(None, [advice])]
