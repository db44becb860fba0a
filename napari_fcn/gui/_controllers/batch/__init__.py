"""The Batch dock: its state, the jobs of its rows, and opening their results."""
