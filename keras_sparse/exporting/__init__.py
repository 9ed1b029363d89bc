"""Files for runtimes: emitted, read back, run, and compared with the model."""
