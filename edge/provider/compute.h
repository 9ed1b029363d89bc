/* A partition as ONNX Runtime runs it. */
#ifndef KS_COMPUTE_H
#define KS_COMPUTE_H

#include "../delegate/options.h"
#include "ort_abi.h"

/* Reads a graph of claimed layers only, whose inputs and outputs are those of `fused`, in its order. Returns NULL and
 * what is wrong in `*error` where it cannot. */
OrtCompute *ks_compute_new(const OrtApi *ort, const OrtGraph *graph, const OrtNode *fused, const ks_options *options,
                           const char **error);
void ks_compute_free(OrtCompute *compute);

#endif
