/* The part of ONNX Runtime's C interface that a plugin execution provider needs, by position: no symbol of ONNX Runtime
 * is linked.
 *
 * Its tables of functions only ever grow at the end, so that a position is the same in all versions from the one that
 * added it: everything here is in version 1.23. A member that is not called here is part of a gap. */
#ifndef KS_ORT_ABI_H
#define KS_ORT_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KS_ORT_VERSION = 23 };                                               /* the first with providers that compile */
enum { kOrtFail = 1, kOrtInvalidArgument = 2 };                             /* OrtErrorCode */
enum { kOrtFloat = 1, kOrtUint8 = 2, kOrtInt8 = 3, kOrtInt32 = 6 };         /* ONNXTensorElementDataType */
enum { kOrtInt = 1, kOrtInts = 2, kOrtFloatAttribute = 3, kOrtString = 5 }; /* OrtOpAttrType */
enum { kOrtCpu = 0 };                                                       /* OrtHardwareDeviceType */

typedef struct OrtStatus OrtStatus; /* NULL: all went well */
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorInfo OrtTensorInfo;
typedef struct OrtValueInfo OrtValueInfo;
typedef struct OrtNode OrtNode;
typedef struct OrtGraph OrtGraph;
typedef struct OrtOpAttr OrtOpAttr;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtKeyValuePairs OrtKeyValuePairs;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtHardwareDevice OrtHardwareDevice;
typedef struct OrtEpDevice OrtEpDevice;
typedef struct OrtSupport OrtSupport; /* OrtEpGraphSupportInfo */
typedef struct OrtLogger OrtLogger;
typedef struct OrtEpFactory OrtEpFactory;
typedef struct OrtEp OrtEp;
typedef struct OrtCompute OrtCompute; /* OrtNodeComputeInfo */

typedef struct {
  uint32_t version;
  bool drop_constant_initializers;
} OrtFusion; /* OrtNodeFusionOptions */

typedef struct {
  OrtStatus *(*create_ep_device)(OrtEpFactory *factory, const OrtHardwareDevice *device,
                                 const OrtKeyValuePairs *metadata, const OrtKeyValuePairs *options, OrtEpDevice **made);
  void *gap_1;
  OrtStatus *(*add_nodes_to_fuse)(OrtSupport *support, const OrtNode *const *nodes, size_t count,
                                  const OrtFusion *options);
} OrtEpApi;

typedef struct {
  OrtStatus *(*create_status)(int code, const char *message);
  void *gap_1[50];
  OrtStatus *(*tensor_mutable_data)(OrtValue *value, void **data);
  void *gap_52[3];
  OrtStatus *(*tensor_info)(const OrtTypeInfo *type, const OrtTensorInfo **info); /* NULL where it is no tensor */
  void *gap_56[4];
  OrtStatus *(*element_type)(const OrtTensorInfo *info, int *type);
  OrtStatus *(*dimensions_count)(const OrtTensorInfo *info, size_t *count);
  OrtStatus *(*dimensions)(const OrtTensorInfo *info, int64_t *dims, size_t count); /* below 0: not known */
  void *gap_63[2];
  OrtStatus *(*type_and_shape)(const OrtValue *value, OrtTensorInfo **info);
  void *gap_66[24];
  OrtStatus *(*kernel_input)(const OrtKernelContext *context, size_t index, const OrtValue **value);
  OrtStatus *(*kernel_output)(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank,
                              OrtValue **value);
  void *gap_92;
  void (*release_status)(OrtStatus *status);
  void *gap_94[5];
  void (*release_tensor_info)(OrtTensorInfo *info);
  void *gap_100[172];
  OrtStatus *(*read_attribute)(const OrtOpAttr *attribute, int type, void *data, size_t bytes, size_t *needed);
  void *gap_273;
  OrtStatus *(*parallel_for)(const OrtKernelContext *context, void (*run)(void *argument, size_t index), size_t total,
                             size_t batches, void *argument);
  void *gap_275[14];
  OrtStatus *(*value_name)(const OrtValueInfo *value, const char **name);
  OrtStatus *(*value_type)(const OrtValueInfo *value, const OrtTypeInfo **type);
  void *gap_291[7];
  void (*key_value_pairs)(const OrtKeyValuePairs *pairs, const char *const **keys, const char *const **values,
                          size_t *count);
  void *gap_299;
  void (*release_key_value_pairs)(OrtKeyValuePairs *pairs);
  void *gap_301[6];
  int (*device_type)(const OrtHardwareDevice *device);
  void *gap_308[9];
  const OrtEpApi *(*ep_api)(void);
  void *gap_318[5];
  OrtStatus *(*producer)(const OrtValueInfo *value, const OrtNode **node, size_t *output);
  OrtStatus *(*consumers_count)(const OrtValueInfo *value, size_t *count);
  OrtStatus *(*consumers)(const OrtValueInfo *value, const OrtNode **nodes, int64_t *inputs, size_t count);
  OrtStatus *(*initializer)(const OrtValueInfo *value, const OrtValue **initializer);
  void *gap_327[3];
  OrtStatus *(*is_graph_output)(const OrtValueInfo *value, bool *is);
  OrtStatus *(*is_constant)(const OrtValueInfo *value, bool *is);
  void *gap_332[12];
  OrtStatus *(*nodes_count)(const OrtGraph *graph, size_t *count);
  OrtStatus *(*nodes)(const OrtGraph *graph, const OrtNode **nodes, size_t count); /* each behind what it reads */
  OrtStatus *(*parent_node)(const OrtGraph *graph, const OrtNode **node);
  void *gap_347[3];
  OrtStatus *(*operator_type)(const OrtNode *node, const char **type);
  OrtStatus *(*domain)(const OrtNode *node, const char **domain);
  void *gap_352;
  OrtStatus *(*inputs_count)(const OrtNode *node, size_t *count);
  OrtStatus *(*inputs)(const OrtNode *node, const OrtValueInfo **values, size_t count);
  OrtStatus *(*outputs_count)(const OrtNode *node, size_t *count);
  OrtStatus *(*outputs)(const OrtNode *node, const OrtValueInfo **values, size_t count);
  void *gap_357[4];
  OrtStatus *(*attribute)(const OrtNode *node, const char *name, const OrtOpAttr **attribute); /* NULL: not there */
  void *gap_362[3];
  OrtStatus *(*subgraphs_count)(const OrtNode *node, size_t *count);
  void *gap_366[12];
  OrtStatus *(*tensor_data)(const OrtValue *value, const void **data);
  OrtStatus *(*config_entries)(const OrtSessionOptions *options, OrtKeyValuePairs **pairs);
} OrtApi;

