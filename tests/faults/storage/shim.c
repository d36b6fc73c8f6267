/* Preloaded into every process of an agent: numbers the calls that change what lies under one
 * folder, and stops at the one that is chosen until the driver says how it ends.
 *
 * The driver maps the same file (tests/faults/storage/shim.py). While a call is stopped, every
 * other call that would change the folder waits too, in all processes: the folder stands still, as
 * at the moment of a power cut, until the driver kills the agent or lets it go on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 8192, NAME = 16, PLACE = 112 };

static struct plan {
    volatile uint32_t count;   /* calls so far, in all processes */
    volatile uint32_t at;      /* the call to stop at, from 1; 0 for none */
    volatile uint32_t error;   /* what that call ends with; 0 lets it be done */
    volatile uint32_t lasts;   /* whether all later calls end with it too */
    volatile uint32_t torn;    /* whether half of a write is done before it stops */
    volatile uint32_t stopped; /* set by the call that stops */
    volatile uint32_t resumed; /* set by the driver */
    volatile uint32_t open;    /* whether new calls are numbered at all */
    struct call { char name[NAME], place[PLACE]; } calls[CALLS];
} *plan;
static char root[PATH_MAX];
static size_t root_length;

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("STORAGE_PLAN"), *folder = getenv("STORAGE_ROOT");
    if (!file || !folder || !realpath(folder, root)) return;
    int descriptor = open(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *mapped = mmap(0, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED) return;
    root_length = strlen(root);
    plan = mapped;
}

static void wait_for_driver(void)
{
    while (plan->stopped && !plan->resumed)
        nanosleep(&(struct timespec){.tv_nsec = 500000}, 0);
}

/* The part of a path below the root, or 0 if it lies elsewhere. */
static const char *below(const char *path)
{
    if (strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/'))
        return 0;
    return path + root_length + (path[root_length] == '/');
}

/* Number one call. Returns 0 if it is to be done, else sets errno; *half asks for a torn write. */
static int meet(const char *name, const char *path, int *half)
{
    const char *place = plan && path && plan->open ? below(path) : 0;
    if (!place) return 0;
    wait_for_driver();
    uint32_t number = __sync_add_and_fetch(&plan->count, 1);
    if (number <= CALLS) {
        snprintf(plan->calls[number - 1].name, NAME, "%s", name);
        snprintf(plan->calls[number - 1].place, PLACE, "%s", place);
    }
    if (!plan->at || number < plan->at || (number > plan->at && !plan->lasts)) return 0;
    if (number == plan->at) {
        if (plan->torn && half) { *half = 1; return 0; }
        plan->stopped = 1;
        wait_for_driver();
    }
    if (!plan->error) return 0;
    errno = (int)plan->error;
    return -1;
}

static const char *of_descriptor(int descriptor, char *buffer)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return 0;
    buffer[length] = 0;
    return buffer;
}

static const char *in_folder(int folder, const char *path, char *buffer)
{
    if (!path || path[0] == '/' || folder == AT_FDCWD) return path;
    if (!of_descriptor(folder, buffer)) return 0;
    size_t length = strlen(buffer);
    snprintf(buffer + length, PATH_MAX - length, "/%s", path);
    return buffer;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

#define BY_PATH(name, parameters, path, arguments) \
    int name parameters { REAL(name); return meet(#name, path, 0) ? -1 : real arguments; }
#define BY_FOLDER(name, parameters, folder, path, arguments) \
    int name parameters { \
        REAL(name); \
        char buffer[PATH_MAX]; \
        return meet(#name, plan ? in_folder(folder, path, buffer) : 0, 0) ? -1 : real arguments; \
    }
#define BY_FILE(name, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        char buffer[PATH_MAX]; \
        return meet(#name, plan ? of_descriptor(file, buffer) : 0, 0) ? -1 : real arguments; \
    }

BY_PATH(rename, (const char *from, const char *to), to, (from, to))
BY_FOLDER(renameat, (int f, const char *from, int t, const char *to), t, to, (f, from, t, to))
BY_PATH(unlink, (const char *path), path, (path))
BY_FOLDER(unlinkat, (int folder, const char *path, int flags), folder, path, (folder, path, flags))
BY_PATH(rmdir, (const char *path), path, (path))
BY_PATH(mkdir, (const char *path, mode_t mode), path, (path, mode))
BY_FOLDER(mkdirat, (int folder, const char *path, mode_t mode), folder, path, (folder, path, mode))
BY_PATH(link, (const char *from, const char *to), to, (from, to))
BY_FOLDER(linkat, (int f, const char *from, int t, const char *to, int flags), t, to,
          (f, from, t, to, flags))
BY_PATH(symlink, (const char *target, const char *path), path, (target, path))
BY_FOLDER(symlinkat, (const char *target, int folder, const char *path), folder, path,
          (target, folder, path))
BY_PATH(truncate, (const char *path, off_t length), path, (path, length))
BY_PATH(truncate64, (const char *path, off64_t length), path, (path, length))
BY_PATH(chmod, (const char *path, mode_t mode), path, (path, mode))
BY_FILE(fchmod, (int file, mode_t mode), (file, mode))
BY_FILE(fdatasync, (int file), (file))
BY_FILE(ftruncate, (int file, off_t length), (file, length))
BY_FILE(ftruncate64, (int file, off64_t length), (file, length))

/* STORAGE_LIE names a file of which a sync is claimed but not done: the control of power cuts. */
int fsync(int file)
{
    REAL(fsync);
    char buffer[PATH_MAX];
    const char *path = of_descriptor(file, buffer), *lie = getenv("STORAGE_LIE");
    if (path && lie && !strcmp(path, lie)) return 0;
    return meet("fsync", path, 0) ? -1 : real(file);
}

int bind(int file, const struct sockaddr *address, socklen_t length)
{
    REAL(bind);
    const struct sockaddr_un *local = (const void *)address;
    if (address->sa_family == AF_UNIX && meet("bind", local->sun_path, 0)) return -1;
    return real(file, address, length);
}

/* Opening changes something only where it creates or truncates. */
#define OPEN(name, parameters, path, leading) \
    int name parameters { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        if (flags & (O_CREAT | O_TRUNC) && meet("open", path, 0)) return -1; \
        return real leading; \
    }
OPEN(open, (const char *path, int flags, ...), path, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), path, (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), path, (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), path, (folder, path, flags, mode))

#define WRITE(name, parameters, whole, part, size) \
    ssize_t name parameters { \
        REAL(name); \
        char buffer[PATH_MAX]; \
        int half = 0; \
        if (meet(#name, plan ? of_descriptor(file, buffer) : 0, &half)) return -1; \
        if (!half) return real whole; \
        ssize_t done = real part; \
        plan->stopped = 1; \
        wait_for_driver(); \
        return done; \
    }
WRITE(write, (int file, const void *from, size_t size), (file, from, size),
      (file, from, size / 2), size)
WRITE(pwrite, (int file, const void *from, size_t size, off_t at), (file, from, size, at),
      (file, from, size / 2, at), size)
WRITE(pwrite64, (int file, const void *from, size_t size, off64_t at), (file, from, size, at),
      (file, from, size / 2, at), size)
