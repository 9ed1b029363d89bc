/* Weights stored sparse in a file, as dense int8. */
#ifndef KS_DENSIFY_H
#define KS_DENSIFY_H

#include "tflite_abi.h"

/* A new array of all the tensor's values, or NULL when memory is out or the tables are not sound. */
int8_t *ks_densify(const TfLiteTensor *tensor);

#endif
