"""The Receptive field dock: its state, its worker, and the presentation of its results."""
