#include "node.h"

#include <math.h>
#include <string.h>

#include "densify.h"

static const TfLiteAffineQuantization *affine(const TfLiteTensor *tensor) {
  const TfLiteAffineQuantization *found = tensor->quantization.params;
  if (tensor->quantization.type != kAffineQuantization || !found || !found->scale || !found->zero_point) return NULL;
  return found->scale->size >= 1 && found->zero_point->size >= 1 ? found : NULL;
}

static int sound(float scale) { return isnormal(scale) && scale > 0; }

static int activation_tensor(const TfLiteTensor *tensor) {
  const TfLiteAffineQuantization *found = affine(tensor);
  if (tensor->type != kInt8 || tensor->allocation_type == kMmapRo || tensor->is_variable || !tensor->dims || !found)
    return 0;
  if (!ks_dims_fit(tensor->dims->size, tensor->dims->data)) return 0;
  return found->scale->size == 1 && found->quantized_dimension == 0 && sound(found->scale->data[0]) &&
         found->zero_point->data[0] >= -128 && found->zero_point->data[0] <= 127;
}

int ks_dims_fit(int rank, const int *dims) {
  if (rank < 1 || rank > 4) return 0;
  for (int i = 0; i < rank; i++)
    if (dims[i] < 1 || dims[i] > KS_MOST_BYTES) return 0;
  const int planes = rank == 4 ? 1 : 0; /* where axes begin that are pixels */
  double pixels = 1;
  for (int i = planes; i < rank - 1; i++) pixels *= dims[i];
  /* in planes, with their padding: more than in rows */
  return (planes ? dims[0] : 1) * (pixels + 16) * (dims[rank - 1] + 3.0) <= KS_MOST_BYTES;
}

int ks_frame_fits(const ks_node *node, int images, int height, int width) {
  const double rows = (double)height + node->top + node->bottom + node->height + node->stride_y;
  const double columns = (double)width + node->left + node->right + node->width + node->stride_x;
  const double phases = (double)node->height * node->width;
  return images * (rows * columns + 16 * phases) * (node->inputs + 3.0) <= KS_MOST_BYTES;
}

static void window(int input, int kernel, int stride, int same, int *before, int *output) {
  *output = same ? (input + stride - 1) / stride : (input - kernel + stride) / stride;
  const int all = (*output - 1) * stride + kernel - input;
  *before = same && all > 0 ? all / 2 : 0;
}

ks_window ks_window_of(const ks_node *node, int height, int width) {
  ks_window w;
  const int given = node->same == KS_EXPLICIT, same = node->same == kSame;
  if (given) height += node->top + node->bottom, width += node->left + node->right;
  window(height, node->height, node->stride_y, same, &w.top, &w.height);
  window(width, node->width, node->stride_x, same, &w.left, &w.width);
  if (given) w.top = node->top, w.left = node->left;
  return w;
}

/* Returns 0 for padding that is not known. */
static int read_padding(int padding, const TfLiteNode *from, ks_node *node) {
  node->same = padding == kValid ? 0 : padding;
  if (padding != KS_EXPLICIT) return padding == kSame || padding == kValid;
  const int *pads = from->custom_initial_data;
  if (!pads || from->custom_initial_data_size != 4 * sizeof *pads) return 0;
  node->top = pads[0], node->left = pads[1], node->bottom = pads[2], node->right = pads[3];
  for (int i = 0; i < 4; i++)
    if (pads[i] < 0 || pads[i] > KS_MOST_STRIDE) return 0;
  return 1;
}

static int rank(const TfLiteTensor *tensor) { return tensor->dims ? tensor->dims->size : 0; }
static int extent(const TfLiteTensor *tensor, int axis) { return tensor->dims->data[axis]; }

static int known_activation(int activation) {
  return activation == kNone || activation == kRelu || activation == kReluN1To1 || activation == kRelu6;
}

float ks_scale(const TfLiteContext *context, const ks_node *node, int n) {
  const TfLiteTensor *t = context->tensors;
  const TfLiteFloatArray *scale = affine(&t[node->scales])->scale;
  const float product = affine(&t[node->a])->scale->data[0] * scale->data[scale->size == 1 ? 0 : n];
  return product / affine(&t[node->out])->scale->data[0];
}

/* XNNPACK's quantization of a limit. */
static int quantized(float value, float scale, int zero_point) {
  return (int)lrintf(fminf(fmaxf(value / scale + (float)zero_point, -128.0f), 127.0f));
}

