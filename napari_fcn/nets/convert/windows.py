"""Receptive fields of the positions of a map, and their dependence on padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from napari_fcn.nets.convert.graph import describe_node, dimensions, module_of, trace
from napari_fcn.nets.convert.sliding import Lengths, Sliding, check_merge, role, sliding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx


@dataclass(frozen=True, slots=True)
class PaddingAnalysis:
    """The receptive field of the positions of a map, per spatial axis (computed as in Araujo et al. 2019, Distill).

    ::

             start (negative: padding)
        |<----|=========image=========
        |<----- size ----->|                position 0
              |<----- size ----->|          position 1
        stride

    Attributes
    ----------
    start : tuple of int
        First pixel of the receptive field of position 0.
    size : tuple of int
        Length of the receptive field.
    stride : tuple of int
        Pixels between the receptive fields of neighbouring positions.
    padded : tuple of str
        The layers that pad the border.
    """

    start: Lengths
    size: Lengths
    stride: Lengths
    padded: tuple[str, ...] = ()

    def untouched(self, shape: Sequence[int]) -> tuple[slice[int, int, None], ...]:
        """Return the positions whose receptive field is inside an image of this spatial shape, without padding."""
        firsts = [-(start // step) for start, step in zip(self.start, self.stride, strict=True)]
        ends = [
            (length - size - start) // step + 1
            for length, size, start, step in zip(shape, self.size, self.start, self.stride, strict=True)
        ]
        return tuple(slice(first, max(first, end)) for first, end in zip(firsts, ends, strict=True))

    @property
    def minimum(self) -> Lengths:
        """The spatial shape of the smallest image with a position that does not depend on padding."""
        return tuple(size + start % step for size, start, step in zip(self.size, self.start, self.stride, strict=True))

    def after_layer(self, layer: Sliding) -> PaddingAnalysis:
        """Return the receptive field after one more layer."""
        return PaddingAnalysis(
            tuple(s - j * p for s, j, p in zip(self.start, self.stride, layer.before, strict=True)),
            tuple(
                n + j * d * (k - 1)
                for n, j, d, k in zip(self.size, self.stride, layer.dilation, layer.kernel, strict=True)
            ),
            tuple(j * s for j, s in zip(self.stride, layer.stride, strict=True)),
            self.padded,
        )

    @property
    def clean(self) -> PaddingAnalysis:
        """The analysis of the same map without the positions that depend on padding."""
        start = tuple(s % j for s, j in zip(self.start, self.stride, strict=True))
        return PaddingAnalysis(start, self.size, self.stride)

    def followed(self, other: PaddingAnalysis) -> PaddingAnalysis:
        """Return the receptive field after a further part of the network."""
        return PaddingAnalysis(
            tuple(s + j * o for s, j, o in zip(self.start, self.stride, other.start, strict=True)),
            tuple(n + j * (k - 1) for n, j, k in zip(self.size, self.stride, other.size, strict=True)),
            tuple(j * k for j, k in zip(self.stride, other.stride, strict=True)),
            (*self.padded, *other.padded),
        )

    def joined(self, other: PaddingAnalysis) -> PaddingAnalysis:
        """Return the box of this receptive field and another of the same stride."""
        start = tuple(map(min, self.start, other.start))
        ends = (tuple(s + n for s, n in zip(w.start, w.size, strict=True)) for w in (self, other))
        size = tuple(end - first for first, end in zip(start, map(max, *ends), strict=True))
        return PaddingAnalysis(start, size, self.stride, tuple(dict.fromkeys(self.padded + other.padded)))


class ValidConv(nn.Module):
    """A network without the outputs that depend on padding: a pure function of a sliding window.

    Its map is that of the network with all paddings removed, on the grid of the padded one. So it equals itself on
    crops of ``window.minimum`` pixels, ``window.stride`` apart.

    Parameters
    ----------
    net : nn.Module
        Convolutions and pooling, as `fully_convolutional` returns them.
    """

    is_leaf = True  # traced as one step: the crop depends on the size of the image

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.window = analyze_padding(net)

    def forward(self, x: Tensor) -> Tensor:
        """Return the part of the map of ``x`` (N, C, *space) that does not depend on padding."""
        shape = tuple(x.shape[2:])
        valid = self.window.untouched(shape)
        if any(part.start == part.stop for part in valid):
            raise ValueError(
                f"Every position of an image of {shape} pixels depends on padding. "
                f"Use at least {self.window.minimum} pixels."
            )
        output: Tensor = self.net(x)
        parts: tuple[Any, ...] = (..., *valid)
        return output[parts]


def analyze_padding(net: nn.Module) -> PaddingAnalysis:
    """Return the receptive field of the positions of the output of a network.

    Raises
    ------
    ValueError
        If the network has a layer that depends on the whole image, or an unknown layer.
    """
    if isinstance(net, ValidConv):
        return net.window.clean
    graph = trace(net)
    inner = [module_of(graph, node) for node in graph.graph.nodes]
    ndim = next((len(part.window.size) for part in inner if isinstance(part, ValidConv)), 0) or dimensions(graph)[0]
    ones = (1,) * ndim
    analyses: dict[fx.Node, PaddingAnalysis] = {}
    for node in graph.graph.nodes:
        if isinstance(part := module_of(graph, node), ValidConv):
            analyses[node] = analyses[node.all_input_nodes[0]].followed(part.window.clean)
            continue
        match role(graph, node):
            case "input":
                analyses[node] = PaddingAnalysis((0,) * ndim, ones, ones)
            case "sliding":
                analyses[node] = _slide(graph, node, analyses)
            case "pointwise" | "merge" | "softmax":
                analyses[node] = _join(graph, node, analyses)
            case "output":
                return _join(graph, node, analyses)
            case "constant" | "size":
                pass
            case _:
                raise ValueError(
                    f"{describe_node(graph, node)} depends on the whole image. Convert with fully_convolutional first."
                )
    raise AssertionError("a graph ends with its output")


def _slide(graph: fx.GraphModule, node: fx.Node, analyses: dict[fx.Node, PaddingAnalysis]) -> PaddingAnalysis:
    layer = sliding(graph, node, len(next(iter(analyses.values())).size))
    after = analyses[node.all_input_nodes[0]].after_layer(layer)
    is_partial = getattr(graph.get_submodule(str(node.target)), "ceil_mode", False)
    if is_partial or any(layer.before + layer.after):
        return PaddingAnalysis(after.start, after.size, after.stride, (*after.padded, str(node.target)))
    return after


def _join(graph: fx.GraphModule, node: fx.Node, analyses: dict[fx.Node, PaddingAnalysis]) -> PaddingAnalysis:
    check_merge(graph, node)
    windows = [analyses[source] for source in node.all_input_nodes if source in analyses]
    if not windows or any(window.stride != windows[0].stride for window in windows):
        strides = [window.stride for window in windows]
        raise ValueError(f"{describe_node(graph, node)} joins maps of strides {strides}; they must be equal.")
    joined = windows[0]
    for window in windows[1:]:
        joined = joined.joined(window)
    return joined
