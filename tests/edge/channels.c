/* NCHW to planes and back, against what the layouts say, for all small shapes. Prints how many bytes differ. */
#include "../../edge/kernels/planes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 70, CHANNELS = 9 };

int main(void) {
  static uint8_t nchw[CHANNELS * MOST], back[CHANNELS * MOST], planes[4 * CHANNELS * (MOST + 16)];
  long bytes = 0, wrong = 0;
  for (int channels = 1; channels <= CHANNELS; channels++) {
    for (size_t pixels = 1; pixels <= MOST; pixels++) {
      const uint8_t flip = pixels % 2 ? 0x80 : 0;
      const int groups = (channels + 3) / 4;
      for (size_t i = 0; i < sizeof nchw; i++) nchw[i] = (uint8_t)rand();
      memset(back, 0, sizeof back);
      ks_to_planes_nchw((const int8_t *)nchw, planes, pixels, channels, 0, groups, flip);
      for (int c = 0; c < 4 * groups; c++)
        for (size_t p = 0; p < pixels; p++, bytes++) {
          const uint8_t wanted = c < channels ? nchw[(size_t)c * pixels + p] ^ flip : 0;
          wrong += planes[(size_t)(c / 4) * ks_plane_bytes(pixels) + 4 * p + (size_t)(c % 4)] != wanted;
        }
      const size_t half = pixels / 2;
      ks_from_planes_nchw(planes, (int8_t *)back, pixels, channels, 0, half, flip);
      ks_from_planes_nchw(planes, (int8_t *)back, pixels, channels, half, pixels, flip);
      for (size_t i = 0; i < (size_t)channels * pixels; i++, bytes++) wrong += back[i] != nchw[i];
      for (size_t i = (size_t)channels * pixels; i < sizeof back; i++) wrong += back[i] != 0;
    }
  }
  printf("%ld bytes, %ld differ\n", bytes, wrong);
  return wrong != 0;
}