void ks_limits(const TfLiteTensor *out, int activation, int *minimum, int *maximum) {
  static const float low[] = {-INFINITY, 0, -1, 0}, high[] = {INFINITY, INFINITY, 1, 6};
  const TfLiteAffineQuantization *to = affine(out);
  *minimum = quantized(low[activation], to->scale->data[0], to->zero_point->data[0]);
  *maximum = quantized(high[activation], to->scale->data[0], to->zero_point->data[0]);
}

/* Weights, scales and bias of a convolution or a fully connected layer; `axis` is that of the output channels. */
static int read_weights(TfLiteContext *context, const TfLiteNode *from, const int *users, const int *makers, int axis,
                        ks_node *node) {
  const TfLiteTensor *t = context->tensors;
  node->weights = node->scales = from->inputs->data[1];
  node->densify = -1;
  if (node->weights < 0) return 0;
  if (t[node->weights].allocation_type != kMmapRo) {
    const int maker = makers[node->weights];
    TfLiteNode *densify;
    TfLiteRegistration *made;
    if (maker < 0 || users[node->weights] != 1) return 0;
    if (context->get_node_and_registration(context, maker, &densify, &made) != kOk) return 0;
    if (made->builtin_code != kDensify || densify->inputs->size != 1 || densify->inputs->data[0] < 0) return 0;
    node->densify = maker;
    node->weights = densify->inputs->data[0];
  }
  const TfLiteTensor *weights = &t[node->weights];
  const TfLiteAffineQuantization *found = affine(&t[node->scales]);
  if (weights->type != kInt8 || weights->allocation_type != kMmapRo || !weights->data) return 0;
  if (t[node->scales].type != kInt8 || !found) return 0;
  if ((weights->sparsity != NULL) != (node->densify >= 0)) return 0;
  if (rank(weights) != (axis == 0 && node->kind == KS_DENSE ? 2 : 4)) return 0;
  double count = 1;
  if (rank(&t[node->scales]) != rank(weights)) return 0;
  for (int i = 0; i < rank(weights); i++) {
    if (extent(weights, i) < 1 || extent(weights, i) != extent(&t[node->scales], i)) return 0;
    count *= extent(weights, i);
  }
  if (count > KS_MOST_BYTES || (node->densify < 0 && (double)weights->bytes != count)) return 0;
  node->outputs = extent(weights, axis);
  const int scales = found->scale->size;
  if (scales != 1 && (scales != node->outputs || found->quantized_dimension != axis)) return 0;
  for (int i = 0; i < found->zero_point->size; i++)
    if (found->zero_point->data[i] != 0) return 0;
  for (int i = 0; i < scales; i++)
    if (!sound(found->scale->data[i]) || !sound(ks_scale(context, node, i)) || ks_scale(context, node, i) >= 1.0f)
      return 0;
  node->bias = from->inputs->size > 2 ? from->inputs->data[2] : -1;
  if (node->bias < 0) return 1;
  const TfLiteTensor *bias = &t[node->bias];
  if (bias->type != kInt32 || bias->allocation_type != kMmapRo || !bias->data || bias->sparsity) return 0;
  found = affine(bias); /* its numbers follow from the others', but without them XNNPACK leaves the layer alone */
  if (!found || (found->scale->size != 1 && found->scale->size != node->outputs)) return 0;
  return bias->bytes == sizeof(int32_t) * (size_t)node->outputs;
}

/* Sums must fit 32 bits, whatever the inputs are. */
static int sums_fit(const TfLiteContext *context, const ks_node *node, int64_t products) {
  int64_t bias = 0;
  if (node->bias >= 0) {
    const int32_t *values = context->tensors[node->bias].data;
    for (int n = 0; n < node->outputs; n++) {
      const int64_t value = values[n] < 0 ? -(int64_t)values[n] : values[n];
      if (value > bias) bias = value;
    }
  }
  return bias + products * 2 * 128 * 256 < INT32_MAX;
}

/* Strides that count in 32 bits, an image that does with its padding, and the shape that the layer makes of it. */
static int window_fits(const TfLiteContext *context, const ks_node *node) {
  const TfLiteTensor *a = &context->tensors[node->a];
  if (node->stride_y < 1 || node->stride_x < 1 || node->stride_y > KS_MOST_STRIDE || node->stride_x > KS_MOST_STRIDE ||
      !ks_frame_fits(node, extent(a, 0), extent(a, 1), extent(a, 2)))
    return 0;
  const TfLiteTensor *out = &context->tensors[node->out];
  const ks_window w = ks_window_of(node, extent(a, 1), extent(a, 2));
  return extent(out, 0) == extent(a, 0) && extent(out, 1) == w.height && extent(out, 2) == w.width;
}

