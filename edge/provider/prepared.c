#include "prepared.h"

#include <stdlib.h>
#include <string.h>

#include "../delegate/planning.h"

enum { MOST_PREPARED = 4 }; /* shapes that come by turns, as the last batch of a data set does */

static void free_run(ks_run *run) {
  if (!run) return;
  free(run->context.tensors);
  free(run->memory);
  free(run);
}

static void free_prepared(ks_prepared *p) {
  while (p->idle) {
    ks_run *next = p->idle->next;
    free_run(p->idle);
    p->idle = next;
  }
  ks_plan_clear(&p->plan);
  free(p->shapes);
  free(p);
}

void ks_plans_clear(ks_plans *plans) {
  while (plans->prepared) {
    ks_prepared *next = plans->prepared->next;
    free_prepared(plans->prepared);
    plans->prepared = next;
  }
}

/* The shape of a tensor as it is outside. */
static void shape_of(const ks_graph *graph, int tensor, int64_t *shape) {
  static const int nhwc[] = {0, 3, 1, 2};
  const TfLiteIntArray *dims = graph->context.tensors[tensor].dims;
  shape[0] = dims->size;
  for (int i = 0; i < dims->size; i++) shape[1 + i] = dims->data[dims->size == 4 ? nhwc[i] : i];
}

static ks_run *new_run(ks_plans *plans, ks_prepared *p) {
  const size_t bytes = sizeof(TfLiteTensor) * plans->graph.context.tensors_size;
  ks_run *run = calloc(1, sizeof *run);
  if (!run) return NULL;
  run->of = p, run->context = plans->graph.context;
  run->context.tensors = malloc(bytes + 1);
  run->memory = ks_plan_memory(&p->plan);
  if (!run->context.tensors || !run->memory) {
    free_run(run);
    return NULL;
  }
  memcpy(run->context.tensors, plans->graph.context.tensors, bytes);
  return run;
}

/* A plan for these shapes but for the batch, which has the same packed weights; or NULL. */
static const ks_plan *alike(const ks_plans *plans, const int64_t *shapes) {
  for (const ks_prepared *p = plans->prepared; p; p = p->next) {
    int same = 1;
    for (int i = 0; i < KS_SHAPE * plans->plan.inputs; i++) same &= i % KS_SHAPE == 1 || p->shapes[i] == shapes[i];
    if (same) return &p->plan;
  }
  return NULL;
}

static ks_prepared *prepare(ks_plans *plans, const int64_t *shapes, const char **error) {
  const int inputs = plans->plan.inputs, outputs = plans->plan.outputs;
  ks_prepared *p = calloc(1, sizeof *p);
  *error = KS_NO_MEMORY;
  if (!p) return NULL;
  p->plan = plans->plan, p->plan.like = alike(plans, shapes);
  p->shapes = calloc((size_t)(inputs + outputs) * KS_SHAPE + 1, sizeof *p->shapes);
  *error = p->shapes ? NULL : KS_NO_MEMORY;
  for (int i = 0; i < inputs && !*error; i++)
    if (!ks_graph_resize(&plans->graph, plans->plan.input[i], shapes + KS_SHAPE * i + 1, (size_t)shapes[KS_SHAPE * i]))
      *error = KS_NO_FIT;
  if (!*error) *error = ks_plan_prepare(&p->plan, &plans->graph.context);
  if (*error) {
    free_prepared(p);
    return NULL;
  }
  free(p->plan.memory); /* runs have their own */
  p->plan.memory = NULL, p->plan.like = NULL;
  memcpy(p->shapes, shapes, sizeof *shapes * KS_SHAPE * (size_t)inputs);
  for (int i = 0; i < outputs; i++) shape_of(&plans->graph, plans->plan.output[i], p->shapes + KS_SHAPE * (inputs + i));
  return p;
}

/* Drops plans that were not used for longest, but none that is running. */
static void drop_old(ks_plans *plans) {
  int kept = 0;
  for (ks_prepared **at = &plans->prepared; *at;) {
    ks_prepared *p = *at;
    if (kept < MOST_PREPARED || p->running) {
      kept++, at = &p->next;
    } else {
      *at = p->next;
      free_prepared(p);
    }
  }
}

/* The plan for these shapes, moved to the front; NULL if there is none. */
static ks_prepared *find(ks_plans *plans, const int64_t *shapes) {
  const size_t bytes = sizeof *shapes * KS_SHAPE * (size_t)plans->plan.inputs;
  for (ks_prepared **at = &plans->prepared; *at; at = &(*at)->next) {
    ks_prepared *p = *at;
    if (memcmp(p->shapes, shapes, bytes) != 0) continue;
    *at = p->next, p->next = plans->prepared, plans->prepared = p;
    return p;
  }
  return NULL;
}

ks_run *ks_begin(ks_plans *plans, const int64_t *shapes, const char **error) {
  ks_run *run = NULL;
  *error = NULL;
  pthread_mutex_lock(&plans->lock);
  ks_prepared *p = find(plans, shapes);
  if (!p && (p = prepare(plans, shapes, error))) {
    p->next = plans->prepared, plans->prepared = p;
    drop_old(plans);
  }
  if (p && p->idle)
    run = p->idle, p->idle = run->next;
  else if (p && !(run = new_run(plans, p)))
    *error = KS_NO_MEMORY;
  if (run) p->running++;
  pthread_mutex_unlock(&plans->lock);
  return run;
}

void ks_end(ks_plans *plans, ks_run *run) {
  pthread_mutex_lock(&plans->lock);
  run->next = run->of->idle, run->of->idle = run;
  run->of->running--;
  pthread_mutex_unlock(&plans->lock);
}
