"""Benchmarks, also against other programs; each module runs with ``python -m``."""
