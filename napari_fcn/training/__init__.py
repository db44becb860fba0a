"""Supervised training from labelled images: datasets, augmentation, targets, losses, metrics and the training loop."""
