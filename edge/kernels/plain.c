/* Plain C: what every other family must equal, bit for bit. Too slow to be claimed for. */
#include <math.h>
#include <string.h>

#include "family.h"

enum { WIDTH = 4, TILE = 8, FLIP = 0x80 };

static int32_t dot(const uint8_t *x, const int8_t *w, int count) {
  int32_t sum = 0;
  for (int i = 0; i < count; i++) sum += (int32_t)x[i] * w[i];
  return sum;
}

static int8_t requantize(const ks_requantize *to, int channel, int32_t sum) {
  const long byte = lrintf((float)(sum + to->bias[channel]) * to->scale[channel]) + to->zero_point;
  return (int8_t)(byte < to->minimum ? to->minimum : byte > to->maximum ? to->maximum : byte);
}

static void conv(const ks_conv *conv, const uint8_t *in, uint8_t *out, size_t plane, int pixels, int first, int last) {
  const int padded = (pixels + WIDTH - 1) / WIDTH * WIDTH;
  for (int n = 4 * first; n < 4 * last; n++) {
    for (int p = 0; p < padded; p++) {
      int32_t sum = 0;
      for (uint32_t b = conv->first[n]; b < conv->first[n + 1]; b++)
        sum += dot(in + conv->blocks[b].offset + 4 * (ptrdiff_t)p, conv->blocks[b].weights, 4);
      out[(size_t)(n / 4) * plane + 4 * (size_t)p + n % 4] = (uint8_t)requantize(&conv->to, n, sum) ^ FLIP;
    }
  }
}

static void depthwise(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out, int width,
                      int height) {
  const int8_t *weights = conv->weights + (size_t)group * conv->height * conv->taps * 16;
  for (int row = 0; row < height; row++) {
    for (int x = 0; x < width; x++) {
      for (int c = 0; c < 4; c++) {
        int32_t sum = 0;
        for (int ky = 0; ky < conv->height; ky++) {
          const uint8_t *line = in + (size_t)(row * conv->stride + ky) * pitch + 4 * (size_t)(x * conv->stride) + c;
          for (int kx = 0; kx < 4 * conv->taps; kx++)
            sum += (int32_t)line[4 * kx] * weights[((ky * conv->taps + kx / 4) * 4 + c) * 4 + kx % 4];
        }
        out[4 * ((size_t)row * width + x) + c] = (uint8_t)requantize(&conv->to, 4 * group + c, sum) ^ FLIP;
      }
    }
  }
}

static void dense_16x4(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs) {
  for (int n = 16 * first; n < 16 * last && n < outputs; n++) {
    int32_t sum = 0;
    for (uint32_t b = dense->first[n / 16]; b < dense->first[n / 16 + 1]; b++)
      sum += dot(in + 4 * dense->places[b], dense->weights + 64 * (size_t)b + 4 * (n % 16), 4);
    out[n] = requantize(&dense->to, n, sum);
  }
}

static void dense_1x16(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs) {
  for (int n = 16 * first; n < 16 * last && n < outputs; n++) {
    int32_t sum = 0;
    for (uint32_t b = dense->first[n]; b < dense->first[n + 1]; b++)
      sum += dot(in + 16 * dense->places[b], dense->weights + 16 * (size_t)b, 16);
    out[n] = requantize(&dense->to, n, sum);
  }
}

static void add(const ks_add *add, const uint8_t *a, const uint8_t *b, uint8_t *out, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    const int32_t x = (int8_t)(a[i] ^ FLIP), y = (int8_t)(b[i] ^ FLIP);
    int32_t sum = ((x * add->a_factor + y * add->b_factor + add->bias) >> add->shift) + add->zero_point;
    sum = sum < add->minimum ? add->minimum : sum > add->maximum ? add->maximum : sum;
    out[i] = (uint8_t)(int8_t)sum ^ FLIP;
  }
}

static int available(void) { return 1; }

const ks_family ks_plain = {"plain", WIDTH, TILE, FLIP, 0, available, conv, depthwise, dense_16x4, dense_1x16, add};
