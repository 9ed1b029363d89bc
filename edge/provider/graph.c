#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "../delegate/node.h"

typedef struct ks_memory {
  struct ks_memory *next;
  max_align_t bytes[];
} ks_memory;

/* Zeros that live as long as the graph, or NULL. */
static void *memory(ks_graph *graph, size_t bytes) {
  ks_memory *made = calloc(1, sizeof *made + bytes);
  if (!made) return NULL;
  made->next = graph->memory, graph->memory = made;
  return made->bytes;
}

static TfLiteIntArray *integers(ks_graph *graph, int count) {
  TfLiteIntArray *made = memory(graph, sizeof *made + sizeof(int) * (size_t)count);
  if (made) made->size = count;
  return made;
}

static TfLiteAffineQuantization *affine(ks_graph *graph, const float *scale, int count, int zero_point, int axis) {
  TfLiteAffineQuantization *made = memory(graph, sizeof *made);
  if (!made) return NULL;
  made->scale = memory(graph, sizeof *made->scale + sizeof(float) * (size_t)count);
  made->zero_point = integers(graph, 1);
  if (!made->scale || !made->zero_point) return NULL;
  made->scale->size = count, made->quantized_dimension = axis;
  memcpy(made->scale->data, scale, sizeof(float) * (size_t)count);
  made->zero_point->data[0] = zero_point;
  return made;
}

int ks_graph_tensor(const ks_graph *graph, const OrtValueInfo *value) {
  for (int t = (int)graph->context.tensors_size - 1; t >= 0; t--)
    if (graph->value[t] == value) return t;
  return -1;
}

int ks_graph_resize(ks_graph *graph, int tensor, const int64_t *dims, size_t rank) {
  static const int nchw[] = {0, 2, 3, 1};
  TfLiteIntArray *to = graph->context.tensors[tensor].dims;
  if (rank < 1 || rank > 4) return 0;
  for (size_t i = 0; i < rank; i++) {
    const int64_t extent = dims[rank == 4 ? nchw[i] : (int)i];
    if (extent < 1 || extent > KS_MOST_BYTES) return 0;
    to->data[i] = (int)extent;
  }
  to->size = (int)rank;
  return 1;
}

/* A new tensor, or -1 when memory is out. */
static int new_tensor(ks_graph *graph, const ks_quantized *from, int type, int axis) {
  const int t = (int)graph->context.tensors_size;
  TfLiteTensor *tensor = &graph->context.tensors[t];
  tensor->type = type;
  tensor->params.scale = *from->scale, tensor->params.zero_point = from->zero_point;
  tensor->quantization.type = kAffineQuantization;
  tensor->quantization.params = affine(graph, from->scale, from->scales, from->zero_point, axis);
  tensor->dims = integers(graph, 4); /* with space for any rank */
  if (!tensor->quantization.params || !tensor->dims) return -1;
  graph->maker[t] = -1, graph->flip[t] = from->flip;
  graph->context.tensors_size++;
  return t;
}

/* The tensor of an activation, new or as it is; -1 where it is not what it was, or of unknown shape. */
static int activation(ks_graph *graph, const ks_quantized *from) {
  int64_t dims[4];
  memcpy(dims, from->bytes.dims, sizeof dims);
  if (dims[0] < 0) dims[0] = 1;
  int t = ks_graph_tensor(graph, from->bytes.value);
  if (t >= 0) {
    const TfLiteTensor *is = &graph->context.tensors[t];
    const int same = is->params.scale == *from->scale && is->params.zero_point == from->zero_point;
    return same && graph->flip[t] == from->flip ? t : -1;
  }
  t = new_tensor(graph, from, kInt8, 0);
  if (t < 0) return -1;
  graph->value[t] = from->bytes.value;
  if (ks_graph_resize(graph, t, dims, (size_t)from->bytes.rank)) return t;
  graph->value[t] = NULL; /* nothing refers to it */
  return -1;
}

static int constant(ks_graph *graph, const ks_quantized *from, int type, const int *dims, int rank, int axis,
                    void *data, size_t bytes) {
  const int t = data ? new_tensor(graph, from, type, axis) : -1;
  if (t < 0) return -1;
  TfLiteTensor *tensor = &graph->context.tensors[t];
  tensor->allocation_type = kMmapRo, tensor->data = data, tensor->bytes = bytes;
  tensor->dims->size = rank;
  memcpy(tensor->dims->data, dims, sizeof *dims * (size_t)rank);
  return t;
}

