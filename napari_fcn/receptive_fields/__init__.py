"""Theoretical and effective receptive fields of networks, and checks that follow from them."""
