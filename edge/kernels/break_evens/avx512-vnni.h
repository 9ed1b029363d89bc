/* AMD EPYC with AVX512-VNNI (Zen 4), 2 cores, 2026-11-21, LiteRT 2.3.0
 * python benchmarks/native_kernels.py --layers
 * Written by benchmarks/break_evens.py: form, several taps, largest size, zeros. */
{KS_AS_PLANES, 0, 256, 0.50},
{KS_AS_PLANES, 0, 576, 0.55},
{KS_AS_PLANES, 0, 1e30, 0.65},
{KS_AS_PLANES, 1, 1200, 0.58},
{KS_AS_PLANES, 1, 1e30, 0.68},
{KS_AS_16X4, 0, 200000, 0.50},
{KS_AS_16X4, 0, 1e30, 0.40},
{KS_AS_1X16, 0, 1e30, 0.70},
