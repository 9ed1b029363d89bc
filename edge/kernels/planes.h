/* Between the layouts: NHWC and planes (sparse.h), with padding and phases. */
#ifndef KS_PLANES_H
#define KS_PLANES_H

#include "sparse.h"

/* Bytes of the plane of so many pixels. */
size_t ks_plane_bytes(size_t pixels);

/* Bytes of a vector, as kernels of fully connected layers read them. */
void ks_flip(const uint8_t *restrict in, uint8_t *restrict out, size_t count, uint8_t flip);

/* Groups first .. last of one image. */
void ks_to_planes(const int8_t *nhwc, uint8_t *planes, size_t pixels, int channels, int first, int last, uint8_t flip);
/* Pixels first .. last of one image. */
void ks_from_planes(const uint8_t *planes, int8_t *nhwc, size_t pixels, int channels, size_t first, size_t last,
                    uint8_t flip);

/* The same for NCHW. */
void ks_to_planes_nchw(const int8_t *nchw, uint8_t *planes, size_t pixels, int channels, int first, int last,
                       uint8_t flip);
void ks_from_planes_nchw(const uint8_t *planes, int8_t *nchw, size_t pixels, int channels, size_t first, size_t last,
                         uint8_t flip);

/* An image that is padded and split into planes by phase: phase (y, x) has the padded image's rows y, y + stride_y, ...
 * and columns x, x + stride_x, ... */
typedef struct {
  int height, width; /* of the input */
  int top, left;
  int stride_y, stride_x;
  int phases_y, phases_x; /* those that are made, from the first */
  int rows, pitch;        /* of a phase, in pixels */
  uint8_t fill[4];
} ks_frame;

/* One plane of the input to its phases, each `plane` bytes. */
void ks_pad_plane(const ks_frame *frame, const uint8_t *in, uint8_t *out, size_t plane);

#endif
