/* Counts the moments at which a process is about to change the file system, and spoils one of them.
 *
 * Preloaded into the process that runs the tools (see driver.py); armed by a call once the run begins. A moment is a call
 * that makes, writes, renames, removes or relabels a file or folder. A write to a regular file is two moments: nothing
 * written yet, and half of it written. So is fsync: done, and half of the file lost, as a machine that stops would.
 * Standard input, output and error do not count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OFF, COUNT, KILL, FAIL_ONCE, FAIL_FROM, SHORT, SWAP, FLIP };

static int mode, error, signal_;
static long moment, at;

static char victim[4096], aside[4096], decoy[4096];

/* What SWAP does at its moment: a folder goes aside, and a link to another takes its place. */
void faults_swap(const char *folder, const char *to) {
  snprintf(victim, sizeof victim, "%s", folder);
  snprintf(aside, sizeof aside, "%s.aside", folder);
  snprintf(decoy, sizeof decoy, "%s", to);
}
void faults_arm(int m, long n, int e, int s) { mode = m; at = n; error = e; signal_ = s; moment = 0; }
long faults_count(void) { return moment; }
__attribute__((constructor)) static void alone(void) { unsetenv("LD_PRELOAD"); } /* not in what the tools start */

/* Whether this moment is the one. Ends the process there and then if it is to be killed; `half` is left to the caller. */
static int now(void) {
  if (mode == OFF) return 0;
  long n = __atomic_add_fetch(&moment, 1, __ATOMIC_SEQ_CST);
  return mode == FAIL_FROM ? n >= at : mode != COUNT && n == at;
}
static void die(void) { kill(getpid(), signal_); }
static int fails(void) {
  if (!now() || mode == SHORT || mode == FLIP) return 0;
  if (mode == SWAP) {
    if (syscall(SYS_rename, victim, aside) == 0 && syscall(SYS_symlink, decoy, victim) != 0) abort();
    return 0;
  }
  if (mode == KILL) { die(); return 0; }
  errno = error;
  return 1;
}
static int regular(int fd) {
  struct stat st;
  return fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define CHANGE(name, params, args) \
  int name params { static int (*real) params; if (!real) real = dlsym(RTLD_NEXT, #name); return fails() ? -1 : real args; }

CHANGE(rename, (const char *a, const char *b), (a, b))
CHANGE(renameat, (int d, const char *a, int e, const char *b), (d, a, e, b))
CHANGE(renameat2, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f))
CHANGE(mkdir, (const char *a, mode_t m), (a, m))
CHANGE(mkdirat, (int d, const char *a, mode_t m), (d, a, m))
CHANGE(unlink, (const char *a), (a))
CHANGE(unlinkat, (int d, const char *a, int f), (d, a, f))
CHANGE(rmdir, (const char *a), (a))
CHANGE(chmod, (const char *a, mode_t m), (a, m))
CHANGE(fchmod, (int d, mode_t m), (d, m))
CHANGE(fchmodat, (int d, const char *a, mode_t m, int f), (d, a, m, f))
CHANGE(chown, (const char *a, uid_t u, gid_t g), (a, u, g))
CHANGE(fchown, (int d, uid_t u, gid_t g), (d, u, g))
CHANGE(lchown, (const char *a, uid_t u, gid_t g), (a, u, g))
CHANGE(fchownat, (int d, const char *a, uid_t u, gid_t g, int f), (d, a, u, g, f))
CHANGE(utimensat, (int d, const char *a, const struct timespec t[2], int f), (d, a, t, f))
CHANGE(futimens, (int d, const struct timespec t[2]), (d, t))
CHANGE(ftruncate, (int d, off_t n), (d, n))
CHANGE(ftruncate64, (int d, off_t n), (d, n))
CHANGE(link, (const char *a, const char *b), (a, b))
CHANGE(linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f))
CHANGE(symlink, (const char *a, const char *b), (a, b))
CHANGE(symlinkat, (const char *a, int d, const char *b), (a, d, b))
CHANGE(fsetxattr, (int d, const char *n, const void *v, size_t s, int f), (d, n, v, s, f))
CHANGE(setxattr, (const char *a, const char *n, const void *v, size_t s, int f), (a, n, v, s, f))

#define OPEN(name, first, args) \
  int name(first const char *path, int flags, ...) { \
    REAL(int, name, first const char *, int, ...); \
    mode_t m = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list v; va_start(v, flags); m = va_arg(v, mode_t); va_end(v); } \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails()) return -1; \
    return real args; \
  }
#define NONE
#define DIR_FD int dir,
OPEN(open, NONE, (path, flags, m))
OPEN(open64, NONE, (path, flags, m))
OPEN(openat, DIR_FD, (dir, path, flags, m))
OPEN(openat64, DIR_FD, (dir, path, flags, m))

ssize_t write(int fd, const void *data, size_t n) {
  REAL(ssize_t, write, int, const void *, size_t);
  if (mode == OFF || !regular(fd)) return real(fd, data, n);
  if (fails()) return -1;
  if (!now()) return real(fd, data, n);
  if (mode == FLIP) { /* all of it is written, with a bit the other way round */
    char *other = malloc(n + 1);
    memcpy(other, data, n);
    other[n / 2] ^= 1;
    ssize_t all = real(fd, other, n);
    free(other);
    return all;
  }
  ssize_t done = real(fd, data, n / 2 ? n / 2 : n);
  if (mode == SHORT || mode == SWAP) return done;
  if (mode == KILL) { die(); return done; }
  errno = error;
  return -1;
}

static int flush(int fd, int (*real)(int)) {
  if (mode == OFF) return real(fd);
  if (fails()) return -1;
  if (!now() || mode == SHORT || mode == SWAP || mode == FLIP) return real(fd);
  if (mode == KILL) {
    static int (*truncate_)(int, off_t);
    if (!truncate_) truncate_ = dlsym(RTLD_NEXT, "ftruncate64");
    struct stat st;
    if (regular(fd) && fstat(fd, &st) == 0 && signal_ == SIGKILL && truncate_(fd, st.st_size / 2)) abort();
    die();
    return real(fd);
  }
  errno = error;
  return -1;
}
int fsync(int fd) { REAL(int, fsync, int); return flush(fd, real); }
int fdatasync(int fd) { REAL(int, fdatasync, int); return flush(fd, real); }
