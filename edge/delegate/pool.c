#define _GNU_SOURCE /* affinity */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = KS_MOST_THREADS - 1, SPINS = 256 };

typedef struct {
  ks_pool *pool;
  int thread;
  pthread_t id;
} worker;

struct ks_pool {
  pthread_mutex_t session; /* held from begin to end */
  pthread_mutex_t lock;    /* of `wake`, and of stores to `awake` and `stop` */
  pthread_cond_t wake;
  atomic_int awake; /* threads of the session, 0 when there is none */
  atomic_int stop;
  /* Generation of the job << 40 | threads of its session << 32 | units that nobody has taken. Taking one, knowing which
   * job it is of and whether this thread has a part in it are one step, so that a worker that comes late cannot take a
   * unit of the next job for one of the last, or one of a session that has fewer threads. */
  atomic_uint_fast64_t open;
  atomic_int done;
  ks_unit run; /* set before `open`, read after a unit was taken */
  void *job;
  int units;
  int workers;
  pid_t process; /* that has the workers: a fork of it has none */
  int placed; /* workers that keep off `caller` */
  int caller; /* the processor on which the session's caller ran last */
  worker worker[MOST];
};

/* Keeps workers off the caller's processor. A kernel that wakes a thread likes to put it where the waking one runs; it
 * would wait there until the caller has done all the work. Where processors do not suffice they may go anywhere. */
static void place(ks_pool *pool, int threads) {
#if defined(__linux__) && !defined(__ANDROID__) /* whose headers have it from API level 36 on */
  const int caller = sched_getcpu();
  if (caller == pool->caller && pool->placed >= threads - 1) return;
  cpu_set_t all, others;
  if (caller < 0 || pthread_getaffinity_np(pthread_self(), sizeof all, &all) != 0) return;
  others = all;
  CPU_CLR(caller, &others);
  const int enough = CPU_COUNT(&others) >= threads - 1;
  if (!enough && !pool->placed) return;
  for (int i = 0; i < pool->workers; i++)
    pthread_setaffinity_np(pool->worker[i].id, sizeof all, enough ? &others : &all);
  pool->caller = enough ? caller : -1, pool->placed = enough ? pool->workers : 0;
#else
  (void)pool, (void)threads;
#endif
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int may_take(uint_fast64_t open, int thread) { return (uint32_t)open && (int)(open >> 32 & 0xff) > thread; }

/* Takes and runs units until none is open; returns whether there was one. */
static int work(ks_pool *pool, int thread) {
  int found = 0;
  uint_fast64_t open = atomic_load_explicit(&pool->open, memory_order_acquire);
  while (may_take(open, thread)) {
    if (!atomic_compare_exchange_weak_explicit(&pool->open, &open, open - 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    pool->run(pool->job, pool->units - (int)(uint32_t)open, thread);
    atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
    found = 1;
    open = atomic_load_explicit(&pool->open, memory_order_acquire);
  }
  return found;
}

static void *loop(void *argument) {
  worker *self = argument;
  ks_pool *pool = self->pool;
  for (;;) {
    pthread_mutex_lock(&pool->lock);
    while (!atomic_load(&pool->stop) && atomic_load(&pool->awake) <= self->thread)
      pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    if (atomic_load(&pool->stop)) return NULL;
    for (int spins = 0; atomic_load_explicit(&pool->awake, memory_order_acquire) > self->thread;) {
      if (work(pool, self->thread))
        spins = 0;
      else if (++spins < SPINS)
        relax();
      else
        sched_yield(); /* others may want the processor: an interpreter beside, another runtime's threads */
    }
  }
}

ks_pool *ks_pool_new(void) {
  ks_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->caller = -1, pool->process = getpid();
  pthread_mutex_init(&pool->session, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  return pool;
}

void ks_pool_free(ks_pool *pool) {
  if (!pool) return;
  if (pool->process != getpid()) { /* nobody would answer: locks may be held, and there is nothing to join */
    free(pool);
    return;
  }
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->stop, 1);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->workers; i++) pthread_join(pool->worker[i].id, NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->session);
  free(pool);
}

int ks_pool_begin(ks_pool *pool, int threads) {
  if (threads > MOST + 1) threads = MOST + 1;
  if (threads < 2 || pool->process != getpid() || pthread_mutex_trylock(&pool->session) != 0) return 1;
  while (pool->workers < threads - 1) {
    worker *next = &pool->worker[pool->workers];
    next->pool = pool, next->thread = pool->workers + 1;
    if (pthread_create(&next->id, NULL, loop, next) != 0) break;
    pool->workers++;
  }
  if (threads > pool->workers + 1) threads = pool->workers + 1;
  if (threads < 2) {
    pthread_mutex_unlock(&pool->session);
    return 1;
  }
  place(pool, threads);
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->awake, threads);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  return threads;
}

void ks_pool_end(ks_pool *pool, int threads) {
  if (threads < 2) return;
  atomic_store(&pool->awake, 0);
  pthread_mutex_unlock(&pool->session);
}

void ks_pool_run(ks_pool *pool, int threads, ks_unit run, void *job, int units) {
  if (threads < 2 || units < 2) {
    for (int unit = 0; unit < units; unit++) run(job, unit, 0);
    return;
  }
  pool->run = run, pool->job = job, pool->units = units;
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  const uint_fast64_t last = atomic_load_explicit(&pool->open, memory_order_relaxed);
  const uint_fast64_t next = (last >> 40) + 1;
  atomic_store_explicit(&pool->open, next << 40 | (uint_fast64_t)threads << 32 | (uint32_t)units,
                        memory_order_release);
  work(pool, 0);
  for (int spins = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < units;)
    if (++spins < SPINS)
      relax();
    else
      sched_yield();
}
