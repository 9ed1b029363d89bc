/* The steps of each kind of layer. */
#include <stdlib.h>
#include <string.h>

#include "planning.h"

static int input_zero(const ks_planning *p, const ks_node *node) {
  return p->context->tensors[node->a].params.zero_point;
}

/* Takes the packed weights of a plan that has them for the same places of its inputs, as for another batch. */
static int shared(const ks_planning *p, ks_step *s) {
  const ks_plan *like = p->plan->like;
  for (int i = 0; like && i < like->steps; i++) {
    const ks_step *t = &like->step[i];
    if (!t->plans || t->kind != s->kind || t->node != s->node || t->form != s->form || t->plane != s->plane ||
        memcmp(&t->frame, &s->frame, sizeof s->frame) != 0)
      continue;
    s->conv = t->conv, s->depthwise = t->depthwise, s->dense = t->dense, s->plans = t->plans;
    ++*s->plans;
    return 1;
  }
  return 0;
}

/* Calls `pack` with all numbers of a layer; frees what was made for it. */
typedef int (*pack_with)(void *argument, const int8_t *weights, const ks_numbers *numbers);

static void pack(ks_planning *p, ks_step *s, const ks_node *node, pack_with with, void *argument) {
  s->node = node->index;
  if (shared(p, s)) return;
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
  s->plans = malloc(sizeof *s->plans);
  if (s->plans) *s->plans = 1;
  if (!weights || !scale || !s->plans || !with(argument, weights, &numbers)) p->error = KS_NO_MEMORY;
  free(scale);
  free(made);
}

/* The value that a convolution reads, through a PAD that it does itself, and the frame of its padded image. */
static ks_value *framed(ks_planning *p, const ks_node *node, ks_frame *f, int *height, int *width) {
  ks_value *a = ks_value_of(p, node->a);
  const ks_window w = ks_window_of(node, a->height, a->width);
  int top = w.top, left = w.left;
  *height = w.height, *width = w.width;
  if (a->framed >= 0) {
    const ks_node *pad = &p->plan->claim[a->framed].node;
    a = ks_value_of(p, pad->a);
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
} conv_packing;

static int pack_conv(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  return ks_pack_conv(&c->step->conv, weights, c->node->outputs, c->node->height * c->node->width, c->node->inputs,
                      c->taps, c->step->plane, numbers);
}

/* Tiles of pixels of equal size, and parts of the channels where threads need more units. */
static void tile_conv(ks_planning *p, ks_step *s) {
  const int lanes = p->plan->family->pixels, vectors = ks_divide_up(s->flat, lanes);
  s->tiles = ks_divide_up(vectors, p->plan->family->tile);
  s->tile = ks_divide_up(vectors, s->tiles) * lanes;
  s->tiles = ks_divide_up(s->flat, s->tile);
  const int wanted = p->plan->threads < 2 ? 1 : ks_divide_up(4 * p->plan->threads, s->tiles * s->images);
  s->chunk = ks_divide_up(s->groups, wanted < s->groups ? wanted : s->groups);
  s->units = s->tiles * ks_divide_up(s->groups, s->chunk);
  if (s->pitch != s->width) {
    const size_t scratch = (size_t)s->chunk * s->tile * 4;
    if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  }
}

static void count_conv(ks_planning *p, const ks_step *s) {
  if (p->error) return;
  const double vectors = (double)s->images * ks_divide_up(s->flat, p->plan->family->pixels);
  const double outputs = (double)s->groups * KS_GROUP;
  p->plan->work += vectors * (s->conv.first[s->groups * KS_GROUP] * KS_INSTRUCTION + outputs * KS_OUTPUTS);
}

void ks_plan_conv(ks_planning *p, const ks_node *node, const int *dims) {
  ks_frame f;
  int height, width, taps = node->height * node->width;
  ks_value *a = framed(p, node, &f, &height, &width);
  ks_value *out = ks_new_value(p, node->out, 4, dims);
  ks_place in = ks_planes_of(p, a);
  int32_t *offsets = malloc(sizeof *offsets * (size_t)taps);
  if (!offsets) {
    p->error = KS_NO_MEMORY;
    return;
  }
  size_t plane = ks_plane_bytes(ks_pixels(a)), image = plane * ks_groups(a->channels), step_plane = plane;
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
    image = plane * ks_groups(a->channels);
    const ks_place frame = {-1, ks_new_buffer(p, image * a->images + (size_t)f.pitch * node->height * 4)};
    ks_step *s = ks_new_step(p, KS_STEP_FRAME, in, KS_NOWHERE, frame);
    ks_shape_step(s, a, a);
    s->frame = f, s->out_plane = step_plane, s->out_image = image, s->a_image = a_image;
    s->chunk = ks_chunk(p->plan, s->groups, 1), s->units = ks_divide_up(s->groups, s->chunk);
    s->frame_plane = plane;
    in = frame;
    for (int ky = 0; ky < node->height; ky++)
      for (int kx = 0; kx < node->width; kx++)
        offsets[ky * node->width + kx] = (int32_t)((ky % f.stride_y * f.phases_x + kx % f.stride_x) * step_plane) +
                                         4 * (ky / f.stride_y * f.pitch + kx / f.stride_x);
  }
  ks_step *s = ks_new_step(p, KS_STEP_CONV, in, KS_NOWHERE, ks_new_planes(p, out));
  ks_shape_step(s, out, out);
  s->a_image = image, s->rows = height, s->width = width, s->pitch = pitch;
  s->flat = (height - 1) * pitch + width;
  tile_conv(p, s);
  s->frame = f, s->plane = plane; /* the offsets follow from them */
  conv_packing packing = {s, node, offsets};
  pack(p, s, node, pack_conv, &packing);
  count_conv(p, s);
  free(offsets);
}

