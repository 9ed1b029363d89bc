/* Dense int8 weights to the lists of blocks that the kernels walk through. */
#ifndef KS_PACK_H
#define KS_PACK_H

#include "sparse.h"

/* Blocks of `rows` outputs x `columns` inputs with a weight that is not zero; a last row or column of blocks may be a
 * part. Weights are [outputs][taps][inputs]. */
size_t ks_count_blocks(const int8_t *weights, int outputs, int taps, int inputs, int rows, int columns);

/* The packed layers own what they point to. All return 0 when memory is out. `offset` is what a stored byte is more
 * than the value it stands for: the flip (128 or 0) plus the input's zero point. */
typedef struct {
  const int32_t *bias; /* [outputs] or NULL */
  const float *scale;  /* [outputs] */
  int offset, zero_point, minimum, maximum;
} ks_numbers;

/* `tap_offsets[t]` and `plane` give the bytes from an output's pixel to its input at tap t in the first plane, and from
 * one plane to the next. */
int ks_pack_conv(ks_conv *conv, const int8_t *weights, int outputs, int taps, int inputs, const int32_t *tap_offsets,
                 size_t plane, const ks_numbers *numbers);
int ks_pack_depthwise(ks_depthwise *conv, const int8_t *weights, int channels, int height, int width, int stride,
                      const ks_numbers *numbers);
/* `rows` x `columns`: 16 x 4 or 1 x 16. */
int ks_pack_dense(ks_dense *dense, const int8_t *weights, int outputs, int inputs, int rows, int columns,
                  const ks_numbers *numbers);

void ks_free_conv(ks_conv *conv);
void ks_free_depthwise(ks_depthwise *conv);
void ks_free_dense(ks_dense *dense);

#endif
