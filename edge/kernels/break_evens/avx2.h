/* AMD EPYC 7003 (Zen 3), AVX2 without VNNI, 2 cores, 2026-11-29, LiteRT 2.3.0
 * python benchmarks/native_kernels.py --layers --write
 * Written by benchmarks/break_evens.py: form, several taps, largest size, zeros. */
{KS_AS_PLANES, 0, 256, 0.48},
{KS_AS_PLANES, 0, 576, 0.41},
{KS_AS_PLANES, 0, 1e30, 0.40},
{KS_AS_PLANES, 1, 1200, 0.40},
{KS_AS_PLANES, 1, 1e30, 0.53},
{KS_AS_16X4, 0, 200000, 0.40},
{KS_AS_16X4, 0, 1e30, 0.40},
{KS_AS_1X16, 0, 1e30, 0.64},