static int pack_depthwise(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  return ks_pack_depthwise(&c->step->depthwise, weights, c->node->outputs, c->node->height, c->node->width,
                           c->node->stride_x, numbers);
}

void ks_plan_depthwise(ks_planning *p, const ks_node *node, const int *dims) {
  ks_frame f;
  int height, width;
  ks_value *a = framed(p, node, &f, &height, &width);
  ks_value *out = ks_new_value(p, node->out, 4, dims);
  const ks_place in = ks_planes_of(p, a);
  ks_step *s = ks_new_step(p, KS_STEP_DEPTHWISE, in, KS_NOWHERE, ks_new_planes(p, out));
  ks_shape_step(s, a, out);
  f.stride_y = f.stride_x = f.phases_y = f.phases_x = 1;
  f.rows = (height - 1) * node->stride_y + node->height;
  f.pitch = (width - 1) * node->stride_x + node->width;
  s->frame = f, s->rows = height, s->width = width;
  s->frame_plane = ks_plane_bytes((size_t)f.rows * f.pitch);
  s->chunk = 1, s->units = s->groups;
  const size_t scratch = s->frame_plane + KS_SLACK;
  if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  conv_packing packing = {s, node, NULL};
  pack(p, s, node, pack_depthwise, &packing);
  const double vectors = 4.0 * s->images * s->groups * s->pixels / p->plan->family->pixels;
  p->plan->work += vectors * (node->height * ((node->width + 3) / 4) * KS_INSTRUCTION + KS_OUTPUTS);
}

static int pack_dense(void *argument, const int8_t *weights, const ks_numbers *numbers) {
  const conv_packing *c = argument;
  const int rows = c->step->form == KS_AS_16X4 ? 16 : 1;
  return ks_pack_dense(&c->step->dense, weights, c->node->outputs, c->node->inputs, rows, rows == 16 ? 4 : 16, numbers);
}

/* Many vectors at once are the pixels of a 1x1 convolution. */
static void plan_matrix(ks_planning *p, const ks_node *node, const int *dims) {
  static const int32_t here = 0;
  ks_value *a = ks_value_of(p, node->a), *out = ks_new_value(p, node->out, 2, dims);
  const ks_place in = ks_planes_of(p, a);
  ks_step *s = ks_new_step(p, KS_STEP_CONV, in, KS_NOWHERE, ks_new_planes(p, out));
  ks_shape_step(s, a, out);
  s->rows = 1, s->width = s->pitch = s->flat = (int)s->pixels;
  tile_conv(p, s);
  s->plane = s->a_plane;
  conv_packing packing = {s, node, &here};
  pack(p, s, node, pack_conv, &packing);
  count_conv(p, s);
}

