/* Whether a partition of images saves more than its borders cost. */
#ifndef KS_WORTH_H
#define KS_WORTH_H

#include "../delegate/claim.h"
#include "graph.h"

/* Break-evens count the bytes that are rearranged here. ONNX Runtime runs its own int8 convolutions in NHWC and
 * transposes what comes from others and goes to them, in nodes of its own. */
int ks_worth(const ks_graph *graph, const ks_claims *claims, const int *partition, int which, const ks_family *family);

#endif
