"""Running a network over an image of any size."""
