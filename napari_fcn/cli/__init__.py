"""Segment images with fully convolutional networks, and train them."""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_fcn.cli import terminal
from napari_fcn.cli.finetune import finetune, replay
from napari_fcn.cli.flags import add_options, typed
from napari_fcn.cli.models import models
from napari_fcn.cli.predict import predict
from napari_fcn.cli.receptive_field import certify, field
from napari_fcn.cli.terminal import ReaderGoneError, plain, say
from napari_fcn.cli.train import recipe, train
from napari_fcn.cli.train_tasks import train_tasks
from napari_fcn.errors import FcnError, UsageError
from napari_fcn.nets.validation import NETWORKS
from napari_fcn.settings import OutputSettings, PredictSettings, TeachSettings, TrainSettings
from napari_fcn.system_errors import explained
from napari_fcn.typed import read_number, read_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

PREPARED = ("nuclei-3d", "cells-video")  # models trained on parts of several data sets
NUMBER, WHOLE_NUMBER = typed(read_number), typed(partial(read_number, kind=int))
WHOLE_NUMBERS = typed(partial(read_numbers, kind=int))
INTERRUPTED, READER_GONE = 130, 141  # 128 + number of the signal, as in shells


class Parser(argparse.ArgumentParser):
    """A parser that escapes control characters of the arguments in its errors."""

    def error(self, message: str) -> NoReturn:
        """Print the error and the usage, and exit with code 2."""
        super().error(plain(message))


def _demo(arguments: argparse.Namespace) -> None:
    if arguments.no_window:
        from napari_fcn.demo import segment_sample

        for line in segment_sample(arguments.out, arguments.model):
            say(line)
        return
    try:
        from napari_fcn.gui.demo import show
    except ImportError as error:
        raise FcnError(
            f"The window needs napari and Qt ({error}). Install them with pip install 'napari-fcn[pyqt5]', "
            "or add --no-window."
        ) from error
    for line in show(arguments.out, arguments.model, arguments.close):
        say(line)


def _file_name(text: str) -> Path:
    """Return the path of a file to write; raise the error that argparse expects if the text names no file."""
    path = Path(text)
    if path.name in ("", ".."):
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return path


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="napari-fcn", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands)
    _add_training(commands)
    _add_teaching(commands)
    _add_models(commands)
    _add_receptive_fields(commands)
    _add_demo(commands)
    return parser


def _add_predict(commands: Any) -> None:
    to_predict = commands.add_parser("predict", help="segment images")
    to_predict.set_defaults(run=predict)
    to_predict.add_argument(
        "image", nargs="+", help="TIFF, OME-TIFF, OME-Zarr, npy, png, jpg; folders and patterns too"
    )
    to_predict.add_argument(
        "--model", required=True, metavar="NAME|FILE", help="a shipped model (see: models) or a model file"
    )
    to_predict.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="result file; a folder for several results"
    )
    to_predict.add_argument(
        "--stack",
        default="",
        metavar="AXIS",
        help="read the files of each folder or pattern as the planes of one image along this axis, such as z or t; "
        "they are sorted by name, z2 before z10",
    )
    to_predict.add_argument(
        "--voxel-size",
        default="",
        metavar="Z,Y,X",
        help="voxel size in micrometres, if the file is wrong; with decimal commas 0,5;0,2;0,2",
    )
    to_predict.add_argument(
        "--resume",
        action="store_true",
        help="resume an interrupted run: repeat the command with this flag; finished images are skipped",
    )
    to_predict.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS|local:N",
        help="run on the workers of a dask cluster, such as tcp://host:8786, or on N processes of this computer",
    )
    to_predict.add_argument("--quiet", action="store_true", help="no progress bar")
    to_predict.add_argument("--json", action="store_true", help="a line of JSON for each image on standard output")
    add_options(to_predict, OutputSettings, ("save", "axes", "overwrite"), OutputSettings(("classes",)))
    add_options(to_predict, PredictSettings)


