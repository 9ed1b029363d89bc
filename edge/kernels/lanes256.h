/* What the 256-bit families share: 8 pixels a vector. They define TARGET and `acc` with its operations. */
#include <immintrin.h>
#include <string.h>

#include "sparse.h"

#define IN TARGET static inline __attribute__((always_inline))
#define LANES 8
#define FLIP 0x80
#ifndef KS_DEPTHWISE_ROWS
#define KS_DEPTHWISE_ROWS 2
#endif

typedef __m256i ints;
typedef __m256 scales;

IN int32_t word(const void *from) {
  int32_t value;
  memcpy(&value, from, 4);
  return value;
}

IN ints ints_of(int32_t value) { return _mm256_set1_epi32(value); }
IN ints ints_load(const int32_t *from) { return _mm256_loadu_si256((const __m256i *)from); }
IN void ints_store(void *to, ints value) { _mm256_storeu_si256(to, value); }
IN ints ints_plus(ints a, ints b) { return _mm256_add_epi32(a, b); }
IN ints ints_mul(ints a, ints b) { return _mm256_mullo_epi32(a, b); }
IN ints ints_shift(ints a, int by) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(by)); }
IN ints ints_limit(ints a, ints low, ints high) { return _mm256_min_epi32(_mm256_max_epi32(a, low), high); }
IN ints bytes_load(const uint8_t *from) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from)); }
IN void store_bytes(int8_t *to, ints value, int count) {
  const __m256i low =
      _mm256_shuffle_epi8(value, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, /**/
                                                  0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const __m128i bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  const int64_t all = _mm_cvtsi128_si64(bytes);
  if (count == 8)
    memcpy(to, &all, 8);
  else
    memcpy(to, &all, (size_t)count);
}
IN void ints_some(uint8_t *to, ints value, int pixels) {
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(pixels), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  _mm256_maskstore_epi32((int *)to, mask, value);
}
IN ints in_order(ints bytes) { return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); }
IN ints unshuffle(ints bytes) { return _mm256_permute4x64_epi64(bytes, 0xD8); }

IN scales scales_of(float value) { return _mm256_set1_ps(value); }
IN scales scales_load(const float *from) { return _mm256_loadu_ps(from); }
IN scales scales_quad(const float *four) { return _mm256_broadcast_ps((const __m128 *)four); }
IN ints scaled(ints sum, scales scale) { return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale)); }
IN ints pair(ints a, ints b) { return _mm256_packs_epi32(a, b); }

typedef struct {
  __m256i zero, low, high; /* flipped */
} limits;
IN limits limits_of(int zero_point, int minimum, int maximum) {
  return (limits){_mm256_set1_epi16((short)(zero_point + FLIP)), _mm256_set1_epi8((char)(minimum ^ FLIP)),
                  _mm256_set1_epi8((char)(maximum ^ FLIP))};
}
IN ints stored(ints a, ints b, limits limit) {
  const __m256i bytes = _mm256_packus_epi16(_mm256_adds_epi16(a, limit.zero), _mm256_adds_epi16(b, limit.zero));
  return _mm256_min_epu8(_mm256_max_epu8(bytes, limit.low), limit.high);
}
IN ints by_channel(ints bytes) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm256_shuffle_epi8(bytes, order);
}
IN ints quads_of(const uint8_t *pixels) { return by_channel(_mm256_loadu_si256((const __m256i *)pixels)); }
