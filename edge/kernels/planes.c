#include "planes.h"

#include <string.h>

size_t ks_plane_bytes(size_t pixels) { return (pixels + KS_PIXELS - 1) / KS_PIXELS * KS_PIXELS * KS_GROUP; }

static uint32_t word(const void *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return value;
}

/* Four pixels of four groups, each a lane of four bytes: `in` has a pixel every `pixel` bytes, `out` a group every
 * `group` bytes. The same turns planes into pixels. */
#if defined(__SSE2__)
#include <emmintrin.h>
enum { SQUARE = 4 };
static void transpose(const uint8_t *in, size_t pixel, uint8_t *out, size_t group, uint32_t flips) {
  const __m128i flip = _mm_set1_epi32((int)flips);
  __m128i row[4];
  for (size_t i = 0; i < 4; i++) row[i] = _mm_xor_si128(flip, _mm_loadu_si128((const __m128i *)(in + i * pixel)));
  const __m128i a = _mm_unpacklo_epi32(row[0], row[1]), b = _mm_unpackhi_epi32(row[0], row[1]);
  const __m128i c = _mm_unpacklo_epi32(row[2], row[3]), d = _mm_unpackhi_epi32(row[2], row[3]);
  const __m128i made[] = {_mm_unpacklo_epi64(a, c), _mm_unpackhi_epi64(a, c), _mm_unpacklo_epi64(b, d),
                          _mm_unpackhi_epi64(b, d)};
  for (size_t i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(out + i * group), made[i]);
}
#elif defined(__aarch64__)
#include <arm_neon.h>
enum { SQUARE = 4 };
static void transpose(const uint8_t *in, size_t pixel, uint8_t *out, size_t group, uint32_t flips) {
  const uint32x4_t flip = vdupq_n_u32(flips);
  uint32x4_t row[4];
  for (size_t i = 0; i < 4; i++) row[i] = veorq_u32(flip, vreinterpretq_u32_u8(vld1q_u8(in + i * pixel)));
  const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(row[0], row[1]));
  const uint64x2_t b = vreinterpretq_u64_u32(vtrn2q_u32(row[0], row[1]));
  const uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(row[2], row[3]));
  const uint64x2_t d = vreinterpretq_u64_u32(vtrn2q_u32(row[2], row[3]));
  const uint64x2_t made[] = {vtrn1q_u64(a, c), vtrn1q_u64(b, d), vtrn2q_u64(a, c), vtrn2q_u64(b, d)};
  for (size_t i = 0; i < 4; i++) vst1q_u8(out + i * group, vreinterpretq_u8_u64(made[i]));
}
#else
enum { SQUARE = 1 };
static void transpose(const uint8_t *in, size_t pixel, uint8_t *out, size_t group, uint32_t flips) {
  const uint32_t value = word(in) ^ flips;
  (void)pixel, (void)group;
  memcpy(out, &value, 4);
}
#endif

void ks_flip(const uint8_t *restrict in, uint8_t *restrict out, size_t count, uint8_t flip) {
  for (size_t i = 0; i < count; i++) out[i] = in[i] ^ flip;
}

static void copy_flipped(void *to, const void *from, int count, uint8_t flip) {
  for (int i = 0; i < count; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i] ^ flip;
}

/* One lane, which may be a part. */
static void enter_lane(const int8_t *in, uint8_t *out, int count, uint8_t flip) {
  uint8_t lane[4] = {0};
  copy_flipped(lane, in, count < 4 ? count : 4, flip);
  memcpy(out, lane, 4);
}

void ks_to_planes(const int8_t *nhwc, uint8_t *planes, size_t pixels, int channels, int first, int last, uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  const int whole = last <= channels / 4 ? last : channels / 4; /* groups that are not parts */
  for (size_t p0 = 0; p0 < pixels; p0 += KS_PIXELS) { /* a few pixels at a time, so that their lines stay cached */
    const size_t p1 = p0 + KS_PIXELS < pixels ? p0 + KS_PIXELS : pixels;
    for (int g = first; g < last;) {
      const int square = g + SQUARE <= whole ? SQUARE : 1;
      size_t p = p0;
      for (; square == SQUARE && g < whole && p + SQUARE <= p1; p += SQUARE)
        transpose((const uint8_t *)nhwc + p * channels + 4 * (size_t)g, (size_t)channels, planes + g * plane + 4 * p,
                  plane, flip * 0x01010101u);
      for (; p < p1; p++)
        for (int i = g; i < g + square; i++)
          enter_lane(nhwc + p * channels + 4 * (size_t)i, planes + i * plane + 4 * p, channels - 4 * i, flip);
      g += square;
    }
  }
}

void ks_from_planes(const uint8_t *planes, int8_t *nhwc, size_t pixels, int channels, size_t first, size_t last,
                    uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  const int groups = (channels + KS_GROUP - 1) / KS_GROUP, whole = channels / KS_GROUP;
  for (size_t p0 = first; p0 < last; p0 += KS_PIXELS) {
    const size_t p1 = p0 + KS_PIXELS < last ? p0 + KS_PIXELS : last;
    for (int g = 0; g < groups;) {
      const int square = g + SQUARE <= whole ? SQUARE : 1;
      size_t p = p0;
      for (; square == SQUARE && g < whole && p + SQUARE <= p1; p += SQUARE)
        transpose(planes + g * plane + 4 * p, plane, (uint8_t *)nhwc + p * channels + 4 * (size_t)g, (size_t)channels,
                  flip * 0x01010101u);
      for (; p < p1; p++)
        for (int i = g; i < g + square; i++)
          copy_flipped(nhwc + p * channels + 4 * (size_t)i, planes + i * plane + 4 * p,
                       channels - 4 * i < 4 ? channels - 4 * i : 4, flip);
      g += square;
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

/* Columns `from` .. `to` of a phase's row are in the image; `in` is the first of them. */
static void pad_row(const ks_frame *f, const uint8_t *in, uint8_t *out, int from, int to) {
  fill(out, from, f->fill);
  if (f->stride_x == 1)
    copy(out + 4 * from, in, to - from);
  else
    for (int i = from; i < to; i++, in += 4 * f->stride_x) memcpy(out + 4 * i, in, 4);
  fill(out + 4 * to, f->pitch - to, f->fill);
}

static int within(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

void ks_pad_plane(const ks_frame *f, const uint8_t *in, uint8_t *out, size_t plane) {
  const int stride = f->stride_x;
  for (int y = 0; y < f->phases_y; y++) {
    for (int x = 0; x < f->phases_x; x++, out += plane) {
      const int from = within((f->left - x + stride - 1) / stride, 0, f->pitch);
      const int to = within((f->left + f->width - x + stride - 1) / stride, from, f->pitch);
      const ptrdiff_t first = 4 * ((ptrdiff_t)from * stride + x - f->left);
      for (int r = 0; r < f->rows; r++) {
        const int line = r * f->stride_y + y - f->top;
        uint8_t *row = out + 4 * (size_t)r * f->pitch;
        if (line < 0 || line >= f->height)
          fill(row, f->pitch, f->fill);
        else
          pad_row(f, in + 4 * (ptrdiff_t)line * f->width + first, row, from, to);
      }
    }
  }
}
