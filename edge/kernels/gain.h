/* From which fraction of zero blocks on a layer is faster here than dense in XNNPACK. */
#ifndef KS_GAIN_H
#define KS_GAIN_H

#include "family.h"

/* How a layer is run: by `conv`, `dense_16x4` or `dense_1x16`. */
typedef enum { KS_AS_PLANES, KS_AS_16X4, KS_AS_1X16 } ks_form;

/* A fully connected layer of fewer weights takes less time than to call a partition for it. */
enum { KS_LEAST_WEIGHTS = 14000 };

/* The layer adds up `products` inputs for each of `outputs` channels at `pixels` places (vectors, for a fully connected
 * one); XNNPACK may have `several` threads. More than 1 where no sparsity pays. */
double ks_break_even(const ks_family *family, ks_form form, int outputs, int products, int taps, int pixels,
                     int several);

#endif