static int read_conv(TfLiteContext *context, const TfLiteNode *from, const int *users, const int *makers,
                     ks_node *node) {
  const TfLiteConvParams *params = from->builtin_data;
  const TfLiteTensor *t = context->tensors;
  if (!params || from->inputs->size < 2 || rank(&t[node->a]) != 4 || rank(&t[node->out]) != 4) return 0;
  if (!read_weights(context, from, users, makers, 0, node)) return 0;
  const TfLiteTensor *weights = &t[node->weights];
  node->height = extent(weights, 1), node->width = extent(weights, 2), node->inputs = extent(weights, 3);
  node->stride_y = params->stride_height, node->stride_x = params->stride_width;
  node->activation = params->activation;
  if (!read_padding(params->padding, from, node)) return 0;
  if (node->height == 1 && node->width == 1 && extent(&t[node->a], 1) == 1 && extent(&t[node->a], 2) == 1 &&
      node->stride_y == 1 && node->stride_x == 1 && node->same != KS_EXPLICIT)
    node->kind = KS_DENSE, node->keep = 1; /* a vector of one pixel would be mostly empty */
  return params->dilation_height == 1 && params->dilation_width == 1 && window_fits(context, node) &&
         known_activation(node->activation) && extent(&t[node->a], 3) == node->inputs &&
         extent(&t[node->out], 3) == node->outputs &&
         sums_fit(context, node, (int64_t)node->height * node->width * node->inputs);
}

static int read_depthwise(TfLiteContext *context, const TfLiteNode *from, const int *users, const int *makers,
                          ks_node *node) {
  const TfLiteDepthwiseConvParams *params = from->builtin_data;
  const TfLiteTensor *t = context->tensors;
  if (!params || from->inputs->size < 2 || rank(&t[node->a]) != 4 || rank(&t[node->out]) != 4) return 0;
  if (!read_weights(context, from, users, makers, 3, node) || node->densify >= 0) return 0;
  const TfLiteTensor *weights = &t[node->weights];
  node->height = extent(weights, 1), node->width = extent(weights, 2), node->inputs = node->outputs;
  node->stride_y = params->stride_height, node->stride_x = params->stride_width;
  node->activation = params->activation;
  if (!read_padding(params->padding, from, node)) return 0;
  return extent(weights, 0) == 1 && params->dilation_height == 1 && params->dilation_width == 1 &&
         node->stride_y == node->stride_x && (node->stride_x == 1 || node->stride_x == 2) &&
         window_fits(context, node) && known_activation(node->activation) && extent(&t[node->a], 3) == node->inputs &&
         extent(&t[node->out], 3) == node->outputs && sums_fit(context, node, (int64_t)node->height * node->width);
}

static int read_dense(TfLiteContext *context, const TfLiteNode *from, const int *users, const int *makers,
                      ks_node *node) {
  const TfLiteFullyConnectedParams *params = from->builtin_data;
  const TfLiteTensor *t = context->tensors;
  if (!params || from->inputs->size < 2 || params->weights_format != 0) return 0;
  if (!read_weights(context, from, users, makers, 0, node)) return 0;
  node->inputs = extent(&t[node->weights], 1), node->height = node->width = 1;
  node->stride_y = node->stride_x = 1, node->same = 0, node->activation = params->activation;
  node->keep = params->keep_num_dims;
  const int ranks = rank(&t[node->a]);
  /* An input of more axes is flattened; the output then keeps them or not, as the converter said. */
  return ranks >= 1 && ranks <= 4 && extent(&t[node->a], ranks - 1) == node->inputs &&
         known_activation(node->activation) && rank(&t[node->out]) >= 1 &&
         extent(&t[node->out], rank(&t[node->out]) - 1) == node->outputs &&
         rank(&t[node->out]) == (params->keep_num_dims ? ranks : 2) && sums_fit(context, node, node->inputs);
}

static int read_add(TfLiteContext *context, const TfLiteNode *from, ks_node *node) {
  const TfLiteAddParams *params = from->builtin_data;
  const TfLiteTensor *t = context->tensors;
  if (!params || from->inputs->size != 2 || from->inputs->data[1] < 0) return 0;
  node->b = from->inputs->data[1];
  const TfLiteTensor *a = &t[node->a], *b = &t[node->b], *out = &t[node->out];
  if (!activation_tensor(b) || rank(a) != 4 || rank(b) != 4 || !known_activation(params->activation)) return 0;
  node->activation = params->activation;
  const float scale = affine(out)->scale->data[0];
  const float x = affine(a)->scale->data[0] / scale, y = affine(b)->scale->data[0] / scale;
  for (int i = 0; i < 4; i++)
    if (rank(out) != 4 || extent(a, i) != extent(b, i) || extent(a, i) != extent(out, i)) return 0;
  return x >= 0x1p-10f && x < 0x1p8f && y >= 0x1p-10f && y < 0x1p8f; /* XNNPACK's range */
}

