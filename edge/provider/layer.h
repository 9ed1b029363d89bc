/* A layer of an ONNX graph with its conversions: DequantizeLinear of its inputs, one of Conv, Gemm and MatMul, perhaps
 * an activation that the output's range makes redundant, and QuantizeLinear. */
#ifndef KS_LAYER_H
#define KS_LAYER_H

#include "query.h"

typedef enum { KS_ORT_CONV, KS_ORT_DEPTHWISE, KS_ORT_DENSE } ks_layer_kind;

/* What quantizes a tensor; zero points are of int8, whichever type its bytes have. */
typedef struct {
  ks_tensor bytes;
  const float *scale;
  int scales, zero_point;
  uint8_t flip; /* XORed into its bytes makes them int8 */
} ks_quantized;

enum { KS_MOST_MEMBERS = 6 };

typedef struct {
  ks_layer_kind kind;
  const OrtNode *member[KS_MOST_MEMBERS];
  int members;
  ks_quantized in, weights, bias, out; /* without bias, its data is NULL */
  int transposed;                      /* whether weights of a fully connected layer are [outputs][inputs] */
  int64_t strides[2], pads[4];         /* pads: top, left, bottom, right */
} ks_layer;

/* Whether a node is of a type that layers are read around. */
int ks_may_be_layer(const OrtApi *ort, const OrtNode *node);
/* Reads the layer around a node. Returns 0 where it is none that ONNX Runtime would run in int8, or is not known. */
int ks_read_layer(const OrtApi *ort, const OrtNode *node, ks_layer *layer);

#endif