def _add_training(commands: Any) -> None:
    """Add the commands that train a model on a folder."""
    to_train = commands.add_parser("train", help="train a network on a folder of labelled images")
    to_train.set_defaults(run=train)
    to_train.add_argument(
        "folder", type=Path, help="folder with NAME_image.EXT and NAME_label.EXT: TIFF, OME-TIFF, OME-Zarr, npy, png"
    )
    to_train.add_argument(
        "--spec",
        default="unet",
        help=f"the network, such as 'unet ndim=2 classes=3 width=16 depth=3'; families: {', '.join(NETWORKS)}",
    )
    to_train.add_argument("--recipe", type=Path, help="JSON file with classes, voxel size and card of the model")
    to_train.add_argument(
        "--start",
        default="",
        metavar="NAME|FILE",
        help="start from the weights of this model, which may have one axis fewer; default: random weights",
    )
    to_train.add_argument("--out", type=_file_name, required=True, help="model file to write (.safetensors)")
    to_train.add_argument("--overwrite", action="store_true", help="replace a model file that exists")
    to_train.add_argument("--resume", action="store_true", help="resume an interrupted run")
    to_train.add_argument("--json", action="store_true", help="a line of JSON for each epoch on standard output")
    add_options(to_train, TrainSettings)

    to_tasks = commands.add_parser("train-tasks", help="train the shipped 2-D models: one trunk, a head for each task")
    to_tasks.set_defaults(run=train_tasks)
    to_tasks.add_argument("data", type=Path, help="folder with the data sets of the model cards")
    to_tasks.add_argument("folder", type=Path, help="folder to write; a training that is unfinished there is continued")
    to_tasks.add_argument("--spec", default="mbconv", help="the trunk; default: that of EfficientNet-Lite0")
    to_tasks.add_argument(
        "--encoder",
        choices=("imagenet", "none"),
        default="imagenet",
        help="weights of the encoder at the start: of a classifier of photographs (extra pretrained), or random",
    )
    to_tasks.add_argument("--without", default="", metavar="SET,SET", help="data sets that are left out")
    to_tasks.add_argument("--epochs", type=WHOLE_NUMBER, default=30, help="number of epochs")
    to_tasks.add_argument("--steps", type=WHOLE_NUMBER, default=100, help="batches in each epoch")
    to_tasks.add_argument("--json", action="store_true", help="a line of JSON for each epoch on standard output")

    to_prepare = commands.add_parser("recipe", help="write the training folder of a shipped 3-D or video model")
    to_prepare.set_defaults(run=recipe)
    to_prepare.add_argument("model", choices=PREPARED)
    to_prepare.add_argument("data", type=Path, help="folder with the data sets of the model card")
    to_prepare.add_argument("folder", type=Path, help="folder to write, for napari-fcn train")


def _add_teaching(commands: Any) -> None:
    """Add the commands that teach a model and replay a session."""
    to_teach = commands.add_parser("finetune", help="teach a model from an image with a few labels")
    to_teach.set_defaults(run=finetune)
    to_teach.add_argument("image", help="TIFF, OME-TIFF, OME-Zarr, npy, png, jpg")
    to_teach.add_argument("labels", help="an image of the same size: 0 unlabelled, 1 the first class, 2 the second")
    to_teach.add_argument(
        "--model",
        required=True,
        metavar="NAME|FILE|new:NET",
        help="model to start from; 'new:unet width=16' has random weights and a shape that fits the image; "
        f"families: {', '.join(NETWORKS)}",
    )
    to_teach.add_argument("--out", type=_file_name, required=True, help="model file to write (.safetensors)")
    to_teach.add_argument(
        "--label-values",
        type=WHOLE_NUMBERS,
        default=(),
        metavar="N,N",
        help="label values of the classes, in order, such as 0,255 in a mask; default: 1,2,3",
    )
    to_teach.add_argument(
        "--axes", default="", help="a letter for each axis, such as TZYX or y,x,c, if the file is wrong"
    )
    to_teach.add_argument(
        "--steps",
        type=typed(partial(read_number, kind=int)),
        help="maximum number of fine-tuning steps; 0: head only",
    )
    to_teach.add_argument("--minutes", type=NUMBER, help="maximum number of fine-tuning minutes")
    to_teach.add_argument("--overwrite", action="store_true", help="replace a model file that exists")
    to_teach.add_argument("--quiet", action="store_true", help="print the final result only")
    to_teach.add_argument("--json", action="store_true", help="a line of JSON on standard output")
    add_options(to_teach, TeachSettings)

    to_replay = commands.add_parser("replay", help="replay a teaching session and compare the weights")
    to_replay.set_defaults(run=replay)
    to_replay.add_argument("project", type=Path, help="project folder (NAME.fcn)")
    to_replay.add_argument("--image", default="", metavar="PATH", help="path of the image, if it has moved")
    to_replay.add_argument("--quiet", action="store_true", help="print the final result only")
    to_replay.add_argument("--json", action="store_true", help="a line of JSON for each commit on standard output")