typedef struct {
  const OrtApi *(*api)(uint32_t version); /* NULL where this ONNX Runtime is older */
  const char *(*version)(void);
} OrtApiBase;

/* The next three are made here. Members of later versions may be left out: `version` says which there are. */
struct OrtEpFactory {
  uint32_t version;
  const char *(*name)(const OrtEpFactory *factory);
  const char *(*vendor)(const OrtEpFactory *factory);
  OrtStatus *(*supported_devices)(OrtEpFactory *factory, const OrtHardwareDevice *const *devices, size_t count,
                                  OrtEpDevice **found, size_t most, size_t *found_count);
  OrtStatus *(*create_ep)(OrtEpFactory *factory, const OrtHardwareDevice *const *devices,
                          const OrtKeyValuePairs *const *metadata, size_t count, const OrtSessionOptions *options,
                          const OrtLogger *logger, OrtEp **ep);
  void (*release_ep)(OrtEpFactory *factory, OrtEp *ep);
  uint32_t (*vendor_id)(const OrtEpFactory *factory);
  const char *(*library_version)(const OrtEpFactory *factory);
  void *validate_compiled_model, *create_allocator, *release_allocator;
  OrtStatus *(*create_data_transfer)(OrtEpFactory *factory, void **made);
  bool (*is_stream_aware)(const OrtEpFactory *factory);
  void *create_sync_stream;
};

struct OrtEp {
  uint32_t version;
  const char *(*name)(const OrtEp *ep);
  OrtStatus *(*capability)(OrtEp *ep, const OrtGraph *graph, OrtSupport *support);
  OrtStatus *(*compile)(OrtEp *ep, const OrtGraph **graphs, const OrtNode **fused, size_t count, OrtCompute **made,
                        OrtNode **ep_context);
  void (*release_computes)(OrtEp *ep, OrtCompute **computes, size_t count);
  void *data_layout, *should_convert_layout, *set_dynamic_options, *run_start, *run_end, *create_allocator;
  void *create_sync_stream, *compatibility;
};

struct OrtCompute {
  uint32_t version;
  OrtStatus *(*create_state)(OrtCompute *compute, void *context, void **state);
  OrtStatus *(*run)(OrtCompute *compute, void *state, OrtKernelContext *context);
  void (*release_state)(OrtCompute *compute, void *state);
};

#define KS_PLACE(member, position) \
  _Static_assert(offsetof(OrtApi, member) == (position) * sizeof(void *), "position of " #member)
KS_PLACE(tensor_mutable_data, 51);
KS_PLACE(tensor_info, 55);
KS_PLACE(element_type, 60);
KS_PLACE(dimensions_count, 61);
KS_PLACE(dimensions, 62);
KS_PLACE(type_and_shape, 65);
KS_PLACE(kernel_input, 90);
KS_PLACE(kernel_output, 91);
KS_PLACE(release_status, 93);
KS_PLACE(release_tensor_info, 99);
KS_PLACE(read_attribute, 272);
KS_PLACE(parallel_for, 274);
KS_PLACE(value_name, 289);
KS_PLACE(value_type, 290);
KS_PLACE(key_value_pairs, 298);
KS_PLACE(release_key_value_pairs, 300);
KS_PLACE(device_type, 307);
KS_PLACE(ep_api, 317);
KS_PLACE(producer, 323);
KS_PLACE(initializer, 326);
KS_PLACE(is_graph_output, 330);
KS_PLACE(is_constant, 331);
KS_PLACE(nodes_count, 344);
KS_PLACE(nodes, 345);
KS_PLACE(parent_node, 346);
KS_PLACE(operator_type, 350);
KS_PLACE(domain, 351);
KS_PLACE(inputs_count, 353);
KS_PLACE(outputs, 356);
KS_PLACE(attribute, 361);
KS_PLACE(subgraphs_count, 365);
KS_PLACE(tensor_data, 378);
KS_PLACE(config_entries, 379);

#endif
