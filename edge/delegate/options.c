#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

static int complain(char *message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, KS_MESSAGE, format, arguments);
  va_end(arguments);
  return 0;
}

static int set_threads(ks_options *options, const char *value, char *message) {
  char *end;
  const long threads = strtol(value, &end, 10);
  if (!*value || *end || threads < 1 || threads > KS_MOST_THREADS)
    return complain(message, "threads: a number from 1 to 65 is required. Received: %s", value);
  options->threads = (int)threads;
  return 1;
}

/* Digits with a point or without; strtod would ask the locale what a point is. */
static int number(const char *text, double *value) {
  double unit = 0;
  int digits = 0;
  for (*value = 0; *text; text++) {
    if (*text == '.' && unit == 0) {
      unit = 1;
    } else if (*text >= '0' && *text <= '9') {
      const int digit = *text - '0';
      *value = unit == 0 ? 10 * *value + digit : *value + digit * (unit /= 10);
      digits++;
    } else {
      return 0;
    }
  }
  return digits > 0;
}

static int set_threshold(ks_options *options, const char *value, char *message) {
  double threshold;
  if (!number(value, &threshold) || threshold > 1)
    return complain(message, "threshold: a fraction of zero blocks from 0 to 1 is required. Received: %s", value);
  options->threshold = threshold;
  return 1;
}

static int set_kernels(ks_options *options, const char *value, char *message) {
  options->family = ks_family_for(value);
  if (options->family) return 1;
  char known[160] = "auto";
  for (const ks_family *const *each = ks_families; *each; each++) {
    if (!(*each)->available()) continue;
    strncat(known, ", ", sizeof known - strlen(known) - 1);
    strncat(known, (*each)->name, sizeof known - strlen(known) - 1);
  }
  if (strcmp(value, "auto") == 0)
    return complain(message,
                    "this processor has no instructions that the sparse kernels need (AVX2, or sdot on ARM64)");
  return complain(message, "kernels: this processor has %s. Received: %s", known, value);
}

int ks_options_read(const char *const *keys, const char *const *values, size_t count, ks_options *options,
                    char *message) {
  const char *kernels = "auto";
  int done = 1;
  *options = (ks_options){.threshold = -1};
  for (size_t i = 0; i < count && done; i++) {
    if (strcmp(keys[i], "threads") == 0)
      done = set_threads(options, values[i], message);
    else if (strcmp(keys[i], "threshold") == 0)
      done = set_threshold(options, values[i], message);
    else if (strcmp(keys[i], "kernels") == 0)
      kernels = values[i];
    else
      done = complain(message, "an option must be kernels, threads or threshold. Received: %s", keys[i]);
  }
  return done && set_kernels(options, kernels, message);
}
