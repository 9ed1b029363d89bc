/* ARM64 with the dot product of ARMv8.2 (sdot): 4 pixels a vector, and bytes stay signed.
 *
 * smmla (i8mm) would not pay. It multiplies 8 inputs of 2 pixels with the weights of 2 outputs: four blocks, and only
 * where all four are empty can it be left out. With a fraction z of empty blocks at random places, 4 pixels take 2 (1 -
 * z^4) of them against 4 (1 - z) sdot: 1.09, 1.37, 1.48 and 1.72 times as many at 60, 75, 80 and 90 %. */
#include "family.h"

#if defined(KS_NEONDOT)
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#if defined(__clang__)
#define TARGET __attribute__((target("dotprod")))
#else
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define IN TARGET static inline __attribute__((always_inline))
#define FAMILY ks_neondot
#define NAME "neon-dot"
#define LANES 4
#define TILE 14
#define FLIP 0
#define KS_DEPTHWISE_ROWS 4
#define AVAILABLE available
#define UNROLLED _Pragma("GCC unroll 16")

static int available(void) {
  enum { DOT_PRODUCT = 1 << 20 }; /* HWCAP_ASIMDDP, which old headers lack */
  return (getauxval(AT_HWCAP) & DOT_PRODUCT) != 0;
}

typedef int32x4_t acc, ints, row;
typedef int8x16_t taps_weight, taps_input, input;
typedef int8x8_t weight; /* a whole ks_block; its second lane are the weights */
typedef float32x4_t scales;

IN int8x16_t bytes_at(const void *from) { return vreinterpretq_s8_u8(vld1q_u8(from)); }
IN int8x16_t word_of(const void *from) {
  int32_t value;
  memcpy(&value, from, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(value));
}

IN ints ints_of(int32_t value) { return vdupq_n_s32(value); }
IN ints ints_load(const int32_t *from) { return vld1q_s32(from); }
IN void ints_store(void *to, ints value) { vst1q_u8(to, vreinterpretq_u8_s32(value)); }
IN ints ints_plus(ints a, ints b) { return vaddq_s32(a, b); }
IN ints ints_mul(ints a, ints b) { return vmulq_s32(a, b); }
IN ints ints_shift(ints a, int by) { return vshlq_s32(a, vdupq_n_s32(-by)); }
IN ints ints_limit(ints a, ints low, ints high) { return vminq_s32(vmaxq_s32(a, low), high); }
IN ints bytes_load(const uint8_t *from) { return vmovl_s16(vget_low_s16(vmovl_s8(vget_low_s8(word_of(from))))); }
IN void store_bytes(int8_t *to, ints value, int count) {
  const int16x4_t low = vmovn_s32(value);
  const int32_t all = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(low, low))), 0);
  if (count == 4)
    memcpy(to, &all, 4);
  else
    memcpy(to, &all, (size_t)count);
}
IN void ints_some(uint8_t *to, ints value, int pixels) {
  int32_t all[4];
  vst1q_s32(all, value);
  memcpy(to, all, 4 * (size_t)pixels);
}
IN ints in_order(ints bytes) { return bytes; }
IN ints unshuffle(ints bytes) { return bytes; }
IN ints by_channel(ints bytes) {
  const uint8x16_t order = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(bytes), order));
}

IN acc acc_of(int32_t value) { return ints_of(value); }
IN acc acc_add(acc a, acc b) { return vaddq_s32(a, b); }
IN ints acc_sum(acc sum) { return sum; }
IN acc acc_quad(const int32_t *four) { return vld1q_s32(four); }
IN ints acc_sum_quads(acc sum) { return sum; }

/* Sums of up to TILE vectors; four are loaded by one instruction. */
#define DOTS
IN weight weight_of(const ks_block *block) { return vld1_s8((const int8_t *)block); }
IN acc dot(acc sum, uint8x16_t x, weight w) { return vdotq_lane_s32(sum, vreinterpretq_s8_u8(x), w, 1); }
IN void dots(acc *sum, const uint8_t *pixels, weight w, int vectors) {
  int v = 0;
  for (; v + 4 <= vectors; v += 4) {
    const uint8x16x4_t x = vld1q_u8_x4(pixels + 16 * v);
    for (int i = 0; i < 4; i++) sum[v + i] = dot(sum[v + i], x.val[i], w);
  }
  if (v + 2 <= vectors) {
    const uint8x16x2_t x = vld1q_u8_x2(pixels + 16 * v);
    for (int i = 0; i < 2; i++) sum[v + i] = dot(sum[v + i], x.val[i], w);
    v += 2;
  }
  if (v < vectors) sum[v] = dot(sum[v], vld1q_u8(pixels + 16 * v), w);
}

IN taps_weight taps_weight_of(const int8_t *from) { return vld1q_s8(from); }
IN taps_input taps_of(const uint8_t *pixels) {
  return vreinterpretq_s8_s32(by_channel(vreinterpretq_s32_s8(bytes_at(pixels))));
}
IN acc dot_taps(acc sum, taps_input x, taps_weight w) { return vdotq_s32(sum, x, w); }

IN input input_of(const uint8_t *from) { return word_of(from); }
IN acc dot_input(acc sum, input x, const int8_t *weights) { return vdotq_s32(sum, x, vld1q_s8(weights)); }

IN row row_zero(void) { return vdupq_n_s32(0); }
IN row row_add(row a, row b) { return vaddq_s32(a, b); }
IN row row_dot(row sum, const uint8_t *x, const int8_t *w) { return vdotq_s32(sum, bytes_at(x), vld1q_s8(w)); }
IN void row_sums(int32_t *to, row a, row b, row c, row d) {
  vst1q_s32(to, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}

IN scales scales_of(float value) { return vdupq_n_f32(value); }
IN scales scales_load(const float *from) { return vld1q_f32(from); }
IN scales scales_quad(const float *four) { return vld1q_f32(four); }
IN ints scaled(ints sum, scales scale) { return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), scale)); }
IN ints pair(ints a, ints b) { return vreinterpretq_s32_s16(vqmovn_high_s32(vqmovn_s32(a), b)); }

typedef struct {
  int16x8_t zero;
  int8x16_t low, high;
} limits;
IN limits limits_of(int zero_point, int minimum, int maximum) {
  return (limits){vdupq_n_s16((int16_t)zero_point), vdupq_n_s8((int8_t)minimum), vdupq_n_s8((int8_t)maximum)};
}
IN ints stored(ints a, ints b, limits limit) {
  const int16x8_t first = vqaddq_s16(vreinterpretq_s16_s32(a), limit.zero);
  const int16x8_t second = vqaddq_s16(vreinterpretq_s16_s32(b), limit.zero);
  const int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(first), second);
  return vreinterpretq_s32_s8(vminq_s8(vmaxq_s8(bytes, limit.low), limit.high));
}

#include "vectors.h"
#endif
