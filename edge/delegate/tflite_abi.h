/* The part of LiteRT's C interface that a delegate needs, by layout: no symbol of LiteRT is linked.
 *
 * The structs are those of LiteRT 1.0 to 2.3 and TensorFlow 2.21 on 64-bit machines. A member that is not read here is
 * named for its place only. */
#ifndef KS_TFLITE_ABI_H
#define KS_TFLITE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { kOk = 0, kError = 1 };                              /* TfLiteStatus */
enum { kInt32 = 2, kInt8 = 9 };                            /* TfLiteType */
enum { kMmapRo = 1 };                                      /* TfLiteAllocationType */
enum { kAffineQuantization = 1 };                          /* TfLiteQuantizationType */
enum { kSame = 1, kValid = 2 };                            /* TfLitePadding */
enum { kNone = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 }; /* TfLiteFusedActivation */
enum { kDimDense = 0, kDimSparseCsr = 1 };                 /* TfLiteDimensionType */
enum { kAllowDynamicTensors = 1 };                         /* TfLiteDelegateFlags */
enum {                                                     /* TfLiteBuiltinOperator */
       kAdd = 0,
       kConv2d = 3,
       kDepthwiseConv2d = 4,
       kFullyConnected = 9,
       kPad = 34,
       kDensify = 124,
};

typedef struct {
  int size;
  int data[];
} TfLiteIntArray;

typedef struct {
  int size;
  float data[];
} TfLiteFloatArray;

typedef struct {
  int type;
  void *params;
} TfLiteQuantization;

typedef struct {
  TfLiteFloatArray *scale;
  TfLiteIntArray *zero_point;
  int32_t quantized_dimension;
} TfLiteAffineQuantization;

typedef struct {
  int format;
  int dense_size;
  TfLiteIntArray *array_segments;
  TfLiteIntArray *array_indices;
} TfLiteDimensionMetadata;

typedef struct {
  TfLiteIntArray *traversal_order;
  TfLiteIntArray *block_map;
  TfLiteDimensionMetadata *dim_metadata;
  int dim_metadata_size;
} TfLiteSparsity;

typedef struct {
  int type;
  void *data;
  TfLiteIntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  struct TfLiteDelegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  TfLiteQuantization quantization;
  TfLiteSparsity *sparsity;
  const TfLiteIntArray *dims_signature;
} TfLiteTensor;

typedef struct {
  TfLiteIntArray *inputs;
  TfLiteIntArray *outputs;
  TfLiteIntArray *intermediates;
  TfLiteIntArray *temporaries;
  void *user_data;
  void *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
  struct TfLiteDelegate *delegate;
  bool might_have_side_effect;
} TfLiteNode;

typedef struct TfLiteContext TfLiteContext;

/* Passed by value: what this library does not know must be zero. */
typedef struct {
  void *(*init)(TfLiteContext *context, const char *buffer, size_t length);
  void (*free)(TfLiteContext *context, void *buffer);
  int (*prepare)(TfLiteContext *context, TfLiteNode *node);
  int (*invoke)(TfLiteContext *context, TfLiteNode *node);
  const char *(*profiling_string)(const TfLiteContext *context, const TfLiteNode *node);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external;
  void *async_kernel;
  uint64_t inplace_operator;
} TfLiteRegistration;

typedef struct TfLiteDelegate {
  void *data;
  int (*prepare)(TfLiteContext *context, struct TfLiteDelegate *delegate);
  void *copy_from_buffer_handle;
  void *copy_to_buffer_handle;
  void *free_buffer_handle;
  int64_t flags;
  void *opaque_delegate_builder;
} TfLiteDelegate;

typedef struct {
  TfLiteDelegate *delegate;
  TfLiteIntArray *nodes_to_replace;
  TfLiteIntArray *input_tensors;
  TfLiteIntArray *output_tensors;
} TfLiteDelegateParams;

