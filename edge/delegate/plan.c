#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, SLACK = 512 }; /* bytes; kernels read up to a vector and some taps behind a plane */

/* A tensor of the partition while it is planned. */
typedef struct {
  int tensor;
  int images, height, width, channels; /* of rows of a fully connected layer: 1, 1, rows, inputs */
  int rank;
  int dims[4];
  ks_place rows, planes;
  int framed; /* the value of `made_by` of a PAD that its readers do themselves, or -1 */
} value;

typedef struct {
  ks_plan *plan;
  TfLiteContext *context;
  value *values;
  int count;
  const char *error;
} planning;

static const ks_place NOWHERE = {-1, -1};
static const char *const MEMORY = "no memory for the layers of the delegate";

static int somewhere(ks_place place) { return place.tensor >= 0 || place.buffer >= 0; }
static int groups_of(int channels) { return (channels + KS_GROUP - 1) / KS_GROUP; }
static int divide_up(int a, int b) { return (a + b - 1) / b; }
static size_t pixels_of(const value *v) { return (size_t)v->height * v->width; }

static value *value_of(planning *p, int tensor) {
  for (int i = 0; i < p->count; i++)
    if (p->values[i].tensor == tensor) return &p->values[i];
  return NULL;
}

static value *new_value(planning *p, int tensor, int rank, const int *dims) {
  value *v = &p->values[p->count++];
  memset(v, 0, sizeof *v);
  v->tensor = tensor, v->rank = rank, v->framed = -1;
  v->rows = v->planes = NOWHERE;
  memcpy(v->dims, dims, sizeof(int) * (size_t)rank);
  v->channels = dims[rank - 1];
  if (rank == 4) {
    v->images = dims[0], v->height = dims[1], v->width = dims[2];
  } else {
    v->images = v->height = v->width = 1;
    for (int i = 0; i < rank - 1; i++) v->width *= dims[i];
  }
  return v;
}

static int new_buffer(planning *p, size_t size) {
  ks_plan *plan = p->plan;
  ks_buffer *b = &plan->buffer[plan->buffers];
  b->size = (size + SLACK + ALIGN - 1) / ALIGN * ALIGN;
  b->first = plan->steps, b->last = plan->steps;
  return plan->buffers++;
}

static ks_step *new_step(planning *p, ks_step_kind kind, ks_place a, ks_place b, ks_place out) {
  ks_plan *plan = p->plan;
  ks_step *s = &plan->step[plan->steps];
  memset(s, 0, sizeof *s);
  s->kind = kind, s->a = a, s->b = b, s->out = out, s->images = 1, s->units = 1;
  const ks_place all[] = {a, b, out};
  for (int i = 0; i < 3; i++)
    if (all[i].buffer >= 0) plan->buffer[all[i].buffer].last = plan->steps;
  plan->steps++;
  return s;
}

/* Parts of `count` things, so that each thread has several, of at least `least` things. */
static int chunk_of(const ks_plan *plan, int count, int least) {
  const int chunk = divide_up(count, plan->threads < 2 ? 1 : 4 * plan->threads);
  return chunk < least ? (least < count ? least : count) : chunk;
}

static ks_place new_planes(planning *p, value *v) {
  v->planes = (ks_place){-1, new_buffer(p, v->images * groups_of(v->channels) * ks_plane_bytes(pixels_of(v)))};
  return v->planes;
}

static void shape_step(ks_step *s, const value *a, const value *out) {
  s->channels = out->channels, s->groups = groups_of(out->channels), s->pixels = pixels_of(out);
  s->images = out->images;
  s->a_plane = ks_plane_bytes(pixels_of(a)), s->out_plane = ks_plane_bytes(pixels_of(out));
  s->a_image = s->a_plane * groups_of(a->channels), s->out_image = s->out_plane * s->groups;
}

