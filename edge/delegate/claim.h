/* Which nodes of a graph are run by the kernels: those that gain, and those between them. */
#ifndef KS_CLAIM_H
#define KS_CLAIM_H

#include "plan.h"

typedef struct {
  int count;
  ks_claim *claim;
  TfLiteIntArray *nodes; /* to replace: the claims and their DENSIFY */
} ks_claims;

enum { KS_GAINING, KS_ALL }; /* what is claimed: as above; or all that is read, in a graph of claimed nodes only */

/* `threshold`: fraction of zero blocks that is asked for, or below 0 for each layer's break-even. Returns 0 when memory
 * is out. */
int ks_claims_of(TfLiteContext *context, const ks_family *family, double threshold, int which, ks_claims *claims);
void ks_claims_free(ks_claims *claims);

#endif
