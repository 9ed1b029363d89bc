"""What each runtime accepts, what pays there, and why: one file a runtime, `keras_sparse/target.py` finds them."""
