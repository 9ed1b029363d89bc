/* INT8 kernels that skip zero blocks of weights: the types that packing, kernels and adapters share.
 *
 * Planes: the layout of every activation inside a partition
 *
 *     NHWC, as runtimes have it          planes, as the kernels have it
 *     pixel 0: c0 c1 c2 c3 c4 c5 ...     group 0 (c0..c3): p0 p1 p2 p3 p4 ... padding
 *     pixel 1: c0 c1 c2 c3 c4 c5 ...     group 1 (c4..c7): p0 p1 p2 p3 p4 ... padding
 *     ...                                each p: 4 bytes, one per channel of the group
 *
 * Four channels of one pixel are one 32-bit lane, so one vector is 16 (AVX-512), 8 (AVX2) or 4 (NEON) neighbouring
 * pixels, and one instruction (vpdpbusd, sdot) multiplies each of them with the same block of 4 weights and adds up:
 *
 *     sum[n][p..p+15] += plane[group][p..p+15] . block(n, group)
 *
 * A block of zeros costs nothing because it is not in the list. A plane is padded to whole vectors of KS_PIXELS pixels;
 * kernels read and write the padding, and nothing depends on what is in it. Bytes are stored with `flip` of the kernel
 * family XORed in: 0x80 makes them unsigned, as vpdpbusd wants them; 0 keeps them signed, as sdot does.
 *
 * A k x k convolution is the same sum over shifted planes: the image is first padded with its zero point and, where
 * strides are above 1, split into one plane per phase, so that every tap is a constant offset from the output's pixel.
 * Each row of outputs then has the pitch of the padded image, and the pixels between rows are dropped afterwards.
 */
#ifndef KS_SPARSE_H
#define KS_SPARSE_H

#include <stddef.h>
#include <stdint.h>

enum {
  KS_GROUP = 4,   /* channels of a plane */
  KS_PIXELS = 16, /* planes are padded to a multiple of this many pixels */
  KS_ROWS = 16,   /* outputs of a block of dense_16x4, inputs of one of dense_1x16 */
  KS_CHAINS = 4,  /* sums that run beside each other, as one alone would wait for itself */
};

/* From sums to bytes, exactly as XNNPACK does it: byte = round(sum * scale) + zero_point within the limits, rounded to
 * nearest even, in float32. Scales are below 1, so that what is rounded fits 32 bits. */
typedef struct {
  const int32_t *bias; /* [outputs], the input's zero point and flip folded in */
  const float *scale;  /* [outputs] */
  int zero_point, minimum, maximum;
} ks_requantize;

/* Four weights of one output channel, for neighbouring input channels. */
typedef struct {
  int32_t offset; /* bytes from the output's pixel to the four inputs, in the input's planes */
  int8_t weights[4];
} ks_block;

/* A convolution. Output channel n has the blocks first[n] .. first[n + 1]; channels are padded to a multiple of four.
 */
typedef struct {
  const ks_block *blocks;
  const uint32_t *first; /* [outputs + 1] */
  ks_requantize to;
} ks_conv;

/* A depthwise convolution. Sixteen weights a group, row and `taps` of four columns: four of channel 0, of channel 1...
 */
typedef struct {
  const int8_t *weights; /* [groups][height][taps][16] */
  int height, taps;
  int stride; /* 1 or 2, both ways */
  ks_requantize to;
} ks_depthwise;

/* Fully connected. 16x4: `rows` of 16 outputs, a block is 64 weights [output][input], `place` its first input.
 * 1x16: `rows` of one output, a block is 16 weights. Rows are padded to a multiple of 16 outputs, and the blocks of
 * each with blocks of zeros to a multiple of KS_CHAINS: a loop for the rest would be guessed wrong in every row. */
typedef struct {
  const int8_t *weights;
  const uint16_t *places; /* first input of a block, divided by the inputs of a block */
  const uint32_t *first;  /* [rows + 1] */
  ks_requantize to;
} ks_dense;

/* XNNPACK's sum of two tensors: ((a * a_factor + b * b_factor + bias) >> shift) + zero_point, limited. */
typedef struct {
  int32_t a_factor, b_factor, bias, zero_point, minimum, maximum;
  int shift;
} ks_add;

#endif
