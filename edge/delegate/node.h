/* A node of a LiteRT graph, read and checked: what the kernels can run exactly as XNNPACK does. */
#ifndef KS_NODE_H
#define KS_NODE_H

#include "../kernels/sparse.h"
#include "tflite_abi.h"

typedef enum { KS_CONV, KS_DEPTHWISE, KS_DENSE, KS_ADD, KS_PAD } ks_kind;

typedef struct {
  ks_kind kind;
  int index;                                /* in the graph */
  int a, b, out;                            /* tensors; `b` is -1 but for a sum */
  int weights;                              /* tensor of dense weights or of the input of DENSIFY, or -1 */
  int scales;                               /* tensor that the layer reads as its weights, whose scales count, or -1 */
  int densify;                              /* the DENSIFY before the weights, or -1 */
  int bias;                                 /* tensor or -1 */
  int outputs, height, width, inputs;       /* of the weights */
  int stride_y, stride_x, same, activation; /* `same`: 0, 1, or KS_EXPLICIT */
  int keep;                     /* whether a fully connected layer keeps all axes but the last; two are left if not */
  int top, bottom, left, right; /* of PAD, and of KS_EXPLICIT */
} ks_node;

/* Padding beside kSame and kValid, of no LiteRT graph: custom_initial_data has top, left, bottom, right, as int. */
enum { KS_EXPLICIT = 3 };

/* Offsets have 32 bits. What is larger, with all images and their padding, is not claimed. */
enum { KS_MOST_BYTES = 1 << 30, KS_MOST_STRIDE = 1 << 15 };

/* Whether a tensor of these dimensions can be held in planes, and the padded images of a convolution: for claims, and
 * again for inputs that were resized. */
int ks_dims_fit(int rank, const int *dims);
int ks_frame_fits(const ks_node *node, int images, int height, int width);

/* Padding above and left of images of these extents, and the output's extents: as TFLite has them, or as given. */
typedef struct {
  int top, left, height, width;
} ks_window;

ks_window ks_window_of(const ks_node *node, int height, int width);

/* Reads node `index` of the graph. Returns 0 where the kernels do not run it. `users[t]` counts the nodes that read
 * tensor t, `makers[t]` is the node that makes it or -1. */
int ks_read_node(TfLiteContext *context, int index, const int *users, const int *makers, ks_node *node);

/* The weights of a node as dense int8; frees nothing when `*made` is NULL. Returns NULL when memory is out or the
 * sparsity tables are damaged. */
const int8_t *ks_dense_weights(TfLiteContext *context, const ks_node *node, int8_t **made);

/* Scale of a sum of products of output channel n, as XNNPACK rounds it. */
float ks_scale(const TfLiteContext *context, const ks_node *node, int n);

/* The limits that an activation sets to the output's bytes. */
void ks_limits(const TfLiteTensor *out, int activation, int *minimum, int *maximum);

/* XNNPACK's numbers for a sum of two tensors. */
void ks_add_of(const TfLiteContext *context, const ks_node *node, ks_add *add);

#endif
