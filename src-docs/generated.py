"""What pages say of options, commands, models and measurements: made from the code and from committed results.

A line ``% generated: NAME ARGUMENT`` in a page is replaced by what the function NAME returns for ARGUMENT.
"""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"^% generated: (\w+)(?: (.+))?$", re.MULTILINE)


def fill_in(app, docname, source):
    """Replace the marks of a page; called by Sphinx after reading it."""
    made_from = ("napari_fcn/**/*.py", "napari_fcn/**/*.safetensors", "napari_fcn/*.yaml", "benchmarks/results/*.md")
    for pattern in made_from if MARK.search(source[0]) else ():
        for path in sorted(ROOT.glob(pattern)):
            app.env.note_dependency(str(path))  # read the page again when it has changed
    source[0] = MARK.sub(lambda mark: MAKERS[mark[1]](*filter(None, [mark[2]])), source[0])


def controls(settings):
    """Return a table of the controls of a settings class in a form."""
    return table(
        ("Control", "What it means", "Default"),
        [(f"**{o.label}**", o.help + choices(o), default(o)) for o in _options(settings)],
    )


def flags(settings):
    """Return a table of the flags of a settings class on the command line."""
    return table(
        ("Flag", "What it means", "Default"),
        [(f"`--{o.name.replace('_', '-')}`", o.help + choices(o), default(o)) for o in _options(settings)],
    )


def _options(settings):
    from napari_fcn.settings import options

    module, _, name = settings.rpartition(".")
    return options(getattr(import_module(module), name))


def choices(option):
    """Return the choices or the range of an option as a sentence."""
    if option.choices:
        return f" One of {', '.join(f'`{choice}`' for choice in option.choices)}."
    low, high = option.minimum, option.maximum
    if low is None and high is None:
        return ""
    return f" At least {low}." if high is None else f" {low} to {high}."


def default(option):
    """Return a default value in the form in which users type it."""
    return "empty" if option.default in ((), None, "") else f"`{option.default}`"


def usage(command):
    """Return what ``napari-fcn COMMAND --help`` prints."""
    from napari_fcn.cli import build_parser

    os.environ |= {"COLUMNS": "92", "NO_COLOR": "1"}
    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        build_parser().parse_args([command, "--help"])
    return f"```text\n{text.getvalue().strip()}\n```"


def models():
    """Return a table of the shipped models."""
    from napari_fcn.models import zoo

    rows = [(f"[{name}](models.md#{name})", zoo.info(name).card.summary) for name in zoo.names()]
    return table(("Model", "What it is for"), rows)


def cards():
    """Return the card of each shipped model, read from its file."""
    from napari_fcn.models import zoo

    return "\n\n".join(card(name) for name in zoo.names())


def card(name):
    """Return the card of one model."""
    from napari_fcn.models import zoo
    from napari_fcn.models.card import parameter_count
    from napari_fcn.receptive_fields.theoretical import theoretical

    info, path = zoo.info(name), zoo.path_of(name)
    spec, about = info.spec, info.card
    sizes = " × ".join(f"{size:g} µm" for size in info.voxel_size) or "varies, or is not known"
    facts = {
        "Classes": ", ".join(f"{label.name} (`{label.colour}`)" for label in info.classes),
        "Input": f"{spec.ndim}-D, {spec.channels} channel{'s' * (spec.channels > 1)}, any size",
        "Pixel size in training": sizes,
        "Network": f"{spec.family}, {spec.depth + 1} levels, {spec.width} channels on the first; "
        f"{parameter_count(path):,} weights, {path.stat().st_size / 1e6:.1f} MB",
        "Receptive field": f"{' × '.join(map(str, theoretical(spec).size))} px",
        "Licence of the weights": about.licence,
        "Learnt from": "; ".join(f"{d['name']} ({d['licence']}). {d['credit']}" for d in about.data),
        "Limits": about.limits,
    }
    parts = [
        f"## {name}",
        about.summary,
        table(("", ""), [(f"**{key}**", text) for key, text in facts.items() if text]),
    ]
    if about.scores:
        rows = [(f"`{key}`", f"{value:.3f}") for key, value in about.scores.items()]
        parts += ["Scores on images that were not used for training:", table(("Score", "Value"), rows)]
    parts += ["Training command:", f"```sh\n{about.recipe}\n```"]
    return "\n\n".join(parts)


