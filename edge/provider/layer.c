#include "layer.h"

#include <math.h>
#include <string.h>

/* Scale and zero points of a DequantizeLinear or a QuantizeLinear for a tensor of type `type`: one, or `channels` of
 * them along `axis`. */
static int read_numbers(const OrtApi *ort, const OrtNode *node, const OrtValueInfo *const *inputs, int type,
                        int64_t channels, int axis, ks_quantized *to) {
  ks_tensor scale, zero;
  if (type != kOrtInt8 && type != kOrtUint8 && type != kOrtInt32) return 0; /* int4 has fewer bytes than values */
  if (!ks_tensor_of(ort, inputs[1], 1, &scale) || scale.type != kOrtFloat || scale.rank > 1) return 0;
  if (ks_integer(ort, node, "block_size", 0) != 0) return 0;
  if (scale.count != 1 && ((int64_t)scale.count != channels || ks_integer(ort, node, "axis", 1) != axis)) return 0;
  to->scale = scale.data, to->scales = (int)scale.count;
  to->zero_point = 0, to->flip = 0;
  if (type == kOrtUint8) to->zero_point = -128, to->flip = 0x80;
  if (!inputs[2]) return 1;
  if (!ks_tensor_of(ort, inputs[2], 1, &zero) || zero.type != type || zero.rank > 1) return 0;
  if (zero.count != scale.count) return 0;
  if (type == kOrtInt32) {
    for (size_t i = 0; i < zero.count; i++)
      if (((const int32_t *)zero.data)[i] != 0) return 0;
    return 1;
  }
  const uint8_t *points = zero.data;
  for (size_t i = 1; i < zero.count; i++)
    if (points[i] != points[0]) return 0;
  to->zero_point = (int8_t)(points[0] ^ to->flip);
  return 1;
}

static int add(const OrtNode *node, ks_layer *layer) {
  layer->member[layer->members++] = node;
  return 1;
}

/* What makes an input: a DequantizeLinear that nothing else reads. */
static int read_dequantize(const OrtApi *ort, const OrtValueInfo *value, int constant, int64_t channels, int axis,
                           ks_layer *layer, ks_quantized *to) {
  const OrtValueInfo *inputs[3];
  const OrtNode *node = ks_producer(ort, value, "DequantizeLinear");
  if (!node || !ks_only_consumer(ort, value) || ks_inputs(ort, node, inputs, 3) < 2) return 0;
  if (!ks_tensor_of(ort, inputs[0], constant, &to->bytes)) return 0;
  if (constant && channels < 0 && axis < to->bytes.rank) channels = to->bytes.dims[axis];
  return read_numbers(ort, node, inputs, to->bytes.type, channels, axis, to) && add(node, layer);
}

/* Whether the output's range cuts off all that the activation does: ONNX Runtime then leaves it out, and runs the layer
 * in float if not. */
static int redundant(const OrtApi *ort, const OrtNode *node, const ks_quantized *out) {
  const OrtValueInfo *inputs[3];
  if (ks_is(ort, node, "Relu")) return out->zero_point == -128;
  if (ks_has(ort, node, "min") || ks_has(ort, node, "max") || ks_inputs(ort, node, inputs, 3) < 1) return 0;
  float limit[] = {-INFINITY, INFINITY};
  for (int i = 0; i < 2; i++) {
    ks_tensor value;
    if (!inputs[1 + i]) continue;
    if (!ks_tensor_of(ort, inputs[1 + i], 1, &value) || value.type != kOrtFloat || value.count != 1) return 0;
    limit[i] = *(const float *)value.data;
  }
  const float zero = (float)out->zero_point, scale = *out->scale;
  return rintf(limit[0] / scale) + zero <= -128 && rintf(limit[1] / scale) + zero >= 127;
}

static int read_output(const OrtApi *ort, const OrtNode *node, ks_layer *layer) {
  const OrtNode *next = ks_only_consumer(ort, ks_only_output(ort, node)), *activation = NULL;
  const OrtValueInfo *inputs[3];
  if (next && (ks_is(ort, next, "Relu") || ks_is(ort, next, "Clip"))) {
    activation = next;
    add(activation, layer);
    next = ks_only_consumer(ort, ks_only_output(ort, activation));
  }
  if (!next || !ks_is(ort, next, "QuantizeLinear") || ks_inputs(ort, next, inputs, 3) < 2) return 0;
  if (!ks_tensor_of(ort, ks_only_output(ort, next), 0, &layer->out.bytes)) return 0;
  if (!read_numbers(ort, next, inputs, layer->out.bytes.type, 1, 0, &layer->out)) return 0;
  return (!activation || redundant(ort, activation, &layer->out)) && add(next, layer);
}

