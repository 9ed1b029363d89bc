/* The options of the kernels, as strings: the same in every adapter. */
#ifndef KS_OPTIONS_H
#define KS_OPTIONS_H

#include "../kernels/family.h"

typedef struct {
  const ks_family *family;
  int threads;      /* 0: not given */
  double threshold; /* fraction of zero blocks from which on a layer is claimed; below 0: its break-even */
} ks_options;

enum { KS_MESSAGE = 256 }; /* bytes of a message */

/* Returns 0, and what is wrong in `message`, for an option or a value that is not known. */
int ks_options_read(const char *const *keys, const char *const *values, size_t count, ks_options *options,
                    char *message);

#endif
