/* The plans of a partition, for the shapes that its inputs have had last, and memory for each run at the same time. */
#ifndef KS_PREPARED_H
#define KS_PREPARED_H

#include <pthread.h>

#include "../delegate/claim.h"
#include "graph.h"

/* What one run needs for itself. */
typedef struct ks_run {
  struct ks_run *next;
  struct ks_prepared *of;
  TfLiteContext context; /* its tensors say where bytes are */
  uint8_t *memory;
} ks_run;

typedef struct ks_prepared {
  struct ks_prepared *next;
  int64_t *shapes; /* of all inputs, then of all outputs: rank and four dimensions each */
  ks_plan plan;    /* without memory */
  ks_run *idle;
  int running;
} ks_prepared;

typedef struct {
  ks_graph graph;
  ks_claims claims;
  ks_plan plan; /* what all plans have: claims, inputs, outputs and how to run */
  pthread_mutex_t lock;
  ks_prepared *prepared; /* the latest first */
} ks_plans;

enum { KS_SHAPE = 5 }; /* numbers of a shape */

/* A run for inputs of these shapes. Returns NULL and what is wrong in `*error` where there can be none. */
ks_run *ks_begin(ks_plans *plans, const int64_t *shapes, const char **error);
void ks_end(ks_plans *plans, ks_run *run);
/* Frees all plans; nothing may be running. */
void ks_plans_clear(ks_plans *plans);

#endif
