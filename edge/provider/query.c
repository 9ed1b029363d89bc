#include "query.h"

#include <string.h>

int ks_went_well(const OrtApi *ort, OrtStatus *status) {
  if (!status) return 1;
  ort->release_status(status);
  return 0;
}

static int read_info(const OrtApi *ort, const OrtTensorInfo *info, ks_tensor *tensor) {
  size_t rank;
  if (!ks_went_well(ort, ort->element_type(info, &tensor->type))) return 0;
  if (!ks_went_well(ort, ort->dimensions_count(info, &rank)) || rank > 4) return 0;
  tensor->rank = (int)rank;
  return rank == 0 || ks_went_well(ort, ort->dimensions(info, tensor->dims, rank));
}

int ks_is_constant(const OrtApi *ort, const OrtValueInfo *value) {
  bool constant = false;
  return ks_went_well(ort, ort->is_constant(value, &constant)) && constant;
}

static int read_constant(const OrtApi *ort, ks_tensor *tensor) {
  const OrtValue *value = NULL;
  OrtTensorInfo *info;
  if (!ks_is_constant(ort, tensor->value)) return 0;
  if (!ks_went_well(ort, ort->initializer(tensor->value, &value)) || !value) return 0;
  if (!ks_went_well(ort, ort->type_and_shape(value, &info))) return 0;
  const int read = read_info(ort, info, tensor); /* of the data, whatever is declared */
  ort->release_tensor_info(info);
  if (!read || !ks_went_well(ort, ort->tensor_data(value, &tensor->data)) || !tensor->data) return 0;
  tensor->count = 1;
  for (int i = 0; i < tensor->rank; i++) {
    if (tensor->dims[i] < 1 || tensor->dims[i] > 1 << 30) return 0;
    tensor->count *= (size_t)tensor->dims[i];
    if (tensor->count > 1u << 30) return 0;
  }
  return 1;
}

int ks_tensor_of(const OrtApi *ort, const OrtValueInfo *value, int constant, ks_tensor *tensor) {
  const OrtTypeInfo *type = NULL;
  const OrtTensorInfo *info = NULL;
  memset(tensor, 0, sizeof *tensor);
  tensor->value = value;
  if (!value) return 0;
  if (constant) return read_constant(ort, tensor);
  if (!ks_went_well(ort, ort->value_type(value, &type)) || !type) return 0;
  if (!ks_went_well(ort, ort->tensor_info(type, &info)) || !info) return 0;
  return read_info(ort, info, tensor);
}

int ks_is(const OrtApi *ort, const OrtNode *node, const char *type) {
  const char *is = NULL, *domain = NULL;
  if (!ks_went_well(ort, ort->operator_type(node, &is)) || !is || strcmp(is, type) != 0) return 0;
  if (!ks_went_well(ort, ort->domain(node, &domain)) || !domain) return 0;
  return *domain == 0 || strcmp(domain, "ai.onnx") == 0;
}

const OrtNode *ks_producer(const OrtApi *ort, const OrtValueInfo *value, const char *type) {
  const OrtNode *node = NULL;
  if (!value || !ks_went_well(ort, ort->producer(value, &node, NULL)) || !node) return NULL;
  return ks_is(ort, node, type) ? node : NULL;
}

const OrtNode *ks_only_consumer(const OrtApi *ort, const OrtValueInfo *value) {
  const OrtNode *node = NULL;
  int64_t input;
  size_t count = 0;
  bool output = true;
  if (!value || !ks_went_well(ort, ort->consumers_count(value, &count)) || count != 1) return NULL;
  if (!ks_went_well(ort, ort->is_graph_output(value, &output)) || output) return NULL;
  if (!ks_went_well(ort, ort->consumers(value, &node, &input, 1)) || input < 0) return NULL;
  return node;
}

int ks_inputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values, int most) {
  size_t count = 0;
  for (int i = 0; i < most; i++) values[i] = NULL;
  if (!ks_went_well(ort, ort->inputs_count(node, &count)) || count > (size_t)most) return -1;
  return ks_went_well(ort, ort->inputs(node, values, count)) ? (int)count : -1;
}

const OrtValueInfo *ks_only_output(const OrtApi *ort, const OrtNode *node) {
  const OrtValueInfo *value = NULL;
  size_t count = 0;
  if (!ks_went_well(ort, ort->outputs_count(node, &count)) || count != 1) return NULL;
  return ks_went_well(ort, ort->outputs(node, &value, 1)) ? value : NULL;
}

static const OrtOpAttr *attribute(const OrtApi *ort, const OrtNode *node, const char *name) {
  const OrtOpAttr *found = NULL;
  return ks_went_well(ort, ort->attribute(node, name, &found)) ? found : NULL;
}

int ks_has(const OrtApi *ort, const OrtNode *node, const char *name) { return attribute(ort, node, name) != NULL; }

static int read(const OrtApi *ort, const OrtNode *node, const char *name, int type, void *data, size_t bytes) {
  const OrtOpAttr *found = attribute(ort, node, name);
  size_t read = 0;
  return found && ks_went_well(ort, ort->read_attribute(found, type, data, bytes, &read)) && read == bytes;
}

int64_t ks_integer(const OrtApi *ort, const OrtNode *node, const char *name, int64_t otherwise) {
  int64_t value;
  return read(ort, node, name, kOrtInt, &value, sizeof value) ? value : otherwise;
}

float ks_number(const OrtApi *ort, const OrtNode *node, const char *name, float otherwise) {
  float value;
  return read(ort, node, name, kOrtFloatAttribute, &value, sizeof value) ? value : otherwise;
}

int ks_integers(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *values, int count) {
  return !ks_has(ort, node, name) || read(ort, node, name, kOrtInts, values, sizeof *values * (size_t)count);
}

int ks_says(const OrtApi *ort, const OrtNode *node, const char *name, const char *value) {
  const OrtOpAttr *found = attribute(ort, node, name);
  char text[32] = {0};
  size_t read = 0;
  if (!found) return 1;
  if (!ks_went_well(ort, ort->read_attribute(found, kOrtString, text, sizeof text - 1, &read))) return 0;
  return strcmp(text, value) == 0;
}
