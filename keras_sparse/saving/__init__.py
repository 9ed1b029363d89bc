"""Weights of Keras models on disk."""
