/* Tests of the C library: suite DIRECTORY PROGRAM. tests/run compiles and runs it, also under valgrind. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Whether the descriptor is readable within so long. */
static int is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {fd, POLLIN, 0};
    CHECK(poll(&polled, 1, timeout_ms) >= 0);
    return (polled.revents & POLLIN) != 0;
}

static void a_lock_has_one_holder_and_tells_of_it(void)
{
    linklock_lock *lock = lock_at("one.lock", NULL);
    CHECK(status_of(lock).state == LINKLOCK_STATE_FREE);
    CHECK(status_of(lock).available == 1 && status_of(lock).token[0] == '\0');
    linklock_guard *guard = acquire(lock), *other = guard;
    GIVES(LINKLOCK_TIMEOUT, linklock_acquire(lock, 0, &other, &error));
    CHECK(other == NULL && strstr(error.message, "one.lock") && strstr(error.message, "holds it"));
    GIVES(LINKLOCK_TIMEOUT, linklock_acquire(lock, 50, &other, &error));
    linklock_status status = status_of(lock);
    CHECK(status.state == LINKLOCK_STATE_HELD && status.protocol == LINKLOCK_PROTOCOL_LINK && !status.available);
    CHECK(status.pid == (uint32_t)getpid() && status.host[0] && strstr(status.text, "held"));
    CHECK(status.remaining_ms > 0 && status.expires_at_ms / 1000 > (int64_t)time(NULL));
    CHECK(strcmp(status.token, linklock_token(guard)) == 0);
    CHECK(linklock_is_lost(guard) == 0 && linklock_fencing_token(guard) == 0);
    CHECK(linklock_remaining_ms(guard) > 0 && linklock_remaining_ms(guard) <= 15000);
    GIVES(LINKLOCK_OK, linklock_refresh(guard, &error));
    GIVES(LINKLOCK_OK, linklock_release(guard, &error));
    CHECK(status_of(lock).state == LINKLOCK_STATE_FREE);
    /* Released, it holds nothing, and says so. */
    GIVES(LINKLOCK_NOT_HELD, linklock_release(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_refresh(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_keep_alive(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_leave(guard, &error));
    CHECK(linklock_is_lost(guard) == 0 && linklock_remaining_ms(guard) == 0 && linklock_token(guard) != NULL);
    linklock_guard_free(guard);
    /* To free a guard releases its lock. */
    linklock_guard_free(acquire(lock));
    CHECK(status_of(lock).state == LINKLOCK_STATE_FREE);
    linklock_lock_free(lock);
}

static void options_count(void)
{
    linklock_options *options = options_of(60000, 0);
    CHECK(linklock_options_set_protocol(options, LINKLOCK_PROTOCOL_DIR) == LINKLOCK_OK);
    CHECK(linklock_options_set_fence(options, 1) == LINKLOCK_OK);
    CHECK(linklock_options_set_queue(options, 1) == LINKLOCK_OK);
    CHECK(linklock_options_set_grace_ms(options, 5000) == LINKLOCK_OK);
    CHECK(linklock_options_set_command(options, "suite") == LINKLOCK_OK);
    CHECK(linklock_options_set_host(options, "far.example") == LINKLOCK_OK);
    linklock_lock *lock = lock_at("options.lock", options);
    linklock_guard *guard = acquire(lock);
    uint64_t first = linklock_fencing_token(guard);
    CHECK(first > 0 && linklock_remaining_ms(guard) > 15000);
    linklock_status status = status_of(lock);
    CHECK(status.protocol == LINKLOCK_PROTOCOL_DIR && strcmp(status.host, "far.example") == 0);
    release(guard);
    guard = acquire(lock);
    CHECK(linklock_fencing_token(guard) > first);
    release(guard);
    linklock_lock_free(lock);

    options = options_of(60000, 0);
    CHECK(linklock_options_set_protocol(options, LINKLOCK_PROTOCOL_DIR) == LINKLOCK_OK);
    CHECK(linklock_options_set_shared(options, 1) == LINKLOCK_OK);
    lock = lock_at("shared.lock", options);
    guard = acquire(lock);
    linklock_guard *other = acquire(lock);
    CHECK(status_of(lock).readers == 2);
    release(guard);
    release(other);
    linklock_lock_free(lock);
}

static void what_is_not_valid_is_refused(void)
{
    linklock_lock *lock;
    linklock_guard *guard;
    linklock_status status;
    GIVES(LINKLOCK_INVALID, linklock_lock_new(NULL, NULL, &lock, &error));
    GIVES(LINKLOCK_INVALID, linklock_lock_new("", NULL, &lock, &error));
    CHECK(lock == NULL);
    GIVES(LINKLOCK_INVALID, linklock_lock_new("a", NULL, NULL, &error));
    GIVES(LINKLOCK_INVALID, linklock_acquire(NULL, 0, &guard, &error));
    CHECK(guard == NULL);
    GIVES(LINKLOCK_INVALID, linklock_inspect(NULL, &status, sizeof status, &error));
    CHECK(linklock_inspect(NULL, NULL, 0, NULL) == LINKLOCK_INVALID && linklock_release(NULL, NULL) == LINKLOCK_INVALID);
    CHECK(linklock_loss_fd(NULL, &error) == -1 && error.code == LINKLOCK_INVALID);
    lock = lock_at("bad.lock", NULL);
    GIVES(LINKLOCK_INVALID, linklock_acquire(lock, -2, &guard, &error));
    GIVES(LINKLOCK_INVALID, linklock_acquire(lock, INT64_MIN, &guard, &error));
    GIVES(LINKLOCK_INVALID, linklock_acquire(lock, 0, NULL, &error));
    GIVES(LINKLOCK_INVALID, linklock_inspect(lock, &status, sizeof status - 1, &error));
    GIVES(LINKLOCK_INVALID, linklock_adopt(lock, NULL, &guard, &error));
    GIVES(LINKLOCK_INVALID, linklock_adopt(lock, "no token\xff", &guard, &error));
    CHECK(status_of(lock).state == LINKLOCK_STATE_FREE);
    /* The longest time-out there is. */
    GIVES(LINKLOCK_OK, linklock_acquire(lock, INT64_MAX, &guard, &error));
    linklock_guard_free(guard);
    linklock_lock_free(lock);

    int64_t lifetimes[] = {-1, INT64_MIN, 0, INT64_MAX};
    for (size_t i = 0; i < sizeof lifetimes / sizeof *lifetimes; i++) {
        linklock_options *options = linklock_options_new();
        int32_t at_once = linklock_options_set_lifetime_ms(options, lifetimes[i]);
        CHECK(at_once == (lifetimes[i] < 0 ? LINKLOCK_INVALID : LINKLOCK_OK));
        GIVES(LINKLOCK_INVALID, linklock_lock_new(path_of("bad.lock"), options, &lock, &error));
        linklock_options_free(options);
    }
}

static void errors_have_codes(void)
{
    linklock_guard *guard;
    linklock_lock *lock = lock_at("missing/a.lock", NULL);
    GIVES(LINKLOCK_CANNOT_CREATE, linklock_acquire(lock, 0, &guard, &error));
    CHECK(error.os_error == 2 && strstr(error.message, "missing/a.lock"));
    linklock_lock_free(lock);
    FILE *file = fopen(path_of("file.lock"), "w");
    CHECK(file && fputs("not a lock", file) >= 0 && fclose(file) == 0);
    lock = lock_at("file.lock", NULL);
    GIVES(LINKLOCK_NOT_A_LOCK, linklock_acquire(lock, 0, &guard, &error));
    CHECK(status_of(lock).state == LINKLOCK_STATE_NOT_A_LOCK && remove(path_of("file.lock")) == 0);
    linklock_lock_free(lock);
    /* A path is bytes, and what is printed of it is safe. */
    lock = lock_at("\xff\n.lock", NULL);
    guard = acquire(lock);
    struct stat there;
    CHECK(stat(path_of("\xff\n.lock"), &there) == 0);
    linklock_guard *other;
    GIVES(LINKLOCK_TIMEOUT, linklock_acquire(lock, 0, &other, &error));
    CHECK(strstr(error.message, "\\xff\\n.lock"));
    release(guard);
    linklock_lock_free(lock);
}

static void a_holder_hears_that_an_operator_broke_its_lock(void)
{
    linklock_lock *lock = lock_at("broken.lock", options_of(6000, 1));
    linklock_guard *guard = acquire(lock);
    int fd = linklock_loss_fd(guard, &error);
    CHECK(fd >= 0 && error.code == LINKLOCK_OK && linklock_loss_fd(guard, NULL) == fd);
    CHECK(!is_readable(fd, 0) && linklock_is_lost(guard) == 0);
    CHECK(run("break --force '%s/broken.lock' >/dev/null") == 0);
    CHECK(is_readable(fd, LONG_MS) && linklock_is_lost(guard) == 1 && linklock_remaining_ms(guard) == 0);
    /* Nobody can read it away. */
    char byte;
    CHECK(read(fd, &byte, 1) == 0 && is_readable(fd, 0));
    GIVES(LINKLOCK_LOST, linklock_refresh(guard, &error));
    GIVES(LINKLOCK_LOST, linklock_release(guard, &error));
    CHECK(is_readable(fd, 0) && linklock_is_lost(guard) == 1);
    linklock_guard_free(guard);
    linklock_lock_free(lock);
}

static void a_holder_hears_that_its_lock_expired_and_of_no_release(void)
{
    linklock_lock *lock = lock_at("expired.lock", options_of(300, 0));
    linklock_guard *guard = acquire(lock);
    int fd = linklock_loss_fd(guard, &error);
    CHECK(is_readable(fd, LONG_MS) && linklock_is_lost(guard) == 1);
    GIVES(LINKLOCK_LOST, linklock_refresh(guard, &error));
    linklock_guard_free(guard);
    linklock_lock_free(lock);

    lock = lock_at("kept.lock", options_of(LONG_MS, 0));
    guard = acquire(lock);
    GIVES(LINKLOCK_OK, linklock_keep_alive(guard, &error));
    fd = linklock_loss_fd(guard, &error);
    GIVES(LINKLOCK_OK, linklock_release(guard, &error));
    CHECK(!is_readable(fd, 100));
    linklock_guard_free(guard);
    linklock_lock_free(lock);
}

static void in_a_child(linklock_lock *lock, linklock_guard *guard)
{
    CHECK(linklock_is_lost(guard) == 1 && linklock_remaining_ms(guard) == 0);
    GIVES(LINKLOCK_NOT_HELD, linklock_refresh(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_release(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_leave(guard, &error));
    GIVES(LINKLOCK_NOT_HELD, linklock_keep_alive(guard, &error));
    CHECK(linklock_loss_fd(guard, &error) == -1 && error.code == LINKLOCK_NOT_HELD);
    linklock_guard_free(guard);
    linklock_guard *own;
    GIVES(LINKLOCK_TIMEOUT, linklock_acquire(lock, 0, &own, &error));
    linklock_lock *other = lock_at("child.lock", options_of(LONG_MS, 1));
    own = acquire(other);
    CHECK(linklock_loss_fd(own, &error) >= 0 && linklock_is_lost(own) == 0);
    release(own);
    linklock_lock_free(other);
    linklock_lock_free(lock);
    _exit(0);
}

static void a_forked_child_leaves_its_parents_lock_alone(void)
{
    linklock_lock *lock = lock_at("forked.lock", options_of(LONG_MS, 1));
    linklock_guard *guard = acquire(lock);
    int fd = linklock_loss_fd(guard, &error);
    int child = fork();
    CHECK(child >= 0);
    if (child == 0)
        in_a_child(lock, guard);
    CHECK(status_of_child(child) == 0);
    CHECK(!is_readable(fd, 0) && linklock_is_lost(guard) == 0);
    GIVES(LINKLOCK_OK, linklock_refresh(guard, &error));
    release(guard);
    linklock_lock_free(lock);
}

static void a_lock_is_handed_to_another_process_by_its_token(void)
{
    linklock_lock *lock = lock_at("handed.lock", options_of(LONG_MS, 0));
    linklock_guard *guard = acquire(lock);
    GIVES(LINKLOCK_OK, linklock_leave(guard, &error));
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        linklock_guard *adopted;
        GIVES(LINKLOCK_OK, linklock_adopt(lock, linklock_token(guard), &adopted, &error));
        GIVES(LINKLOCK_OK, linklock_refresh(adopted, &error));
        release(adopted);
        linklock_guard_free(guard);
        linklock_lock_free(lock);
        _exit(0);
    }
    CHECK(status_of_child(child) == 0);
    CHECK(status_of(lock).state == LINKLOCK_STATE_FREE);
    linklock_guard *nothing;
    GIVES(LINKLOCK_NOT_HELD, linklock_adopt(lock, linklock_token(guard), &nothing, &error));
    CHECK(nothing == NULL);
    linklock_guard_free(guard);
    linklock_lock_free(lock);
}

/* --- Contention --- */

enum { TURNS = 8 };

/* Adds one to the number in the file, in steps between which another could come. */
static void count(const char *file)
{
    int number = 0;
    FILE *counter = fopen(file, "r");
    CHECK(counter && fscanf(counter, "%d", &number) == 1 && fclose(counter) == 0);
    struct timespec pause = {0, 2000000};
    nanosleep(&pause, NULL);
    counter = fopen(file, "w");
    CHECK(counter && fprintf(counter, "%d\n", number + 1) > 0 && fclose(counter) == 0);
}

static int counted(const char *file, int set)
{
    int number = 0;
    FILE *counter = fopen(file, set ? "w" : "r");
    CHECK(counter && (set ? fputs("0\n", counter) >= 0 : fscanf(counter, "%d", &number) == 1) && fclose(counter) == 0);
    return number;
}

static void it_takes_turns_with_the_program(void)
{
    const char *of_program =
        "run '%s/turns.lock' -- sh -c 'n=$(cat \"$1/count\"); sleep 0.01; echo $((n + 1)) >\"$1/count\"' sh '%s'";
    counted(path_of("count"), 1);
    int children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] > 0)
            continue;
        linklock_lock *lock = lock_at("turns.lock", NULL);
        for (int turn = 0; turn < TURNS; turn++) {
            if (i < 2) {
                CHECK(run(of_program) == 0);
                continue;
            }
            linklock_guard *guard = acquire(lock);
            count(path_of("count"));
            release(guard);
        }
        linklock_lock_free(lock);
        _exit(0);
    }
    for (int i = 0; i < 4; i++)
        CHECK(status_of_child(children[i]) == 0);
    CHECK(counted(path_of("count"), 0) == 4 * TURNS);
}

static void *take_turns(void *lock)
{
    for (int turn = 0; turn < TURNS; turn++) {
        linklock_guard *guard = acquire(lock);
        count(path_of("threads"));
        release(guard);
    }
    return NULL;
}

static void *ask(void *guard)
{
    for (int i = 0; i < 50; i++) {
        CHECK(linklock_is_lost(guard) == 0 && linklock_remaining_ms(guard) > 0 && linklock_loss_fd(guard, &error) >= 0);
        GIVES(LINKLOCK_OK, linklock_refresh(guard, &error));
    }
    return NULL;
}

static void threads_share_locks_and_guards(void)
{
    linklock_lock *lock = lock_at("threads.lock", NULL), *shared = lock_at("guard.lock", options_of(LONG_MS, 1));
    linklock_guard *guard = acquire(shared);
    counted(path_of("threads"), 1);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        CHECK(pthread_create(&threads[i], NULL, i < 3 ? take_turns : ask, i < 3 ? (void *)lock : (void *)guard) == 0);
    for (int i = 0; i < 6; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(counted(path_of("threads"), 0) == 3 * TURNS);
    release(guard);
    linklock_lock_free(shared);
    linklock_lock_free(lock);
}

/* The library's threads end when there is nothing left to do for them: until then valgrind sees their memory. */
static void wait_for_the_threads_of_the_library(void)
{
    for (int tries = 0; tries < LONG_MS / 20; tries++) {
        int threads = 0;
        DIR *tasks = opendir("/proc/self/task");
        CHECK(tasks);
        for (struct dirent *task; (task = readdir(tasks)) != NULL;)
            threads += task->d_name[0] != '.';
        closedir(tasks);
        if (threads == 1)
            return;
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
    }
    CHECK(!"threads are left");
}

#define SCENE(name) {#name, name}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    directory = argv[1], program = argv[2];
    CHECK(linklock_version() == LINKLOCK_VERSION_MAJOR * 1000000 + LINKLOCK_VERSION_MINOR * 1000 + LINKLOCK_VERSION_PATCH);
    const struct { const char *name; void (*play)(void); } scenes[] = {
        SCENE(a_lock_has_one_holder_and_tells_of_it),
        SCENE(options_count),
        SCENE(what_is_not_valid_is_refused),
        SCENE(errors_have_codes),
        SCENE(a_holder_hears_that_an_operator_broke_its_lock),
        SCENE(a_holder_hears_that_its_lock_expired_and_of_no_release),
        SCENE(a_forked_child_leaves_its_parents_lock_alone),
        SCENE(a_lock_is_handed_to_another_process_by_its_token),
        SCENE(it_takes_turns_with_the_program),
        SCENE(threads_share_locks_and_guards),
    };
    int number = sizeof scenes / sizeof *scenes;
    for (int i = 0; i < number; i++) {
        scenes[i].play();
        printf("test %s ... ok\n", scenes[i].name);
        fflush(stdout);
    }
    wait_for_the_threads_of_the_library();
    printf("%d passed, 0 failed\n", number);
    return 0;
}