static int read_conv(const OrtApi *ort, const OrtNode *node, ks_layer *layer) {
  const ks_tensor *weights = &layer->weights.bytes;
  int64_t dilations[] = {1, 1}, kernel[] = {weights->dims[2], weights->dims[3]};
  layer->strides[0] = layer->strides[1] = 1;
  if (weights->rank != 4 || layer->in.bytes.rank != 4 || layer->out.bytes.rank != 4) return 0;
  if (!ks_integers(ort, node, "strides", layer->strides, 2) || !ks_integers(ort, node, "pads", layer->pads, 4) ||
      !ks_integers(ort, node, "dilations", dilations, 2) || !ks_integers(ort, node, "kernel_shape", kernel, 2))
    return 0;
  if (kernel[0] != weights->dims[2] || kernel[1] != weights->dims[3]) return 0;
  const int64_t groups = ks_integer(ort, node, "group", 1);
  if (dilations[0] != 1 || dilations[1] != 1) return 0;
  if (!ks_says(ort, node, "auto_pad", "NOTSET") && !ks_says(ort, node, "auto_pad", "VALID")) return 0;
  layer->kind = groups == 1 ? KS_ORT_CONV : KS_ORT_DEPTHWISE;
  return groups == 1 || (groups == weights->dims[0] && weights->dims[1] == 1 && layer->in.bytes.dims[1] == groups);
}

static int read_dense(const OrtApi *ort, const OrtNode *node, ks_layer *layer) {
  const int gemm = ks_is(ort, node, "Gemm"), ranks = layer->in.bytes.rank;
  if (layer->weights.bytes.rank != 2 || ranks != layer->out.bytes.rank || (ranks != 2 && (gemm || ranks != 3)))
    return 0;
  layer->kind = KS_ORT_DENSE;
  return !gemm || (ks_number(ort, node, "alpha", 1) == 1 && ks_number(ort, node, "beta", 1) == 1 &&
                   ks_integer(ort, node, "transA", 0) == 0);
}

/* Biases must count in steps of the products: ONNX Runtime's kernels take that for granted. */
static int bias_fits(const ks_layer *layer, int64_t outputs) {
  const ks_quantized *bias = &layer->bias, *weights = &layer->weights;
  if (bias->bytes.type != kOrtInt32 || bias->bytes.rank != 1 || (int64_t)bias->bytes.count != outputs) return 0;
  for (int n = 0; n < outputs; n++) {
    const float step = *layer->in.scale * weights->scale[weights->scales == 1 ? 0 : n];
    if (!(fabsf(bias->scale[bias->scales == 1 ? 0 : n] - step) <= 1e-4f * step)) return 0;
  }
  return 1;
}

int ks_may_be_layer(const OrtApi *ort, const OrtNode *node) {
  return ks_is(ort, node, "Conv") || ks_is(ort, node, "Gemm") || ks_is(ort, node, "MatMul");
}

int ks_read_layer(const OrtApi *ort, const OrtNode *node, ks_layer *layer) {
  const OrtValueInfo *inputs[3];
  memset(layer, 0, sizeof *layer);
  if (!ks_may_be_layer(ort, node)) return 0;
  const int conv = ks_is(ort, node, "Conv"), gemm = !conv && ks_is(ort, node, "Gemm");
  if (ks_inputs(ort, node, inputs, 3) < 2) return 0;
  layer->transposed = gemm && ks_integer(ort, node, "transB", 0) != 0;
  const int axis = conv || layer->transposed ? 0 : 1;
  if (!read_dequantize(ort, inputs[0], 0, 1, 0, layer, &layer->in)) return 0;
  if (ks_is_constant(ort, layer->in.bytes.value)) return 0; /* it would be no input of the partition */
  if (!read_dequantize(ort, inputs[1], 1, -1, axis, layer, &layer->weights)) return 0;
  const int64_t outputs = axis < layer->weights.bytes.rank ? layer->weights.bytes.dims[axis] : 0;
  if (inputs[2] && !read_dequantize(ort, inputs[2], 1, outputs, 0, layer, &layer->bias)) return 0;
  add(node, layer);
  if (!read_output(ort, node, layer)) return 0;
  const int type = layer->in.bytes.type, weights = layer->weights.bytes.type;
  if ((type != kOrtInt8 && type != kOrtUint8) || layer->out.bytes.type != type) return 0;
  if (weights != kOrtInt8 && (weights != kOrtUint8 || type != kOrtUint8)) return 0;
  if (layer->weights.zero_point != 0 || (inputs[2] && !bias_fits(layer, outputs))) return 0;
  return conv ? read_conv(ort, node, layer) : read_dense(ort, node, layer);
}