void ks_plan_dense(ks_planning *p, const ks_claim *claim, int rank, const int *dims) {
  const ks_node *node = &claim->node;
  ks_value *a = ks_value_of(p, node->a);
  ks_form form = claim->form;
  if (p->plan->channels_first && a->rank == 4 && ks_pixels(a) > 1) {
    p->error = "a convolution of one pixel is given more: the model says a wrong shape";
    return;
  }
  if (form == KS_AS_PLANES && a->images == 1 && a->channels == node->inputs) {
    plan_matrix(p, node, dims);
    return;
  }
  if (form == KS_AS_PLANES) form = KS_AS_16X4; /* resized: the planes of this input are not of its rows */
  ks_value *out = ks_new_value(p, node->out, rank, dims);
  const ks_place in = ks_rows_of(p, a), to = ks_new_rows(p, out);
  out->rows = to;
  ks_step *s = ks_new_step(p, KS_STEP_DENSE, in, KS_NOWHERE, to);
  s->images = out->images * (int)ks_pixels(out);
  s->inputs = node->inputs, s->channels = node->outputs, s->form = form;
  s->flip = p->plan->family->flip ^ ks_flip_of(p, node->a), s->out_flip = ks_flip_of(p, node->out);
  s->a_image = (size_t)node->inputs, s->out_image = (size_t)node->outputs;
  const int rows = ks_divide_up(node->outputs, KS_ROWS);
  s->chunk = ks_chunk(p->plan, rows, 8), s->units = ks_divide_up(rows, s->chunk);
  const size_t scratch = (size_t)ks_divide_up(node->inputs, 64) * 64 + KS_SLACK;
  if (scratch > p->plan->scratch_bytes) p->plan->scratch_bytes = scratch;
  conv_packing packing = {s, node, NULL};
  pack(p, s, node, pack_dense, &packing);
  if (p->error) return;
  const double work = s->dense.first[s->form == KS_AS_16X4 ? rows : rows * KS_ROWS] * 2 * KS_INSTRUCTION;
  p->plan->work += s->images * work;
  if (work < KS_LITTLE) s->chunk = rows, s->units = 1; /* each unit flips the inputs anew */
}

void ks_plan_add(ks_planning *p, const ks_node *node, const int *dims) {
  ks_value *a = ks_value_of(p, node->a), *b = ks_value_of(p, node->b), *out = ks_new_value(p, node->out, 4, dims);
  const ks_place x = ks_planes_of(p, a), y = ks_planes_of(p, b);
  ks_step *s = ks_new_step(p, KS_STEP_ADD, x, y, ks_new_planes(p, out));
  ks_shape_step(s, a, out);
  s->chunk = ks_chunk(p->plan, s->groups, 4), s->units = ks_divide_up(s->groups, s->chunk);
  ks_add_of(p->context, node, &s->add);
}

void ks_plan_pad(ks_planning *p, const ks_node *node, const int *dims) {
  ks_value *a = ks_value_of(p, node->a), *out = ks_new_value(p, node->out, 4, dims);
  const ks_place in = ks_planes_of(p, a);
  ks_step *s = ks_new_step(p, KS_STEP_FRAME, in, KS_NOWHERE, ks_new_planes(p, out));
  ks_shape_step(s, a, out);
  s->frame = (ks_frame){.height = a->height,
                        .width = a->width,
                        .top = node->top,
                        .left = node->left,
                        .stride_y = 1,
                        .stride_x = 1,
                        .phases_y = 1,
                        .phases_x = 1,
                        .rows = out->height,
                        .pitch = out->width};
  memset(s->frame.fill, (uint8_t)input_zero(p, node) ^ p->plan->family->flip, 4);
  s->frame_plane = s->out_plane;
  s->chunk = ks_chunk(p->plan, s->groups, 1), s->units = ks_divide_up(s->groups, s->chunk);
}
