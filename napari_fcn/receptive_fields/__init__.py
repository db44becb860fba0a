"""How far a network looks, and what it really uses."""
