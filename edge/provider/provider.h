/* The execution provider of one session: which layers it takes, and what it makes of them. */
#ifndef KS_PROVIDER_H
#define KS_PROVIDER_H

#include "../delegate/options.h"
#include "ort_abi.h"

#define KS_PROVIDER "KerasSparseExecutionProvider"

/* NULL when memory is out. */
OrtEp *ks_provider_new(const OrtApi *ort, const ks_options *options);
void ks_provider_free(OrtEp *provider);

#endif
