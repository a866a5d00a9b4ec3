"""Policies: the only place, with training, that imports torch."""
