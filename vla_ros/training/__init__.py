"""Collect, train and evaluate policies."""
