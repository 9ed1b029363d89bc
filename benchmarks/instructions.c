/* Counts the instructions that qemu's user mode emulates: a plugin for its interface of version 1, which needs no
 * header.
 *
 *     cc -shared -fPIC -O2 -o instructions.so instructions.c
 *     qemu-aarch64 -plugin ./instructions.so PROGRAM
 *
 * prctl(0x6b73, n) by the emulated program prints "COUNT n instructions dots" on stderr: all so far, and how many of
 * them were sdot, where an smmla counts as two. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ADD_U64 = 0, PRCTL = 167, MARK = 0x6b73 };

typedef struct qemu_plugin_tb block;
typedef struct qemu_plugin_insn instruction;
typedef uint64_t plugin;
typedef void (*on_block)(plugin id, block *translated);
typedef void (*on_call)(plugin id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                        uint64_t e, uint64_t f, uint64_t g, uint64_t h);

size_t qemu_plugin_tb_n_insns(const block *);
instruction *qemu_plugin_tb_get_insn(const block *, size_t);
const void *qemu_plugin_insn_data(const instruction *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin, on_block);
void qemu_plugin_register_vcpu_tb_exec_inline(block *, int operation, void *to, uint64_t value);
void qemu_plugin_register_vcpu_syscall_cb(plugin, on_call);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static uint64_t instructions, dots;

static uint64_t dots_of(const instruction *each) {
  uint32_t code;
  memcpy(&code, qemu_plugin_insn_data(each), 4);
  if ((code & 0xBFE0FC00) == 0x0E809400 || (code & 0xBFC0F400) == 0x0F80E000)
    return 1;                                       /* sdot by a vector, by a lane */
  return (code & 0xFFE0FC00) == 0x4E80A400 ? 2 : 0; /* smmla */
}

static void translated(plugin id, block *made) {
  const size_t count = qemu_plugin_tb_n_insns(made);
  uint64_t found = 0;
  (void)id;
  for (size_t i = 0; i < count; i++) found += dots_of(qemu_plugin_tb_get_insn(made, i));
  qemu_plugin_register_vcpu_tb_exec_inline(made, ADD_U64, &instructions, count);
  if (found) qemu_plugin_register_vcpu_tb_exec_inline(made, ADD_U64, &dots, found);
}

static void called(plugin id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)cpu, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number == PRCTL && a == MARK)
    fprintf(stderr, "COUNT %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b, instructions, dots);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin id, const void *info, int count, char **given) {
  (void)info, (void)count, (void)given;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}
