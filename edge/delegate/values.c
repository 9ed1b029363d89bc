#include <string.h>

#include "planning.h"

static int somewhere(ks_place place) { return place.tensor >= 0 || place.buffer >= 0; }

ks_value *ks_value_of(ks_planning *p, int tensor) {
  for (int i = 0; i < p->count; i++)
    if (p->values[i].tensor == tensor) return &p->values[i];
  return NULL;
}

ks_value *ks_new_value(ks_planning *p, int tensor, int rank, const int *dims) {
  ks_value *v = &p->values[p->count++];
  memset(v, 0, sizeof *v);
  v->tensor = tensor, v->rank = rank, v->framed = -1;
  v->rows = v->planes = KS_NOWHERE;
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

int ks_new_buffer(ks_planning *p, size_t size) {
  ks_plan *plan = p->plan;
  ks_buffer *b = &plan->buffer[plan->buffers];
  b->size = (size + KS_SLACK + KS_ALIGN - 1) / KS_ALIGN * KS_ALIGN;
  b->first = plan->steps, b->last = plan->steps;
  return plan->buffers++;
}

ks_step *ks_new_step(ks_planning *p, ks_step_kind kind, ks_place a, ks_place b, ks_place out) {
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
int ks_chunk(const ks_plan *plan, int count, int least) {
  const int chunk = ks_divide_up(count, plan->threads < 2 ? 1 : 4 * plan->threads);
  return chunk < least ? (least < count ? least : count) : chunk;
}

ks_place ks_new_planes(ks_planning *p, ks_value *v) {
  v->planes = (ks_place){-1, ks_new_buffer(p, v->images * ks_groups(v->channels) * ks_plane_bytes(ks_pixels(v)))};
  return v->planes;
}

void ks_shape_step(ks_step *s, const ks_value *a, const ks_value *out) {
  s->channels = out->channels, s->groups = ks_groups(out->channels), s->pixels = ks_pixels(out);
  s->images = out->images;
  s->a_plane = ks_plane_bytes(ks_pixels(a)), s->out_plane = ks_plane_bytes(ks_pixels(out));
  s->a_image = s->a_plane * ks_groups(a->channels), s->out_image = s->out_plane * s->groups;
}

/* The value in planes or in rows, converted where it is not yet there. */
ks_place ks_planes_of(ks_planning *p, ks_value *v) {
  if (somewhere(v->planes)) return v->planes;
  const ks_place rows = v->rows, planes = ks_new_planes(p, v);
  ks_step *s = ks_new_step(p, KS_STEP_ENTER, rows, KS_NOWHERE, planes);
  ks_shape_step(s, v, v);
  s->a_image = ks_pixels(v) * v->channels;
  s->flip = p->plan->family->flip ^ ks_flip_of(p, v->tensor);
  s->channels_first = p->plan->channels_first && v->rank == 4;
  s->chunk = ks_chunk(p->plan, s->groups, 16);
  s->units = ks_divide_up(s->groups, s->chunk);
  return planes;
}

static void rows_to(ks_planning *p, ks_value *v, ks_place to) {
  ks_step *s = ks_new_step(p, KS_STEP_LEAVE, v->planes, KS_NOWHERE, to);
  ks_shape_step(s, v, v);
  s->out_image = ks_pixels(v) * v->channels;
  s->flip = p->plan->family->flip ^ ks_flip_of(p, v->tensor);
  s->channels_first = p->plan->channels_first && v->rank == 4;
  s->chunk = (int)(ks_chunk(p->plan, ks_divide_up((int)s->pixels, KS_PIXELS), 4) * KS_PIXELS);
  s->units = ks_divide_up((int)s->pixels, s->chunk);
  v->rows = to;
}

ks_place ks_new_rows(ks_planning *p, ks_value *v) {
  for (int i = 0; i < p->plan->outputs; i++) /* made where the interpreter wants it */
    if (p->plan->output[i] == v->tensor) return (ks_place){v->tensor, -1};
  return (ks_place){-1, ks_new_buffer(p, v->images * ks_pixels(v) * v->channels)};
}

ks_place ks_rows_of(ks_planning *p, ks_value *v) {
  if (!somewhere(v->rows)) rows_to(p, v, ks_new_rows(p, v));
  return v->rows;
}
