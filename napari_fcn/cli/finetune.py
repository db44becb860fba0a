"""The commands ``napari-fcn finetune`` and ``napari-fcn replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fcn.cli.flags import collect
from napari_fcn.cli.terminal import put_json, say, show_progress
from napari_fcn.errors import FcnError
from napari_fcn.events import CandidateEvaluated, HeadFitted, LabelsFound, StepDone
from napari_fcn.settings import TeachSettings
from napari_fcn.typed import read_axes

if TYPE_CHECKING:
    import argparse

    from napari_fcn.project import ImageRecord
    from napari_fcn.teaching.finetune import FinetuneResult


def finetune(arguments: argparse.Namespace) -> None:
    """Teach a model from an image and its labels, and write it to a file."""
    from napari_fcn.io import read_image, read_labels
    from napari_fcn.io.run_inputs import collect_inputs
    from napari_fcn.models.zoo import path_of
    from napari_fcn.teaching.finetune import NEW_PREFIX, FinetuneLimit, initial_model, network_shape
    from napari_fcn.teaching.finetune import finetune as events

    is_new = str(arguments.model).startswith(NEW_PREFIX)
    models = [] if is_new else [path_of(arguments.model)]
    inputs = collect_inputs(
        {"the image": [arguments.image], "the label image": [arguments.labels], "the model": models}
    )
    inputs.check_file(arguments.out)
    if arguments.out.exists() and not arguments.overwrite:
        raise FcnError(f"{arguments.out} exists. Choose another name or add --overwrite.")
    settings = collect(TeachSettings, arguments)
    image, labels = read_image(arguments.image), read_labels(arguments.labels)
    names = read_axes(arguments.axes)
    base = arguments.model if is_new else initial_model(arguments.model, (), ())
    bound = image.bind(network_shape(base, image.data.shape, names or image.axes), names)
    axes, spacing = bound.axes, bound.ratios
    for note in (*image.notes, *bound.notes):
        say(note)
    shape = tuple(image.data.shape[axes.names.index(name)] for name in axes.space)
    model = initial_model(base, shape, spacing, axes.channels(image.data.shape), arguments.seed)
    limit = FinetuneLimit(arguments.steps, None if arguments.minutes is None else 60 * arguments.minutes)
    values = arguments.label_values
    for event in events(image.data, labels.data, model, axes, settings, limit, bound.rgb, spacing, values):
        _report(event, arguments.quiet)
    result: FinetuneResult = event
    result.checkpoint.save(arguments.out, inputs)
    say(f"{arguments.out}: {result.steps} steps of the whole network in {result.seconds:.1f} s.")
    if arguments.json:
        report = {"axes": bound.axis_text, "axes_guessed": bound.is_guessed, "loss": result.loss}
        report |= {"steps": result.steps, "seconds": round(result.seconds, 3)}
        put_json({**report, "model_hash": result.checkpoint.hash, "out": str(arguments.out)})


def _image_of(record: ImageRecord, path: str) -> Any:
    """Return the image of a project, read as intensities or as stored values, whichever fits the record."""
    from napari_fcn.io import read_image, read_labels

    image = read_image(path).data
    if not record.difference(image):
        return image
    stored = read_labels(path).data
    return image if record.difference(stored) else stored


def replay(arguments: argparse.Namespace) -> None:
    """Replay a teaching session from its journal, and compare the weights of each commit."""
    from napari_fcn.project import Project
    from napari_fcn.project.replay import replay as commits

    with Project.open_read_only(arguments.project) as project:
        for note in project.notes:
            say(note)
        path = arguments.image or project.image_path()
        if not path:
            raise FcnError(f"The image of {arguments.project} is not a file. Save it, and name the file with --image.")
        different, last = 0, None
        for replayed in commits(project, _image_of(project.image, path)):
            different += not replayed.is_same
            last = replayed
            number, kind = replayed.commit.number, replayed.commit.kind
            if not arguments.quiet:
                say(f"commit {number} {kind}: {'the same' if replayed.is_same else 'DIFFERENT'}")
            if arguments.json:
                put_json({"commit": number, "hash": replayed.hash, "is_same": replayed.is_same})
        if last is None:
            raise FcnError(f"{arguments.project} has no commit to replay: nothing was taught.")
    if different:
        raise FcnError(
            f"{different} {'commit differs' if different == 1 else 'commits differ'} from the recorded weights. "
            "Another type of CPU, or another version of PyTorch or napari-fcn, rounds differently: replay with those "
            "of the project."
        )
    say("All commits are the same, bit for bit.")


def _report(event: Any, is_quiet: bool) -> None:
    if is_quiet:
        return
    if isinstance(event, LabelsFound):
        for line in (event.line, *event.notes):
            say(line)
    elif isinstance(event, HeadFitted):
        for note in event.notes:
            say(note)
    elif isinstance(event, StepDone):
        show_progress(f"step {event.step} of {event.steps}, loss {event.loss:.4f}", event.step == event.steps)
    elif isinstance(event, CandidateEvaluated):
        say(event.reason)