static int read_pad(TfLiteContext *context, const TfLiteNode *from, ks_node *node) {
  const TfLiteTensor *t = context->tensors;
  if (from->inputs->size != 2 || from->inputs->data[1] < 0) return 0;
  const TfLiteTensor *sizes = &t[from->inputs->data[1]], *a = &t[node->a], *out = &t[node->out];
  if (sizes->type != kInt32 || sizes->allocation_type != kMmapRo || !sizes->data || rank(sizes) != 2) return 0;
  if (extent(sizes, 0) != 4 || extent(sizes, 1) != 2 || sizes->bytes != 8 * sizeof(int32_t)) return 0;
  if (rank(a) != 4 || rank(out) != 4) return 0;
  const int32_t *pads = sizes->data;
  for (int i = 0; i < 8; i++)
    if (pads[i] < 0 || pads[i] > 1024 || (pads[i] && i != 2 && i != 3 && i != 4 && i != 5)) return 0;
  node->top = pads[2], node->bottom = pads[3], node->left = pads[4], node->right = pads[5];
  for (int i = 0; i < 4; i++)
    if (extent(out, i) != extent(a, i) + pads[2 * i] + pads[2 * i + 1]) return 0;
  return affine(a)->scale->data[0] == affine(out)->scale->data[0] &&
         affine(a)->zero_point->data[0] == affine(out)->zero_point->data[0];
}

int ks_read_node(TfLiteContext *context, int index, const int *users, const int *makers, ks_node *node) {
  TfLiteNode *from;
  TfLiteRegistration *made;
  if (context->get_node_and_registration(context, index, &from, &made) != kOk) return 0;
  if (from->delegate || !from->inputs || !from->outputs || from->inputs->size < 1 || from->outputs->size != 1) return 0;
  memset(node, 0, sizeof *node);
  node->index = index, node->a = from->inputs->data[0], node->out = from->outputs->data[0];
  node->b = node->weights = node->scales = node->densify = node->bias = -1;
  if (node->a < 0 || node->out < 0) return 0;
  switch (made->builtin_code) {
    case kConv2d: node->kind = KS_CONV; break;
    case kDepthwiseConv2d: node->kind = KS_DEPTHWISE; break;
    case kFullyConnected: node->kind = KS_DENSE; break;
    case kAdd: node->kind = KS_ADD; break;
    case kPad: node->kind = KS_PAD; break;
    default: return 0;
  }
  if (!activation_tensor(&context->tensors[node->a]) || !activation_tensor(&context->tensors[node->out])) return 0;
  switch (node->kind) {
    case KS_CONV: return read_conv(context, from, users, makers, node);
    case KS_DEPTHWISE: return read_depthwise(context, from, users, makers, node);
    case KS_DENSE: return read_dense(context, from, users, makers, node);
    case KS_ADD: return read_add(context, from, node);
    default: return read_pad(context, from, node);
  }
}

const int8_t *ks_dense_weights(TfLiteContext *context, const ks_node *node, int8_t **made) {
  const TfLiteTensor *weights = &context->tensors[node->weights];
  *made = NULL;
  if (node->densify < 0) return weights->data;
  return *made = ks_densify(weights);
}

void ks_add_of(const TfLiteContext *context, const ks_node *node, ks_add *add) {
  const TfLiteTensor *t = context->tensors;
  const TfLiteAffineQuantization *a = affine(&t[node->a]), *b = affine(&t[node->b]), *out = affine(&t[node->out]);
  const float x = a->scale->data[0] / out->scale->data[0], y = b->scale->data[0] / out->scale->data[0];
  int exponent;
  (void)frexpf(x > y ? x : y, &exponent); /* x = m * 2^exponent, m in [0.5, 1) */
  add->shift = 20 - (exponent - 1);
  add->a_factor = (int32_t)lrintf(ldexpf(x, add->shift));
  add->b_factor = (int32_t)lrintf(ldexpf(y, add->shift));
  add->bias = (1 << (add->shift - 1)) - add->a_factor * a->zero_point->data[0] - add->b_factor * b->zero_point->data[0];
  add->zero_point = out->zero_point->data[0];
  ks_limits(&t[node->out], node->activation, &add->minimum, &add->maximum);
}
