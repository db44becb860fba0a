"""Networks with all that belongs to them: weights, normalisation, classes and a card."""
