/* The kernels over vectors of any width. A family's file defines the vectors, includes this file and is done.
 *
 * It defines TARGET, the attribute that allows its instructions; LANES, the pixels of a vector; KS_DEPTHWISE_ROWS, rows
 * whose sums fit the registers; NAME, AVAILABLE, FAMILY; DEPTHWISE, if it wraps that kernel; TILE, if sums of more than
 * 8 vectors fit the registers; UNROLLED, a pragma, if its compilers do not unroll loops by themselves; DOTS, if it has
 * its own dots(); and
 *   acc               sums of one vector; acc_of(value), acc_add(a, b)
 *   ints              LANES 32-bit lanes: ints_of(value), ints_load, ints_store, acc_sum(acc)
 *   weight            a block, spread over the lanes: weight_of(block), dot(acc, address of pixels, weight)
 *   taps_input        LANES pixels, turned so that a quad's lanes are channels: taps_of(address)
 *   taps_weight       16 weights, for each quad of lanes: taps_weight_of(address),
 *                     dot_taps(acc, taps_input, taps_weight): four columns of LANES / 4 pixels
 *                     acc_quad(address of four), spread over the quads; acc_sum_quads(acc), as acc_sum of such sums
 *   input             4 inputs, spread over the lanes: input_of(address), dot_input(acc, input, address of weights)
 *   row               sums of one output: row_zero(), row_dot(row, inputs, weights), row_add, row_sums(to, four rows)
 *   scales            LANES floats: scales_of(value), scales_load, scales_quad(address of four)
 *   scaled(ints, scales)                   the product, rounded to nearest even
 *   pair(ints, ints)                       two vectors to 16 bits, saturated
 *   limits            limits_of(zero_point, minimum, maximum): what the next needs
 *   stored(pair, pair, limits)             zero point, limits and flip: the bytes of four vectors, in their quads
 *   by_channel(ints)  within quads of lanes, turns bytes [i][j] to [j][i]
 *   in_order(ints)    vector by vector, what `stored` makes quad by quad
 *   unshuffle(ints)   orders the pixels of `stored` after strided loads
 *   ints_some(address, ints, lanes)        stores the first lanes
 *   store_bytes(address, ints, count)      the low bytes of the first lanes
 *   bytes_load(address)                    LANES stored bytes as ints
 *   ints_mul, ints_plus, ints_shift (arithmetic), ints_limit
 */
#include "family.h"

#ifndef TILE
#define TILE 8
#endif
#ifndef UNROLLED
#define UNROLLED
#endif
#define INLINE TARGET static inline __attribute__((always_inline))

/* ------------------------------------------------------------------------------------------------ convolution */

#ifndef DOTS
INLINE void dots(acc *sum, const uint8_t *pixels, weight w, int vectors) {
  for (int v = 0; v < vectors; v++) sum[v] = dot(sum[v], pixels + 4 * LANES * v, w);
}
#endif

/* Sums of one output channel over `vectors` vectors of pixels. A sum waits for itself from block to block: where there
 * are few vectors, several chains of blocks run beside each other. */
INLINE void sums(acc *sum, const ks_conv *conv, const uint8_t *in, int n, int vectors) {
  enum { MOST = 4 };
  const int chains = vectors <= 2 ? MOST : vectors <= 4 ? 2 : 1;
  const ks_block *block = conv->blocks + conv->first[n], *end = conv->blocks + conv->first[n + 1];
  acc part[MOST][TILE];
  for (int k = 0; k < chains; k++)
    for (int v = 0; v < vectors; v++) part[k][v] = acc_of(k ? 0 : conv->to.bias[n]);
  for (; chains > 1 && end - block >= chains; block += chains) {
    for (int k = 0; k < chains; k++) dots(part[k], in + block[k].offset, weight_of(block + k), vectors);
  }
  for (; block < end; block++) dots(part[0], in + block->offset, weight_of(block), vectors);
  for (int v = 0; v < vectors; v++) {
    sum[v] = part[0][v];
    for (int k = 1; k < chains; k++) sum[v] = acc_add(sum[v], part[k][v]);
  }
}

