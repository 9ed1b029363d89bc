"""Models of Keras 2 and of TensorFlow Model Optimization (TFMOT), as Keras 3 models that train and export here."""
