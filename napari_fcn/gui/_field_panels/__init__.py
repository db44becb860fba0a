"""Panels of the Receptive field dock."""
