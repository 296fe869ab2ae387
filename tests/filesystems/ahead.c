/* For LD_PRELOAD: the wall clock of a program is AHEAD_S seconds ahead. The program's timers stay as they are. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int status = syscall(SYS_clock_gettime, clock, time);
    const char *ahead = getenv("AHEAD_S");
    if (status == 0 && clock == CLOCK_REALTIME && ahead)
        time->tv_sec += atol(ahead);
    return status;
}

int timespec_get(struct timespec *time, int base) {
    return clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}
