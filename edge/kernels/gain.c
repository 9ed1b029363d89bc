#include "gain.h"

/* Measured layer by layer, alone, with the bytes rearranged before and after it, on a processor with AVX512-VNNI:
 * `benchmarks/native_kernels.py --layers`. Each is where the gain was 1.1 or more for all shapes of the class. */
enum { NEVER = 2 };

/* How much more is asked for where XNNPACK has several threads: it divides a layer among them better than is done here
 * (`--layers --threads 2`). */
static const double SEVERAL = 0.1;

static double planes(int outputs, int products, int taps, int pixels) {
  if ((double)outputs * products * pixels < 50e3) return NEVER; /* a call costs more than the layer */
  if (taps > 1) return products <= 1200 ? 0.58 : 0.68;          /* padding, and inputs beyond the first cache */
  return products <= 256 ? 0.5 : products <= 576 ? 0.55 : 0.65;
}

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
  double zeros;
#if defined(KS_NEONDOT)
  if (family->fast) return sdot(form, outputs, products, taps, pixels) + (several ? SEVERAL : 0);
#endif
  if (form == KS_AS_PLANES)
    zeros = planes(outputs, products, taps, pixels);
  else if (form == KS_AS_16X4)
    zeros = weights < KS_LEAST_WEIGHTS ? NEVER : weights < 200e3 ? 0.5 : 0.4;
  else
    zeros = weights < 500e3 ? NEVER : 0.7;
  if (several) zeros += form == KS_AS_1X16 && weights < 4e6 ? 0.18 : SEVERAL;
  /* 8 pixels a vector need twice the instructions; not measured where XNNPACK has no VNNI either. */
  return family->pixels < 16 ? zeros + 0.1 : zeros;
}