INLINE void tile(const ks_conv *conv, const uint8_t *in, uint8_t *out, size_t plane, int first, int last, int vectors) {
  const limits limit = limits_of(conv->to.zero_point, conv->to.minimum, conv->to.maximum);
  for (int group = first; group < last; group++) {
    ints pairs[2][TILE]; /* channels 0 and 1, channels 2 and 3 */
    UNROLLED for (int c = 0; c < 4; c++) {
      acc sum[TILE];
      sums(sum, conv, in, 4 * group + c, vectors);
      const scales scale = scales_of(conv->to.scale[4 * group + c]);
      UNROLLED for (int v = 0; v < vectors; v++) {
        const ints value = scaled(acc_sum(sum[v]), scale);
        pairs[c / 2][v] = c % 2 ? pair(pairs[c / 2][v], value) : value;
      }
    }
    for (int v = 0; v < vectors; v++)
      ints_store(out + group * plane + 4 * LANES * v, by_channel(stored(pairs[0][v], pairs[1][v], limit)));
  }
}

TARGET static void conv(const ks_conv *conv, const uint8_t *in, uint8_t *out, size_t plane, int pixels, int first,
                        int last) {
  switch ((pixels + LANES - 1) / LANES) { /* the compiler keeps the sums in registers where their number is known */
    case 1: tile(conv, in, out, plane, first, last, 1); break;
    case 2: tile(conv, in, out, plane, first, last, 2); break;
    case 3: tile(conv, in, out, plane, first, last, 3); break;
    case 4: tile(conv, in, out, plane, first, last, 4); break;
    case 5: tile(conv, in, out, plane, first, last, 5); break;
    case 6: tile(conv, in, out, plane, first, last, 6); break;
    case 7: tile(conv, in, out, plane, first, last, 7); break;
#if TILE > 8
    case 9: tile(conv, in, out, plane, first, last, 9); break;
    case 10: tile(conv, in, out, plane, first, last, 10); break;
    case 11: tile(conv, in, out, plane, first, last, 11); break;
    case 12: tile(conv, in, out, plane, first, last, 12); break;
    case 13: tile(conv, in, out, plane, first, last, 13); break;
    case 14: tile(conv, in, out, plane, first, last, 14); break;
#endif
    default: tile(conv, in, out, plane, first, last, 8); break;
  }
}

/* -------------------------------------------------------------------------------------- depthwise convolution */

/* Where the four loads of a tile of LANES outputs start, in input pixels: the lanes of a load are four pixels apart. */
INLINE int start(int j, int stride) { return stride == 1 ? j : (j & 1) * 2 + (j >> 1) * 4 * (LANES / 4); }

/* LANES outputs of `rows` rows; every input is shuffled once and used by all rows that it touches. */
INLINE void depthwise_tile(const ks_depthwise *conv, const int8_t *weights, const int32_t *bias, scales scale,
                           const uint8_t *in, size_t pitch, uint8_t *out, const uint8_t *end, int width, int x,
                           int rows, int height, int taps, int stride) {
  acc sum[KS_DEPTHWISE_ROWS][4];
  for (int r = 0; r < rows; r++)
    for (int j = 0; j < 4; j++) sum[r][j] = acc_quad(bias);
  UNROLLED for (int line = 0; line < (rows - 1) * stride + height; line++) {
    UNROLLED for (int t = 0; t < taps; t++) {
      UNROLLED for (int j = 0; j < 4; j++) {
        const taps_input pixels = taps_of(in + line * pitch + 4 * (x * stride + start(j, stride) + 4 * t));
        for (int r = 0; r < rows; r++) {
          const int ky = line - r * stride;
          if (ky >= 0 && ky < height)
            sum[r][j] = dot_taps(sum[r][j], pixels, taps_weight_of(weights + (ky * taps + t) * 16));
        }
      }
    }
  }
  const limits limit = limits_of(conv->to.zero_point, conv->to.minimum, conv->to.maximum);
  UNROLLED for (int r = 0; r < rows; r++) {
    ints quads[4];
    for (int j = 0; j < 4; j++) quads[j] = scaled(acc_sum_quads(sum[r][j]), scale);
    ints bytes = stored(pair(quads[0], quads[1]), pair(quads[2], quads[3]), limit);
    if (stride == 2) bytes = unshuffle(bytes);
    uint8_t *place = out + 4 * ((size_t)r * width + x);
    if (place + 4 * LANES <= end) /* what is beyond the row is written by a later tile */
      ints_store(place, bytes);
    else
      ints_some(place, bytes, width - x);
  }
}

