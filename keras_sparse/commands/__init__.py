"""The subcommands of `keras-sparse`: each is one call of the library."""