/* The value in planes or in rows, converted where it is not yet there. */
static ks_place planes_of(planning *p, value *v) {
  if (somewhere(v->planes)) return v->planes;
  const ks_place rows = v->rows, planes = new_planes(p, v);
  ks_step *s = new_step(p, KS_STEP_ENTER, rows, NOWHERE, planes);
  shape_step(s, v, v);
  s->a_image = pixels_of(v) * v->channels;
  s->chunk = chunk_of(p->plan, s->groups, 16);
  s->units = divide_up(s->groups, s->chunk);
  return planes;
}

static void rows_to(planning *p, value *v, ks_place to) {
  ks_step *s = new_step(p, KS_STEP_LEAVE, v->planes, NOWHERE, to);
  shape_step(s, v, v);
  s->out_image = pixels_of(v) * v->channels;
  s->chunk = (int)(chunk_of(p->plan, divide_up((int)s->pixels, KS_PIXELS), 4) * KS_PIXELS);
  s->units = divide_up((int)s->pixels, s->chunk);
  v->rows = to;
}

static ks_place new_rows(planning *p, value *v) {
  for (int i = 0; i < p->plan->outputs; i++) /* made where the interpreter wants it */
    if (p->plan->output[i] == v->tensor) return (ks_place){v->tensor, -1};
  return (ks_place){-1, new_buffer(p, v->images * pixels_of(v) * v->channels)};
}

static ks_place rows_of(planning *p, value *v) {
  if (!somewhere(v->rows)) rows_to(p, v, new_rows(p, v));
  return v->rows;
}

static int input_zero(const planning *p, const ks_node *node) {
  return p->context->tensors[node->a].params.zero_point;
}

/* Calls `pack` with all numbers of a layer; frees what was made for it. */
typedef int (*pack_with)(void *argument, const int8_t *weights, const ks_numbers *numbers);

static void pack(planning *p, const ks_node *node, pack_with with, void *argument) {
  const TfLiteTensor *t = p->context->tensors;
  int8_t *made;
  const int8_t *weights = ks_dense_weights(p->context, node, &made);
  float *scale = malloc(sizeof *scale * (size_t)node->outputs);
  ks_numbers numbers = {.bias = node->bias < 0 ? NULL : t[node->bias].data,
                        .scale = scale,
                        .offset = (p->plan->family->flip ? 128 : 0) + input_zero(p, node),
                        .zero_point = t[node->out].params.zero_point};
  ks_limits(&t[node->out], node->activation, &numbers.minimum, &numbers.maximum);
  for (int n = 0; scale && n < node->outputs; n++) scale[n] = ks_scale(p->context, node, n);
  if (!weights || !scale || !with(argument, weights, &numbers)) p->error = MEMORY;
  free(scale);
  free(made);
}

/* Padding before an axis and the output's extent, as TFLite has them. */
static void window(int input, int kernel, int stride, int same, int *before, int *output) {
  *output = same ? divide_up(input, stride) : (input - kernel + stride) / stride;
  const int all = (*output - 1) * stride + kernel - input;
  *before = same && all > 0 ? all / 2 : 0;
}

/* The value that a convolution reads, through a PAD that it does itself, and the frame of its padded image. */
static value *framed(planning *p, const ks_node *node, ks_frame *f, int *height, int *width) {
  value *a = value_of(p, node->a);
  int top, left;
  window(a->height, node->height, node->stride_y, node->same, &top, height);
  window(a->width, node->width, node->stride_x, node->same, &left, width);
  if (a->framed >= 0) {
    const ks_node *pad = &p->plan->claim[a->framed].node;
    a = value_of(p, pad->a);
    top += pad->top, left += pad->left;
  }
  memset(f, 0, sizeof *f);
  f->height = a->height, f->width = a->width, f->top = top, f->left = left;
  memset(f->fill, (uint8_t)input_zero(p, node) ^ p->plan->family->flip, 4);
  return a;
}

typedef struct {
  ks_step *step;
  const ks_node *node;
  const int32_t *taps;
  size_t plane;
} conv_packing;

