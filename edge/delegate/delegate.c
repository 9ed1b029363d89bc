/* LiteRT's external delegate: options, lifetime, and the kernel that stands for each partition. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "options.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  TfLiteDelegate base;   /* first: LiteRT's pointer is ours */
  atomic_int references; /* its creator and every kernel; interpreters may outlive the delegate */
  ks_pool *pool;
  ks_options options; /* 0 threads: as many as the interpreter */
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
  k->plan.family = d->options.family, k->plan.pool = d->pool;
  k->plan.threads = d->options.threads ? d->options.threads : context->recommended_num_threads;
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

/* Inputs were resized, or this is the first time: most weights stay packed as they are. */
static const char *prepare_again(ks_plan *plan, TfLiteContext *context) {
  ks_plan last = *plan;
  free(last.memory);
  last.memory = NULL;
  ks_plan_forget(plan);
  plan->like = &last;
  const char *error = ks_plan_prepare(plan, context);
  plan->like = NULL;
  ks_plan_clear(&last);
  return error;
}

static int kernel_prepare(TfLiteContext *context, TfLiteNode *node) {
  kernel *k = node->user_data;
  const char *error = k ? prepare_again(&k->plan, context) : "no memory for the layers of the delegate";
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
  if (!ks_claims_of(context, d->options.family, d->options.threshold, KS_GAINING, &claims)) {
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

EXPORT TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, report error) {
  delegate *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  char message[KS_MESSAGE];
  if (!ks_options_read((const char *const *)keys, (const char *const *)values, count, &d->options, message)) {
    if (error) error(message);
    free(d);
    return NULL;
  }
  if (!(d->pool = ks_pool_new())) {
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
