/* The delegate's plans and pool in several threads at once, over fake interpreters; for ThreadSanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delegate/plan.h"

enum { THREADS = 6, ROUNDS = 40, SIDE = 12, CHANNELS = 32, TENSORS = 4 };

typedef struct {
  TfLiteIntArray array;
  int more[4];
} ints;
typedef struct {
  TfLiteFloatArray array;
  float more[1];
} floats;

static ints image = {{4}, {1, SIDE, SIDE, CHANNELS}}, kernel = {{4}, {CHANNELS, 1, 1, CHANNELS}}, zero = {{1}, {0}};
static floats one = {{1}, {0.02f}};
static TfLiteAffineQuantization affine = {&one.array, &zero.array, 0};
static int8_t weights[CHANNELS * CHANNELS];
static const ks_family *family;

typedef struct {
  ks_pool *pool;
  int seed, shared, wrong;
} work;

/* A network of two convolutions; each call of `run` is an interpreter of its own, with the pool of all. */
static void *run(void *argument) {
  work *w = argument;
  int8_t *data[TENSORS] = {malloc(SIDE * SIDE * CHANNELS), NULL, weights, malloc(SIDE * SIDE * CHANNELS)};
  int8_t *first = malloc(SIDE * SIDE * CHANNELS);
  TfLiteTensor tensors[TENSORS];
  memset(tensors, 0, sizeof tensors);
  for (int t = 0; t < TENSORS; t++) {
    tensors[t].type = kInt8, tensors[t].data = data[t], tensors[t].dims = t == 2 ? &kernel.array : &image.array;
    tensors[t].quantization = (TfLiteQuantization){kAffineQuantization, &affine};
    tensors[t].allocation_type = t == 2 ? kMmapRo : 2, tensors[t].bytes = sizeof weights;
  }
  for (int i = 0; i < SIDE * SIDE * CHANNELS; i++) data[0][i] = (int8_t)(i * 37 + w->seed);
  TfLiteContext context;
  memset(&context, 0, sizeof context);
  context.tensors = tensors, context.tensors_size = TENSORS;
  for (int round = 0; round < ROUNDS; round++) {
    ks_claim claims[2];
    int in = 0, out = 3;
    memset(claims, 0, sizeof claims);
    for (int i = 0; i < 2; i++)
      claims[i].node = (ks_node){.kind = KS_CONV,
                                 .a = i,
                                 .b = -1,
                                 .out = i ? 3 : 1,
                                 .weights = 2,
                                 .scales = 2,
                                 .densify = -1,
                                 .bias = -1,
                                 .outputs = CHANNELS,
                                 .height = 1,
                                 .width = 1,
                                 .inputs = CHANNELS,
                                 .stride_y = 1,
                                 .stride_x = 1};
    ks_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.family = family, plan.pool = w->shared ? w->pool : ks_pool_new(), plan.threads = 1 + round % 3;
    plan.claims = 2, plan.claim = claims, plan.inputs = plan.outputs = 1, plan.input = &in, plan.output = &out;
    if (ks_plan_prepare(&plan, &context)) w->wrong++;
    plan.work = 10 * KS_LITTLE; /* worth several threads */
    for (int call = 0; call < 5; call++) ks_plan_run(&plan, &context);
    if (round == 0) memcpy(first, data[3], SIDE * SIDE * CHANNELS);
    w->wrong += memcmp(first, data[3], SIDE * SIDE * CHANNELS) != 0;
    ks_plan_clear(&plan);
    if (!w->shared) ks_pool_free(plan.pool);
  }
  free(data[0]), free(data[3]), free(first);
  return NULL;
}

int main(int count, char **words) {
  family = ks_family_for(count > 1 ? words[1] : "auto");
  if (!family && (count < 2 || !strcmp(words[1], "auto"))) family = ks_family_for("plain");
  if (!family) return 2;
  ks_pool *pool = ks_pool_new();
  pthread_t id[THREADS];
  work all[THREADS];
  int wrong = 0;
  for (int i = 0; i < CHANNELS * CHANNELS; i++) weights[i] = (int8_t)(i / 4 % 3 ? 0 : i * 11);
  for (int i = 0; i < THREADS; i++) {
    all[i] = (work){pool, i, i % 3 != 0, 0}; /* one in three has a pool of its own, made and freed each time */
    if (pthread_create(&id[i], NULL, run, &all[i])) return 3;
  }
  for (int i = 0; i < THREADS; i++) pthread_join(id[i], NULL), wrong += all[i].wrong;
  ks_pool_free(pool);
  printf("%d threads, %d rounds, %d wrong\n", THREADS, ROUNDS, wrong);
  return wrong > 0;
}
