"""The command ``napari-fcn models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fcn.cli.terminal import plain, put, put_json
from napari_fcn.errors import ModelError

if TYPE_CHECKING:
    import argparse

    from napari_fcn.models.card import ModelInfo


def models(arguments: argparse.Namespace) -> None:
    """List the shipped models, or show the card of one."""
    from napari_fcn.models import zoo

    if arguments.name:
        info = zoo.info(arguments.name)
        put_json(_entry(arguments.name, info), 2) if arguments.json else put(*_text(arguments.name, info).split("\n"))
        return
    infos, failures = {}, []
    for name in zoo.names():
        try:
            infos[name] = zoo.info(name)
        except ModelError as error:
            failures.append(str(error))
    if arguments.json:
        put_json([_entry(name, info) for name, info in infos.items()], 2)
    else:
        for name, info in infos.items():
            put(f"{name:12} {info.spec.ndim}-D  {info.card.summary}")
    if failures:  # reported after the readable models
        raise ModelError(" ".join(failures))


def _entry(name: str, info: ModelInfo) -> dict[str, Any]:
    """Return the data of ``models NAME --json``; its keys are a contract."""
    from napari_fcn.models import zoo
    from napari_fcn.models.card import parameter_count
    from napari_fcn.receptive_fields.theoretical import theoretical

    path = zoo.path_of(name)
    field = theoretical(info.spec)
    return {
        "name": info.card.name or path.stem,
        "summary": info.card.summary,
        "limits": info.card.limits,
        "classes": [label.name for label in info.classes],
        "colours": [label.colour for label in info.classes],
        "ndim": info.spec.ndim,
        "channels": info.spec.channels,
        "multiple": info.spec.multiple,
        "field": {"before": field.before, "after": field.after},
        "voxel_size": info.voxel_size,
        "object_size": info.object_size or None,
        "scores": info.card.scores,
        "validation": info.card.validation,
        "licence": info.card.licence,
        "data": info.card.data,
        "recipe": info.card.recipe,
        "bytes": path.stat().st_size,
        "parameters": parameter_count(path),
    }


def _text(name: str, info: ModelInfo) -> str:
    """Return the card of a model as text; newlines in its fields are escaped, so that none can imitate an entry."""
    entry = _entry(name, info)
    size = " x ".join(str(a + 1 + b) for a, b in zip(entry["field"]["before"], entry["field"]["after"], strict=True))
    scores = ", ".join(f"{key} {value:.3f}" for key, value in info.card.known_scores.items())
    lines = {
        "": info.card.summary,
        "limits": info.card.limits,
        "network": f"{info.spec.family}, {info.spec.ndim}-D, {entry['parameters']:,} weights",
        "file": f"{entry['bytes'] / 1e6:.1f} MB",
        "input": f"{info.spec.channels} channel(s), any size; receptive field {size} px",
        "objects": f"best at {info.object_size:g} px; see --object-size" if info.object_size else "",
        "classes": ", ".join(f"{label.name} ({label.colour})" for label in info.classes),
        "scores": scores or "none",
        "validation": info.card.validation,
        "licence": info.card.licence,
        **{f"data {i}": _source_text(source) for i, source in enumerate(info.card.data, start=1)},
        "recipe": info.card.recipe,
    }
    shown = [entry["name"], *(f"  {key:8} {value}" for key, value in lines.items() if value)]
    return "\n".join(map(plain, shown))


def _source_text(source: dict[str, str]) -> str:
    return "; ".join(source[key] for key in ("name", "licence", "credit") if key in source)
