#include "gain.h"

/* Measured layer by layer, alone, with the bytes rearranged before and after it, on a processor with AVX512-VNNI:
 * `benchmarks/native_kernels.py --layers`. Each is where the gain was 1.1 or more for all shapes of the class. */
enum { NEVER = 2 };

static double planes(int outputs, int products, int taps, int pixels) {
  if ((double)outputs * products * pixels < 50e3) return NEVER; /* a call costs more than the layer */
  if (taps > 1) return products <= 1200 ? 0.58 : 0.68;          /* padding, and inputs beyond the first cache */
  return products <= 256 ? 0.5 : products <= 576 ? 0.55 : 0.65;
}

double ks_break_even(const ks_family *family, ks_form form, int outputs, int products, int taps, int pixels) {
  const double weights = (double)outputs * products;
  double zeros;
  if (form == KS_AS_PLANES)
    zeros = planes(outputs, products, taps, pixels);
  else if (form == KS_AS_16X4)
    zeros = weights < 14e3 ? NEVER : weights < 200e3 ? 0.7 : 0.55;
  else
    zeros = weights < 500e3 ? NEVER : 0.75;
  /* 8 pixels a vector need twice the instructions; not measured where XNNPACK has no VNNI either. */
  return family->pixels < 16 ? zeros + 0.1 : zeros;
}
