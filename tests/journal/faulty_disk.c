/* A disk that fails on demand, and one that tells what it was asked: preloaded into a process whose files lie below
 * FAULT_DIR. With fault_arm(n) the n-th write or sync from then on fails once with EIO, or with the error number
 * FAULT_ERRNO; FAULT_ARM=n arms it from the start, and a file FAULT_TRIGGER arms it with the number that stands in it
 * as soon as it is there; with FAULT_ONLY only files count whose path below FAULT_DIR begins so. With FAULT_LOG every
 * write, truncation, sync and removal is appended to that file, and so is what goes to standard output or, as an
 * answer in JSON, to a socket, and which call failed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int left;
static int log_fd = -2;

void fault_arm(int n) { __atomic_store_n(&left, n, __ATOMIC_SEQ_CST); }

/* Give the path of a file below FAULT_DIR relative to it, or NULL; shared memory is not on the disk. */
static const char *ours(int fd, char *path, size_t size) {
    char link[64];
    const char *dir = getenv("FAULT_DIR");
    if (!dir) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n <= 0) return NULL;
    path[n] = 0;
    size_t length = strlen(dir);
    if (strncmp(path, dir, length) != 0 || path[length] != '/') return NULL;
    if (n > 4 && strcmp(path + n - 4, "-shm") == 0) return NULL;
    return path + length + 1;
}

__attribute__((constructor)) static void arm_from_the_start(void) {
    const char *n = getenv("FAULT_ARM");
    if (n) fault_arm(atoi(n));
}

static void look_for_trigger(void) {
    const char *name = getenv("FAULT_TRIGGER");
    char text[16] = "";
    if (!name) return;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n > 0 && unlinkat(AT_FDCWD, name, 0) == 0) fault_arm(atoi(text));
}

static void note(char kind, const char *path, uint64_t offset, const void *data, uint64_t size) {
    const char *name = getenv("FAULT_LOG");
    if (!name) return;
    if (log_fd == -2) log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    uint32_t length = (uint32_t)strlen(path);
    struct iovec parts[] = {
        {&kind, 1}, {&length, 4}, {&offset, 8}, {&size, 8}, {(void *)path, length}, {(void *)data, data ? size : 0},
    };
    if (syscall(SYS_writev, log_fd, parts, 6) < 0) abort();
}

static int fails(int fd) {
    char path[4096];
    const char *name = ours(fd, path, sizeof path);
    const char *only = getenv("FAULT_ONLY");
    if (!name || (only && strncmp(name, only, strlen(only)) != 0)) return 0;
    look_for_trigger();
    if (__atomic_load_n(&left, __ATOMIC_SEQ_CST) <= 0) return 0;
    if (__atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST) != 0) return 0;
    note('F', name, 0, NULL, 0);
    const char *error = getenv("FAULT_ERRNO");
    errno = error ? atoi(error) : EIO;
    return 1;
}

static void note_fd(char kind, int fd, uint64_t offset, const void *data, uint64_t size) {
    char path[4096];
    int error = errno;
    const char *name = fd == 1 ? "" : getenv("FAULT_LOG") ? ours(fd, path, sizeof path) : NULL;
    if (name) note(fd == 1 ? 'A' : kind, name, offset, data, size);
    errno = error;
}

#define REAL(name, type) static type (*real)(); if (!real) real = (type (*)())dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t);
    if (fails(fd)) return -1;
    off_t at = fd == 1 ? 0 : lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, data, size);
    if (done > 0) note_fd('W', fd, (uint64_t)at, data, (uint64_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL("pwrite64", ssize_t);
    if (fails(fd)) return -1;
    ssize_t done = real(fd, data, size, at);
    if (done > 0) note_fd('W', fd, (uint64_t)at, data, (uint64_t)done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int ftruncate64(int fd, off64_t size) {
    REAL("ftruncate64", int);
    if (fails(fd)) return -1;
    int result = real(fd, size);
    if (result == 0) note_fd('T', fd, (uint64_t)size, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
    REAL("fsync", int);
    if (fails(fd)) return -1;
    int result = real(fd);
    if (result == 0) note_fd('S', fd, 0, NULL, 0);
    return result;
}

int fdatasync(int fd) {
    REAL("fdatasync", int);
    if (fails(fd)) return -1;
    int result = real(fd);
    if (result == 0) note_fd('S', fd, 0, NULL, 0);
    return result;
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL("send", ssize_t);
    /* Noted before it goes: whoever hears it may act on it at once. */
    if (size > 2 && memcmp(data, "{\"", 2) == 0) note('A', "", 0, data, size);
    return real(fd, data, size, flags);
}

int unlink(const char *path) {
    REAL("unlink", int);
    int result = real(path);
    const char *dir = getenv("FAULT_DIR");
    if (result == 0 && dir && strncmp(path, dir, strlen(dir)) == 0) note('U', path + strlen(dir) + 1, 0, NULL, 0);
    return result;
}
