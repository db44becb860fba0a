"""Panels of the Teach dock."""
