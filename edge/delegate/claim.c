#include "claim.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  TfLiteContext *context;
  const ks_family *family;
  double threshold; /* below 0: the break-even of each layer */
  int tensors;
  int *users, *makers; /* per tensor: nodes that read it; the node that makes it */
  int *claimed;        /* per tensor: index of the claim that makes it, or -1 */
  ks_claim *claim;
  char *keep, *gains;
  double convolutions; /* nanoseconds of those that gain, on one thread */
  int count;
} claiming;

/* Whether skipping zero blocks pays for this layer, and in which form: the one that is furthest above its break-even.
 */
static int gains(claiming *c, ks_claim *claim) {
  static const int shapes[][2] = {[KS_AS_PLANES] = {1, 4}, [KS_AS_16X4] = {16, 4}, [KS_AS_1X16] = {1, 16}};
  const ks_node *node = &claim->node;
  if (node->kind != KS_CONV && node->kind != KS_DENSE) return 0;
  int8_t *made;
  const int8_t *weights = ks_dense_weights(c->context, node, &made);
  if (!weights) return 0;
  const TfLiteIntArray *dims = c->context->tensors[node->kind == KS_CONV ? node->out : node->a].dims;
  const int taps = node->height * node->width, several = c->context->recommended_num_threads > 1;
  int pixels = 1;
  for (int i = 0; i < dims->size - 1; i++) pixels *= dims->data[i];
  const int planes = node->kind == KS_CONV || (pixels >= 16 && dims->size == 2);
  double best = -3, blocks = 0; /* below any difference of fractions */
  for (int form = planes ? KS_AS_PLANES : KS_AS_16X4; form <= (planes ? KS_AS_PLANES : KS_AS_1X16); form++) {
    const int rows = shapes[form][0], columns = shapes[form][1];
    const double all = (double)((node->outputs + rows - 1) / rows) * taps * ((node->inputs + columns - 1) / columns);
    blocks = (double)ks_count_blocks(weights, node->outputs, taps, node->inputs, rows, columns);
    const double zeros = 1 - blocks / all;
    const double needed = c->threshold >= 0 ? c->threshold
                                            : ks_break_even(c->family, (ks_form)form, node->outputs,
                                                            taps * node->inputs, taps, pixels, several);
    if (zeros - needed > best) best = zeros - needed, claim->form = (ks_form)form;
  }
  free(made);
  if (planes && best >= 0)
    c->convolutions += (double)pixels / c->family->pixels * (blocks * KS_INSTRUCTION + node->outputs * KS_OUTPUTS);
  return best >= 0;
}

/* The graph's outputs have a user outside of it. They are those of a partition of all nodes: nothing else says which. A
 * graph with cycles has no such partition; any of its tensors may then be read by something else. */
static void count_outputs(claiming *c, const TfLiteIntArray *plan) {
  TfLiteDelegateParams *partitions;
  int count = 0;
  if (plan->size == 0) return;
  if (c->context->preview_delegate_partitioning(c->context, plan, &partitions, &count) != kOk)
    for (int t = 0; t < c->tensors; t++) c->users[t]++;
  for (int i = 0; i < count; i++) {
    const TfLiteIntArray *outputs = partitions[i].output_tensors;
    for (int k = 0; k < outputs->size; k++)
      if (outputs->data[k] >= 0) c->users[outputs->data[k]]++;
  }
}

static int fill(claiming *c, const TfLiteIntArray *plan) {
  for (int t = 0; t < c->tensors; t++) c->makers[t] = c->claimed[t] = -1;
  count_outputs(c, plan);
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < plan->size; i++) {
      TfLiteNode *node;
      TfLiteRegistration *made;
      if (c->context->get_node_and_registration(c->context, plan->data[i], &node, &made) != kOk) return 0;
      if (pass == 0) {
        for (int k = 0; node->inputs && k < node->inputs->size; k++)
          if (node->inputs->data[k] >= 0) c->users[node->inputs->data[k]]++;
        for (int k = 0; node->outputs && k < node->outputs->size; k++)
          if (node->outputs->data[k] >= 0) c->makers[node->outputs->data[k]] = plan->data[i];
      } else if (ks_read_node(c->context, plan->data[i], c->users, c->makers, &c->claim[c->count].node)) {
        c->gains[c->count] = (char)gains(c, &c->claim[c->count]);
        c->keep[c->count] = 1;
        c->claimed[c->claim[c->count].node.out] = c->count;
        c->count++;
      }
    }
  }
  return 1;
}

static int kept(const claiming *c, int tensor) { return c->claimed[tensor] >= 0 && c->keep[c->claimed[tensor]]; }

