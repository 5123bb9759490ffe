/* Loaded before the C library into the server under test: counts the calls that make a state durable, and at the one
 * that the control file names kills the process, lets the call fail, or leaves it out.
 *
 * The control file holds five 64-bit words: calls so far, syncs so far, what to do, at which call, and syncs of blobs so far. It is mapped,
 * so that the test reads and writes it while the server runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, KILL_AT_CALL, FAIL_SYNC, FAIL_SYNCS_FROM, SKIP_SYNCS, FAIL_STORED_SYNC };

struct control {
    _Atomic uint64_t calls, syncs, action, at, stored;
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("BERTH_FAULT_CONTROL");
    if (path == NULL || strncmp(program_invocation_short_name, "berth-registry", 14) != 0) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    close(file);
    control = mapped;
}

static void call(void) {
    if (control == NULL) return;
    uint64_t number = atomic_fetch_add(&control->calls, 1) + 1;
    if (control->action == KILL_AT_CALL && number == control->at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Whether this is a file or folder of blobs, and not the catalog's. */
static int is_stored(int file) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/data/storage/") != NULL;
}

/* 0: go on; 1: leave it out; -1: it has failed. */
static int sync_call(int file) {
    if (control == NULL) return 0;
    call();
    uint64_t number = atomic_fetch_add(&control->syncs, 1) + 1;
    uint64_t action = control->action;
    if ((action == FAIL_SYNC && number == control->at) || (action == FAIL_SYNCS_FROM && number >= control->at)) {
        errno = EIO;
        return -1;
    }
    if (is_stored(file) && atomic_fetch_add(&control->stored, 1) + 1 == control->at && action == FAIL_STORED_SYNC) {
        errno = EIO;
        return -1;
    }
    return action == SKIP_SYNCS;
}

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define SYNC(name)                                                      \
    int name(int file) {                                                \
        int answer = sync_call(file);                                       \
        if (answer != 0) return answer == 1 ? 0 : -1;                   \
        return NEXT(int, #name, int)(file);                             \
    }

SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

int sync_file_range(int file, off64_t from, off64_t count, unsigned int flags) {
    int answer = sync_call(file);
    if (answer != 0) return answer == 1 ? 0 : -1;
    return NEXT(int, "sync_file_range", int, off64_t, off64_t, unsigned int)(file, from, count, flags);
}

int rename(const char *from, const char *to) {
    call();
    return NEXT(int, "rename", const char *, const char *)(from, to);
}

int unlink(const char *path) {
    call();
    return NEXT(int, "unlink", const char *)(path);
}

int mkdir(const char *path, mode_t mode) {
    call();
    return NEXT(int, "mkdir", const char *, mode_t)(path, mode);
}

int ftruncate(int file, off_t length) {
    call();
    return NEXT(int, "ftruncate", int, off_t)(file, length);
}

int ftruncate64(int file, off64_t length) {
    call();
    return NEXT(int, "ftruncate64", int, off64_t)(file, length);
}

/* How far this process's clock is off, in seconds. Its steady clock is not. */
static long long off(void) {
    static _Atomic int known;
    static _Atomic long long seconds;
    if (!known) {
        const char *said = getenv("BERTH_FAULT_CLOCK");
        seconds = control == NULL || said == NULL ? 0 : atoll(said);
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int answer = NEXT(int, "clock_gettime", clockid_t, struct timespec *)(clock, time);
    if (answer == 0 && off() != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        atomic_fetch_add(&control->calls, 1);
        time->tv_sec += off();
    }
    return answer;
}
