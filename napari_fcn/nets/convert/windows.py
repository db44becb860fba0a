"""Which pixels a position of a map looks at, and where padding has a say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from napari_fcn.nets.convert.graph import called, dimensions, follow, module_of
from napari_fcn.nets.convert.sliding import Lengths, Sliding, check_merge, role, sliding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx


@dataclass(frozen=True, slots=True)
class PaddingAnalysis:
    """The pixels that a position of a map looks at, per spatial axis (the arithmetic of Araujo et al. 2019, Distill).

    ::

             start (negative: padding)
        |<----|=========image=========
        |<----- size ----->|                position 0
              |<----- size ----->|          position 1
        stride

    Attributes
    ----------
    start : tuple of int
        First pixel that position 0 looks at.
    size : tuple of int
        Pixels that a position looks at.
    stride : tuple of int
        Pixels between the windows of two positions.
    padded : tuple of str
        The layers that invent surroundings at the border.
    """

    start: Lengths
    size: Lengths
    stride: Lengths
    padded: tuple[str, ...] = ()

    def untouched(self, shape: Sequence[int]) -> tuple[slice[int, int, None], ...]:
        """Return the positions whose windows lie in an image of this spatial shape, which no padding has touched."""
        firsts = [-(start // step) for start, step in zip(self.start, self.stride, strict=True)]
        ends = [
            (length - size - start) // step + 1
            for length, size, start, step in zip(shape, self.size, self.start, self.stride, strict=True)
        ]
        return tuple(slice(first, max(first, end)) for first, end in zip(firsts, ends, strict=True))

    @property
    def minimum(self) -> Lengths:
        """The spatial shape of the smallest image with an untouched position."""
        return tuple(size + start % step for size, start, step in zip(self.size, self.start, self.stride, strict=True))

    def slid(self, layer: Sliding) -> PaddingAnalysis:
        """Return the window after one more layer."""
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
        """The window of the same map without the positions that padding has touched."""
        start = tuple(s % j for s, j in zip(self.start, self.stride, strict=True))
        return PaddingAnalysis(start, self.size, self.stride)

    def followed(self, other: PaddingAnalysis) -> PaddingAnalysis:
        """Return the window after a part of the network that has a window itself."""
        return PaddingAnalysis(
            tuple(s + j * o for s, j, o in zip(self.start, self.stride, other.start, strict=True)),
            tuple(n + j * (k - 1) for n, j, k in zip(self.size, self.stride, other.size, strict=True)),
            tuple(j * k for j, k in zip(self.stride, other.stride, strict=True)),
            (*self.padded, *other.padded),
        )

    def joined(self, other: PaddingAnalysis) -> PaddingAnalysis:
        """Return the box of this window and another of the same stride."""
        start = tuple(map(min, self.start, other.start))
        ends = (tuple(s + n for s, n in zip(w.start, w.size, strict=True)) for w in (self, other))
        size = tuple(end - first for first, end in zip(start, map(max, *ends), strict=True))
        return PaddingAnalysis(start, size, self.stride, tuple(dict.fromkeys(self.padded + other.padded)))


class ValidConv(nn.Module):
    """A network without the answers that padding has touched: a pure function of a sliding window.

    Its map is that of the network with all paddings removed, kept on the grid of the padded one. So it equals sliding
    itself over crops of ``window.minimum`` pixels, ``window.stride`` apart.

    Parameters
    ----------
    net : nn.Module
        Convolutions and pooling, as `fully_convolutional` returns them.
    """

    is_leaf = True  # followed as one step: what it leaves out depends on the size of the image

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.window = analyze_padding(net)

    def forward(self, x: Tensor) -> Tensor:
        """Return the untouched part of the map of ``x`` (N, C, *space)."""
        shape = tuple(x.shape[2:])
        kept = self.window.untouched(shape)
        if any(part.start == part.stop for part in kept):
            raise ValueError(
                f"Padding has touched every position of an image of {shape} pixels. "
                f"Use at least {self.window.minimum} pixels."
            )
        answer: Tensor = self.net(x)
        parts: tuple[Any, ...] = (..., *kept)
        return answer[parts]


def analyze_padding(net: nn.Module) -> PaddingAnalysis:
    """Return which pixels each position of the map of a network looks at.

    Raises
    ------
    ValueError
        If the network has a layer that looks at the whole image, or one that is unknown.
    """
    if isinstance(net, ValidConv):
        return net.window.clean
    graph = follow(net)
    inner = [module_of(graph, node) for node in graph.graph.nodes]
    ndim = next((len(part.window.size) for part in inner if isinstance(part, ValidConv)), 0) or dimensions(graph)[0]
    one = (1,) * ndim
    known: dict[fx.Node, PaddingAnalysis] = {}
    for node in graph.graph.nodes:
        if isinstance(part := module_of(graph, node), ValidConv):
            known[node] = known[node.all_input_nodes[0]].followed(part.window.clean)
            continue
        match role(graph, node):
            case "input":
                known[node] = PaddingAnalysis((0,) * ndim, one, one)
            case "sliding":
                known[node] = _slide(graph, node, known)
            case "pointwise" | "merge" | "softmax":
                known[node] = _join(graph, node, known)
            case "output":
                return _join(graph, node, known)
            case "constant" | "size":
                pass
            case _:
                raise ValueError(
                    f"{called(graph, node)} looks at the whole image. Convert with fully_convolutional first."
                )
    raise AssertionError("a graph ends with its output")


def _slide(graph: fx.GraphModule, node: fx.Node, known: dict[fx.Node, PaddingAnalysis]) -> PaddingAnalysis:
    layer = sliding(graph, node, len(next(iter(known.values())).size))
    after = known[node.all_input_nodes[0]].slid(layer)
    is_partial = getattr(graph.get_submodule(str(node.target)), "ceil_mode", False)
    if is_partial or any(layer.before + layer.after):
        return PaddingAnalysis(after.start, after.size, after.stride, (*after.padded, str(node.target)))
    return after


def _join(graph: fx.GraphModule, node: fx.Node, known: dict[fx.Node, PaddingAnalysis]) -> PaddingAnalysis:
    check_merge(graph, node)
    windows = [known[source] for source in node.all_input_nodes if source in known]
    if not windows or any(window.stride != windows[0].stride for window in windows):
        strides = [window.stride for window in windows]
        raise ValueError(f"{called(graph, node)} joins maps of strides {strides}; they must be one and the same.")
    joined = windows[0]
    for other in windows[1:]:
        joined = joined.joined(other)
    return joined
