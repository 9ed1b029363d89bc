"""What happens during `fit`: the callback, masks, the wrapper, ranges; `prepare` before it and `strip` after it."""