static int pack_conv(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  return ks_pack_conv(&c->step->conv, weights, c->node->outputs, c->node->height * c->node->width, c->node->inputs,
                      c->taps, c->plane, numbers);
}

/* Tiles of pixels of equal size, and parts of the channels where threads need more units. */
static void tile_conv(planning *p, ks_step *s) {
  const int lanes = p->plan->family->pixels, vectors = divide_up(s->flat, lanes);
  s->tiles = divide_up(vectors, p->plan->family->tile);
  s->tile = divide_up(vectors, s->tiles) * lanes;
  s->tiles = divide_up(s->flat, s->tile);
  const int wanted = p->plan->threads < 2 ? 1 : divide_up(4 * p->plan->threads, s->tiles * s->images);
  s->chunk = divide_up(s->groups, wanted < s->groups ? wanted : s->groups);
  s->units = s->tiles * divide_up(s->groups, s->chunk);
  if (s->pitch != s->width) {
    const size_t scratch = (size_t)s->chunk * s->tile * 4;
    if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  }
}

static void plan_conv(planning *p, const ks_node *node, const int *dims) {
  ks_frame f;
  int height, width, taps = node->height * node->width;
  value *a = framed(p, node, &f, &height, &width);
  value *out = new_value(p, node->out, 4, dims);
  ks_place in = planes_of(p, a);
  int32_t *offsets = malloc(sizeof *offsets * (size_t)taps);
  if (!offsets) {
    p->error = MEMORY;
    return;
  }
  size_t plane = ks_plane_bytes(pixels_of(a)), image = plane * groups_of(a->channels), step_plane = plane;
  int pitch = width;
  memset(offsets, 0, sizeof *offsets * (size_t)taps);
  if (taps > 1 || node->stride_x > 1 || node->stride_y > 1 || f.top || f.left || a->height != height ||
      a->width != width) {
    f.stride_y = node->stride_y, f.stride_x = node->stride_x;
    f.phases_y = node->height < f.stride_y ? node->height : f.stride_y;
    f.phases_x = node->width < f.stride_x ? node->width : f.stride_x;
    f.rows = height + (node->height - 1) / f.stride_y;
    pitch = f.pitch = width + (node->width - 1) / f.stride_x;
    step_plane = ks_plane_bytes((size_t)f.rows * f.pitch);
    plane = step_plane * f.phases_y * f.phases_x;
    const size_t a_image = image;
    image = plane * groups_of(a->channels);
    const ks_place frame = {-1, new_buffer(p, image * a->images + (size_t)f.pitch * node->height * 4)};
    ks_step *s = new_step(p, KS_STEP_FRAME, in, NOWHERE, frame);
    shape_step(s, a, a);
    s->frame = f, s->out_plane = step_plane, s->out_image = image, s->a_image = a_image;
    s->chunk = chunk_of(p->plan, s->groups, 1), s->units = divide_up(s->groups, s->chunk);
    s->frame_plane = plane;
    in = frame;
    for (int ky = 0; ky < node->height; ky++)
      for (int kx = 0; kx < node->width; kx++)
        offsets[ky * node->width + kx] =
            (int32_t)((ky % f.stride_y * f.phases_x + kx % f.stride_x) * step_plane) +
            4 * (ky / f.stride_y * f.pitch + kx / f.stride_x);
  }
  ks_step *s = new_step(p, KS_STEP_CONV, in, NOWHERE, new_planes(p, out));
  shape_step(s, out, out);
  s->a_image = image, s->rows = height, s->width = width, s->pitch = pitch;
  s->flat = (height - 1) * pitch + width;
  tile_conv(p, s);
  conv_packing packing = {s, node, offsets, plane};
  pack(p, node, pack_conv, &packing);
  free(offsets);
}

static int pack_depthwise(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  return ks_pack_depthwise(&c->step->depthwise, weights, c->node->outputs, c->node->height, c->node->width,
                           c->node->stride_x, numbers);
}

