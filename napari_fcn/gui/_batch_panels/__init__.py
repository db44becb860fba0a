"""Panels of the Batch dock."""
