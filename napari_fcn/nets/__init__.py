"""Networks as values: a spec says all that rebuilds one."""

from napari_fcn.nets.spec import NetSpec

__all__ = ["NetSpec"]