static void plan_depthwise(planning *p, const ks_node *node, const int *dims) {
  ks_frame f;
  int height, width;
  value *a = framed(p, node, &f, &height, &width);
  value *out = new_value(p, node->out, 4, dims);
  const ks_place in = planes_of(p, a);
  ks_step *s = new_step(p, KS_STEP_DEPTHWISE, in, NOWHERE, new_planes(p, out));
  shape_step(s, a, out);
  f.stride_y = f.stride_x = f.phases_y = f.phases_x = 1;
  f.rows = (height - 1) * node->stride_y + node->height;
  f.pitch = (width - 1) * node->stride_x + node->width;
  s->frame = f, s->rows = height, s->width = width;
  s->frame_plane = ks_plane_bytes((size_t)f.rows * f.pitch);
  s->chunk = 1, s->units = s->groups;
  const size_t scratch = s->frame_plane + SLACK;
  if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  conv_packing packing = {s, node, NULL, 0};
  pack(p, node, pack_depthwise, &packing);
}

static int pack_dense(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  const int rows = c->step->form == KS_AS_16X4 ? 16 : 1;
  return ks_pack_dense(&c->step->dense, weights, c->node->outputs, c->node->inputs, rows, rows == 16 ? 4 : 16, numbers);
}

static void plan_dense(planning *p, const ks_claim *claim, int rank, const int *dims) {
  const ks_node *node = &claim->node;
  value *a = value_of(p, node->a), *out = new_value(p, node->out, rank, dims);
  const ks_place in = rows_of(p, a), to = new_rows(p, out);
  out->rows = to;
  ks_step *s = new_step(p, KS_STEP_DENSE, in, NOWHERE, to);
  s->images = out->images * (int)pixels_of(out);
  s->inputs = node->inputs, s->channels = node->outputs, s->form = claim->form;
  s->a_image = (size_t)node->inputs, s->out_image = (size_t)node->outputs;
  const int rows = divide_up(node->outputs, KS_ROWS);
  s->chunk = chunk_of(p->plan, rows, 8), s->units = divide_up(rows, s->chunk);
  const size_t scratch = (size_t)divide_up(node->inputs, 64) * 64 + SLACK;
  if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  conv_packing packing = {s, node, NULL, 0};
  pack(p, node, pack_dense, &packing);
}

/* Many vectors at once are the pixels of a 1x1 convolution. */
static void plan_matrix(planning *p, const ks_node *node, const int *dims) {
  static const int32_t here = 0;
  value *a = value_of(p, node->a), *out = new_value(p, node->out, 2, dims);
  const ks_place in = planes_of(p, a);
  ks_step *s = new_step(p, KS_STEP_CONV, in, NOWHERE, new_planes(p, out));
  shape_step(s, a, out);
  s->rows = 1, s->width = s->pitch = s->flat = (int)s->pixels;
  tile_conv(p, s);
  conv_packing packing = {s, node, &here, s->a_plane};
  pack(p, node, pack_conv, &packing);
}

static void plan_add(planning *p, const ks_node *node, const int *dims) {
  value *a = value_of(p, node->a), *b = value_of(p, node->b), *out = new_value(p, node->out, 4, dims);
  const ks_place x = planes_of(p, a), y = planes_of(p, b);
  ks_step *s = new_step(p, KS_STEP_ADD, x, y, new_planes(p, out));
  shape_step(s, a, out);
  s->chunk = chunk_of(p->plan, s->groups, 4), s->units = divide_up(s->groups, s->chunk);
  ks_add_of(p->context, node, &s->add);
}

