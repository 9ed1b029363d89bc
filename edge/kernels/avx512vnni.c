/* AVX-512 with VNNI: 16 pixels a vector. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "sparse.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,bmi2")))
#define IN TARGET static inline __attribute__((always_inline))
#define FAMILY ks_avx512vnni
#define NAME "avx512-vnni"
#define LANES 16
#define FLIP 0x80
#define KS_DEPTHWISE_ROWS 4
#define AVAILABLE available

static int available(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

typedef __m512i acc, ints, weight, taps_weight, taps_input, input;
typedef __m512 scales;
typedef __m128i row;

IN ints ints_of(int32_t value) { return _mm512_set1_epi32(value); }
IN ints ints_load(const int32_t *from) { return _mm512_loadu_si512(from); }
IN void ints_store(void *to, ints value) { _mm512_storeu_si512(to, value); }
IN ints ints_plus(ints a, ints b) { return _mm512_add_epi32(a, b); }
IN ints ints_mul(ints a, ints b) { return _mm512_mullo_epi32(a, b); }
IN ints ints_shift(ints a, int by) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(by)); }
IN ints ints_limit(ints a, ints low, ints high) { return _mm512_min_epi32(_mm512_max_epi32(a, low), high); }
IN ints bytes_load(const uint8_t *from) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from)); }
/* A masked store is not forwarded to loads: the next layer would wait until it is in the cache. */
IN void store_bytes(int8_t *to, ints value, int count) {
  const __m128i bytes = _mm512_cvtepi32_epi8(value);
  if (count == LANES)
    _mm_storeu_si128((__m128i *)to, bytes);
  else
    _mm_mask_storeu_epi8(to, (__mmask16)((1u << count) - 1), bytes);
}
IN void ints_some(uint8_t *to, ints value, int pixels) {
  _mm512_mask_storeu_epi32(to, (__mmask16)((1u << pixels) - 1), value);
}

/* The instruction itself: gcc copies sums around its intrinsic. */
IN __m512i dpbusd(__m512i sum, __m512i x, __m512i w) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
  return sum;
}

IN acc acc_of(int32_t value) { return ints_of(value); }
IN acc acc_add(acc a, acc b) { return _mm512_add_epi32(a, b); }
IN ints acc_sum(acc sum) { return sum; }
IN acc acc_quad(const int32_t *four) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)four)); }
IN ints acc_sum_quads(acc sum) { return sum; }

IN int32_t word(const void *from) {
  int32_t value;
  memcpy(&value, from, 4);
  return value;
}

IN weight weight_of(const ks_block *block) { return _mm512_set1_epi32(word(block->weights)); }
IN acc dot(acc sum, const uint8_t *pixels, weight w) { return dpbusd(sum, _mm512_loadu_si512(pixels), w); }

IN taps_weight taps_weight_of(const int8_t *from) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)from));
}
IN ints by_channel(ints bytes) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(bytes, order);
}
IN taps_input taps_of(const uint8_t *pixels) { return by_channel(_mm512_loadu_si512(pixels)); }
IN acc dot_taps(acc sum, taps_input x, taps_weight w) { return dpbusd(sum, x, w); }
IN ints in_order(ints bytes) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}
IN ints unshuffle(ints bytes) { return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes); }

IN input input_of(const uint8_t *from) { return _mm512_set1_epi32(word(from)); }
IN acc dot_input(acc sum, input x, const int8_t *weights) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "m"(*(const __m512i_u *)weights));
  return sum;
}

IN row row_zero(void) { return _mm_setzero_si128(); }
IN row row_add(row a, row b) { return _mm_add_epi32(a, b); }
IN row row_dot(row sum, const uint8_t *x, const int8_t *w) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm_loadu_si128((const __m128i *)x)), "m"(*(const __m128i_u *)w));
  return sum;
}
IN void row_sums(int32_t *to, row a, row b, row c, row d) {
  _mm_storeu_si128((__m128i *)to, _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d)));
}

IN scales scales_of(float value) { return _mm512_set1_ps(value); }
IN scales scales_load(const float *from) { return _mm512_loadu_ps(from); }
IN scales scales_quad(const float *four) { return _mm512_broadcast_f32x4(_mm_loadu_ps(four)); }
IN ints scaled(ints sum, scales scale) { return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale)); }
IN ints pair(ints a, ints b) { return _mm512_packs_epi32(a, b); }

typedef struct {
  __m512i zero, low, high; /* flipped */
} limits;
IN limits limits_of(int zero_point, int minimum, int maximum) {
  return (limits){_mm512_set1_epi16((short)(zero_point + FLIP)), _mm512_set1_epi8((char)(minimum ^ FLIP)),
                  _mm512_set1_epi8((char)(maximum ^ FLIP))};
}
IN ints stored(ints a, ints b, limits limit) {
  const __m512i bytes = _mm512_packus_epi16(_mm512_adds_epi16(a, limit.zero), _mm512_adds_epi16(b, limit.zero));
  return _mm512_min_epu8(_mm512_max_epu8(bytes, limit.low), limit.high);
}

static void depthwise_by_width(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out,
                               int width, int height);
#define DEPTHWISE depthwise_by_width
#include "vectors.h"

/* Rows of up to 8 pixels would leave half of a vector empty; the 256-bit kernels take the same weights and bytes. */
extern const ks_family ks_avx512vl;
static void depthwise_by_width(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out,
                               int width, int height) {
  (width > 8 ? depthwise : ks_avx512vl.depthwise)(conv, group, in, pitch, out, width, height);
}
#endif
