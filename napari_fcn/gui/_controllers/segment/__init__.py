"""The Segment dock: its state, its worker, and the extent of the receptive field along sliders."""
