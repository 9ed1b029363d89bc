/* What ONNX Runtime looks for in the library: the factory of providers, and their options. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  OrtEpFactory base; /* first: ONNX Runtime's pointer is ours */
  const OrtApi *ort;
} factory;

static const char *name(const OrtEpFactory *base) {
  (void)base;
  return KS_PROVIDER;
}

static const char *vendor(const OrtEpFactory *base) {
  (void)base;
  return "keras_sparse";
}

static uint32_t vendor_id(const OrtEpFactory *base) {
  (void)base;
  return 0;
}

static const char *library_version(const OrtEpFactory *base) {
  (void)base;
  return "0.1.0";
}

static bool no(const OrtEpFactory *base) {
  (void)base;
  return false;
}

static OrtStatus *no_data_transfer(OrtEpFactory *base, void **made) {
  (void)base;
  *made = NULL;
  return NULL;
}

static OrtStatus *supported_devices(OrtEpFactory *base, const OrtHardwareDevice *const *devices, size_t count,
                                    OrtEpDevice **found, size_t most, size_t *found_count) {
  const OrtApi *ort = ((factory *)base)->ort;
  OrtStatus *status = NULL;
  *found_count = 0;
  for (size_t i = 0; i < count && *found_count < most && !status; i++) {
    if (ort->device_type(devices[i]) != kOrtCpu) continue;
    status = ort->ep_api()->create_ep_device(base, devices[i], NULL, NULL, &found[*found_count]);
    if (!status) ++*found_count;
  }
  return status;
}

/* Options of this provider have its name in small letters before theirs, among many others. */
static int is_ours(const char *key, const char **option) {
  static const char prefix[] = "ep." KS_PROVIDER ".";
  for (size_t i = 0; prefix[i]; i++, key++)
    if (tolower((unsigned char)*key) != tolower((unsigned char)prefix[i])) return 0;
  *option = key;
  return 1;
}

static OrtStatus *read_options(const OrtApi *ort, const OrtSessionOptions *from, ks_options *options) {
  OrtKeyValuePairs *pairs = NULL;
  const char *const *keys, *const *values;
  char message[KS_MESSAGE];
  size_t count = 0, ours = 0;
  OrtStatus *status = ort->config_entries(from, &pairs);
  if (status) return status;
  ort->key_value_pairs(pairs, &keys, &values, &count);
  const char **names = calloc(count + 1, sizeof *names), **settings = calloc(count + 1, sizeof *settings);
  for (size_t i = 0; i < count && names && settings; i++)
    if (is_ours(keys[i], &names[ours])) settings[ours++] = values[i];
  if (!names || !settings)
    status = ort->create_status(kOrtFail, "keras_sparse: no memory");
  else if (!ks_options_read(names, settings, ours, options, message))
    status = ort->create_status(kOrtInvalidArgument, message);
  free(names);
  free(settings);
  ort->release_key_value_pairs(pairs);
  return status;
}

static OrtStatus *create_ep(OrtEpFactory *base, const OrtHardwareDevice *const *devices,
                            const OrtKeyValuePairs *const *metadata, size_t count, const OrtSessionOptions *from,
                            const OrtLogger *logger, OrtEp **ep) {
  const OrtApi *ort = ((factory *)base)->ort;
  ks_options options;
  (void)devices, (void)metadata, (void)count, (void)logger;
  OrtStatus *status = read_options(ort, from, &options);
  if (status) return status;
  *ep = ks_provider_new(ort, &options);
  return *ep ? NULL : ort->create_status(kOrtFail, "keras_sparse: no memory");
}

static void release_ep(OrtEpFactory *base, OrtEp *ep) {
  (void)base;
  ks_provider_free(ep);
}

EXPORT OrtStatus *CreateEpFactories(const char *registered, const OrtApiBase *base, const OrtLogger *logger,
                                    OrtEpFactory **factories, size_t most, size_t *count) {
  const OrtApi *ort = base->api(KS_ORT_VERSION);
  (void)registered, (void)logger;
  *count = 0;
  if (!ort) { /* version 1 is in all of them, and says how to make an error */
    char message[160];
    snprintf(message, sizeof message, "keras_sparse: ONNX Runtime 1.%d or newer is required. Received: %s",
             KS_ORT_VERSION, base->version());
    ort = base->api(1);
    return ort ? ort->create_status(kOrtFail, message) : NULL;
  }
  factory *made = most ? calloc(1, sizeof *made) : NULL;
  if (!made) return ort->create_status(kOrtFail, "keras_sparse: no memory");
  made->ort = ort;
  made->base.version = KS_ORT_VERSION;
  made->base.name = name, made->base.vendor = vendor, made->base.vendor_id = vendor_id;
  made->base.library_version = library_version, made->base.supported_devices = supported_devices;
  made->base.create_ep = create_ep, made->base.release_ep = release_ep;
  made->base.is_stream_aware = no, made->base.create_data_transfer = no_data_transfer;
  factories[0] = &made->base, *count = 1;
  return NULL;
}

EXPORT OrtStatus *ReleaseEpFactory(OrtEpFactory *base) {
  free(base);
  return NULL;
}
