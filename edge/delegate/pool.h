/* Threads that share out the units of one job after another.
 *
 * A session lasts as long as one invocation of a partition: its workers are awake and spin from job to job, and sleep
 * when it ends, so that nothing turns while other kernels run. The caller takes units like any worker and waits only
 * for units that somebody has begun: a worker that gets no processor costs nothing. */
#ifndef KS_POOL_H
#define KS_POOL_H

enum { KS_MOST_THREADS = 65 }; /* with the caller */

typedef struct ks_pool ks_pool;

/* `thread` is 0 for the caller, below the session's number of threads for all. */
typedef void (*ks_unit)(void *job, int unit, int thread);

ks_pool *ks_pool_new(void);
void ks_pool_free(ks_pool *pool);

/* Takes the pool for up to that many threads and returns how many there are: 1, without a session, where another
 * session has the pool, threads cannot be made, or the process is a fork of the pool's own. */
int ks_pool_begin(ks_pool *pool, int threads);
void ks_pool_end(ks_pool *pool, int threads);

/* Runs all units; `threads` is what ks_pool_begin returned. */
void ks_pool_run(ks_pool *pool, int threads, ks_unit run, void *job, int units);

#endif
