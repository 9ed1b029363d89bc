/* Between NCHW and planes: four channels, each a row of bytes, are shuffled into lanes of four. */
#include <string.h>

#include "planes.h"

/* Sixteen pixels of four channels, to lanes and back. */
#if defined(__SSE2__)
#include <emmintrin.h>

/* Interleaves the first half of 64 bytes with the second: twice makes lanes of rows, and four times more (after six
 * all bytes are back) rows of lanes. */
static void shuffle(__m128i *v, int times) {
  for (; times > 0; times--) {
    const __m128i a = _mm_unpacklo_epi8(v[0], v[2]), b = _mm_unpackhi_epi8(v[0], v[2]);
    const __m128i c = _mm_unpacklo_epi8(v[1], v[3]), d = _mm_unpackhi_epi8(v[1], v[3]);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
  }
}

static void to_lanes(const uint8_t *rows, size_t row, uint8_t *lanes, uint8_t flip) {
  const __m128i flips = _mm_set1_epi8((char)flip);
  __m128i v[4];
  for (size_t i = 0; i < 4; i++) v[i] = _mm_xor_si128(flips, _mm_loadu_si128((const __m128i *)(rows + i * row)));
  shuffle(v, 2);
  for (size_t i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(lanes + 16 * i), v[i]);
}

static void to_rows(const uint8_t *lanes, uint8_t *rows, size_t row, uint8_t flip) {
  const __m128i flips = _mm_set1_epi8((char)flip);
  __m128i v[4];
  for (size_t i = 0; i < 4; i++) v[i] = _mm_xor_si128(flips, _mm_loadu_si128((const __m128i *)(lanes + 16 * i)));
  shuffle(v, 4);
  for (size_t i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(rows + i * row), v[i]);
}
#elif defined(__aarch64__)
#include <arm_neon.h>

static void to_lanes(const uint8_t *rows, size_t row, uint8_t *lanes, uint8_t flip) {
  uint8x16x4_t v;
  for (size_t i = 0; i < 4; i++) v.val[i] = veorq_u8(vdupq_n_u8(flip), vld1q_u8(rows + i * row));
  vst4q_u8(lanes, v);
}

static void to_rows(const uint8_t *lanes, uint8_t *rows, size_t row, uint8_t flip) {
  const uint8x16x4_t v = vld4q_u8(lanes);
  for (size_t i = 0; i < 4; i++) vst1q_u8(rows + i * row, veorq_u8(vdupq_n_u8(flip), v.val[i]));
}
#else
static void to_lanes(const uint8_t *rows, size_t row, uint8_t *lanes, uint8_t flip) {
  for (size_t i = 0; i < 64; i++) lanes[i] = rows[i % 4 * row + i / 4] ^ flip;
}

static void to_rows(const uint8_t *lanes, uint8_t *rows, size_t row, uint8_t flip) {
  for (size_t i = 0; i < 64; i++) rows[i % 4 * row + i / 4] = lanes[i] ^ flip;
}
#endif

/* Channels of a group that are there. */
static int present(int channels, int group) { return channels - 4 * group < 4 ? channels - 4 * group : 4; }

void ks_to_planes_nchw(const int8_t *nchw, uint8_t *planes, size_t pixels, int channels, int first, int last,
                       uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  for (int g = first; g < last; g++) {
    const uint8_t *rows = (const uint8_t *)nchw + 4 * (size_t)g * pixels;
    uint8_t *out = planes + g * plane;
    const int count = present(channels, g);
    size_t p = 0;
    for (; count == 4 && p + 16 <= pixels; p += 16) to_lanes(rows + p, pixels, out + 4 * p, flip);
    for (; p < pixels; p++)
      for (int c = 0; c < 4; c++) out[4 * p + (size_t)c] = c < count ? rows[(size_t)c * pixels + p] ^ flip : 0;
  }
}

void ks_from_planes_nchw(const uint8_t *planes, int8_t *nchw, size_t pixels, int channels, size_t first, size_t last,
                         uint8_t flip) {
  const size_t plane = ks_plane_bytes(pixels);
  for (int g = 0; g * KS_GROUP < channels; g++) {
    uint8_t *rows = (uint8_t *)nchw + 4 * (size_t)g * pixels;
    const uint8_t *in = planes + g * plane;
    const int count = present(channels, g);
    size_t p = first;
    for (; count == 4 && p + 16 <= last; p += 16) to_rows(in + 4 * p, rows + p, pixels, flip);
    for (; p < last; p++)
      for (int c = 0; c < count; c++) rows[(size_t)c * pixels + p] = in[4 * p + (size_t)c] ^ flip;
  }
}
