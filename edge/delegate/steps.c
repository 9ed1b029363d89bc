/* Runs the steps of a plan. */
#include <string.h>

#include "plan.h"

typedef struct {
  const ks_plan *plan;
  const ks_step *step;
  const uint8_t *a, *b;
  uint8_t *out;
} job;

static int smaller(int a, int b) { return a < b ? a : b; }

static uint8_t *scratch(const ks_plan *plan, int thread) {
  return plan->memory + plan->arena_bytes + plan->scratch_bytes * (size_t)thread;
}

static uint8_t *at(const ks_plan *plan, const TfLiteContext *context, ks_place place) {
  if (place.tensor >= 0) return context->tensors[place.tensor].data;
  return place.buffer >= 0 ? plan->memory + plan->buffer[place.buffer].offset : NULL;
}

static void enter(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, first = unit % s->units * s->chunk;
  (void)thread;
  const int8_t *in = (const int8_t *)j->a + image * s->a_image;
  uint8_t *out = j->out + image * s->out_image;
  const int last = smaller(first + s->chunk, s->groups);
  if (s->channels_first)
    ks_to_planes_nchw(in, out, s->pixels, s->channels, first, last, s->flip);
  else
    ks_to_planes(in, out, s->pixels, s->channels, first, last, s->flip);
}

static void leave(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, first = unit % s->units * s->chunk;
  (void)thread;
  const uint8_t *in = j->a + image * s->a_image;
  int8_t *out = (int8_t *)j->out + image * s->out_image;
  const size_t last = (size_t)smaller(first + s->chunk, (int)s->pixels);
  if (s->channels_first)
    ks_from_planes_nchw(in, out, s->pixels, s->channels, (size_t)first, last, s->flip);
  else
    ks_from_planes(in, out, s->pixels, s->channels, (size_t)first, last, s->flip);
}

static void frame(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, first = unit % s->units * s->chunk;
  (void)thread;
  for (int g = first; g < smaller(first + s->chunk, s->groups); g++)
    ks_pad_plane(&s->frame, j->a + image * s->a_image + g * s->a_plane,
                 j->out + image * s->out_image + g * s->frame_plane, s->out_plane);
}

/* The pixels of a tile that are in the output, from rows of the pitch to rows of the width. */
static void compact(const ks_step *s, const uint8_t *from, uint8_t *out, int q0, int q1) {
  for (int y = q0 / s->pitch; y * s->pitch < q1; y++) {
    const int x0 = q0 > y * s->pitch ? q0 - y * s->pitch : 0, x1 = smaller(s->width, q1 - y * s->pitch);
    if (x0 < x1)
      memcpy(out + 4 * ((size_t)y * s->width + x0), from + 4 * ((size_t)y * s->pitch + x0 - q0), 4 * (size_t)(x1 - x0));
  }
}

static void conv(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, tile = unit % s->units % s->tiles;
  const int first = unit % s->units / s->tiles * s->chunk, last = smaller(first + s->chunk, s->groups);
  const int q0 = tile * s->tile, pixels = smaller(s->tile, s->flat - q0);
  const uint8_t *in = j->a + image * s->a_image + 4 * (size_t)q0;
  uint8_t *out = j->out + image * s->out_image;
  if (s->pitch == s->width) {
    j->plan->family->conv(&s->conv, in, out + 4 * (size_t)q0, s->out_plane, pixels, first, last);
    return;
  }
  const size_t plane = 4 * (size_t)s->tile;
  uint8_t *flat = scratch(j->plan, thread);
  j->plan->family->conv(&s->conv, in, flat - first * plane, plane, pixels, first, last);
  for (int g = first; g < last; g++) compact(s, flat + (g - first) * plane, out + g * s->out_plane, q0, q0 + pixels);
}

static void depthwise(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, g = unit % s->units;
  uint8_t *padded = scratch(j->plan, thread);
  ks_pad_plane(&s->frame, j->a + image * s->a_image + g * s->a_plane, padded, s->frame_plane);
  j->plan->family->depthwise(&s->depthwise, g, padded, 4 * (size_t)s->frame.pitch,
                             j->out + image * s->out_image + g * s->out_plane, s->width, s->rows);
}

static void dense(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int vector = unit / s->units, first = unit % s->units * s->chunk;
  const int last = smaller(first + s->chunk, (s->channels + KS_ROWS - 1) / KS_ROWS);
  const uint8_t *in = j->a + vector * s->a_image;
  int8_t *out = (int8_t *)j->out + vector * s->out_image;
  uint8_t *flipped = scratch(j->plan, thread);
  ks_flip(in, flipped, (size_t)s->inputs, s->flip);
  if (s->form == KS_AS_16X4)
    j->plan->family->dense_16x4(&s->dense, flipped, out, first, last, s->channels);
  else
    j->plan->family->dense_1x16(&s->dense, flipped, out, first, last, s->channels);
  const int8_t turn = (int8_t)s->out_flip; /* read once: bytes that are written may be anything's to the compiler */
  const int end = smaller(KS_ROWS * last, s->channels);
  for (int n = KS_ROWS * first; turn && n < end; n++) out[n] ^= turn;
}

static void add(void *argument, int unit, int thread) {
  const job *j = argument;
  const ks_step *s = j->step;
  const int image = unit / s->units, first = unit % s->units * s->chunk;
  const size_t from = image * s->a_image + first * s->a_plane;
  (void)thread;
  j->plan->family->add(&s->add, j->a + from, j->b + from, j->out + from,
                       (size_t)(smaller(first + s->chunk, s->groups) - first) * s->a_plane);
}

static const ks_unit RUN[] = {enter, leave, frame, conv, depthwise, dense, add};

void ks_plan_run(ks_plan *plan, TfLiteContext *context) {
  const int pooled = !plan->share && plan->work >= KS_LITTLE;
  const int threads = pooled ? ks_pool_begin(plan->pool, plan->threads) : 1;
  for (int i = 0; i < plan->steps; i++) {
    const ks_step *s = &plan->step[i];
    job j = {plan, s, at(plan, context, s->a), at(plan, context, s->b), at(plan, context, s->out)};
    const int units = s->images * s->units;
    if (plan->share && plan->threads > 1 && units > 1 && plan->work >= KS_LITTLE)
      plan->share(plan->sharer, plan->threads, RUN[s->kind], &j, units);
    else
      ks_pool_run(plan->pool, threads, RUN[s->kind], &j, units);
  }
  if (pooled) ks_pool_end(plan->pool, threads);
}
