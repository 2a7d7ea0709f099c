// Preloaded into the server under valgrind, which writes into the signal mask that a caller of sigsuspend gives it. The
// mask of libdispatch is in memory that cannot be written.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>

int sigsuspend(const sigset_t *mask) {
    int (*original)(const sigset_t *) = dlsym(RTLD_NEXT, "sigsuspend");
    sigset_t copy = *mask;
    return original(&copy);
}
