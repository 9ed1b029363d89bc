/* Sessions of many threads and of few, in turn, on one pool: no unit is run by a thread that its session does not have.
 * Prints how many were. A worker that comes late from the last session is what goes wrong, so this needs its time. */
#include "../../edge/delegate/pool.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int wrong, units;

static void unit(void *job, int number, int thread) {
  (void)number;
  if (thread >= *(int *)job) atomic_fetch_add(&wrong, 1);
  atomic_fetch_add(&units, 1);
  for (volatile int i = 0; i < 200; i++) continue;
}

int main(int count, char **words) {
  const int sessions = count > 1 ? atoi(words[1]) : 100000;
  ks_pool *pool = ks_pool_new();
  for (int i = 0; i < sessions; i++) {
    int wanted = i % 2 ? 2 : 8;
    const int threads = ks_pool_begin(pool, wanted);
    for (int k = 0; k < 2; k++) ks_pool_run(pool, threads, unit, &wanted, 24);
    ks_pool_end(pool, threads);
  }
  ks_pool_free(pool);
  printf("%d units, %d wrong\n", (int)units, (int)wrong);
  return wrong || units != sessions * 48;
}
