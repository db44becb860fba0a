"""Receptive fields, influence maps and checks of the network of a session on its image.

These functions take a session; they are methods of `napari_fcn.session.Session`.
"""

from napari_fcn.inspection.checks import border_trust, certify, equivariance
from napari_fcn.inspection.influence import field_at, influence_at, mean_influence, reach_of

__all__ = ["border_trust", "certify", "equivariance", "field_at", "influence_at", "mean_influence", "reach_of"]
