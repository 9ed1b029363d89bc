"""Pure encode/decode pairs in NumPy: how sparse tensors are stored, in files and on disk."""
