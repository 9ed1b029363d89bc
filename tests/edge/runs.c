/* Runs of a partition in ONNX Runtime, in several threads and of more batches than plans are kept for; for
 * ThreadSanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/prepared.h"

enum { THREADS = 6, ROUNDS = 200, SIDE = 12, CHANNELS = 32, TENSORS = 4, BATCHES = 7 };
enum { IMAGE = SIDE * SIDE * CHANNELS };

typedef struct {
  TfLiteIntArray array;
  int more[4];
} ints;
typedef struct {
  TfLiteFloatArray array;
  float more[1];
} floats;

static ints image[TENSORS], kernel = {{4}, {CHANNELS, 3, 3, CHANNELS}}, zero = {{1}, {0}};
static floats one = {{1}, {0.02f}};
static TfLiteAffineQuantization affine = {&one.array, &zero.array, 0};
static int8_t weights[CHANNELS * 9 * CHANNELS], wanted[IMAGE];
static ks_plans plans;

static int resize(TfLiteContext *context, TfLiteTensor *tensor, TfLiteIntArray *size) {
  (void)context;
  memcpy(tensor->dims, size, sizeof *size + sizeof(int) * 4);
  free(size);
  return kOk;
}

static void share(void *sharer, int threads, ks_unit run, void *job, int units) {
  (void)sharer, (void)threads;
  for (int unit = 0; unit < units; unit++) run(job, unit, 0);
}

/* Returns whether all images of the output are `wanted`; writes it where there is none yet. */
static int right(int batch, int8_t *in, int8_t *out, int begin) {
  const int64_t shape[KS_SHAPE] = {4, batch, CHANNELS, SIDE, SIDE};
  const char *error;
  ks_run *run = ks_begin(&plans, shape, &error);
  if (!run) return 0;
  run->context.tensors[0].data = in, run->context.tensors[3].data = out;
  ks_plan plan = run->of->plan;
  plan.memory = run->memory;
  ks_plan_run(&plan, &run->context);
  int same = run->of->shapes[KS_SHAPE + 1] == batch;
  ks_end(&plans, run);
  if (begin) memcpy(wanted, out, IMAGE);
  for (int i = 0; i < batch; i++) same &= memcmp(out + i * IMAGE, wanted, IMAGE) == 0;
  return same;
}

static void *work(void *argument) {
  int *wrong = argument;
  const int seed = *wrong;
  int8_t *in = malloc(BATCHES * IMAGE), *out = malloc(BATCHES * IMAGE);
  for (int i = 0; i < BATCHES * IMAGE; i++) in[i] = (int8_t)(i % IMAGE * 37);
  *wrong = 0;
  for (int round = 0; round < (seed ? ROUNDS : 1); round++)
    *wrong += !right(seed ? 1 + (round * seed + round / 9) % BATCHES : 1, in, out, !seed);
  free(in), free(out);
  return NULL;
}

int main(int count, char **words) {
  TfLiteTensor tensors[TENSORS];
  ks_claim claims[2];
  pthread_t id[THREADS];
  int in = 0, out = 3, all[THREADS] = {0}, wrong = 0;
  memset(tensors, 0, sizeof tensors);
  memset(claims, 0, sizeof claims);
  for (int i = 0; i < (int)sizeof weights; i++) weights[i] = (int8_t)(i / 4 % 3 ? 0 : i * 11);
  for (int t = 0; t < TENSORS; t++) {
    image[t] = (ints){{4}, {1, SIDE, SIDE, CHANNELS}};
    tensors[t].type = kInt8, tensors[t].dims = t == 2 ? &kernel.array : &image[t].array;
    tensors[t].data = t == 2 ? weights : NULL, tensors[t].bytes = sizeof weights;
    tensors[t].quantization = (TfLiteQuantization){kAffineQuantization, &affine};
    tensors[t].allocation_type = t == 2 ? kMmapRo : 2;
  }
  for (int i = 0; i < 2; i++)
    claims[i].node = (ks_node){.kind = KS_CONV,
                               .index = i,
                               .a = i,
                               .b = -1,
                               .out = i ? 3 : 1,
                               .weights = 2,
                               .scales = 2,
                               .densify = -1,
                               .bias = -1,
                               .outputs = CHANNELS,
                               .height = 3,
                               .width = 3,
                               .inputs = CHANNELS,
                               .stride_y = 1,
                               .stride_x = 1,
                               .same = 1};
  pthread_mutex_init(&plans.lock, NULL);
  plans.graph.context.tensors = tensors, plans.graph.context.tensors_size = TENSORS;
  plans.graph.context.resize_tensor = resize;
  plans.plan.family = ks_family_for(count > 1 ? words[1] : "auto");
  if (!plans.plan.family && (count < 2 || !strcmp(words[1], "auto"))) plans.plan.family = ks_family_for("plain");
  if (!plans.plan.family) return 2;
  plans.plan.threads = 2, plans.plan.share = share, plans.plan.channels_first = 1;
  plans.plan.claims = 2, plans.plan.claim = claims, plans.plan.inputs = plans.plan.outputs = 1;
  plans.plan.input = &in, plans.plan.output = &out;
  work(&all[0]); /* what is wanted */
  wrong += all[0];
  for (int i = 0; i < THREADS; i++) {
    all[i] = i + 1;
    if (pthread_create(&id[i], NULL, work, &all[i])) return 3;
  }
  for (int i = 0; i < THREADS; i++) pthread_join(id[i], NULL), wrong += all[i];
  ks_plans_clear(&plans);
  pthread_mutex_destroy(&plans.lock);
  printf("%d threads, %d rounds, %d wrong\n", THREADS, ROUNDS, wrong);
  return wrong > 0;
}
