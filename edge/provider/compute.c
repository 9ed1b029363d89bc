#include "compute.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prepared.h"

typedef struct {
  OrtCompute base; /* first: ONNX Runtime's pointer is ours */
  const OrtApi *ort;
  ks_plans plans;
} compute;

static OrtStatus *fail(const OrtApi *ort, const char *message) { return ort->create_status(kOrtFail, message); }

/* ONNX Runtime's threads share out the units: batch t of a job takes them as thread t. */
typedef struct {
  ks_unit run;
  void *job;
  int units;
  atomic_int next;
} shared;

static void work(void *argument, size_t thread) {
  shared *s = argument;
  for (int unit; (unit = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->units;)
    s->run(s->job, unit, (int)thread);
}

typedef struct {
  const OrtApi *ort;
  OrtKernelContext *context;
} crew;

static void share(void *sharer, int threads, ks_unit run, void *job, int units) {
  const crew *c = sharer;
  shared s = {run, job, units, 0};
  const size_t batches = (size_t)(units < threads ? units : threads);
  if (!ks_went_well(c->ort, c->ort->parallel_for(c->context, work, batches, batches, &s))) work(&s, 0);
}

static OrtStatus *read_inputs(compute *c, OrtKernelContext *context, int64_t *shapes, const void **data) {
  const OrtApi *ort = c->ort;
  for (int i = 0; i < c->plans.plan.inputs; i++) {
    const OrtValue *value = NULL;
    OrtTensorInfo *info = NULL;
    size_t rank = 0;
    OrtStatus *status = ort->kernel_input(context, (size_t)i, &value);
    if (!status) status = ort->type_and_shape(value, &info);
    if (!status) status = ort->dimensions_count(info, &rank);
    if (!status && rank > 4) status = fail(ort, "keras_sparse: an input has more than four axes");
    if (!status) status = ort->dimensions(info, shapes + KS_SHAPE * i + 1, rank);
    if (!status) status = ort->tensor_data(value, &data[i]);
    if (info) ort->release_tensor_info(info);
    if (status) return status;
    shapes[KS_SHAPE * i] = (int64_t)rank;
  }
  return NULL;
}

/* A batch of no image is planned as one, and is not run. */
static int none_at_all(const compute *c, int64_t *shapes) {
  int none = 0;
  for (int i = 0; i < c->plans.plan.inputs; i++) {
    int64_t *shape = shapes + KS_SHAPE * i;
    if (shape[0] > 0 && shape[1] == 0) none = 1, shape[1] = 1;
  }
  return none;
}

static OrtStatus *run_with(compute *c, ks_run *run, OrtKernelContext *context, const void *const *data, int none) {
  const ks_plan *common = &c->plans.plan;
  const int64_t *made = run->of->shapes + KS_SHAPE * common->inputs;
  for (int i = 0; i < common->inputs; i++) run->context.tensors[common->input[i]].data = (void *)data[i];
  for (int i = 0; i < common->outputs; i++, made += KS_SHAPE) {
    OrtValue *value = NULL;
    int64_t shape[KS_SHAPE];
    memcpy(shape, made, sizeof shape);
    if (none) shape[1] = 0;
    OrtStatus *status = c->ort->kernel_output(context, (size_t)i, shape + 1, (size_t)shape[0], &value);
    if (!status) status = c->ort->tensor_mutable_data(value, &run->context.tensors[common->output[i]].data);
    if (status) return status;
  }
  if (none) return NULL;
  crew threads = {c->ort, context};
  ks_plan plan = run->of->plan;
  plan.memory = run->memory, plan.sharer = &threads;
  ks_plan_run(&plan, &run->context);
  return NULL;
}

static OrtStatus *run(OrtCompute *base, void *state, OrtKernelContext *context) {
  compute *c = (compute *)base;
  const size_t inputs = (size_t)c->plans.plan.inputs;
  int64_t *shapes = calloc(inputs * KS_SHAPE + 1, sizeof *shapes);
  const void **data = calloc(inputs + 1, sizeof *data);
  const char *error = NULL;
  (void)state;
  OrtStatus *status = shapes && data ? read_inputs(c, context, shapes, data) : fail(c->ort, "keras_sparse: no memory");
  const int none = !status && none_at_all(c, shapes);
  ks_run *begun = status ? NULL : ks_begin(&c->plans, shapes, &error);
  if (begun) {
    status = run_with(c, begun, context, data, none);
    ks_end(&c->plans, begun);
  } else if (!status) {
    status = fail(c->ort, error);
  }
  free(shapes);
  free(data);
  return status;
}

static OrtStatus *create_state(OrtCompute *base, void *context, void **state) {
  (void)context;
  *state = base; /* runs have what is theirs */
  return NULL;
}

static void release_state(OrtCompute *base, void *state) { (void)base, (void)state; }

/* The tensor of that name, or -1: values of the fused node are other ones than the graph's. */
static int named(const OrtApi *ort, const ks_graph *graph, const OrtValueInfo *value) {
  const char *name = NULL, *other = NULL;
  if (!value || !ks_went_well(ort, ort->value_name(value, &name)) || !name) return -1;
  for (int t = 0; t < (int)graph->context.tensors_size; t++)
    if (graph->value[t] && ks_went_well(ort, ort->value_name(graph->value[t], &other)) && other &&
        strcmp(name, other) == 0)
      return t;
  return -1;
}

typedef OrtStatus *(*count_of)(const OrtNode *node, size_t *count);
typedef OrtStatus *(*values_of)(const OrtNode *node, const OrtValueInfo **values, size_t count);

/* The tensors of the fused node's inputs or outputs; NULL where one is not known. */
static int *tensors(compute *c, const OrtNode *fused, count_of count_them, values_of get, int *count) {
  size_t all = 0;
  if (!ks_went_well(c->ort, count_them(fused, &all)) || all > 1u << 20) return NULL;
  const OrtValueInfo **values = calloc(all + 1, sizeof *values);
  int *found = calloc(all + 1, sizeof *found);
  int done = values && found && ks_went_well(c->ort, get(fused, values, all));
  for (size_t i = 0; i < all && done; i++) done = (found[i] = named(c->ort, &c->plans.graph, values[i])) >= 0;
  free(values);
  *count = (int)all;
  if (done) return found;
  free(found);
  return NULL;
}

/* Whether the graph has nodes of claimed layers only, and every input of these is made by one of them or enters. */
static int whole(const compute *c) {
  const ks_plans *plans = &c->plans;
  size_t members = 0;
  for (int i = 0; i < plans->claims.count; i++) {
    const ks_node *node = &plans->claims.claim[i].node;
    members += (size_t)plans->graph.layer[node->index].members;
    int known = plans->graph.maker[node->a] >= 0;
    for (int k = 0; k < plans->plan.inputs; k++) known |= plans->plan.input[k] == node->a;
    if (!known) return 0;
  }
  for (int i = 0; i < plans->plan.outputs; i++)
    if (plans->graph.maker[plans->plan.output[i]] < 0) return 0;
  return members == plans->graph.all;
}

OrtCompute *ks_compute_new(const OrtApi *ort, const OrtGraph *graph, const OrtNode *fused, const ks_options *options,
                           const char **error) {
  compute *c = calloc(1, sizeof *c);
  *error = "keras_sparse: no memory for the layers of a partition";
  if (!c) return NULL;
  c->base = (OrtCompute){KS_ORT_VERSION, create_state, run, release_state};
  c->ort = ort;
  pthread_mutex_init(&c->plans.lock, NULL);
  ks_plan *plan = &c->plans.plan;
  int done = ks_graph_read(ort, graph, KS_READ_CLAIMED, &c->plans.graph) &&
             ks_claims_of(&c->plans.graph.context, options->family, options->threshold, KS_ALL, &c->plans.claims);
  if (done) {
    *error = "keras_sparse: a partition is not the one that was claimed";
    plan->input = tensors(c, fused, ort->inputs_count, ort->inputs, &plan->inputs);
    plan->output = tensors(c, fused, ort->outputs_count, ort->outputs, &plan->outputs);
    plan->claim = c->plans.claims.claim, plan->claims = c->plans.claims.count;
    plan->family = options->family, plan->share = share, plan->flip = c->plans.graph.flip, plan->channels_first = 1;
    plan->threads = options->threads ? options->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (plan->threads < 1) plan->threads = 1;
    if (plan->threads > KS_MOST_THREADS) plan->threads = KS_MOST_THREADS;
    done = plan->input && plan->output && whole(c);
  }
  ks_graph_forget(&c->plans.graph);
  if (done) return &c->base;
  ks_compute_free(&c->base);
  return NULL;
}

void ks_compute_free(OrtCompute *base) {
  compute *c = (compute *)base;
  if (!c) return;
  ks_plans_clear(&c->plans);
  pthread_mutex_destroy(&c->plans.lock);
  free(c->plans.plan.input);
  free(c->plans.plan.output);
  ks_claims_free(&c->plans.claims);
  ks_graph_free(&c->plans.graph);
  free(c);
}
