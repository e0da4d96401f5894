/* The wall clock of one program, moved against the machine's: loaded into it by LD_PRELOAD (see clock.rs).
 *
 * Moved are the readings of CLOCK_REALTIME, and the kernel's stamps on packets, which are readings of it. Waits until a
 * moment of the wall clock end when the moved clock shows that moment, also those that were begun before it was moved:
 * so does the kernel when the clock is set. The monotonic clocks, files and a network card's stamps are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* A wait by the wall clock looks at it so often. */
#define SLICE (SECOND / 20)
/* SCM_TIMESTAMPING in both its forms [asm-generic/socket.h]. */
#define STAMPS_OLD 37
#define STAMPS_NEW 65

static volatile int64_t *offset;
static int (*real_recvmmsg)(int, struct mmsghdr *, unsigned, int, struct timespec *);
static int (*real_cnd_timedwait)(cnd_t *, mtx_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("LAB_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort();
    close(file);
    real_recvmmsg = dlsym(RTLD_NEXT, "recvmmsg");
    real_cnd_timedwait = dlsym(RTLD_NEXT, "cnd_timedwait");
    offset = page;
}

static int64_t nanos(const struct timespec *time)
{
    return time->tv_sec * SECOND + time->tv_nsec;
}

static struct timespec timespec_of(int64_t nanos)
{
    return (struct timespec){ .tv_sec = nanos / SECOND, .tv_nsec = nanos % SECOND };
}

static int64_t moved(void)
{
    return offset ? *offset : 0;
}

static int64_t machine(void)
{
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
    return nanos(&time);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        *time = timespec_of(nanos(time) + moved());
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    (void)zone;
    int64_t now = machine() + moved();
    *time = (struct timeval){ .tv_sec = now / SECOND, .tv_usec = now % SECOND / 1000 };
    return 0;
}

time_t time(time_t *where)
{
    time_t now = (machine() + moved()) / SECOND;
    if (where)
        *where = now;
    return now;
}

int recvmmsg(int socket, struct mmsghdr *messages, unsigned count, int flags, struct timespec *limit)
{
    int received = real_recvmmsg(socket, messages, count, flags, limit);
    for (int i = 0; i < received; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item)) {
            if (item->cmsg_level != SOL_SOCKET || (item->cmsg_type != STAMPS_OLD && item->cmsg_type != STAMPS_NEW))
                continue;
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
            if (nanos(&stamp) == 0)
                continue;
            stamp = timespec_of(nanos(&stamp) + moved());
            memcpy(CMSG_DATA(item), &stamp, sizeof stamp);
        }
    }
    return received;
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    for (;;) {
        int64_t now = machine(), left = nanos(until) - moved() - now;
        struct timespec slice = timespec_of(now + (left < SLICE ? (left > 0 ? left : 0) : SLICE));
        int result = real_cnd_timedwait(condition, mutex, &slice);
        if (result != thrd_timedout || machine() >= nanos(until) - moved())
            return result;
    }
}
