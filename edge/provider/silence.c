#include <math.h>

#include "graph.h"

static int silent(const int8_t *weights, size_t products, size_t step) {
  for (size_t i = 0; i < products; i++)
    if (weights[i * step]) return 0;
  return 1;
}

void ks_silence(ks_graph *graph, const TfLiteNode *node, int depthwise) {
  const TfLiteTensor *t = graph->context.tensors, *weights = &t[node->inputs->data[1]];
  const TfLiteAffineQuantization *quantization = weights->quantization.params;
  const int outputs = weights->dims->data[depthwise ? 3 : 0];
  const size_t products = weights->bytes / (size_t)outputs;
  const float in = t[node->inputs->data[0]].params.scale, out = t[node->outputs->data[0]].params.scale;
  int32_t *bias = node->inputs->size > 2 ? t[node->inputs->data[2]].data : NULL;
  if (quantization->scale->size != outputs) return;
  for (int n = 0; n < outputs; n++) {
    const int8_t *first = (const int8_t *)weights->data + (size_t)n * (depthwise ? 1 : products);
    float *scale = &quantization->scale->data[n];
    if (!silent(first, products, depthwise ? (size_t)outputs : 1)) continue;
    if (!isfinite(in * *scale / out)) continue; /* left to ONNX Runtime: a sum of zero times that is no number */
    const float steps = bias ? (float)bias[n] * (in * *scale / out) : 0; /* of the output; above 255 it is cut off */
    if (bias) bias[n] = 2 * (int32_t)rintf(fminf(fmaxf(steps, -256), 256));
    *scale = 0.5f * out / in;
  }
}