/* The first members; the real struct is longer and is never made here. */
struct TfLiteContext {
  size_t tensors_size;
  int (*get_execution_plan)(TfLiteContext *context, TfLiteIntArray **plan);
  TfLiteTensor *tensors;
  void *impl;
  int (*resize_tensor)(TfLiteContext *context, TfLiteTensor *tensor, TfLiteIntArray *size); /* takes `size` over */
  void (*report_error)(TfLiteContext *context, const char *format, ...);
  int (*add_tensors)(TfLiteContext *context, int count, int *first);
  int (*get_node_and_registration)(TfLiteContext *context, int index, TfLiteNode **node, TfLiteRegistration **made);
  int (*replace_node_subsets)(TfLiteContext *context, TfLiteRegistration kernel, const TfLiteIntArray *nodes,
                              TfLiteDelegate *delegate);
  int recommended_num_threads;
  void *get_external_context, *set_external_context;
  bool allow_fp32_relax_to_fp16;
  void *profiler, *allocate_persistent_buffer, *allocate_buffer_for_eval, *request_scratch_buffer, *get_scratch_buffer;
  void *resize_tensor_explicit;
  /* `*partitions` is the context's. */
  int (*preview_delegate_partitioning)(TfLiteContext *context, const TfLiteIntArray *nodes,
                                       TfLiteDelegateParams **partitions, int *count);
};

typedef struct {
  int padding, stride_width, stride_height, activation, dilation_width, dilation_height;
} TfLiteConvParams;

typedef struct {
  int padding, stride_width, stride_height, depth_multiplier, activation, dilation_width, dilation_height;
} TfLiteDepthwiseConvParams;

typedef struct {
  int activation, weights_format;
  bool keep_num_dims, asymmetric_quantize_inputs;
} TfLiteFullyConnectedParams;

typedef struct {
  int activation;
  bool pot_scale_int16;
} TfLiteAddParams;

#define KS_AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define KS_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
KS_SIZE(TfLiteQuantization, 16);
KS_SIZE(TfLiteAffineQuantization, 24);
KS_AT(TfLiteAffineQuantization, quantized_dimension, 16);
KS_SIZE(TfLiteDimensionMetadata, 24);
KS_AT(TfLiteDimensionMetadata, array_segments, 8);
KS_SIZE(TfLiteSparsity, 32);
KS_AT(TfLiteSparsity, dim_metadata_size, 24);
KS_SIZE(TfLiteTensor, 112);
KS_AT(TfLiteTensor, data, 8);
KS_AT(TfLiteTensor, dims, 16);
KS_AT(TfLiteTensor, params, 24);
KS_AT(TfLiteTensor, allocation_type, 32);
KS_AT(TfLiteTensor, quantization, 80);
KS_AT(TfLiteTensor, sparsity, 96);
KS_SIZE(TfLiteNode, 80);
KS_AT(TfLiteNode, user_data, 32);
KS_AT(TfLiteNode, builtin_data, 40);
KS_AT(TfLiteNode, delegate, 64);
KS_SIZE(TfLiteRegistration, 88);
KS_AT(TfLiteRegistration, builtin_code, 40);
KS_AT(TfLiteRegistration, custom_name, 48);
KS_SIZE(TfLiteDelegate, 56);
KS_AT(TfLiteDelegate, flags, 40);
KS_SIZE(TfLiteDelegateParams, 32);
KS_AT(TfLiteContext, tensors, 16);
KS_AT(TfLiteContext, resize_tensor, 32);
KS_AT(TfLiteContext, get_node_and_registration, 56);
KS_AT(TfLiteContext, replace_node_subsets, 64);
KS_AT(TfLiteContext, recommended_num_threads, 72);
KS_AT(TfLiteContext, preview_delegate_partitioning, 152);
KS_AT(TfLiteConvParams, dilation_height, 20);
KS_AT(TfLiteDepthwiseConvParams, dilation_height, 24);
KS_AT(TfLiteFullyConnectedParams, keep_num_dims, 8);

#endif