def _add_models(commands: Any) -> None:
    to_models = commands.add_parser("models", help="list the shipped models, or show the card of one")
    to_models.set_defaults(run=models)
    to_models.add_argument("name", nargs="?", help="a shipped model or a model file")
    to_models.add_argument("--json", action="store_true", help="as JSON")


def _add_receptive_fields(commands: Any) -> None:
    """Add the commands on receptive fields and exact tiles."""
    to_field = commands.add_parser("field", help="show the receptive field of a model, also on an image")
    to_field.set_defaults(run=field)
    to_field.add_argument("--image", default="", help="TIFF, OME-TIFF, OME-Zarr, npy, png, jpg")
    to_field.add_argument(
        "--at", default="", metavar="Y,X", help="a pixel of the image, counted from 0; default: mean over the image"
    )
    to_field.add_argument(
        "--class", dest="label", default="", metavar="NAME", help="class to explain; default: the most probable"
    )
    to_field.add_argument("--object-size", type=NUMBER, metavar="PX", help="diameter of your objects, for advice")
    to_field.add_argument(
        "--labels", default="", metavar="PATH", help="label image in which to measure objects, for advice"
    )
    to_field.add_argument("--out", type=_file_name, metavar="PNG", help="picture to write; needs matplotlib")
    to_field.add_argument("--overwrite", action="store_true", help="replace a picture that exists")

    to_certify = commands.add_parser("certify", help="compare the prediction in tiles with that in one piece")
    to_certify.set_defaults(run=certify)
    to_certify.add_argument("image", nargs="?", default="", help="the image; default: synthetic cells")

    for parser in (to_field, to_certify):
        parser.add_argument(
            "--model", required=True, metavar="NAME|FILE", help="a shipped model (see: models) or a model file"
        )
        parser.add_argument("--axes", default="", help="a letter for each axis, such as TZYX, if the file is wrong")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="a line of JSON on standard output")
        add_options(parser, PredictSettings, without=("roi", "object_size"))


def _add_demo(commands: Any) -> None:
    to_demo = commands.add_parser("demo", help="segment a real image in napari and save results and screenshots")
    to_demo.set_defaults(run=_demo)
    to_demo.add_argument("--out", type=Path, default=Path("napari-fcn-demo"), help="folder for pictures and results")
    to_demo.add_argument("--model", default="nuclei", help="model to show")
    to_demo.add_argument("--close", action="store_true", help="close the window when everything is saved")
    to_demo.add_argument("--no-window", action="store_true", help="without napari: results and a picture only")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 1 failure, 2 invalid usage, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    with terminal.guarded():
        try:
            arguments = build_parser().parse_args(given, argparse.Namespace(argv=given))
            with explained():
                arguments.run(arguments)
        except ReaderGoneError:
            return READER_GONE
        except FcnError as error:
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # tasks of zarr remain after a failed write
            say(f"napari-fcn: {error}")
            return 2 if isinstance(error, UsageError) else 1
        except KeyboardInterrupt:
            say("napari-fcn: interrupted; no incomplete results were left.")
            return INTERRUPTED
        return 0
