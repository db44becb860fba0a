"""Figures beside those of others; each module runs with ``python -m``."""
