"""A U-Net whose encoder is that of a classifier: the inverted residuals of EfficientNet-Lite, with a light decoder.

Long et al. (2015) made classifiers fully convolutional and used them as encoders; this family is built so that the
weights of EfficientNet-Lite0 (Tan & Le 2019; without squeeze-and-excitation, with ReLU6) fit into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_fcn.nets import layers
from napari_fcn.nets.size import EXPANSIONS, REPEATS, decoder_widths, encoder_widths, stem_width, strided_kernel
from napari_fcn.nets.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_fcn.nets.spec import NetSpec


class MBConvNet(UNet):
    """Encoder of inverted residuals, and a decoder that sums upsampled features and skips.

    ::

        x ── conv ──────────────────────────────────────── 1x1 ── + ── conv ── score ── logits
        └ stem, stage 1 ─────────────── 1x1 ── + ── conv ── up ───┘
               └ stage 2 ── ... ── 1x1 ── up ──┘

    Level 0 is one convolution of the image at full resolution, for fine outlines; level 1 is stem and first stage of
    the classifier, level ``i`` its stage ``i``. A convolution that halves the resolution has an even kernel, one longer
    than that of the level, so that its outputs lie in the middle of the pixels that they replace, as upsampling and
    pooling assume.

    Parameters
    ----------
    spec : NetSpec
        The network. ``width`` is the number of channels of stage 1; 16 in EfficientNet-Lite0.
    """

    def __init__(self, spec: NetSpec) -> None:
        nn.Module.__init__(self)
        self.spec = spec
        encoder, decoder = encoder_widths(spec), decoder_widths(spec)
        steps = range(spec.depth)
        self.encoder = nn.ModuleList([nn.Sequential(*layers.step(spec, spec.channels, encoder[0], spec.kernel[0]))])
        for level in range(1, spec.depth + 1):
            inputs = spec.channels if level == 1 else encoder[level - 1]
            self.encoder.append(_stage(spec, inputs, encoder[level], level))
        self.ups = nn.ModuleList(layers.up(spec, decoder[i + 1], decoder[i], i) for i in steps)
        self.skips = nn.ModuleList(layers.CONV[spec.ndim](encoder[i], decoder[i], 1) for i in steps)
        self.decoder = nn.ModuleList(
            nn.Sequential(*layers.step(spec, decoder[i], decoder[i], spec.kernel[i], spec.dilations[i])) for i in steps
        )
        self.score = layers.score(spec, decoder[0])
        self.distance = layers.distance(spec, decoder[0])

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels in order: those of the encoder, then those of the decoder."""
        factors, skips = list(self.spec.grids), []
        image = x
        for level, encode in enumerate(self.encoder):
            x = encode(image if level < 2 else x)
            skips.append(x)
            yield layers.Level(factors[level], x)
        skips.pop()
        for level in reversed(range(self.spec.depth)):
            x = self.ups[level](x)
            x = self.decoder[level](x + layers.trim(self.skips[level](skips.pop()), x.shape[2]))
            yield layers.Level(factors[level], x)

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        grids = list(self.spec.grids)
        encoder = list(zip(grids, encoder_widths(self.spec), strict=True))
        decoder = list(zip(grids, decoder_widths(self.spec), strict=True))[:-1]
        return encoder + decoder[::-1]


class InvertedResidual(nn.Module):
    """A block that expands the channels, convolves each, and reduces them (Sandler et al. 2018).

    ::

        x ─┬─ 1x1 ── norm ── ReLU6 ── depthwise conv ── norm ── ReLU6 ── 1x1 ── norm ── +
           └──────────────── if resolution and channels are unchanged ──────────────────┘

    Parameters
    ----------
    spec : NetSpec
        The network.
    inputs, outputs : int
        Channels.
    expansion : int
        Factor by which the channels are expanded; for 1, the first convolution is left out.
    level : int
        Level of the network, which sets kernel and dilation.
    stride : sequence of int
        Stride of the depthwise convolution per axis.
    """

    def __init__(
        self, spec: NetSpec, inputs: int, outputs: int, expansion: int, level: int, stride: Sequence[int]
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = _step(spec, inputs, wide, (1,) * spec.ndim) if expansion > 1 else []
        depthwise = _step(spec, wide, wide, spec.kernel[level], stride, spec.dilations[level], groups=wide)
        project = _step(spec, wide, outputs, (1,) * spec.ndim)[:-1]
        self.body = nn.Sequential(*expand, *depthwise, *project)
        self.is_residual = inputs == outputs and max(stride) == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, outputs, *space) for features (N, inputs, *space)."""
        body: Tensor = self.body(x)
        return body + layers.trim(x, body.shape[2]) if self.is_residual else body


def _stage(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return the blocks of a level; the first halves the resolution. Level 1 starts with the stem of the classifier."""
    stride, ones = spec.strides[level - 1], (1,) * spec.ndim
    blocks: list[nn.Module] = []
    if level == 1:
        stem = stem_width(spec)
        blocks += _step(spec, inputs, stem, spec.kernel[level], stride, spec.dilations[level])
        inputs, stride = stem, ones
    for number in range(REPEATS[level]):
        blocks.append(InvertedResidual(spec, outputs if number else inputs, outputs, EXPANSIONS[level], level, stride))
        stride = ones
    return nn.Sequential(*blocks)


def _step(
    spec: NetSpec,
    inputs: int,
    outputs: int,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    dilation: Sequence[int] = (),
    groups: int = 1,
) -> list[nn.Module]:
    """Return a convolution with stride, its norm, and ReLU6 (Krizhevsky 2010)."""
    ones = (1,) * spec.ndim
    stride, dilation = tuple(stride) or ones, tuple(dilation) or ones
    taps = strided_kernel(kernel, stride)
    padding = tuple((r * (k - 1) - s + 1) // 2 for k, s, r in zip(taps, stride, dilation, strict=True))
    conv = layers.CONV[spec.ndim](
        inputs,
        outputs,
        taps,  # type: ignore[arg-type]  # one length per axis fits every dimension
        stride=stride,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=dilation,  # type: ignore[arg-type]
        groups=groups,
        padding_mode=spec.padding,  # type: ignore[arg-type]  # checked by the spec
        bias=spec.norm == "none",
    )
    norm = [layers.BATCH_NORM[spec.ndim](outputs)] if spec.norm == "batch" else []
    return [conv, *norm, nn.ReLU6(inplace=True)]
