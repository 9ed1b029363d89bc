/* AVX-VNNI: vpdpbusd in processors without AVX-512. */
#if defined(__x86_64__)
#include <cpuid.h>

#define TARGET __attribute__((target("avx2,avxvnni,bmi2")))
#define FAMILY ks_avxvnni
#define NAME "avx-vnni"
#define AVAILABLE available
#define DPBUSD "%{vex%} vpdpbusd"
#define REGISTER "x"

static int available(void) {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a >> 4 & 1);
}

#include "vnni256.h"
#endif