/* Weights as LiteRT has them: OHWI, 1HWC for depthwise ones, [outputs][inputs] for fully connected ones. */
static int weights(ks_graph *graph, const ks_layer *layer) {
  const ks_tensor *from = &layer->weights.bytes;
  const int8_t *in = from->data;
  const int8_t flip = (int8_t)layer->weights.flip;
  int8_t *out = memory(graph, from->count);
  int d[4] = {1, 1, 1, 1}, dims[4] = {1, 1, 1, 1}, rank = 4, axis = 0;
  if (!out) return -1;
  for (int i = 0; i < from->rank; i++) d[i] = (int)from->dims[i];
  if (layer->kind == KS_ORT_DENSE) {
    rank = 2, dims[0] = layer->transposed ? d[0] : d[1], dims[1] = layer->transposed ? d[1] : d[0];
    const size_t n_step = layer->transposed ? (size_t)d[1] : 1, i_step = layer->transposed ? 1 : (size_t)d[1];
    for (int n = 0; n < dims[0]; n++)
      for (int i = 0; i < dims[1]; i++)
        out[(size_t)n * dims[1] + i] = in[(size_t)n * n_step + (size_t)i * i_step] ^ flip;
  } else {
    const size_t pixels = (size_t)d[2] * d[3];
    const int depthwise = layer->kind == KS_ORT_DEPTHWISE;
    const size_t images = depthwise ? 1 : (size_t)d[0], channels = (size_t)(depthwise ? d[0] : d[1]);
    dims[0] = (int)images, dims[1] = d[2], dims[2] = d[3], dims[3] = (int)channels, axis = depthwise ? 3 : 0;
    for (size_t n = 0; n < images; n++)
      for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < pixels; p++)
          out[(n * pixels + p) * channels + c] = in[(n * channels + c) * pixels + p] ^ flip;
  }
  return constant(graph, &layer->weights, kInt8, dims, rank, axis, out, from->count);
}

static int bias(ks_graph *graph, const ks_layer *layer) {
  const ks_tensor *from = &layer->bias.bytes;
  const int count = (int)from->count;
  int32_t *copy = memory(graph, sizeof *copy * from->count);
  if (!copy) return -1;
  memcpy(copy, from->data, sizeof *copy * from->count);
  return constant(graph, &layer->bias, kInt32, &count, 1, 0, copy, sizeof *copy * from->count);
}

static void *parameters(ks_graph *graph, const ks_layer *layer, TfLiteNode *node) {
  int *pads = memory(graph, 4 * sizeof *pads), padded = 0;
  if (!pads) return NULL;
  for (int i = 0; i < 4; i++) {
    const int64_t pad = layer->pads[i];
    pads[i] = pad < 0 || pad > KS_MOST_STRIDE ? -1 : (int)pad; /* -1 is refused */
    padded |= pads[i] != 0;
  }
  node->custom_initial_data = pads, node->custom_initial_data_size = 4 * sizeof *pads;
  const int padding = padded ? KS_EXPLICIT : kValid;
  const int y = layer->strides[0] > KS_MOST_STRIDE ? 0 : (int)layer->strides[0]; /* 0 is refused */
  const int x = layer->strides[1] > KS_MOST_STRIDE ? 0 : (int)layer->strides[1];
  if (layer->kind == KS_ORT_CONV) {
    TfLiteConvParams *made = memory(graph, sizeof *made);
    if (made) *made = (TfLiteConvParams){padding, x, y, kNone, 1, 1};
    return made;
  }
  if (layer->kind == KS_ORT_DEPTHWISE) {
    TfLiteDepthwiseConvParams *made = memory(graph, sizeof *made);
    if (made) *made = (TfLiteDepthwiseConvParams){padding, x, y, 1, kNone, 1, 1};
    return made;
  }
  TfLiteFullyConnectedParams *made = memory(graph, sizeof *made);
  if (made) *made = (TfLiteFullyConnectedParams){kNone, 0, true, false};
  return made;
}

/* Makes layer `graph->layers` a node of the context, where its tensors can be. Returns 0 when memory is out. */
static int add(ks_graph *graph) {
  static const int codes[] = {
      [KS_ORT_CONV] = kConv2d, [KS_ORT_DEPTHWISE] = kDepthwiseConv2d, [KS_ORT_DENSE] = kFullyConnected};
  const int index = graph->layers;
  const ks_layer *layer = &graph->layer[index];
  const int a = activation(graph, &layer->in), out = a < 0 ? -1 : activation(graph, &layer->out);
  if (out < 0 || graph->maker[out] >= 0) return 1; /* left to ONNX Runtime */
  TfLiteNode *node = memory(graph, sizeof *node);
  if (!node) return 0;
  node->inputs = integers(graph, layer->bias.bytes.data ? 3 : 2), node->outputs = integers(graph, 1);
  if (!node->inputs || !node->outputs || !(node->builtin_data = parameters(graph, layer, node))) return 0;
  node->inputs->data[0] = a, node->outputs->data[0] = out;
  if ((node->inputs->data[1] = weights(graph, layer)) < 0) return 0;
  if (layer->bias.bytes.data && (node->inputs->data[2] = bias(graph, layer)) < 0) return 0;
  ks_silence(graph, node, layer->kind == KS_ORT_DEPTHWISE);
  graph->read[index] = node, graph->operation[index].builtin_code = codes[layer->kind];
  graph->maker[out] = index, graph->order->data[graph->order->size++] = index;
  graph->layers++;
  return 1;
}

