/* The kernels of one instruction set, and the choice among those that this processor has. */
#ifndef KS_FAMILY_H
#define KS_FAMILY_H

#include "sparse.h"

/* sdot in functions that ask for it: by every gcc, and by clang from version 16 on. */
#if defined(__aarch64__) && defined(__linux__) && \
    (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_DOTPROD))
#define KS_NEONDOT
#endif

/* AVX-VNNI: by gcc from version 11 on, by clang from 12 on. Without it the other families are built all the same. */
#if defined(__x86_64__) && !defined(KS_NO_AVXVNNI) && \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define KS_AVXVNNI
#endif

typedef struct ks_family {
  const char *name;
  int pixels;   /* of one vector */
  int tile;     /* vectors of pixels, at most, that a call of `conv` is given */
  uint8_t flip; /* XORed into every stored byte */
  int fast;     /* whether it can be faster than a dense kernel; plain C is not */
  int (*available)(void);

  /* Output channels 4 * first .. 4 * last of up to `tile` vectors of pixels. `in` and `out` point at the first of the
   * pixels, in their first plane; output planes are `plane` bytes apart. Writes whole vectors. */
  void (*conv)(const ks_conv *conv, const uint8_t *in, uint8_t *out, size_t plane, int pixels, int first, int last);

  /* One group of channels. `in` is its padded image, with rows `pitch` bytes apart and 512 readable bytes behind the
   * last; `out` is its plane, `height` rows of `width` pixels. May write the plane's padding. */
  void (*depthwise)(const ks_depthwise *conv, int group, const uint8_t *in, size_t pitch, uint8_t *out, int width,
                    int height);

  /* Outputs 16 * first .. 16 * last of one vector. `in` holds flipped bytes, `out` gets plain ones; `outputs` is how
   * many there are in all. */
  void (*dense_16x4)(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs);
  void (*dense_1x16)(const ks_dense *dense, const uint8_t *in, int8_t *out, int first, int last, int outputs);

  /* Stored bytes of whole planes: a multiple of 64. */
  void (*add)(const ks_add *add, const uint8_t *a, const uint8_t *b, uint8_t *out, size_t bytes);
} ks_family;

/* Every family of this build, best first, ending in NULL; not all of them may be available. */
extern const ks_family *const ks_families[];

/* The family of that name, the best fast one for "auto", or NULL if there is none that this processor can run. */
const ks_family *ks_family_for(const char *name);

#endif
