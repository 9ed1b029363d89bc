/* The kernels of AVX-VNNI in AVX-512's encoding: 8 pixels a vector, for processors that slow down at 512 bits. */
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,avx512f,avx512vl,avx512bw,avx512vnni,bmi2")))
#define FAMILY ks_avx512vl
#define NAME "avx512vl-vnni"
#define KS_DEPTHWISE_ROWS 4 /* 32 registers */
#define AVAILABLE available
#define DPBUSD "vpdpbusd"
#define REGISTER "v"

static int available(void) {
  return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vnni");
}

#include "vnni256.h"
#endif