static void plan_pad(planning *p, const ks_node *node, const int *dims) {
  value *a = value_of(p, node->a), *out = new_value(p, node->out, 4, dims);
  const ks_place in = planes_of(p, a);
  ks_step *s = new_step(p, KS_STEP_FRAME, in, NOWHERE, new_planes(p, out));
  shape_step(s, a, out);
  s->frame = (ks_frame){.height = a->height, .width = a->width, .top = node->top, .left = node->left, .stride_y = 1,
                        .stride_x = 1, .phases_y = 1, .phases_x = 1, .rows = out->height, .pitch = out->width};
  memset(s->frame.fill, (uint8_t)input_zero(p, node) ^ p->plan->family->flip, 4);
  s->frame_plane = s->out_plane;
  s->chunk = chunk_of(p->plan, s->groups, 1), s->units = divide_up(s->groups, s->chunk);
}

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
static int shape_of(planning *p, const ks_node *node, int *dims) {
  const value *a = value_of(p, node->a), *b = node->b < 0 ? a : value_of(p, node->b);
  if (!a || !b || memcmp(a->dims, b->dims, sizeof(int) * (size_t)(a->rank < b->rank ? a->rank : b->rank)) != 0) return 0;
  memcpy(dims, a->dims, sizeof a->dims);
  int before;
  switch (node->kind) {
    case KS_CONV:
    case KS_DEPTHWISE:
      if (a->rank != 4 || a->channels != node->inputs) return 0;
      window(a->height, node->height, node->stride_y, node->same, &before, &dims[1]);
      window(a->width, node->width, node->stride_x, node->same, &before, &dims[2]);
      dims[3] = node->outputs;
      return dims[1] < 1 || dims[2] < 1 ? 0 : 4;
    case KS_DENSE:
      if (a->channels != node->inputs) return 0;
      if (p->context->tensors[node->out].dims->size == a->rank) {
        dims[a->rank - 1] = node->outputs;
        return a->rank;
      }
      dims[0] = a->images * (int)pixels_of(a), dims[1] = node->outputs;
      return 2;
    case KS_PAD:
      dims[1] += node->top + node->bottom, dims[2] += node->left + node->right;
      return a->rank == 4 ? 4 : 0;
    default: return a->rank == 4 ? 4 : 0;
  }
}

static void plan_claim(planning *p, int index) {
  const ks_claim *claim = &p->plan->claim[index];
  const ks_node *node = &claim->node;
  int dims[4];
  const int rank = shape_of(p, node, dims);
  if (!rank) {
    p->error = "inputs of a layer do not fit each other";
    return;
  }
  switch (node->kind) {
    case KS_CONV: plan_conv(p, node, dims); break;
    case KS_DEPTHWISE: plan_depthwise(p, node, dims); break;
    case KS_DENSE:
      if (claim->form == KS_AS_PLANES)
        plan_matrix(p, node, dims);
      else
        plan_dense(p, claim, rank, dims);
      break;
    case KS_ADD: plan_add(p, node, dims); break;
    case KS_PAD:
      if (pad_is_done_by_readers(p->plan, node->out))
        new_value(p, node->out, 4, dims)->framed = index;
      else
        plan_pad(p, node, dims);
      break;
  }
}

/* Puts the buffers into one memory, those that are used at the same time beside each other: largest first, each at the
 * lowest place that is free for as long as it is used. */
