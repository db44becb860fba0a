"""The Teach dock: its state, commands, layers, worker, and the writer of its project."""
