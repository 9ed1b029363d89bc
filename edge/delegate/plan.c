#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "planning.h"

/* Whether only convolutions of this partition that do not pad by themselves read what a PAD makes. */
static int pad_is_done_by_readers(const ks_plan *plan, int tensor) {
  for (int i = 0; i < plan->outputs; i++)
    if (plan->output[i] == tensor) return 0;
  for (int i = 0; i < plan->claims; i++) {
    const ks_node *node = &plan->claim[i].node;
    if (node->a != tensor && node->b != tensor) continue;
    if ((node->kind != KS_CONV && node->kind != KS_DEPTHWISE) || node->same) return 0;
  }
  return 1;
}

/* The output's shape for the present shapes of the inputs; returns its rank, 0 where they do not fit. */
static int shape_of(ks_planning *p, const ks_node *node, int *dims) {
  const ks_value *a = ks_value_of(p, node->a), *b = node->b < 0 ? a : ks_value_of(p, node->b);
  if (!a || !b || memcmp(a->dims, b->dims, sizeof(int) * (size_t)(a->rank < b->rank ? a->rank : b->rank)) != 0)
    return 0;
  memcpy(dims, a->dims, sizeof a->dims);
  ks_window w;
  switch (node->kind) {
    case KS_CONV:
    case KS_DEPTHWISE:
      if (a->rank != 4 || a->channels != node->inputs) return 0;
      w = ks_window_of(node, a->height, a->width);
      dims[1] = w.height, dims[2] = w.width, dims[3] = node->outputs;
      return dims[1] < 1 || dims[2] < 1 ? 0 : 4;
    case KS_DENSE:
      if (node->keep) {
        dims[a->rank - 1] = node->outputs;
        return a->channels == node->inputs ? a->rank : 0;
      }
      dims[0] = a->images * (int)ks_pixels(a) * a->channels / node->inputs, dims[1] = node->outputs;
      return dims[0] * node->inputs == a->images * (int)ks_pixels(a) * a->channels ? 2 : 0;
    case KS_PAD: dims[1] += node->top + node->bottom, dims[2] += node->left + node->right; return a->rank == 4 ? 4 : 0;
    default: return a->rank == 4 && b->rank == 4 ? 4 : 0;
  }
}

static void plan_claim(ks_planning *p, int index) {
  const ks_claim *claim = &p->plan->claim[index];
  const ks_node *node = &claim->node;
  int dims[4];
  const int rank = shape_of(p, node, dims);
  if (!rank) {
    p->error = "inputs of a layer do not fit each other";
    return;
  }
  const ks_value *a = ks_value_of(p, node->a);
  const int frames = node->kind == KS_CONV || node->kind == KS_DEPTHWISE;
  if (!ks_dims_fit(rank, dims) || (frames && !ks_frame_fits(node, a->images, a->height, a->width))) {
    p->error = KS_NO_FIT;
    return;
  }
  switch (node->kind) {
    case KS_CONV: ks_plan_conv(p, node, dims); break;
    case KS_DEPTHWISE: ks_plan_depthwise(p, node, dims); break;
    case KS_DENSE: ks_plan_dense(p, claim, rank, dims); break;
    case KS_ADD: ks_plan_add(p, node, dims); break;
    case KS_PAD:
      if (pad_is_done_by_readers(p->plan, node->out))
        ks_new_value(p, node->out, 4, dims)->framed = index;
      else
        ks_plan_pad(p, node, dims);
      break;
  }
}

static const char *resize(TfLiteContext *context, const ks_value *v) {
  TfLiteTensor *tensor = &context->tensors[v->tensor];
  if (tensor->dims && tensor->dims->size == v->rank &&
      memcmp(tensor->dims->data, v->dims, sizeof(int) * (size_t)v->rank) == 0)
    return NULL;
  TfLiteIntArray *dims = malloc(sizeof *dims + sizeof(int) * (size_t)v->rank);
  if (!dims) return KS_NO_MEMORY;
  dims->size = v->rank;
  memcpy(dims->data, v->dims, sizeof(int) * (size_t)v->rank);
  return context->resize_tensor(context, tensor, dims) == kOk ? NULL : "an output could not be resized";
}

