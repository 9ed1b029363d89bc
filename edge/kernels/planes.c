#include "planes.h"

#include <string.h>

size_t ks_plane_bytes(size_t pixels) { return (pixels + KS_PIXELS - 1) / KS_PIXELS * KS_PIXELS * KS_GROUP; }

static uint32_t word(const void *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return value;
}

static void copy_flipped(void *to, const void *from, int count, uint8_t flip) {
  for (int i = 0; i < count; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i] ^ flip;
}

void ks_to_planes(const int8_t *nhwc, uint8_t *planes, size_t pixels, int channels, int first, int last, uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  const uint32_t flips = flip * 0x01010101u;
  for (size_t p0 = 0; p0 < pixels; p0 += KS_PIXELS) { /* a few pixels at a time, so that their lines stay cached */
    const size_t p1 = p0 + KS_PIXELS < pixels ? p0 + KS_PIXELS : pixels;
    for (int g = first; g < last; g++) {
      uint8_t *out = planes + (size_t)g * plane + p0 * 4;
      const int8_t *in = nhwc + p0 * channels + 4 * (size_t)g;
      const int count = channels - 4 * g;
      for (size_t p = p0; p < p1; p++, out += 4, in += channels) {
        if (count >= 4) {
          const uint32_t value = word(in) ^ flips;
          memcpy(out, &value, 4);
        } else {
          memset(out, 0, 4);
          copy_flipped(out, in, count, flip);
        }
      }
    }
  }
}

void ks_from_planes(const uint8_t *planes, int8_t *nhwc, size_t pixels, int channels, size_t first, size_t last,
                    uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  const uint32_t flips = flip * 0x01010101u;
  for (size_t p0 = first; p0 < last; p0 += KS_PIXELS) {
    const size_t p1 = p0 + KS_PIXELS < last ? p0 + KS_PIXELS : last;
    for (int g = 0; 4 * g < channels; g++) {
      const uint8_t *in = planes + (size_t)g * plane + p0 * 4;
      int8_t *out = nhwc + p0 * channels + 4 * (size_t)g;
      const int count = channels - 4 * g;
      for (size_t p = p0; p < p1; p++, in += 4, out += channels) {
        if (count >= 4) {
          const uint32_t value = word(in) ^ flips;
          memcpy(out, &value, 4);
        } else {
          copy_flipped(out, in, count, flip);
        }
      }
    }
  }
}

/* In lanes of four bytes, which compilers make vectors of; rows are too short for calls of memcpy and memset. */
static void fill(uint8_t *out, int pixels, const uint8_t *four) {
  const uint32_t value = word(four);
  for (int i = 0; i < pixels; i++) memcpy(out + 4 * i, &value, 4);
}

static void copy(uint8_t *restrict out, const uint8_t *restrict in, int pixels) {
  int i = 0;
  for (; i + 4 <= pixels; i += 4) memcpy(out + 4 * i, in + 4 * i, 16);
  for (; i < pixels; i++) memcpy(out + 4 * i, in + 4 * i, 4);
}

/* One row of a phase: columns x, x + stride, ... of the padded row. */
static void pad_row(const ks_frame *f, const uint8_t *row, uint8_t *out, int x) {
  const int stride = f->stride_x;
  int from = (f->left - x + stride - 1) / stride, to = (f->left + f->width - x + stride - 1) / stride;
  from = from < 0 ? 0 : from > f->pitch ? f->pitch : from;
  to = to < from ? from : to > f->pitch ? f->pitch : to;
  fill(out, from, f->fill);
  const uint8_t *in = row + 4 * ((ptrdiff_t)from * stride + x - f->left);
  if (stride == 1)
    copy(out + 4 * from, in, to - from);
  else
    for (int i = from; i < to; i++, in += 4 * stride) memcpy(out + 4 * i, in, 4);
  fill(out + 4 * to, f->pitch - to, f->fill);
}

void ks_pad_plane(const ks_frame *f, const uint8_t *in, uint8_t *out, size_t plane) {
  for (int y = 0; y < f->phases_y; y++) {
    for (int x = 0; x < f->phases_x; x++, out += plane) {
      for (int r = 0; r < f->rows; r++) {
        const int line = r * f->stride_y + y - f->top;
        uint8_t *to = out + 4 * (size_t)r * f->pitch;
        if (line < 0 || line >= f->height)
          fill(to, f->pitch, f->fill);
        else
          pad_row(f, in + 4 * (size_t)line * f->width, to, x);
      }
    }
  }
}
