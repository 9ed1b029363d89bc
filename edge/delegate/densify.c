#include "densify.h"

#include <stdlib.h>

enum { AXES = 8 };

/* The walk through the levels of a sparse tensor: `place[i]` is where level i stands. */
typedef struct {
  const TfLiteTensor *tensor;
  int levels, axes;
  int shape[AXES], block[AXES]; /* per axis; block 1 where there is none */
  int place[AXES];
  size_t used; /* values that were read */
  int8_t *dense;
} walk;

/* Puts the next stored value where the levels say. */
static int put(walk *w) {
  const TfLiteSparsity *s = w->tensor->sparsity;
  size_t index[AXES] = {0};
  for (int level = 0; level < w->levels; level++) {
    const int to = s->traversal_order->data[level];
    if (to < w->axes)
      index[to] += (size_t)w->place[level] * w->block[to];
    else
      index[s->block_map->data[to - w->axes]] += (size_t)w->place[level];
  }
  size_t at = 0;
  for (int axis = 0; axis < w->axes; axis++) {
    if (index[axis] >= (size_t)w->shape[axis]) return 0;
    at = at * w->shape[axis] + index[axis];
  }
  if (w->used >= w->tensor->bytes) return 0;
  w->dense[at] = ((const int8_t *)w->tensor->data)[w->used++];
  return 1;
}

/* `parent` numbers the place of the level above among all of its level. */
static int descend(walk *w, int level, size_t parent) {
  if (level == w->levels) return put(w);
  const TfLiteDimensionMetadata *d = &w->tensor->sparsity->dim_metadata[level];
  if (d->format == kDimDense) {
    for (int i = 0; i < d->dense_size; i++) {
      w->place[level] = i;
      if (!descend(w, level + 1, parent * d->dense_size + i)) return 0;
    }
    return 1;
  }
  if (!d->array_segments || !d->array_indices || parent + 1 >= (size_t)d->array_segments->size) return 0;
  const int first = d->array_segments->data[parent], last = d->array_segments->data[parent + 1];
  if (first < 0 || last < first || last > d->array_indices->size) return 0;
  for (int i = first; i < last; i++) {
    w->place[level] = d->array_indices->data[i];
    if (w->place[level] < 0 || !descend(w, level + 1, (size_t)i)) return 0;
  }
  return 1;
}

int8_t *ks_densify(const TfLiteTensor *tensor) {
  const TfLiteSparsity *s = tensor->sparsity;
  walk w = {.tensor = tensor, .axes = tensor->dims->size, .levels = s->dim_metadata_size};
  const int blocks = s->block_map ? s->block_map->size : 0;
  if (!s->traversal_order || s->traversal_order->size != w.levels || w.levels != w.axes + blocks) return NULL;
  if (w.levels > AXES || !s->dim_metadata) return NULL;
  size_t count = 1;
  for (int axis = 0; axis < w.axes; axis++) {
    w.shape[axis] = tensor->dims->data[axis], w.block[axis] = 1;
    if (w.shape[axis] < 1 || count > INT32_MAX / (size_t)w.shape[axis]) return NULL;
    count *= (size_t)w.shape[axis];
  }
  int seen = 0;
  for (int level = 0; level < w.levels; level++) {
    const int to = s->traversal_order->data[level];
    if (to < 0 || to >= w.levels || seen >> to & 1) return NULL;
    seen |= 1 << to;
    if (to < w.axes) continue;
    const int axis = s->block_map->data[to - w.axes];
    if (axis < 0 || axis >= w.axes || s->dim_metadata[level].format != kDimDense) return NULL;
    if (w.block[axis] != 1 || s->dim_metadata[level].dense_size < 1) return NULL;
    w.block[axis] = s->dim_metadata[level].dense_size;
    if (w.shape[axis] % w.block[axis]) return NULL;
  }
  /* Levels that say less or more than the tensor has would be walked through for nothing, however long they are. */
  for (int level = 0; level < w.levels; level++) {
    const int to = s->traversal_order->data[level];
    const TfLiteDimensionMetadata *d = &s->dim_metadata[level];
    if (to < w.axes && d->format == kDimDense && d->dense_size != w.shape[to] / w.block[to]) return NULL;
  }
  w.dense = calloc(count, 1);
  if (w.dense && descend(&w, 0, 0) && w.used == tensor->bytes) return w.dense;
  free(w.dense);
  return NULL;
}
