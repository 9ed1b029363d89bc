#include "worth.h"

/* Nanoseconds on one thread, with vectors of 16 pixels: measured by `benchmarks/native_onnx.py --layers`, on the safe
 * side. Narrower vectors take as many times longer in both kinds of kernel. */
static const double DENSE = 1 / 190.0, BLOCK = 0.4, OUTPUT = 1; /* of a product; of a block and an output, a vector */
static const double BYTE = 0.1, BORDER = 5000;                  /* of a byte that enters or leaves; of a partition */

static double count(const TfLiteTensor *tensor, int from, int to) {
  double product = 1;
  for (int i = from; i < to; i++) product *= tensor->dims->data[i];
  return product;
}

/* What skipping saves in a convolution. */
static double saved(const ks_graph *graph, const ks_node *node, const ks_family *family) {
  if (node->kind != KS_CONV) return 0;
  const TfLiteTensor *t = graph->context.tensors;
  const int taps = node->height * node->width;
  const double pixels = count(&t[node->out], 0, 3), products = (double)node->outputs * taps * node->inputs;
  const double blocks = (double)ks_count_blocks(t[node->weights].data, node->outputs, taps, node->inputs, 1, KS_GROUP);
  const double wider = 16.0 / family->pixels;
  return wider * pixels * (products * DENSE - (blocks * BLOCK + node->outputs * OUTPUT) / 16);
}

static int made_in(const ks_claims *claims, const int *partition, int which, int tensor) {
  for (int i = 0; i < claims->count; i++)
    if (partition[i] == which && claims->claim[i].node.out == tensor) return 1;
  return 0;
}

/* Whether something else than this partition reads the tensor. */
static int read_outside(const ks_graph *graph, const ks_claims *claims, const int *partition, int which, int tensor) {
  int readers = 0;
  for (int i = 0; i < graph->layers; i++) readers += graph->read[i]->inputs->data[0] == tensor;
  for (int i = 0; i < claims->count; i++) readers -= partition[i] == which && claims->claim[i].node.a == tensor;
  for (int i = 0; i < graph->outside.output_tensors->size; i++)
    readers += graph->outside.output_tensors->data[i] == tensor;
  return readers > 0;
}

int ks_worth(const ks_graph *graph, const ks_claims *claims, const int *partition, int which, const ks_family *family) {
  const TfLiteTensor *t = graph->context.tensors;
  double gain = 0;
  int images = 0;
  for (int i = 0; i < claims->count; i++) {
    const ks_node *node = &claims->claim[i].node;
    if (partition[i] != which || node->kind == KS_DENSE) continue; /* rows are the same everywhere */
    gain += saved(graph, node, family);
    images = 1;
    if (!made_in(claims, partition, which, node->a)) gain -= BYTE * count(&t[node->a], 0, 4);
    if (read_outside(graph, claims, partition, which, node->out)) gain -= BYTE * count(&t[node->out], 0, 4);
  }
  return !images || gain > BORDER;
}