/* Whether kept layers read the tensor, and nothing else does. */
static int read_by_kept(const claiming *c, int tensor) {
  int readers = 0;
  for (int i = 0; i < c->count; i++)
    if (c->keep[i]) readers += (c->claim[i].node.a == tensor) + (c->claim[i].node.b == tensor);
  return readers > 0 && readers == c->users[tensor];
}

/* Depthwise rows too short for vectors: to rearrange bytes twice costs less than they do. */
static int narrow(const claiming *c, const ks_node *node) {
  return node->kind == KS_DEPTHWISE && c->threshold < 0 && c->context->tensors[node->out].dims->data[2] < 7;
}

/* A fully connected layer that takes less time than to leave a partition and enter the next. */
static int little(const claiming *c, const ks_node *node) {
  return node->kind == KS_DENSE && c->threshold < 0 && (double)node->outputs * node->inputs < KS_LEAST_WEIGHTS;
}

/* What does not gain by itself is kept behind kept layers: fewer bytes are then rearranged than before it, or as many.
 * A PAD makes more of them, so that it has to lie between kept layers, as has what only saves the way out and in. */
static int carried(const claiming *c, int index) {
  const ks_node *node = &c->claim[index].node;
  if (node->kind == KS_CONV || (node->kind == KS_DENSE && !little(c, node)) || narrow(c, node)) return 0;
  if (!kept(c, node->a) || (node->b >= 0 && !kept(c, node->b))) return 0;
  return (node->kind != KS_PAD && node->kind != KS_DENSE) || read_by_kept(c, node->out);
}

/* XNNPACK's threads divide layers for which those here would wake too late. */
static int alone(const claiming *c) {
  return c->threshold < 0 && c->context->recommended_num_threads > 1 && c->convolutions < KS_LITTLE;
}

static void settle(claiming *c) {
  for (int i = 0; alone(c) && i < c->count; i++)
    if (c->claim[i].form == KS_AS_PLANES) c->gains[i] = 0;
  for (int changed = 1; changed;) {
    changed = 0;
    for (int i = 0; i < c->count; i++) {
      if (!c->keep[i] || c->gains[i] || carried(c, i)) continue;
      c->keep[i] = 0;
      changed = 1;
    }
  }
}

/* Depthwise convolutions before what is kept: as many bytes are rearranged before them as behind, and the kernels here
 * are faster. */
static void extend(claiming *c) {
  for (int i = c->count - 1; i >= 0; i--) {
    const ks_node *node = &c->claim[i].node;
    if (node->kind == KS_DEPTHWISE && node->stride_x == 1 && !narrow(c, node) && read_by_kept(c, node->out))
      c->keep[i] = 1;
  }
}

static int gather(claiming *c, ks_claims *claims) {
  claims->claim = calloc((size_t)c->count + 1, sizeof *claims->claim);
  claims->nodes = calloc(1, sizeof *claims->nodes + 2 * sizeof(int) * (size_t)(c->count + 1));
  if (!claims->claim || !claims->nodes) return 0;
  for (int i = 0; i < c->count; i++) {
    if (!c->keep[i]) continue;
    claims->claim[claims->count++] = c->claim[i];
    if (c->claim[i].node.densify >= 0) claims->nodes->data[claims->nodes->size++] = c->claim[i].node.densify;
    claims->nodes->data[claims->nodes->size++] = c->claim[i].node.index;
  }
  return 1;
}

int ks_claims_of(TfLiteContext *context, const ks_family *family, double threshold, int which, ks_claims *claims) {
  claiming c = {.context = context, .family = family, .threshold = threshold, .tensors = (int)context->tensors_size};
  TfLiteIntArray *plan;
  memset(claims, 0, sizeof *claims);
  if (context->get_execution_plan(context, &plan) != kOk) return 0;
  const size_t tensors = context->tensors_size + 1, nodes = (size_t)plan->size + 1;
  c.users = calloc(tensors, sizeof(int)), c.makers = calloc(tensors, sizeof(int));
  c.claimed = calloc(tensors, sizeof(int));
  c.claim = calloc(nodes, sizeof *c.claim), c.keep = calloc(nodes, 1), c.gains = calloc(nodes, 1);
  int done = c.users && c.makers && c.claimed && c.claim && c.keep && c.gains && fill(&c, plan);
  if (done && which == KS_GAINING) {
    settle(&c);
    extend(&c);
  }
  done = done && gather(&c, claims);
  free(c.users), free(c.makers), free(c.claimed), free(c.claim), free(c.keep), free(c.gains);
  if (!done) ks_claims_free(claims);
  return done;
}

void ks_claims_free(ks_claims *claims) {
  free(claims->claim);
  free(claims->nodes);
  memset(claims, 0, sizeof *claims);
}
