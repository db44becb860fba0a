"""How networks learn: from folders of labelled images, and from strokes."""
