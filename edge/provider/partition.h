/* Claimed layers of an ONNX graph, in partitions that can each become one node. */
#ifndef KS_PARTITION_H
#define KS_PARTITION_H

#include "../delegate/claim.h"
#include "graph.h"

/* For each claim the number of its partition, from 0 on: no way from a layer of a partition to another one of it leads
 * through nodes outside. Returns how many there are, or -1 when memory is out or the graph could not be followed. */
int ks_partitions(const OrtApi *ort, const ks_graph *graph, const ks_claims *claims, int *partition);

#endif
