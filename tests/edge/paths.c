/* One kernel family against plain C, over fixed shapes: for processors and emulators without Python.
 *
 *   paths NAME          runs family NAME, and says which family "auto" is
 *   paths NAME emulate  where the processor has no AVX-VNNI, executes its instruction in a signal handler
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "kernels/family.h"
#include "kernels/pack.h"
#include "kernels/planes.h"

static uint32_t state = 1;
static uint32_t random32(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int8_t random8(void) { return (int8_t)random32(); }
static long done, wrong;

static void check(const char *what, int a, int b, const void *found, const void *wanted, size_t bytes) {
  done++;
  if (memcmp(found, wanted, bytes) == 0) return;
  wrong++;
  printf("%s %d %d differs\n", what, a, b);
}

static void *fresh(size_t bytes) {
  void *made = calloc(bytes + 4096, 1);
  if (!made) exit(3);
  return made;
}

static void fill(void *to, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((int8_t *)to)[i] = random8();
}

static int8_t *weights(int rows, int columns, int block_rows, int block_columns, int percent) {
  int8_t *made = fresh((size_t)rows * columns);
  for (int n = 0; n < rows; n += block_rows)
    for (int i = 0; i < columns; i += block_columns) {
      if ((int)(random32() % 100) < percent) continue;
      for (int r = n; r < n + block_rows && r < rows; r++)
        for (int c = i; c < i + block_columns && c < columns; c++) made[r * columns + c] = random8();
    }
  return made;
}

typedef struct {
  int32_t bias[256];
  float scale[256];
  ks_numbers numbers;
} layer;

static layer *layer_of(int products, int offset) {
  layer *made = fresh(sizeof *made);
  for (int n = 0; n < 256; n++) {
    made->bias[n] = (int32_t)(random32() % 20001) - 10000;
    made->scale[n] = (0.5f + (float)(random32() % 1000) / 1000) * 0.004f / (float)(products < 16 ? 4 : products / 4);
  }
  const int zero_point = (int)(random32() % 41) - 20, minimum = -128 + (int)(random32() % 9);
  made->numbers = (ks_numbers){made->bias, made->scale, offset, zero_point, minimum, 127};
  return made;
}

static void convolutions(const ks_family *f) {
  static const int outputs[] = {1, 4, 9, 16}, inputs[] = {1, 4, 7, 33}, zeros[] = {0, 80, 100};
  for (int pixels = 1; pixels <= f->pixels * KS_TILE; pixels += pixels < 40 ? 1 : 7)
    for (int k = 0; k < 12; k++) {
      const int o = outputs[k % 4], in = inputs[(k / 3 + pixels) % 4], groups = (in + 3) / 4;
      const size_t plane = ks_plane_bytes((size_t)pixels), places = (size_t)(o + 3) / 4;
      int8_t *w = weights(o, in, 1, 4, zeros[k % 3]);
      layer *l = layer_of(in, 128 - 7);
      const int32_t tap = 0;
      ks_conv conv;
      if (!ks_pack_conv(&conv, w, o, 1, in, &tap, plane, &l->numbers)) exit(3);
      uint8_t *x = fresh(plane * (size_t)groups + 512);
      uint8_t *found = fresh(places * plane + 512), *wanted = fresh(places * plane + 512);
      fill(x, plane * (size_t)groups);
      f->conv(&conv, x, found, plane, pixels, 0, (int)places);
      extern const ks_family ks_plain;
      for (int p = 0; p < pixels; p += ks_plain.pixels * KS_TILE)
        ks_plain.conv(&conv, x + 4 * p, wanted + 4 * p, plane, pixels - p, 0, (int)places);
      for (size_t g = 0; g < places; g++)
        check("conv", pixels, o, found + g * plane, wanted + g * plane, 4 * (size_t)pixels);
      ks_free_conv(&conv), free(w), free(l), free(x), free(found), free(wanted);
    }
}

static void depthwise(const ks_family *f) {
  extern const ks_family ks_plain;
  for (int k = 0; k < 120; k++) {
    const int height = 1 + k % 5, width = 1 + k % 7, stride = 1 + k % 2, columns = 1 + (k * 5) % 37, rows = 1 + k % 6;
    const int channels = 1 + k % 9, groups = (channels + 3) / 4;
    const size_t pitch = 4 * (size_t)((columns - 1) * stride + width), lines = (size_t)(rows - 1) * stride + height;
    int8_t *w = weights(height * width, channels, 1, 1, 0);
    layer *l = layer_of(height * width, 128 + 5);
    ks_depthwise conv;
    if (!ks_pack_depthwise(&conv, w, channels, height, width, stride, &l->numbers)) exit(3);
    const size_t out = ks_plane_bytes((size_t)columns * rows);
    uint8_t *x = fresh(lines * pitch + 512), *found = fresh(out), *wanted = fresh(out);
    fill(x, lines * pitch + 512);
    for (int g = 0; g < groups; g++) {
      f->depthwise(&conv, g, x, pitch, found, columns, rows);
      ks_plain.depthwise(&conv, g, x, pitch, wanted, columns, rows);
      check("depthwise", k, g, found, wanted, 4 * (size_t)columns * rows);
    }
    ks_free_depthwise(&conv), free(w), free(l), free(x), free(found), free(wanted);
  }
}

static void fully_connected(const ks_family *f) {
  extern const ks_family ks_plain;
  static const int zeros[] = {0, 60, 95, 100};
  for (int k = 0; k < 160; k++) {
    const int outputs = 1 + (k * 7) % 70, inputs = 1 + (k * 13) % 210, tall = k % 2;
    int8_t *w = weights(outputs, inputs, tall ? 16 : 1, tall ? 4 : 16, zeros[k % 4]);
    layer *l = layer_of(inputs, 128 + 3);
    ks_dense dense;
    if (!ks_pack_dense(&dense, w, outputs, inputs, tall ? 16 : 1, tall ? 4 : 16, &l->numbers)) exit(3);
    uint8_t *x = fresh((size_t)inputs + 64);
    int8_t *found = fresh(256), *wanted = fresh(256);
    fill(x, (size_t)inputs);
    const int last = (outputs + 15) / 16;
    (tall ? f->dense_16x4 : f->dense_1x16)(&dense, x, found, 0, last, outputs);
    (tall ? ks_plain.dense_16x4 : ks_plain.dense_1x16)(&dense, x, wanted, 0, last, outputs);
    check(tall ? "16x4" : "1x16", outputs, inputs, found, wanted, 256); /* and nothing behind them */
    ks_free_dense(&dense), free(w), free(l), free(x), free(found), free(wanted);
  }
}

