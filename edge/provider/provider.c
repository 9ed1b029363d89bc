#include "provider.h"

#include <stdlib.h>
#include <string.h>

#include "compute.h"
#include "partition.h"
#include "worth.h"

typedef struct {
  OrtEp base; /* first: ONNX Runtime's pointer is ours */
  const OrtApi *ort;
  ks_options options;
} provider;

static const char *name(const OrtEp *base) {
  (void)base;
  return KS_PROVIDER;
}

/* The nodes of one partition, to become one. */
static OrtStatus *fuse(const OrtApi *ort, const ks_graph *graph, const ks_claims *claims, const int *partition,
                       int which, OrtSupport *support) {
  const OrtFusion options = {KS_ORT_VERSION, true}; /* weights are copied */
  const OrtNode **nodes = calloc((size_t)claims->count * KS_MOST_MEMBERS + 1, sizeof *nodes);
  size_t count = 0;
  if (!nodes) return ort->create_status(kOrtFail, "keras_sparse: no memory");
  for (int i = 0; i < claims->count; i++) {
    const ks_layer *layer = &graph->layer[claims->claim[i].node.index];
    for (int k = 0; k < layer->members && partition[i] == which; k++) nodes[count++] = layer->member[k];
  }
  OrtStatus *status = ort->ep_api()->add_nodes_to_fuse(support, nodes, count, &options);
  free(nodes);
  return status;
}

/* Branches and loops, or 1 if that cannot be known. */
static int branches(const OrtApi *ort, const ks_graph *graph) {
  for (size_t i = 0; i < graph->all; i++) {
    size_t count = 0;
    if (!ks_went_well(ort, ort->subgraphs_count(graph->node[i], &count)) || count) return 1;
  }
  return 0;
}

static OrtStatus *capability(OrtEp *base, const OrtGraph *from, OrtSupport *support) {
  const provider *p = (const provider *)base;
  const int all = p->options.threshold >= 0; /* asked for by tests and measurements: slower layers, too */
  const OrtNode *parent = NULL;
  ks_graph graph;
  ks_claims claims;
  OrtStatus *status = p->ort->parent_node(from, &parent);
  if (status || parent) return status;
  if (!ks_graph_read(p->ort, from, all ? KS_READ_ALL : KS_READ_GOOD, &graph))
    return p->ort->create_status(kOrtFail, "keras_sparse: the graph could not be read");
  if (branches(p->ort, &graph)) { /* ONNX Runtime 1.23 gives the partitions of such graphs the same name */
    ks_graph_free(&graph);
    return NULL;
  }
  if (!ks_claims_of(&graph.context, p->options.family, p->options.threshold, KS_GAINING, &claims)) {
    ks_graph_free(&graph);
    return p->ort->create_status(kOrtFail, "keras_sparse: no memory");
  }
  int *partition = calloc((size_t)claims.count + 1, sizeof *partition);
  const int count = partition && claims.count ? ks_partitions(p->ort, &graph, &claims, partition) : 0;
  for (int i = 0; i < count && !status; i++)
    if (all || ks_worth(&graph, &claims, partition, i, p->options.family))
      status = fuse(p->ort, &graph, &claims, partition, i, support);
  free(partition);
  ks_claims_free(&claims);
  ks_graph_free(&graph);
  return status;
}

static void release_computes(OrtEp *base, OrtCompute **computes, size_t count) {
  (void)base;
  for (size_t i = 0; i < count; i++) ks_compute_free(computes[i]);
}

static OrtStatus *compile(OrtEp *base, const OrtGraph **graphs, const OrtNode **fused, size_t count, OrtCompute **made,
                          OrtNode **ep_context) {
  provider *p = (provider *)base;
  (void)ep_context;
  for (size_t i = 0; i < count; i++) {
    const char *error;
    made[i] = ks_compute_new(p->ort, graphs[i], fused[i], &p->options, &error);
    if (made[i]) continue;
    release_computes(base, made, i);
    memset(made, 0, sizeof *made * count);
    return p->ort->create_status(kOrtFail, error);
  }
  return NULL;
}

OrtEp *ks_provider_new(const OrtApi *ort, const ks_options *options) {
  provider *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->ort = ort, p->options = *options;
  p->base.version = KS_ORT_VERSION;
  p->base.name = name, p->base.capability = capability;
  p->base.compile = compile, p->base.release_computes = release_computes;
  return &p->base;
}

void ks_provider_free(OrtEp *base) { free(base); }
