"""The Receptive field dock: its state, its worker, and what is shown of its measurements."""
