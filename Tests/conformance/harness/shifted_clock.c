// Preloaded into the server under test: its clock differs from the machine's by CLOCK_SHIFT_SECONDS.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t shift;

__attribute__((constructor)) static void read_shift(void) {
    const char *seconds = getenv("CLOCK_SHIFT_SECONDS");
    if (seconds) shift = atoll(seconds);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *now) {
    int outcome = REAL(clock_gettime)(clock, now);
    if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift;
    return outcome;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int outcome = REAL(gettimeofday)(now, zone);
    if (outcome == 0) now->tv_sec += shift;
    return outcome;
}

time_t time(time_t *now) {
    time_t shifted = REAL(time)(NULL) + shift;
    if (now) *now = shifted;
    return shifted;
}