static int place_buffers(ks_plan *plan) {
  int *order = malloc(sizeof *order * (size_t)(plan->buffers + 1));
  if (!order) return 0;
  for (int i = 0; i < plan->buffers; i++) {
    int at = i;
    for (; at > 0 && plan->buffer[order[at - 1]].size < plan->buffer[i].size; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  plan->arena_bytes = 0;
  for (int i = 0; i < plan->buffers; i++) {
    ks_buffer *b = &plan->buffer[order[i]];
    b->offset = 0;
    for (int moved = 1; moved;) {
      moved = 0;
      for (int j = 0; j < i; j++) {
        const ks_buffer *c = &plan->buffer[order[j]];
        const int together = c->first <= b->last && b->first <= c->last;
        if (together && b->offset < c->offset + c->size && c->offset < b->offset + b->size) {
          b->offset = c->offset + c->size;
          moved = 1;
        }
      }
    }
    if (b->offset + b->size > plan->arena_bytes) plan->arena_bytes = b->offset + b->size;
  }
  free(order);
  return 1;
}

static const char *resize(TfLiteContext *context, const value *v) {
  TfLiteTensor *tensor = &context->tensors[v->tensor];
  if (tensor->dims && tensor->dims->size == v->rank &&
      memcmp(tensor->dims->data, v->dims, sizeof(int) * (size_t)v->rank) == 0)
    return NULL;
  TfLiteIntArray *dims = malloc(sizeof *dims + sizeof(int) * (size_t)v->rank);
  if (!dims) return MEMORY;
  dims->size = v->rank;
  memcpy(dims->data, v->dims, sizeof(int) * (size_t)v->rank);
  return context->resize_tensor(context, tensor, dims) == kOk ? NULL : "an output could not be resized";
}

/* The tensors that come from outside. */
static void enter_values(planning *p) {
  const ks_plan *plan = p->plan;
  for (int i = 0; i < plan->claims; i++) {
    const int reads[] = {plan->claim[i].node.a, plan->claim[i].node.b};
    for (int j = 0; j < 2; j++) {
      int made = reads[j] < 0 || value_of(p, reads[j]) != NULL;
      for (int k = 0; k < i; k++) made |= plan->claim[k].node.out == reads[j];
      if (made) continue;
      const TfLiteIntArray *dims = p->context->tensors[reads[j]].dims;
      new_value(p, reads[j], dims->size, dims->data)->rows.tensor = reads[j];
    }
  }
}

const char *ks_plan_prepare(ks_plan *plan, TfLiteContext *context) {
  ks_plan_clear(plan);
  planning p = {.plan = plan, .context = context};
  /* A claim makes at most a step of its own, one that frames and two that enter; an output one that leaves. */
  const size_t most = (size_t)(4 * plan->claims + plan->outputs + 1);
  p.values = calloc((size_t)(3 * plan->claims) + 1, sizeof *p.values);
  plan->step = calloc(most, sizeof *plan->step);
  plan->buffer = calloc(most, sizeof *plan->buffer);
  if (!p.values || !plan->step || !plan->buffer) p.error = MEMORY;
  if (!p.error) enter_values(&p);
  for (int i = 0; i < plan->claims && !p.error; i++) plan_claim(&p, i);
  for (int i = 0; i < plan->outputs && !p.error; i++) {
    value *v = value_of(&p, plan->output[i]);
    if (!v) continue; /* what a claimed DENSIFY would have made; only claimed layers read it */
    rows_of(&p, v);
    p.error = resize(context, v);
  }
  if (!p.error && !place_buffers(plan)) p.error = MEMORY;
  if (!p.error) {
    plan->scratch_bytes = (plan->scratch_bytes + SLACK + ALIGN - 1) / ALIGN * ALIGN;
    plan->memory = aligned_alloc(ALIGN, plan->arena_bytes + plan->scratch_bytes * (size_t)plan->threads + ALIGN);
    if (plan->memory) memset(plan->memory, 0, plan->arena_bytes + plan->scratch_bytes * (size_t)plan->threads);
    if (!plan->memory) p.error = MEMORY;
  }
  free(p.values);
  if (p.error) ks_plan_clear(plan);
  return p.error;
}

void ks_plan_clear(ks_plan *plan) {
  for (int i = 0; i < plan->steps; i++) {
    ks_free_conv(&plan->step[i].conv);
    ks_free_depthwise(&plan->step[i].depthwise);
    ks_free_dense(&plan->step[i].dense);
  }
  free(plan->step);
  free(plan->buffer);
  free(plan->memory);
  plan->step = NULL, plan->buffer = NULL, plan->memory = NULL;
  plan->steps = plan->buffers = 0;
  plan->arena_bytes = plan->scratch_bytes = 0;
}
