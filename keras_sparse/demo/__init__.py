"""The demo that `keras-sparse demo` runs: from Fashion-MNIST to a verified edge bundle."""
