/* LiteRT's external delegate: options, lifetime, and the kernel that stands for each partition. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  TfLiteDelegate base;   /* first: LiteRT's pointer is ours */
  atomic_int references; /* its creator and every kernel; interpreters may outlive the delegate */
  const ks_family *family;
  ks_pool *pool;
  int threads;      /* 0: as many as the interpreter */
  double threshold; /* fraction of zero blocks from which on a layer is claimed; below 0: its break-even */
} delegate;

static void release(delegate *d) {
  if (atomic_fetch_sub(&d->references, 1) != 1) return;
  ks_pool_free(d->pool);
  free(d);
}

/* The claims of the graph that this thread is replacing nodes of: kernels are made while that call lasts. */
static _Thread_local const ks_claims *replacing;

typedef struct {
  ks_plan plan; /* first: kernels are plans to all but this file */
  delegate *owner;
} kernel;

static int *copy_of(const TfLiteIntArray *array, int *count) {
  int *copy = malloc(sizeof *copy * (size_t)(array->size + 1));
  *count = array->size;
  if (copy) memcpy(copy, array->data, sizeof *copy * (size_t)array->size);
  return copy;
}

static void kernel_free(TfLiteContext *context, void *made) {
  kernel *k = made;
  (void)context;
  if (!k) return;
  ks_plan_clear(&k->plan);
  free(k->plan.claim);
  free(k->plan.input);
  free(k->plan.output);
  release(k->owner);
  free(k);
}

static void *kernel_init(TfLiteContext *context, const char *buffer, size_t length) {
  const TfLiteDelegateParams *params = (const void *)buffer;
  delegate *d = (delegate *)params->delegate;
  kernel *k = calloc(1, sizeof *k);
  (void)length;
  if (!k || !replacing) {
    free(k);
    return NULL;
  }
  atomic_fetch_add(&d->references, 1);
  k->owner = d;
  k->plan.family = d->family, k->plan.pool = d->pool;
  k->plan.threads = d->threads ? d->threads : context->recommended_num_threads;
  if (k->plan.threads < 1) k->plan.threads = 1;
  if (k->plan.threads > KS_MOST_THREADS) k->plan.threads = KS_MOST_THREADS;
  k->plan.input = copy_of(params->input_tensors, &k->plan.inputs);
  k->plan.output = copy_of(params->output_tensors, &k->plan.outputs);
  k->plan.claim = calloc((size_t)replacing->count + 1, sizeof *k->plan.claim);
  if (!k->plan.input || !k->plan.output || !k->plan.claim) {
    kernel_free(context, k);
    return NULL;
  }
  for (int i = 0; i < params->nodes_to_replace->size; i++)
    for (int j = 0; j < replacing->count; j++)
      if (replacing->claim[j].node.index == params->nodes_to_replace->data[i])
        k->plan.claim[k->plan.claims++] = replacing->claim[j];
  return k;
}

static int kernel_prepare(TfLiteContext *context, TfLiteNode *node) {
  kernel *k = node->user_data;
  const char *error = k ? ks_plan_prepare(&k->plan, context) : "no memory for the layers of the delegate";
  if (error) context->report_error(context, "keras_sparse: %s", error);
  return error ? kError : kOk;
}

static int kernel_invoke(TfLiteContext *context, TfLiteNode *node) {
  ks_plan_run(&((kernel *)node->user_data)->plan, context);
  return kOk;
}

static int prepare(TfLiteContext *context, TfLiteDelegate *base) {
  delegate *d = (delegate *)base;
  ks_claims claims;
  if (!ks_claims_of(context, d->family, d->threshold, &claims)) {
    context->report_error(context, "keras_sparse: the graph could not be read");
    return kError;
  }
  int status = kOk;
  if (claims.count) {
    const TfLiteRegistration registration = {.init = kernel_init,
                                             .free = kernel_free,
                                             .prepare = kernel_prepare,
                                             .invoke = kernel_invoke,
                                             .custom_name = "KerasSparse",
                                             .version = 1};
    replacing = &claims;
    status = context->replace_node_subsets(context, registration, claims.nodes, base);
    replacing = NULL;
  }
  ks_claims_free(&claims);
  return status;
}

typedef void (*report)(const char *message);

static void complain(report error, const char *format, ...) {
  char message[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (error) error(message);
}

static int set_threads(delegate *d, const char *value, report error) {
  char *end;
  const long threads = strtol(value, &end, 10);
  if (*value && !*end && threads >= 1 && threads <= KS_MOST_THREADS) {
    d->threads = (int)threads;
    return 1;
  }
  complain(error, "threads: a number from 1 to 65 is required. Received: %s", value);
  return 0;
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

static int set_threshold(delegate *d, const char *value, report error) {
  double threshold;
  if (number(value, &threshold) && threshold <= 1) {
    d->threshold = threshold;
    return 1;
  }
  complain(error, "threshold: a fraction of zero blocks from 0 to 1 is required. Received: %s", value);
  return 0;
}

static int set_kernels(delegate *d, const char *value, report error) {
  d->family = ks_family_for(value);
  if (d->family) return 1;
  char known[160] = "auto";
  for (const ks_family *const *each = ks_families; *each; each++) {
    if (!(*each)->available()) continue;
    strncat(known, ", ", sizeof known - strlen(known) - 1);
    strncat(known, (*each)->name, sizeof known - strlen(known) - 1);
  }
  if (strcmp(value, "auto") == 0)
    complain(error, "this processor has no instructions that the sparse kernels need (AVX2, or sdot on ARM64)");
  else
    complain(error, "kernels: this processor has %s. Received: %s", known, value);
  return 0;
}

EXPORT TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, report error) {
  delegate *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->threshold = -1;
  const char *kernels = "auto";
  int done = 1;
  for (size_t i = 0; i < count && done; i++) {
    if (strcmp(keys[i], "threads") == 0)
      done = set_threads(d, values[i], error);
    else if (strcmp(keys[i], "threshold") == 0)
      done = set_threshold(d, values[i], error);
    else if (strcmp(keys[i], "kernels") == 0)
      kernels = values[i];
    else {
      complain(error, "an option must be kernels, threads or threshold. Received: %s", keys[i]);
      done = 0;
    }
  }
  done = done && set_kernels(d, kernels, error);
  if (done && !(d->pool = ks_pool_new())) done = 0;
  if (!done) {
    free(d);
    return NULL;
  }
  atomic_init(&d->references, 1);
  d->base.prepare = prepare;
  d->base.flags = kAllowDynamicTensors; /* a resized input only calls kernel_prepare again */
  return &d->base;
}

EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate *base) {
  if (base) release((delegate *)base);
}
