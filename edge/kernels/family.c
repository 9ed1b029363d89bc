#include "family.h"

#include <string.h>

extern const ks_family ks_plain;
#if defined(__x86_64__)
extern const ks_family ks_avx512vnni, ks_avx512vl, ks_avx2;
#if defined(KS_AVXVNNI)
extern const ks_family ks_avxvnni;
#endif
#elif defined(KS_NEONDOT)
extern const ks_family ks_neondot;
#endif

const ks_family *const ks_families[] = {
#if defined(__x86_64__)
    &ks_avx512vnni, &ks_avx512vl,
#if defined(KS_AVXVNNI)
    &ks_avxvnni,
#endif
    &ks_avx2,
#elif defined(KS_NEONDOT)
    &ks_neondot,
#endif
    &ks_plain,      NULL};

const ks_family *ks_family_for(const char *name) {
  for (const ks_family *const *each = ks_families; *each; each++) {
    const int wanted = strcmp(name, "auto") == 0 ? (*each)->fast : strcmp(name, (*each)->name) == 0;
    if (wanted && (*each)->available()) return *each;
  }
  return NULL;
}
