/* Shifts the wall clock of a process by the seconds, a long, in the file that KRONOS_GATE_CLOCK
 * names. Another process may change the file at any time. Monotonic clocks stay.
 *
 *     cc -shared -fPIC -o clock.so clock.c
 *     KRONOS_GATE_CLOCK=FILE LD_PRELOAD=clock.so COMMAND
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *shift;

__attribute__((constructor)) static void open_shift(void) {
    const char *name = getenv("KRONOS_GATE_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) shift = found;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*of_the_library)(clockid_t, struct timespec *);
    if (!of_the_library) of_the_library = dlsym(RTLD_NEXT, "clock_gettime");
    int status = of_the_library(id, now);
    if (!status && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += *shift;
    return status;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return status;
}
