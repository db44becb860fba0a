"""The Segment dock: its state, its worker, and where results are saved."""