/* What is read outside of the layers, for which claims must leave it as it is. */
static int find_outside(const OrtApi *ort, ks_graph *graph) {
  const int tensors = (int)graph->context.tensors_size;
  size_t entries = 0;
  for (int pass = 0; pass < 2; pass++) {
    if (pass == 1 && !(graph->outside.output_tensors = integers(graph, (int)entries))) return 0;
    entries = 0;
    for (int t = 0; t < tensors; t++) {
      bool output = false;
      size_t readers = 0;
      if (!graph->value[t]) continue;
      if (!ks_went_well(ort, ort->consumers_count(graph->value[t], &readers))) return 0;
      if (!ks_went_well(ort, ort->is_graph_output(graph->value[t], &output))) return 0;
      for (int i = 0; i < graph->layers; i++) readers -= graph->read[i]->inputs->data[0] == t;
      for (readers += output; readers > 0 && readers < 1u << 20; readers--, entries++)
        if (pass == 1) graph->outside.output_tensors->data[entries] = t;
    }
  }
  return 1;
}

static int get_plan(TfLiteContext *context, TfLiteIntArray **plan) {
  *plan = ((ks_graph *)context)->order;
  return kOk;
}

static int get_node(TfLiteContext *context, int index, TfLiteNode **node, TfLiteRegistration **made) {
  ks_graph *graph = (ks_graph *)context;
  *node = graph->read[index], *made = &graph->operation[index];
  return kOk;
}

static int get_outside(TfLiteContext *context, const TfLiteIntArray *nodes, TfLiteDelegateParams **outside,
                       int *count) {
  (void)nodes;
  *outside = &((ks_graph *)context)->outside, *count = 1;
  return kOk;
}

static int resize(TfLiteContext *context, TfLiteTensor *tensor, TfLiteIntArray *size) {
  (void)context;
  memcpy(tensor->dims, size, sizeof *size + sizeof(int) * (size_t)size->size); /* at most four */
  free(size);
  return kOk;
}

/* On x86-64, ONNX Runtime turns int8 activations into uint8 before it runs them. It cannot where a layer of another
 * provider reads or makes them, and would run the layers beside that one in float. */
static int left_to_uint8(const ks_layer *layer) {
#if defined(__aarch64__)
  (void)layer;
  return 0;
#else
  return layer->in.bytes.type == kOrtInt8;
#endif
}

static int make_space(const OrtApi *ort, ks_graph *graph) {
  size_t most = 1;
  for (size_t i = 0; i < graph->all; i++) most += (size_t)ks_may_be_layer(ort, graph->node[i]);
  const size_t tensors = 4 * most;
  graph->layer = memory(graph, sizeof *graph->layer * most), graph->read = memory(graph, sizeof *graph->read * most);
  graph->operation = memory(graph, sizeof *graph->operation * most);
  graph->maker = memory(graph, sizeof *graph->maker * tensors), graph->flip = memory(graph, tensors);
  graph->value = memory(graph, sizeof *graph->value * tensors);
  graph->context.tensors = memory(graph, sizeof *graph->context.tensors * tensors);
  graph->order = integers(graph, (int)most);
  if (graph->order) graph->order->size = 0;
  return graph->layer && graph->read && graph->operation && graph->maker && graph->flip && graph->value &&
         graph->context.tensors && graph->order;
}

int ks_graph_read(const OrtApi *ort, const OrtGraph *from, ks_reading reading, ks_graph *graph) {
  memset(graph, 0, sizeof *graph);
  graph->context.get_execution_plan = get_plan, graph->context.get_node_and_registration = get_node;
  graph->context.preview_delegate_partitioning = get_outside, graph->context.resize_tensor = resize;
  if (!ks_went_well(ort, ort->nodes_count(from, &graph->all)) || graph->all > 1u << 24) return 0;
  graph->node = memory(graph, sizeof *graph->node * (graph->all + 1));
  int done = graph->node && ks_went_well(ort, ort->nodes(from, graph->node, graph->all)) && make_space(ort, graph);
  for (size_t i = 0; i < graph->all && done; i++)
    if (ks_read_layer(ort, graph->node[i], &graph->layer[graph->layers]) &&
        (reading != KS_READ_GOOD || !left_to_uint8(&graph->layer[graph->layers])))
      done = add(graph);
  if (done && reading == KS_READ_CLAIMED) /* ONNX Runtime 1.23 ends the process where one asks for readers outside */
    done = (graph->outside.output_tensors = integers(graph, 0)) != NULL;
  else
    done = done && find_outside(ort, graph);
  if (!done) ks_graph_free(graph);
  return done;
}

void ks_graph_forget(ks_graph *graph) { graph->node = NULL, graph->layer = NULL, graph->value = NULL; }

void ks_graph_free(ks_graph *graph) {
  while (graph->memory) {
    ks_memory *next = graph->memory->next;
    free(graph->memory);
    graph->memory = next;
  }
  memset(graph, 0, sizeof *graph);
}