/* The tensors that come from outside. */
static void enter_values(ks_planning *p) {
  const ks_plan *plan = p->plan;
  for (int i = 0; i < plan->claims; i++) {
    const int reads[] = {plan->claim[i].node.a, plan->claim[i].node.b};
    for (int j = 0; j < 2; j++) {
      int made = reads[j] < 0 || ks_value_of(p, reads[j]) != NULL;
      for (int k = 0; k < i; k++) made |= plan->claim[k].node.out == reads[j];
      if (made) continue;
      const TfLiteIntArray *dims = p->context->tensors[reads[j]].dims;
      if (!dims || !ks_dims_fit(dims->size, dims->data)) {
        p->error = KS_NO_FIT;
        return;
      }
      ks_new_value(p, reads[j], dims->size, dims->data)->rows.tensor = reads[j];
    }
  }
}

uint8_t *ks_plan_memory(const ks_plan *plan) {
  const size_t bytes = plan->arena_bytes + plan->scratch_bytes * (size_t)plan->threads + KS_ALIGN;
  uint8_t *memory = aligned_alloc(KS_ALIGN, bytes / KS_ALIGN * KS_ALIGN);
  if (memory) memset(memory, 0, bytes / KS_ALIGN * KS_ALIGN);
  return memory;
}

const char *ks_plan_prepare(ks_plan *plan, TfLiteContext *context) {
  ks_plan_clear(plan);
  ks_planning p = {.plan = plan, .context = context};
  /* A claim makes at most a step of its own, one that frames and two that enter; an output one that leaves. */
  const size_t most = (size_t)(4 * plan->claims + plan->outputs + 1);
  p.values = calloc((size_t)(3 * plan->claims) + 1, sizeof *p.values);
  plan->step = calloc(most, sizeof *plan->step);
  plan->buffer = calloc(most, sizeof *plan->buffer);
  if (!p.values || !plan->step || !plan->buffer) p.error = KS_NO_MEMORY;
  if (!p.error) enter_values(&p);
  for (int i = 0; i < plan->claims && !p.error; i++) plan_claim(&p, i);
  for (int i = 0; i < plan->outputs && !p.error; i++) {
    ks_value *v = ks_value_of(&p, plan->output[i]);
    if (!v) continue; /* what a claimed DENSIFY would have made; only claimed layers read it */
    ks_rows_of(&p, v);
    p.error = resize(context, v);
  }
  if (!p.error && !ks_place_buffers(plan)) p.error = KS_NO_MEMORY;
  if (!p.error) {
    plan->scratch_bytes = (plan->scratch_bytes + KS_SLACK + KS_ALIGN - 1) / KS_ALIGN * KS_ALIGN;
    if (!(plan->memory = ks_plan_memory(plan))) p.error = KS_NO_MEMORY;
  }
  free(p.values);
  if (p.error) ks_plan_clear(plan);
  return p.error;
}

void ks_plan_clear(ks_plan *plan) {
  for (int i = 0; i < plan->steps; i++) {
    ks_step *s = &plan->step[i];
    if (s->plans && --*s->plans) continue; /* another plan has these weights, too */
    ks_free_conv(&s->conv);
    ks_free_depthwise(&s->depthwise);
    ks_free_dense(&s->dense);
    free(s->plans);
  }
  free(plan->step);
  free(plan->buffer);
  free(plan->memory);
  ks_plan_forget(plan);
}

void ks_plan_forget(ks_plan *plan) {
  plan->step = NULL, plan->buffer = NULL, plan->memory = NULL;
  plan->steps = plan->buffers = 0;
  plan->arena_bytes = plan->scratch_bytes = 0, plan->work = 0;
}
