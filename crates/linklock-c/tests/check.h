/* What the scenes share: checks that say where they failed, and the objects that most of them need. */
#ifndef CHECK_H
#define CHECK_H

#include <linklock.h>

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/* Checks that a call gives this code, and that it tells the same. */
#define GIVES(code_, call)                                                        \
    do {                                                                          \
        int32_t gave_ = (call);                                                   \
        if (gave_ != (code_) || error.code != gave_ || (gave_ == 0) != (error.message[0] == '\0')) { \
            fprintf(stderr, "%s:%d: %s gave %d (%d: %s)\n", __FILE__, __LINE__, #call, (int)gave_, (int)error.code, error.message); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/* A minute: a test that waits longer has failed. */
#define LONG_MS 60000

/* The last error of this thread's calls. */
extern __thread linklock_error error;

/* The directory of the test's locks, and the program linklock. */
extern const char *directory, *program;

/* A path in the test's directory, in memory that the next four calls leave alone. */
const char *path_of(const char *name);
linklock_lock *lock_at(const char *name, linklock_options *options);
linklock_options *options_of(int64_t lifetime_ms, int keep_alive);
linklock_guard *acquire(const linklock_lock *lock);
linklock_status status_of(const linklock_lock *lock);
void release(linklock_guard *guard);
/* Runs the program linklock with these arguments, after the directory was put in the place of %s. Its exit status. */
int run(const char *arguments);
/* Waits for a child process. Its exit status. */
int status_of_child(int child);

#endif