static void sums(const ks_family *f) {
  extern const ks_family ks_plain;
  for (int k = 0; k < 40; k++) {
    const int32_t x = (int32_t)(random32() % (1 << 21)), y = (int32_t)(random32() % (1 << 21));
    const int32_t bias = (1 << 19) - (int32_t)(random32() % (1 << 24));
    const ks_add add = {x, y, bias, -9 + k, -128 + k % 3, 127 - k, 13 + k % 18};
    const size_t bytes = 64 * (size_t)(1 + k);
    uint8_t *a = fresh(bytes), *b = fresh(bytes), *found = fresh(bytes), *wanted = fresh(bytes);
    fill(a, bytes), fill(b, bytes);
    f->add(&add, a, b, found, bytes);
    ks_plain.add(&add, a, b, wanted, bytes);
    check("add", k, 0, found, wanted, bytes);
    free(a), free(b), free(found), free(wanted);
  }
}

/* vpdpbusd in its VEX encoding, as a processor with AVX-VNNI executes it. Registers are read from and written to the
 * context of the signal: the lower halves in the FXSAVE area, the upper ones 576 bytes into the XSAVE area. */
#if defined(__x86_64__)
static long executed;

static uint8_t *half(ucontext_t *context, int number, int upper) {
  uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
  return upper ? area + 576 + 16 * number : area + 160 + 16 * number;
}