def families():
    """Return a table of the network families, each with its default for an image without further information."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from napari_fcn.inference.memory import bytes_per_pixel
    from napari_fcn.nets import NetSpec
    from napari_fcn.nets.validation import NETWORKS
    from napari_fcn.receptive_fields.theoretical import theoretical

    rows = []
    for family in NETWORKS:
        spec = NetSpec.suggest(1.0, ndim=3 if family == "video" else 2, family=family)
        net = spec.build().eval()
        shape = (16,) * (spec.ndim - 2) + (64, 64)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 1, *shape))
        work = counter.get_total_flops() / 2 / torch.Size(shape).numel()
        rows.append(
            (
                f"`{family}`",
                f"{spec.ndim}-D, {spec.depth} steps, {spec.width} channels",
                f"{sum(p.numel() for p in net.parameters()):,}",
                " × ".join(map(str, theoretical(spec).size)),
                " × ".join(map(str, spec.multiple)),
                f"{work / 1e3:.0f}",
                f"{bytes_per_pixel(spec):.0f}",
            )
        )
    head = (
        "Family",
        "Default",
        "Weights",
        "Receptive field (px)",
        "Grid (px)",
        "1,000 multiply-adds per px",
        "Bytes per px",
    )
    return table(head, rows)


def family_lines():
    """Return the purpose of each network family."""
    from napari_fcn.nets.validation import FAMILIES, NETWORKS

    return "\n\n".join(f"`{name}`\n: {FAMILIES[name]}" for name in NETWORKS)


def samples():
    """Return the sample images from the napari manifest."""
    import yaml

    manifest = yaml.safe_load((ROOT / "napari_fcn/napari.yaml").read_text(encoding="utf-8"))
    return "\n".join(f"- {sample['display_name']}" for sample in manifest["contributions"]["sample_data"])


def colours():
    """Return the colours of classes."""
    from napari_fcn.models.recipe import PALETTE

    return ", ".join(f"`{colour}`" for colour in PALETTE[1:])


def exactness():
    """Return the differences between tiles and the whole image: exact tiles and two inexact ways."""
    from exactness import measure

    rows = [(name, f"{largest:.1e}", f"{changed:.2%}") for name, largest, changed in measure()]
    return table(("Tiles", "Largest difference of a probability", "Pixels of another class"), rows)


def fields():
    """Return theoretical and effective receptive fields of the shipped models."""
    from make_fields import measured

    rows = [
        (name, " × ".join(map(str, size)), *(f"{radius:.0f} px" for radius in radii), f"{used:.1%}")
        for name, size, *radii, used in measured()
    ]
    return table(("Model", "Theoretical", "50 % within", "90 % within", "99 % within", "Pixels that count"), rows)


def shifts():
    """Return the effect of shifts on the nuclei model."""
    from make_fields import shifts

    return f"> {shifts()[1]}"


def border():
    """Return the effect of padding on the nuclei model."""
    from make_fields import border

    return f"> {border()[1]}"


def measurements():
    """Return the committed results of ``make bench``, their headings one level down."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "benchmarks/results").glob("*.md"))]
    if not texts:
        return "No result is committed yet. `make bench` measures on your computer and writes `benchmarks/results/`."
    lower = (re.sub(r"^#", "##", text, flags=re.MULTILINE) for text in texts)
    return "\n\n".join(re.sub(r"(!\[.*?\]\()", r"\1../benchmarks/results/", text) for text in lower)


def resampling():
    """Return the committed result of ``python -m benchmarks.resampling``, without its heading."""
    return (ROOT / "benchmarks/results/resampling.md").read_text(encoding="utf-8").split("\n", 1)[1].strip()


def third_axis():
    """Return the committed result of ``python -m benchmarks.volumes``, its headings one level down."""
    text = (ROOT / "benchmarks/results/volumes.md").read_text(encoding="utf-8").split("\n", 1)[1].strip()
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def strokes():
    """Return the committed tables of ``python -m benchmarks.annotate``, without title and figure."""
    text = (ROOT / "benchmarks/results/annotate.md").read_text(encoding="utf-8").split("\n", 1)[1].strip()
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("!["))


def table(head, rows):
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


MAKERS = {
    maker.__name__: maker
    for maker in (
        controls,
        flags,
        usage,
        models,
        cards,
        samples,
        families,
        family_lines,
        colours,
        exactness,
        fields,
        shifts,
        border,
        measurements,
        resampling,
        third_axis,
        strokes,
    )
}