/* Where rows of outputs are read from and written to. */
typedef struct {
  const uint8_t *in;
  uint8_t *out;
  int left; /* rows */
} progress;

/* As many times `rows` rows as there are. Tiles go from right to left, rows from top to bottom: a tile may then write
 * beyond the end of its rows, up to `end`. */
INLINE progress some_rows(const ks_depthwise *conv, int group, progress at, size_t pitch, const uint8_t *end, int width,
                          int rows, int height, int taps, int stride) {
  const int8_t *weights = conv->weights + (size_t)group * height * taps * 16;
  const int32_t *bias = conv->to.bias + 4 * group;
  const scales scale = scales_quad(conv->to.scale + 4 * group);
  for (; at.left >= rows; at.left -= rows, at.in += (size_t)rows * stride * pitch, at.out += 4 * (size_t)rows * width)
    for (int x = (width - 1) / LANES * LANES; x >= 0; x -= LANES)
      depthwise_tile(conv, weights, bias, scale, at.in, pitch, at.out, end, width, x, rows, height, taps, stride);
  return at;
}

INLINE void depthwise_rows(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out,
                           int width, int count, int rows, int height, int taps, int stride) {
  const size_t pixels = ((size_t)width * count + KS_PIXELS - 1) / KS_PIXELS * KS_PIXELS;
  const uint8_t *end = out + 4 * pixels;
  progress at = {in, out, count};
  at = some_rows(conv, group, at, pitch, end, width, rows, height, taps, stride);
  if (rows > 2) at = some_rows(conv, group, at, pitch, end, width, 2, height, taps, stride);
  if (rows > 1) some_rows(conv, group, at, pitch, end, width, 1, height, taps, stride);
}

TARGET static void depthwise(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out,
                             int width, int rows) {
  const int stride = conv->stride, height = conv->height, taps = conv->taps;
  if (height == 3 && taps == 1 && stride == 1)
    depthwise_rows(conv, group, in, pitch, out, width, rows, KS_DEPTHWISE_ROWS, 3, 1, 1);
  else if (height == 3 && taps == 1)
    depthwise_rows(conv, group, in, pitch, out, width, rows, KS_DEPTHWISE_ROWS / 2, 3, 1, 2);
  else if (height == 5 && taps == 2 && stride == 1)
    depthwise_rows(conv, group, in, pitch, out, width, rows, KS_DEPTHWISE_ROWS / 2, 5, 2, 1);
  else
    depthwise_rows(conv, group, in, pitch, out, width, rows, 1, height, taps, stride);
}

/* -------------------------------------------------------------------------------------------- fully connected */

/* Sixteen sums to bytes; the last row of outputs may be a part. */
INLINE void finish(const ks_requantize *to, const ints *sum, int8_t *out, int n, int outputs) {
  const ints zero = ints_of(to->zero_point), low = ints_of(to->minimum), high = ints_of(to->maximum);
  for (int i = 0; i < 16 / LANES && n + i * LANES < outputs; i++) {
    const ints bias = ints_load(to->bias + n + i * LANES);
    const ints value = ints_plus(zero, scaled(ints_plus(sum[i], bias), scales_load(to->scale + n + i * LANES)));
    const int left = outputs - n - i * LANES;
    store_bytes(out + n + i * LANES, ints_limit(value, low, high), left < LANES ? left : LANES);
  }
}

