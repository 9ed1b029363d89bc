/* vpdpbusd over 256 bits; DPBUSD is the instruction in one of its two encodings. gcc copies sums around the intrinsics.
 */
#include "lanes256.h"

typedef __m256i acc, weight, taps_weight, taps_input, input;
typedef __m128i row;

IN __m256i dpbusd(__m256i sum, __m256i x, __m256i w) {
  __asm__(DPBUSD " %2, %1, %0" : "+" REGISTER(sum) : REGISTER(x), REGISTER(w));
  return sum;
}

IN acc acc_of(int32_t value) { return ints_of(value); }
IN acc acc_add(acc a, acc b) { return _mm256_add_epi32(a, b); }
IN ints acc_sum(acc sum) { return sum; }
IN acc acc_quad(const int32_t *four) { return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)four)); }
IN ints acc_sum_quads(acc sum) { return sum; }

IN weight weight_of(const ks_block *block) { return _mm256_set1_epi32(word(block->weights)); }
IN acc dot(acc sum, const uint8_t *pixels, weight w) {
  return dpbusd(sum, _mm256_loadu_si256((const __m256i *)pixels), w);
}

IN taps_weight taps_weight_of(const int8_t *from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
}
IN taps_input taps_of(const uint8_t *pixels) { return quads_of(pixels); }
IN acc dot_taps(acc sum, taps_input x, taps_weight w) { return dpbusd(sum, x, w); }

IN input input_of(const uint8_t *from) { return _mm256_set1_epi32(word(from)); }
IN acc dot_input(acc sum, input x, const int8_t *weights) {
  return dpbusd(sum, x, _mm256_loadu_si256((const __m256i *)weights));
}

IN row row_zero(void) { return _mm_setzero_si128(); }
IN row row_add(row a, row b) { return _mm_add_epi32(a, b); }
IN row row_dot(row sum, const uint8_t *x, const int8_t *w) {
  __asm__(DPBUSD " %2, %1, %0"
          : "+" REGISTER(sum)
          : REGISTER(_mm_loadu_si128((const __m128i *)x)), "m"(*(const __m128i_u *)w));
  return sum;
}
IN void row_sums(int32_t *to, row a, row b, row c, row d) {
  _mm_storeu_si128((__m128i *)to, _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d)));
}

#include "vectors.h"
