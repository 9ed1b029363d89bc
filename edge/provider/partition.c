#include "partition.h"

#include <stdlib.h>
#include <string.h>

/* A node of the graph, and how often its ways from the start change between claimed nodes and others. */
typedef struct {
  const OrtNode *node;
  int claimed, changes;
} place;

static int by_node(const void *a, const void *b) {
  const char *x = (const char *)((const place *)a)->node, *y = (const char *)((const place *)b)->node;
  return (x > y) - (x < y);
}

static place *find(const ks_graph *graph, place *places, const OrtNode *node) {
  const place key = {.node = node};
  return bsearch(&key, places, graph->all, sizeof key, by_node);
}

/* Returns 0 where a producer is not known. */
static int follow(const OrtApi *ort, const ks_graph *graph, place *places, place *at, const OrtValueInfo *value) {
  const OrtNode *producer = NULL;
  if (!value) return 1;
  if (!ks_went_well(ort, ort->producer(value, &producer, NULL))) return 0;
  if (!producer) return 1;
  const place *from = find(graph, places, producer);
  if (!from) return 0;
  const int changes = from->changes + (from->claimed != at->claimed);
  if (changes > at->changes) at->changes = changes;
  return 1;
}

static int follow_all(const OrtApi *ort, const ks_graph *graph, place *places, const OrtNode *node) {
  place *at = find(graph, places, node);
  size_t count = 0;
  if (!at || !ks_went_well(ort, ort->inputs_count(node, &count)) || count > 1u << 24) return 0;
  const OrtValueInfo **values = calloc(count + 1, sizeof *values);
  int done = values && ks_went_well(ort, ort->inputs(node, values, count));
  for (size_t i = 0; i < count && done; i++) done = follow(ort, graph, places, at, values[i]);
  free(values);
  return done;
}

int ks_partitions(const OrtApi *ort, const ks_graph *graph, const ks_claims *claims, int *partition) {
  place *places = calloc(graph->all + 1, sizeof *places);
  int done = places != NULL, count = 0;
  for (size_t i = 0; i < graph->all && done; i++) places[i].node = graph->node[i];
  if (done) qsort(places, graph->all, sizeof *places, by_node);
  for (int i = 0; i < claims->count && done; i++) {
    const ks_layer *layer = &graph->layer[claims->claim[i].node.index];
    for (int k = 0; k < layer->members && done; k++) {
      place *member = find(graph, places, layer->member[k]);
      if ((done = member != NULL)) member->claimed = 1;
    }
  }
  for (size_t i = 0; i < graph->all && done; i++) done = follow_all(ort, graph, places, graph->node[i]);
  int *changes = calloc((size_t)claims->count + 1, sizeof *changes);
  done = done && changes;
  for (int i = 0; i < claims->count && done; i++) {
    const ks_layer *layer = &graph->layer[claims->claim[i].node.index];
    changes[i] = find(graph, places, layer->member[layer->members - 1])->changes;
    partition[i] = -1;
    for (int k = 0; k < i && partition[i] < 0; k++)
      if (changes[k] == changes[i]) partition[i] = partition[k];
    if (partition[i] < 0) partition[i] = count++;
  }
  free(changes);
  free(places);
  return done ? count : -1;
}
