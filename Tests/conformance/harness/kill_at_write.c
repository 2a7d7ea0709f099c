// Preloaded into the server under test: counts the calls with which it changes files, and kills it at a chosen one,
// before the call takes effect. The test sets the step in a file that both map; harness/faults.py is the other half.
// The log is no step, nor is anything but a regular file. Without the file, every call passes through.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KINDS_MAX = 4096 };

struct control {
    int64_t armed_at;  // 0: nothing is counted
    int64_t count;
    int64_t torn;  // the chosen write still writes half of its bytes
    char kinds[KINDS_MAX];  // what each step was
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("KILL_AT_WRITE_CONTROL");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_data(int descriptor) {
    struct stat found;
    return descriptor > STDERR_FILENO && fstat(descriptor, &found) == 0 && S_ISREG(found.st_mode);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// Counts a step. Returns 0 to go on, or 1 when the caller is to write half and die. Other threads get no further.
static int step(char kind) {
    int64_t armed_at = __atomic_load_n(&control->armed_at, __ATOMIC_SEQ_CST);
    if (armed_at == 0) return 0;
    int64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (number <= KINDS_MAX) control->kinds[number - 1] = kind;
    if (number < armed_at) return 0;
    if (number == armed_at && kind == 'w' && control->torn) return 1;
    die();
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITES(name, parameters, whole, half)                  \
    ssize_t name parameters {                                  \
        if (control && is_data(descriptor) && step('w')) {     \
            REAL(name) half;                                   \
            die();                                             \
        }                                                      \
        return REAL(name) whole;                               \
    }

#define CHANGES(kind, name, condition, parameters, whole)      \
    int name parameters {                                      \
        if (control && (condition)) step(kind);                \
        return REAL(name) whole;                               \
    }

WRITES(write, (int descriptor, const void *bytes, size_t size), (descriptor, bytes, size),
       (descriptor, bytes, size / 2))
WRITES(writev, (int descriptor, const struct iovec *parts, int count), (descriptor, parts, count),
       (descriptor, parts, count / 2))
WRITES(pwrite, (int descriptor, const void *bytes, size_t size, off_t at), (descriptor, bytes, size, at),
       (descriptor, bytes, size / 2, at))
WRITES(pwrite64, (int descriptor, const void *bytes, size_t size, off64_t at), (descriptor, bytes, size, at),
       (descriptor, bytes, size / 2, at))
CHANGES('t', ftruncate, is_data(descriptor), (int descriptor, off_t size), (descriptor, size))
CHANGES('t', ftruncate64, is_data(descriptor), (int descriptor, off64_t size), (descriptor, size))
CHANGES('s', fsync, is_data(descriptor), (int descriptor), (descriptor))
CHANGES('s', fdatasync, is_data(descriptor), (int descriptor), (descriptor))
CHANGES('u', unlink, 1, (const char *path), (path))
