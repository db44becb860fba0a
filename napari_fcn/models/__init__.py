"""Models: networks with weights, normalisation, classes and a card."""
