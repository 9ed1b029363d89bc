/* AVX2 without VNNI. vpmaddubsw would saturate, so bytes are widened and vpmaddwd adds them in pairs: a vector's sums
 * are two registers of pairs until they are read. */
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,bmi2")))
#define FAMILY ks_avx2
#define NAME "avx2"
#define AVAILABLE available

static int available(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }

#include "lanes256.h"

typedef struct {
  __m256i low, high; /* pairs of the first and of the last four lanes */
} acc, taps_input;
typedef __m256i weight, taps_weight, input, row;

IN __m256i pairs(__m256i sum, __m256i x, __m256i w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
IN __m256i wide_inputs(const uint8_t *from) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)from)); }
IN __m256i wide_weights(const int8_t *from) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)from)); }

/* The value is the first of each pair; the second is zero. */
IN acc acc_of(int32_t value) {
  const __m256i first = _mm256_set1_epi64x((int64_t)(uint32_t)value);
  return (acc){first, first};
}
IN acc acc_add(acc a, acc b) { return (acc){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
IN ints acc_sum(acc sum) { return _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum.low, sum.high), 0xD8); }
IN acc acc_quad(const int32_t *four) {
  const __m256i first = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)four));
  return (acc){first, first};
}
IN ints acc_sum_quads(acc sum) { return acc_sum(sum); }

IN weight weight_of(const ks_block *block) {
  return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(word(block->weights))));
}
IN acc dot(acc sum, const uint8_t *pixels, weight w) {
  return (acc){pairs(sum.low, wide_inputs(pixels), w), pairs(sum.high, wide_inputs(pixels + 16), w)};
}

IN taps_weight taps_weight_of(const int8_t *from) { return wide_weights(from); }
IN taps_input taps_of(const uint8_t *pixels) {
  const __m256i x = quads_of(pixels);
  return (taps_input){_mm256_cvtepu8_epi16(_mm256_castsi256_si128(x)),
                      _mm256_cvtepu8_epi16(_mm256_extracti128_si256(x, 1))};
}
IN acc dot_taps(acc sum, taps_input x, taps_weight w) {
  return (acc){pairs(sum.low, x.low, w), pairs(sum.high, x.high, w)};
}

IN input input_of(const uint8_t *from) {
  return _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(word(from))));
}
IN acc dot_input(acc sum, input x, const int8_t *weights) {
  return (acc){pairs(sum.low, x, wide_weights(weights)), pairs(sum.high, x, wide_weights(weights + 16))};
}

IN row row_zero(void) { return _mm256_setzero_si256(); }
IN row row_add(row a, row b) { return _mm256_add_epi32(a, b); }
IN row row_dot(row sum, const uint8_t *x, const int8_t *w) { return pairs(sum, wide_inputs(x), wide_weights(w)); }
IN void row_sums(int32_t *to, row a, row b, row c, row d) {
  const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  const __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storeu_si128((__m128i *)to, sum);
}

#include "vectors.h"
#endif
