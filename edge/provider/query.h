/* Questions to ONNX Runtime, whose answers are 0 or NULL where there is none. */
#ifndef KS_QUERY_H
#define KS_QUERY_H

#include "ort_abi.h"

typedef struct {
  const OrtValueInfo *value; /* where it was asked for, or NULL */
  int type, rank;            /* rank -1: not known */
  int64_t dims[4];           /* below 0: not known */
  const void *data;          /* of a constant */
  size_t count;              /* of a constant */
} ks_tensor;

/* Whether a call went well; frees what it says if not. */
int ks_went_well(const OrtApi *ort, OrtStatus *status);

/* Type and shape of a value, and its data where `constant`. Tensors of up to four axes only. */
int ks_tensor_of(const OrtApi *ort, const OrtValueInfo *value, int constant, ks_tensor *tensor);

/* Whether a value is in the file, and cannot be given with the inputs. */
int ks_is_constant(const OrtApi *ort, const OrtValueInfo *value);

/* The node that makes a value, if it is of this type in ONNX's own domain. */
const OrtNode *ks_producer(const OrtApi *ort, const OrtValueInfo *value, const char *type);
/* The only node that reads a value which is no output of the graph. */
const OrtNode *ks_only_consumer(const OrtApi *ort, const OrtValueInfo *value);
int ks_is(const OrtApi *ort, const OrtNode *node, const char *type);

/* Up to `most` inputs, those that are left out as NULL; or -1 where there are more. */
int ks_inputs(const OrtApi *ort, const OrtNode *node, const OrtValueInfo **values, int most);
const OrtValueInfo *ks_only_output(const OrtApi *ort, const OrtNode *node);

/* Attributes; the first two return `otherwise` where there is none. */
int64_t ks_integer(const OrtApi *ort, const OrtNode *node, const char *name, int64_t otherwise);
float ks_number(const OrtApi *ort, const OrtNode *node, const char *name, float otherwise);
/* Fills `values` if the attribute is there; 0 if it has another number of them. */
int ks_integers(const OrtApi *ort, const OrtNode *node, const char *name, int64_t *values, int count);
/* Whether a string attribute is absent or has this value. */
int ks_says(const OrtApi *ort, const OrtNode *node, const char *name, const char *value);
int ks_has(const OrtApi *ort, const OrtNode *node, const char *name);

#endif
