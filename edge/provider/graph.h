/* An ONNX graph as the graph that claims and plans are made of: a context of its own, with the int8 layers as nodes. */
#ifndef KS_GRAPH_H
#define KS_GRAPH_H

#include "../delegate/tflite_abi.h"
#include "layer.h"

typedef struct {
  TfLiteContext context; /* first: callbacks get it */
  size_t all;            /* nodes of the ONNX graph, each behind what it reads */
  const OrtNode **node;
  int layers; /* nodes of the context, by index */
  ks_layer *layer;
  int *maker;                 /* per tensor: the layer that makes it, or -1 */
  const OrtValueInfo **value; /* per tensor; NULL for constants */
  uint8_t *flip;              /* per tensor: XORed into its bytes makes them int8 */
  TfLiteNode **read;
  TfLiteRegistration *operation;
  TfLiteIntArray *order;
  TfLiteDelegateParams outside; /* what other nodes read, as often as they do, and outputs of the graph */
  struct ks_memory *memory;
} ks_graph;

typedef enum {
  KS_READ_GOOD,    /* no layers beside which ONNX Runtime's own get slower */
  KS_READ_ALL,     /* whatever the kernels can run */
  KS_READ_CLAIMED, /* a part of a graph, of claimed layers only; what reads its tensors outside is not asked for */
} ks_reading;

/* Returns 0 when memory is out or ONNX Runtime does not answer. Activations are NHWC here, of one image where the batch
 * is not known. */
int ks_graph_read(const OrtApi *ort, const OrtGraph *from, ks_reading reading, ks_graph *graph);
void ks_graph_free(ks_graph *graph);
/* Keeps the context only: ONNX Runtime's graph is there no longer than a call. */
void ks_graph_forget(ks_graph *graph);

/* The tensor of that value, or -1. */
int ks_graph_tensor(const ks_graph *graph, const OrtValueInfo *value);
/* Gives a tensor its dimensions as they are outside: NCHW for four axes. Returns 0 where they are too many or large. */
int ks_graph_resize(ks_graph *graph, int tensor, const int64_t *dims, size_t rank);

/* Output channels whose weights are all zero give their bias. Their scale is whatever an exporter likes, often 1, which
 * may be more than the kernels take: gives them one that does, and a bias of the same result. One that is no number or
 * infinite stays: the layer is then left alone. */
void ks_silence(ks_graph *graph, const TfLiteNode *node, int depthwise);

#endif
