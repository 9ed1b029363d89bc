/* Inside the making of a plan: tensors while steps are made for the layers that read and make them. */
#ifndef KS_PLANNING_H
#define KS_PLANNING_H

#include "plan.h"

enum { KS_ALIGN = 64, KS_SLACK = 512 }; /* bytes; kernels read up to a vector and some taps behind a plane */

/* A tensor of the partition. */
typedef struct {
  int tensor;
  int images, height, width, channels; /* of rows of a fully connected layer: 1, 1, rows, inputs */
  int rank;
  int dims[4];
  ks_place rows, planes;
  int framed; /* the claim, a PAD, that its readers do themselves, or -1 */
} ks_value;

typedef struct {
  ks_plan *plan;
  TfLiteContext *context;
  ks_value *values;
  int count;
  const char *error;
} ks_planning;

#define KS_NOWHERE ((ks_place){-1, -1})
#define KS_NO_FIT "a tensor is empty, has more than four axes or, with its padding, more than 2^30 bytes"
#define KS_NO_MEMORY "no memory for the layers of the delegate"

static inline int ks_divide_up(int a, int b) { return (a + b - 1) / b; }
static inline int ks_groups(int channels) { return ks_divide_up(channels, KS_GROUP); }
static inline uint8_t ks_flip_of(const ks_planning *p, int tensor) { return p->plan->flip ? p->plan->flip[tensor] : 0; }
static inline size_t ks_pixels(const ks_value *v) { return (size_t)v->height * v->width; }

/* values.c: where tensors are, and steps that rearrange them. */
ks_value *ks_value_of(ks_planning *p, int tensor);
ks_value *ks_new_value(ks_planning *p, int tensor, int rank, const int *dims);
int ks_new_buffer(ks_planning *p, size_t size);
ks_step *ks_new_step(ks_planning *p, ks_step_kind kind, ks_place a, ks_place b, ks_place out);
void ks_shape_step(ks_step *s, const ks_value *a, const ks_value *out);
/* Parts of `count` things, so that each thread has several, of at least `least` things. */
int ks_chunk(const ks_plan *plan, int count, int least);
/* New places for a value, and its places, converted where it is only in the other form. */
ks_place ks_new_planes(ks_planning *p, ks_value *v);
ks_place ks_new_rows(ks_planning *p, ks_value *v);
ks_place ks_planes_of(ks_planning *p, ks_value *v);
ks_place ks_rows_of(ks_planning *p, ks_value *v);

/* layers.c: the steps of one claim, whose output has these dimensions. */
void ks_plan_conv(ks_planning *p, const ks_node *node, const int *dims);
void ks_plan_depthwise(ks_planning *p, const ks_node *node, const int *dims);
void ks_plan_dense(ks_planning *p, const ks_claim *claim, int rank, const int *dims);
void ks_plan_add(ks_planning *p, const ks_node *node, const int *dims);
void ks_plan_pad(ks_planning *p, const ks_node *node, const int *dims);

/* arena.c: gives every buffer its offset; returns 0 when memory is out. */
int ks_place_buffers(ks_plan *plan);

#endif
