/* Which nodes of a graph are run by the kernels: those that gain, and those between them. */
#ifndef KS_CLAIM_H
#define KS_CLAIM_H

#include "plan.h"

typedef struct {
  int count;
  ks_claim *claim;
  TfLiteIntArray *nodes; /* to replace: the claims and their DENSIFY */
} ks_claims;

/* `threshold`: fraction of zero blocks that is asked for, or below 0 for each layer's break-even. Returns 0 when memory
 * is out. */
int ks_claims_of(TfLiteContext *context, const ks_family *family, double threshold, ks_claims *claims);
void ks_claims_free(ks_claims *claims);

#endif
