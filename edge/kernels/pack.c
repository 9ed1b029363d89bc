#include "pack.h"

#include <stdlib.h>
#include <string.h>

static int round_up(int value, int to) { return (value + to - 1) / to * to; }
static int smaller(int a, int b) { return a < b ? a : b; }

/* Whether the block at output n, input i of one tap has a weight that is not zero. */
static int full(const int8_t *weights, int outputs, int taps, int inputs, int n, int tap, int i, int rows,
                int columns) {
  const int last = smaller(n + rows, outputs), count = smaller(columns, inputs - i);
  for (; n < last; n++) {
    const int8_t *at = weights + ((size_t)n * taps + tap) * inputs + i;
    int j = 0;
    for (uint32_t word; j + 4 <= count; j += 4)
      if (memcpy(&word, at + j, 4), word) return 1;
    for (; j < count; j++)
      if (at[j]) return 1;
  }
  return 0;
}

size_t ks_count_blocks(const int8_t *weights, int outputs, int taps, int inputs, int rows, int columns) {
  size_t count = 0;
  for (int n = 0; n < outputs; n += rows)
    for (int tap = 0; tap < taps; tap++)
      for (int i = 0; i < inputs; i += columns)
        count += (size_t)full(weights, outputs, taps, inputs, n, tap, i, rows, columns);
  return count;
}

/* Not with the step of the next one: compilers make vectors of this loop. */
static int32_t sum_of(const int8_t *weights, int count) {
  int32_t sum = 0;
  for (int i = 0; i < count; i++) sum += weights[i];
  return sum;
}

static int32_t sum_by(const int8_t *weights, int count, size_t step) {
  int32_t sum = 0;
  for (int i = 0; i < count; i++) sum += weights[(size_t)i * step];
  return sum;
}

/* Bias and scales for `padded` outputs; weight (n, i) is weights[n * row + i * step], of `products`. */
static int requantization(ks_requantize *to, const int8_t *weights, int outputs, int padded, int products, size_t row,
                          size_t step, const ks_numbers *numbers) {
  int32_t *bias = calloc((size_t)padded, sizeof *bias);
  float *scale = calloc((size_t)padded, sizeof *scale);
  to->bias = bias, to->scale = scale;
  to->zero_point = numbers->zero_point;
  to->minimum = numbers->minimum, to->maximum = numbers->maximum;
  if (!bias || !scale) return 0;
  for (int n = 0; n < outputs; n++) {
    const int8_t *at = weights + (size_t)n * row;
    const int32_t sum = step == 1 ? sum_of(at, products) : sum_by(at, products, step);
    bias[n] = (numbers->bias ? numbers->bias[n] : 0) - sum * numbers->offset;
    scale[n] = numbers->scale[n];
  }
  return 1;
}

int ks_pack_conv(ks_conv *conv, const int8_t *weights, int outputs, int taps, int inputs, const int32_t *tap_offsets,
                 size_t plane, const ks_numbers *numbers) {
  const int padded = round_up(outputs, KS_GROUP);
  const size_t row = (size_t)taps * inputs, count = ks_count_blocks(weights, outputs, taps, inputs, 1, KS_GROUP);
  ks_block *blocks = calloc(count + 1, sizeof *blocks);
  uint32_t *first = calloc((size_t)padded + 1, sizeof *first);
  memset(conv, 0, sizeof *conv);
  conv->blocks = blocks, conv->first = first;
  if (!blocks || !first || !requantization(&conv->to, weights, outputs, padded, (int)row, row, 1, numbers)) {
    ks_free_conv(conv);
    return 0;
  }
  uint32_t at = 0;
  for (int n = 0; n < padded; n++) {
    first[n] = at;
    for (int tap = 0; n < outputs && tap < taps; tap++) {
      for (int i = 0; i < inputs; i += KS_GROUP) {
        if (!full(weights, outputs, taps, inputs, n, tap, i, 1, KS_GROUP)) continue;
        blocks[at].offset = (int32_t)((size_t)(i / KS_GROUP) * plane) + tap_offsets[tap];
        memcpy(blocks[at].weights, weights + n * row + (size_t)tap * inputs + i, (size_t)smaller(KS_GROUP, inputs - i));
        at++;
      }
    }
  }
  first[padded] = at;
  return 1;
}

int ks_pack_depthwise(ks_depthwise *conv, const int8_t *weights, int channels, int height, int width, int stride,
                      const ks_numbers *numbers) {
  const int groups = (channels + KS_GROUP - 1) / KS_GROUP, taps = (width + 3) / 4;
  int8_t *packed = calloc((size_t)groups * height * taps * 16, 1);
  memset(conv, 0, sizeof *conv);
  conv->weights = packed, conv->height = height, conv->taps = taps, conv->stride = stride;
  if (!packed ||
      !requantization(&conv->to, weights, channels, groups * KS_GROUP, height * width, 1, (size_t)channels, numbers)) {
    ks_free_depthwise(conv);
    return 0;
  }
  for (int c = 0; c < channels; c++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++)
        packed[(((size_t)(c / 4) * height + y) * taps + x / 4) * 16 + c % 4 * 4 + x % 4] =
            weights[((size_t)y * width + x) * channels + c];
  return 1;
}

int ks_pack_dense(ks_dense *dense, const int8_t *weights, int outputs, int inputs, int rows, int columns,
                  const ks_numbers *numbers) {
  const int padded = round_up(outputs, KS_ROWS), size = rows * columns;
  const size_t count =
      ks_count_blocks(weights, outputs, 1, inputs, rows, columns) + (size_t)padded / rows * (KS_CHAINS - 1);
  int8_t *packed = calloc(count + 1, (size_t)size);
  uint16_t *places = calloc(count + 1, sizeof *places);
  uint32_t *first = calloc((size_t)padded / rows + 1, sizeof *first);
  memset(dense, 0, sizeof *dense);
  dense->weights = packed, dense->places = places, dense->first = first;
  if (!packed || !places || !first ||
      !requantization(&dense->to, weights, outputs, padded, inputs, (size_t)inputs, 1, numbers)) {
    ks_free_dense(dense);
    return 0;
  }
  uint32_t at = 0;
  for (int n = 0; n < padded; n += rows) {
    first[n / rows] = at;
    for (int i = 0; n < outputs && i < inputs; i += columns) {
      if (!full(weights, outputs, 1, inputs, n, 0, i, rows, columns)) continue;
      for (int r = 0; r < rows && n + r < outputs; r++)
        memcpy(packed + (size_t)at * size + (size_t)r * columns, weights + (size_t)(n + r) * inputs + i,
               (size_t)smaller(columns, inputs - i));
      places[at++] = (uint16_t)(i / columns);
    }
    at += (KS_CHAINS - (at - first[n / rows]) % KS_CHAINS) % KS_CHAINS; /* blocks of zeros */
  }
  first[padded / rows] = at;
  return 1;
}

static void free_requantization(ks_requantize *to) {
  free((void *)to->bias);
  free((void *)to->scale);
}

void ks_free_conv(ks_conv *conv) {
  free((void *)conv->blocks);
  free((void *)conv->first);
  free_requantization(&conv->to);
  memset(conv, 0, sizeof *conv);
}

void ks_free_depthwise(ks_depthwise *conv) {
  free((void *)conv->weights);
  free_requantization(&conv->to);
  memset(conv, 0, sizeof *conv);
}

void ks_free_dense(ks_dense *dense) {
  free((void *)dense->weights);
  free((void *)dense->places);
  free((void *)dense->first);
  free_requantization(&dense->to);
  memset(dense, 0, sizeof *dense);
}
