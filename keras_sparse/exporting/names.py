"""The names of a file's inputs and outputs: the same in every format, in the model's order."""


def inputs(model):
    """The Keras names of the model's inputs."""
    return [tensor.name for tensor in model.inputs]


def outputs(model):
    """ "output", or "output_0", "output_1", ... for several; their order by name is the model's."""
    count = len(model.outputs)
    return ["output"] if count == 1 else [f"output_{i:0{len(str(count - 1))}d}" for i in range(count)]
