#include "gain.h"

#include <string.h>

enum { NEVER = 2 };

/* From which fraction of zero blocks on a class of layers gains 1.1 times or more: measured layer by layer, alone, with
 * the bytes rearranged before and after it, by `benchmarks/native_kernels.py --layers --write`. The size is that of
 * the sums, of a fully connected layer that of its weights; the first row that fits holds, and without one none. */
typedef struct {
  ks_form form;
  int several_taps;
  double largest, zeros;
} row;

static const row AVX512_VNNI[] = {
#include "break_evens/avx512-vnni.h"
};
static const row AVX2[] = {
#include "break_evens/avx2.h"
};

static double found(const row *rows, size_t count, ks_form form, int several_taps, double size) {
  for (size_t i = 0; i < count; i++)
    if (rows[i].form == form && rows[i].several_taps == several_taps && size <= rows[i].largest) return rows[i].zeros;
  return NEVER;
}

/* How much more is asked for where XNNPACK has several threads: it divides a layer among them better than is done here
 * (`--layers --threads 2`). */
static const double SEVERAL = 0.1;

#if defined(KS_NEONDOT)
#include <sys/auxv.h>

/* From instructions, not seconds: `benchmarks/native_arm64.py --layers`. Each is where XNNPACK takes 1.1 times as many
 * or more for most shapes of the class. With i8mm XNNPACK takes fewer, and more zeros are needed. */
static double sdot(ks_form form, int outputs, int products, int taps, int pixels) {
  enum { I8MM = 1 << 13 }; /* HWCAP2_I8MM, which old headers lack */
  const int i8mm = (getauxval(AT_HWCAP2) & I8MM) != 0;
  const double weights = (double)outputs * products;
  if (form == KS_AS_16X4) return weights < 40e3 ? NEVER : (weights < 200e3 ? 0.75 : 0.55) + (i8mm ? 0.05 : 0);
  if (form == KS_AS_1X16) return weights < 1e6 ? NEVER : i8mm ? 0.85 : 0.8;
  if (weights * pixels < 100e3) return NEVER;
  return taps == 1 && products <= 128 ? (i8mm ? 0.78 : 0.68) : i8mm ? 0.72 : 0.6;
}
#endif

double ks_break_even(const ks_family *family, ks_form form, int outputs, int products, int taps, int pixels,
                     int several) {
  const double weights = (double)outputs * products;
#if defined(KS_NEONDOT)
  if (family->fast) return sdot(form, outputs, products, taps, pixels) + (several ? SEVERAL : 0);
#endif
  const int own = strcmp(family->name, "avx2") == 0;
  const row *rows = own ? AVX2 : AVX512_VNNI;
  const size_t count = own ? sizeof(AVX2) / sizeof(row) : sizeof(AVX512_VNNI) / sizeof(row);
  /* A call costs more than a small layer. */
  if (form == KS_AS_PLANES ? weights * pixels < 50e3 : weights < (form == KS_AS_16X4 ? KS_LEAST_WEIGHTS : 500e3))
    return NEVER;
  double zeros = found(rows, count, form, form == KS_AS_PLANES && taps > 1, form == KS_AS_PLANES ? products : weights);
  if (several) zeros += form == KS_AS_1X16 && weights < 4e6 ? 0.18 : SEVERAL;
  /* Half vectors with VNNI need twice the instructions, and were not measured. */
  return !own && family->pixels < 16 ? zeros + 0.1 : zeros;
}
