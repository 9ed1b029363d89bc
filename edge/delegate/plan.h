/* What one partition does: nodes as steps over buffers that it owns. */
#ifndef KS_PLAN_H
#define KS_PLAN_H

#include "../kernels/gain.h"
#include "../kernels/pack.h"
#include "../kernels/planes.h"
#include "node.h"
#include "pool.h"

typedef struct {
  ks_node node;
  ks_form form; /* of a fully connected layer */
} ks_claim;

/* Where bytes are: in a tensor of the interpreter, or at an offset of the plan's memory. */
typedef struct {
  int tensor; /* -1: none */
  int buffer; /* -1: none */
} ks_place;

typedef enum {
  KS_STEP_ENTER,
  KS_STEP_LEAVE,
  KS_STEP_FRAME,
  KS_STEP_CONV,
  KS_STEP_DEPTHWISE,
  KS_STEP_DENSE,
  KS_STEP_ADD,
} ks_step_kind;

typedef struct {
  ks_step_kind kind;
  ks_place a, b, out;
  int channels_first;        /* of bytes outside */
  int images, units;         /* units of one image, or of all where a layer does not know images */
  size_t a_image, out_image; /* bytes from one image to the next */
  size_t a_plane, out_plane;
  uint8_t flip, out_flip; /* XORed into bytes that come from outside or go there; into a fully connected's outputs */
  int groups, channels;   /* of the output */
  int chunk;              /* groups, pixels or rows of 16 outputs of a unit */
  size_t pixels;          /* of the output */
  ks_frame frame;
  ks_conv conv;
  int tiles, tile;              /* pixel tiles, and pixels of each */
  int flat, pitch, rows, width; /* pixels to compute with their pitch, and the output's shape */
  ks_depthwise depthwise;
  size_t frame_plane;
  ks_dense dense;
  int inputs; /* of a fully connected layer */
  ks_form form;
  ks_add add;
  int node;     /* of the graph, whose weights are packed here */
  size_t plane; /* for which a convolution's are */
  int *plans;   /* that have these packed weights, if they have any */
} ks_step;

typedef struct {
  size_t size, offset;
  int first, last; /* steps that use it */
} ks_buffer;

/* Nanoseconds of a vector instruction in the kernels, roughly, and of what is done for each vector of outputs. */
#define KS_INSTRUCTION 0.4
#define KS_OUTPUTS 2.0

/* Threads take a while to wake: with less work than so many nanoseconds, the caller is done before they are there. */
enum { KS_LITTLE = 100000 };

/* Runs all units of a job, with `thread` below `threads` for each. */
typedef void (*ks_share)(void *sharer, int threads, ks_unit run, void *job, int units);

typedef struct ks_plan {
  const ks_family *family;
  ks_pool *pool;
  ks_share share; /* instead of the pool, or NULL */
  void *sharer;
  int channels_first;  /* whether tensors of four axes are NCHW outside, not NHWC */
  const uint8_t *flip; /* per tensor: what is XORed into its bytes outside to make them int8; NULL: nothing */
  int threads;
  int claims;
  ks_claim *claim;
  int inputs, outputs;
  int *input, *output; /* tensors */
  const struct ks_plan *like; /* while it is prepared: one of the same claims whose packed weights it may share */

  int steps, buffers;
  ks_step *step;
  ks_buffer *buffer;
  size_t arena_bytes, scratch_bytes; /* scratch: of one thread */
  double work;                       /* of one run, in nanoseconds of one thread, roughly */
  uint8_t *memory;                   /* the buffers, then one scratch a thread; 64-byte aligned */
} ks_plan;

/* (Re)makes the steps for the present shapes and gives the output tensors theirs. Returns NULL or what went wrong.
 * Plans that share packed weights are prepared and cleared one after another. */
const char *ks_plan_prepare(ks_plan *plan, TfLiteContext *context);
/* More memory for it, so that a copy of the plan can run beside it. NULL when memory is out. */
uint8_t *ks_plan_memory(const ks_plan *plan);
void ks_plan_run(ks_plan *plan, TfLiteContext *context);
/* Frees the steps, not the plan. */
void ks_plan_clear(ks_plan *plan);
/* Leaves the steps to a copy of the plan. */
void ks_plan_forget(ks_plan *plan);

#endif