TARGET static void dense_16x4(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs) {
  enum { PARTS = 16 / LANES };
  for (int row = first; row < last; row++) {
    acc sum[KS_CHAINS][PARTS];
    for (int k = 0; k < KS_CHAINS; k++)
      for (int i = 0; i < PARTS; i++) sum[k][i] = acc_of(0);
    const size_t end = dense->first[row + 1];
    for (size_t block = dense->first[row]; block < end; block += KS_CHAINS) {
      for (size_t k = 0; k < KS_CHAINS; k++) {
        const input x = input_of(in + 4 * (size_t)dense->places[block + k]);
        const int8_t *w = dense->weights + 64 * (block + k);
        for (int i = 0; i < PARTS; i++) sum[k][i] = dot_input(sum[k][i], x, w + 4 * LANES * i);
      }
    }
    ints whole[PARTS];
    for (int i = 0; i < PARTS; i++)
      whole[i] = acc_sum(acc_add(acc_add(sum[0][i], sum[1][i]), acc_add(sum[2][i], sum[3][i])));
    finish(&dense->to, whole, out, 16 * row, outputs);
  }
}

/* One row of blocks of 16 inputs. */
INLINE row row_of(const ks_dense *dense, const uint8_t *in, int n) {
  const uint16_t *place = dense->places;
  const int8_t *w = dense->weights;
  row sum[KS_CHAINS] = {row_zero(), row_zero(), row_zero(), row_zero()};
  const size_t end = dense->first[n + 1];
  for (size_t block = dense->first[n]; block < end; block += KS_CHAINS)
    for (size_t k = 0; k < KS_CHAINS; k++)
      sum[k] = row_dot(sum[k], in + 16 * (size_t)place[block + k], w + 16 * (block + k));
  return row_add(row_add(sum[0], sum[1]), row_add(sum[2], sum[3]));
}

TARGET static void dense_1x16(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs) {
  for (int n = 16 * first; n < 16 * last; n += 16) {
    int32_t sum[16];
    for (int i = 0; i < 16; i += 4)
      row_sums(sum + i, row_of(dense, in, n + i), row_of(dense, in, n + i + 1), row_of(dense, in, n + i + 2),
               row_of(dense, in, n + i + 3));
    ints whole[16 / LANES];
    for (int i = 0; i < 16 / LANES; i++) whole[i] = ints_load(sum + LANES * i);
    finish(&dense->to, whole, out, n, outputs);
  }
}

/* -------------------------------------------------------------------------------------------------------- sum */

TARGET static void add(const ks_add *add, const uint8_t *a, const uint8_t *b, uint8_t *out, size_t bytes) {
  /* Stored bytes are flipped: less FLIP they are the values, which the bias takes in. */
  const ints bias = ints_of(add->bias - (add->a_factor + add->b_factor) * FLIP);
  const ints a_factor = ints_of(add->a_factor), b_factor = ints_of(add->b_factor);
  const limits limit = limits_of(add->zero_point, add->minimum, add->maximum);
  for (size_t i = 0; i < bytes; i += 4 * LANES) {
    ints sum[4];
    for (int j = 0; j < 4; j++) {
      const ints x = ints_mul(bytes_load(a + i + j * LANES), a_factor);
      const ints y = ints_mul(bytes_load(b + i + j * LANES), b_factor);
      sum[j] = ints_shift(ints_plus(bias, ints_plus(x, y)), add->shift);
    }
    ints_store(out + i, in_order(stored(pair(sum[0], sum[1]), pair(sum[2], sum[3]), limit)));
  }
}

#ifndef DEPTHWISE
#define DEPTHWISE depthwise
#endif
const ks_family FAMILY = {NAME, LANES, TILE, FLIP, 1, AVAILABLE, conv, DEPTHWISE, dense_16x4, dense_1x16, add};
