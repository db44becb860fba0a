"""``napari-fcn field`` and ``napari-fcn certify``."""

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

LENGTHS = {1: (4096,), 2: (512, 512), 3: (48, 160, 160)}  # of the image that is made where none is given


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
    known = session.analysis if session else analyze(info.spec)
    found = _effective(arguments, session) if session else None
    advice = _advice(arguments, known, found)
    if arguments.out:
        _draw(arguments, known, _scene(arguments, session, found), inputs)
    notes = _notes(session, file_notes)
    if arguments.json:
        put_json({**_entry(known, found, advice, session), **_axes(session), "notes": notes})
    else:
        put(*_lines(info.card.name or path.stem, known, found, advice, session))


def certify(arguments: argparse.Namespace) -> None:
    """Compare the prediction in tiles with the prediction in one piece; fail if they differ."""
    session, file_notes = _session(arguments, arguments.image)
    found: Certified = _last(session.certify(), arguments.quiet)
    notes = _notes(session, file_notes)
    if arguments.json:
        put_json({**_certificate(found), **_axes(session), "notes": notes})
    else:
        put(f"{'EXACT' if found.is_exact else 'NOT EXACT'}. {found.reason}")
        put(
            f"{found.tiles} tiles; {found.label_flips} of {found.region.size} pixels of another class; mean difference "
            f"of a probability {found.mean_error:.1e}."
        )
    if not found.is_exact:
        raise FcnError("The tiles are not exact.")


def _axes(session: Session | None) -> dict[str, str]:
    """Return the axes of the image as they were read, for ``--json``."""
    return {"axes": session.binding.axis_text} if session else {}


def _notes(session: Session | None, file_notes: tuple[str, ...]) -> tuple[str, ...]:
    """Print the notes on the image and return them."""
    notes = (*file_notes, *session.notes) if session else ()
    for note in notes:
        say(note)
    return notes


def _certificate(found: Certified) -> dict[str, Any]:
    """Return the data of ``certify --json``; its keys are a contract."""
    return {
        "exact": found.is_exact,
        "max_error": found.max_error,
        "mean_error": found.mean_error,
        "label_flips": found.label_flips,
        "halo": found.halo_used,
        "halo_needed": found.halo_needed,
        "tolerance": found.tolerance,
        "tiles": found.tiles,
        "region": asdict(found.region),
        "reason": found.reason,
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
    made = np.stack([cells(LENGTHS[spec.ndim], seed=seed)[0] for seed in range(spec.channels)])
    space = ("z", "y", "x")[-spec.ndim :]
    return Session(made, checkpoint, Axes(("c", *space), space, "c"), settings, rgb=False), ()


def _last(events: Iterable[Any], is_quiet: bool) -> Any:
    """Return the last event, with a bar for those before it."""
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
        found: FieldDone = _last(session.mean_influence(label), arguments.quiet)
        return found
    try:
        index = list(read_numbers(arguments.at, int))
    except ValueError:
        raise ImageError(f"--at is {arguments.at!r}; needed are whole numbers such as 120,80.") from None
    return next(session.influence_at(index, label))


def _label(name: str, checkpoint: Checkpoint) -> int | None:
    """Return the index of a class by its name or number."""
    names = [label.name for label in checkpoint.info.classes]
    if not name:
        return None
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise FcnError(f"There is no class {name!r}. Choose one of {', '.join(names)}.")


def _advice(arguments: argparse.Namespace, known: FieldAnalysis, found: FieldDone | None) -> str:
    """Return advice for objects of the given or measured size; empty if there is none."""
    import numpy as np

    from napari_fcn.io import read_labels
    from napari_fcn.learning.labels import OBJECTS, decode_labels
    from napari_fcn.receptive_fields.advice import advise, object_size

    objects = arguments.object_size
    if arguments.labels:
        file = read_labels(arguments.labels)
        if file.rgb:
            raise ImageError(f"{arguments.labels} holds colours; needed is a number for each object, 0 elsewhere.")
        labels = np.squeeze(np.asarray(file.data))
        objects = object_size(decode_labels(labels, OBJECTS, f"The labels of {arguments.labels}"))
    if objects is None:
        return ""
    return advise(objects, max(found.widths) if found else 0, max(known.field.size), len(known.field.size))


def _scene(arguments: argparse.Namespace, session: Session | None, found: FieldDone | None) -> Scene | None:
    from napari_fcn.figures import Scene

    if not (session and found):
        return None
    background = session.source.read(found.region)[0] if arguments.at else None
    return Scene(found, session.axes.image, background, session.checkpoint.info.classes[found.label].name)


def _draw(arguments: argparse.Namespace, known: FieldAnalysis, scene: Scene | None, inputs: Inputs) -> None:
    from napari_fcn.figures import save_field

    where = f" at {arguments.at}" if arguments.at else ", mean over the image" if scene else ""
    save_field(arguments.out, f"Receptive field of {arguments.model}{where}", known.layers, scene, inputs)
    say(f"Wrote {arguments.out}.")


def _entry(known: FieldAnalysis, found: FieldDone | None, advice: str, session: Session | None) -> dict[str, Any]:
    """Return the data of ``field --json``; its keys are a contract."""
    entry: dict[str, Any] = {
        "size": known.field.size,
        "before": known.field.before,
        "after": known.field.after,
        "multiple": known.multiple,
        "phases": known.phases,
        "layers": [asdict(layer) for layer in known.layers],
        "effective": None,
        "advice": advice,
    }
    if found and session:
        entry["effective"] = {
            "r50": found.r50,
            "r90": found.r90,
            "r99": found.r99,
            "widths": found.widths,
            "used": found.used,
            "at": found.index,
            "class": session.checkpoint.info.classes[found.label].name,
            "region": asdict(found.region),
        }
    return entry


def _lines(name: str, known: FieldAnalysis, found: FieldDone | None, advice: str, session: Session | None) -> list[str]:
    from napari_fcn.figures import joined

    size, grid = (" x ".join(map(str, lengths)) for lengths in (known.field.size, known.multiple))
    lines = [
        f"{name}: receptive field {size} px, up to {max(map(max, known.field.halo))} px to each side; "
        f"pooling grid {grid} px.",
        f"{'layer':28} {'size':>9} {'step':>7} {'start':>7}",
    ]
    lines += [
        f"{layer.name[-28:]:28} {joined(layer.size):>9} {joined(layer.jump):>7} {joined(layer.start):>7}"
        for layer in known.layers
    ]
    if found and session:
        label = session.checkpoint.info.classes[found.label].name
        lines.append(
            f"For {label}, half of the influence lies within {found.r50:.1f} px, 90 % within {found.r90:.1f} px, 99 % "
            f"within {found.r99:.1f} px; {found.used:.1%} of the box is used."
        )
    return [*lines, *filter(None, [advice])]
