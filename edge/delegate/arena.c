#include <stdlib.h>

#include "planning.h"

/* Puts the buffers into one memory, those that are used at the same time beside each other: largest first, each at the
 * lowest place that is free for as long as it is used. */
int ks_place_buffers(ks_plan *plan) {
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
