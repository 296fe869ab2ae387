#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <sys/wait.h>

__thread linklock_error error;
const char *directory, *program;

const char *path_of(const char *name)
{
    static __thread char paths[4][4096];
    static __thread unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

linklock_lock *lock_at(const char *name, linklock_options *options)
{
    linklock_lock *lock;
    GIVES(LINKLOCK_OK, linklock_lock_new(path_of(name), options, &lock, &error));
    linklock_options_free(options);
    return lock;
}

linklock_options *options_of(int64_t lifetime_ms, int keep_alive)
{
    linklock_options *options = linklock_options_new();
    CHECK(linklock_options_set_lifetime_ms(options, lifetime_ms) == LINKLOCK_OK);
    CHECK(linklock_options_set_keep_alive(options, keep_alive) == LINKLOCK_OK);
    return options;
}

linklock_guard *acquire(const linklock_lock *lock)
{
    linklock_guard *guard;
    GIVES(LINKLOCK_OK, linklock_acquire(lock, LONG_MS, &guard, &error));
    return guard;
}

linklock_status status_of(const linklock_lock *lock)
{
    linklock_status status;
    GIVES(LINKLOCK_OK, linklock_inspect(lock, &status, sizeof status, &error));
    return status;
}

void release(linklock_guard *guard)
{
    GIVES(LINKLOCK_OK, linklock_release(guard, &error));
    linklock_guard_free(guard);
}

int run(const char *arguments)
{
    char line[16384], command[20480];
    snprintf(line, sizeof line, arguments, directory, directory, directory);
    snprintf(command, sizeof command, "'%s' %s", program, line);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int status_of_child(int child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