static uint64_t *general(ucontext_t *context, int number) {
  static const int place[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return (uint64_t *)&context->uc_mcontext.gregs[place[number]];
}

static void execute(int number, siginfo_t *info, void *argument) {
  ucontext_t *context = argument;
  const uint8_t *code = (const uint8_t *)context->uc_mcontext.gregs[REG_RIP], *at = code + 5;
  (void)number, (void)info;
  /* VEX.66.0F38.W0 50 /r */
  if (code[0] != 0xC4 || (code[1] & 31) != 2 || (code[2] & 0x83) != 1 || code[3] != 0x50) _exit(4);
  const int wide = code[2] >> 2 & 1, modrm = code[4], mod = modrm >> 6, rm = modrm & 7;
  const int to = (modrm >> 3 & 7) | (code[1] & 0x80 ? 0 : 8), x = ~(code[2] >> 3) & 15, base = code[1] & 0x20 ? 0 : 8;
  uint8_t w[32];
  if (mod == 3) {
    for (int u = 0; u < 2; u++) memcpy(w + 16 * u, half(context, rm | base, u), 16);
  } else {
    uint64_t address = 0;
    int none = mod == 0 && rm == 5; /* relative to the next instruction */
    if (rm == 4) {
      const int sib = *at++, index = (sib >> 3 & 7) | (code[1] & 0x40 ? 0 : 8);
      none = mod == 0 && (sib & 7) == 5;
      if (!none) address = *general(context, (sib & 7) | base);
      if (index != 4) address += *general(context, index) << (sib >> 6);
    } else if (!none) {
      address = *general(context, rm | base);
    }
    int32_t displacement = 0;
    if (mod == 1) displacement = (int8_t)*at++;
    if (mod == 2 || none) memcpy(&displacement, at, 4), at += 4;
    if (none && rm == 5) address = (uint64_t)at;
    memcpy(w, (const void *)(address + (uint64_t)(int64_t)displacement), wide ? 32 : 16);
  }
  for (int u = 0; u < 2; u++) {
    uint8_t *sum = half(context, to, u), *in = half(context, x, u);
    for (int lane = 0; lane < 4; lane++) {
      int32_t value;
      memcpy(&value, sum + 4 * lane, 4);
      for (int i = 0; i < 4; i++) value += in[4 * lane + i] * (int8_t)w[16 * u + 4 * lane + i];
      if (u && !wide) value = 0; /* 128 bits clear the rest */
      memcpy(sum + 4 * lane, &value, 4);
    }
  }
  ((uint64_t *)((uint8_t *)context->uc_mcontext.fpregs + 512))[0] |= 6; /* these parts of the state are in use */
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)at;
  executed++;
}

static void emulate(void) {
  struct sigaction action = {.sa_sigaction = execute, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGILL, &action, NULL);
}
#endif

int main(int count, char **words) {
  const ks_family *best = ks_family_for("auto"), *family = NULL;
  for (const ks_family *const *each = ks_families; *each; each++)
    if (count > 1 && strcmp((*each)->name, words[1]) == 0) family = *each;
  printf("auto %s\n", best ? best->name : "none");
  if (!family) return 2;
#if defined(__x86_64__)
  if (!family->available() && count > 2) emulate();
  else
#endif
      if (!family->available()) {
    printf("%s is not available\n", family->name);
    return 2;
  }
  convolutions(family), depthwise(family), fully_connected(family), sums(family);
  printf("%s: %ld comparisons, %ld differ\n", family->name, done, wrong);
#if defined(__x86_64__)
  printf("%ld instructions executed by the signal handler\n", executed);
#endif
  return wrong > 0;
}
