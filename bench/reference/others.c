/*
 * Others on the host: who answers probes, raw sockets of programs that aren't ours, and a program that has nothing to do with
 * probes.
 *
 *   others listen        two ports on all addresses until standard input ends: one answers SYNs, the other accepts too
 *   others hold KIND N   N raw sockets until standard input ends; KIND is icmp or tcp: read by nobody; icmp-read or tcp-read:
 *                        read as packets come; icmp-filter, icmp-bpf or tcp-bpf: with a filter that lets no answer pass
 *   others chat N        a byte there and one back over a TCP connection of loopback, N times; prints one line:
 *                        N, CPU nanoseconds of user and of system
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 64 /* sockets */
#define WARM_UP 4096 /* exchanges before the clock starts */

static void die(const char *what)
{
	fprintf(stderr, "others: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Reads what comes, until the last descriptor, standard input, ends. */
static void read_all(struct pollfd *fds, int count)
{
	char packet[2048];
	while (poll(fds, (nfds_t)count + 1, -1) > 0 && !fds[count].revents)
		for (int i = 0; i < count; i++)
			while (fds[i].revents && recv(fds[i].fd, packet, sizeof packet, MSG_DONTWAIT) >= 0)
				;
}

static void hold(const char *kind, int count)
{
	struct pollfd fds[MOST + 1];
	if (count < 0 || count > MOST)
		count = MOST;
	int tcp = strncmp(kind, "tcp", 3) == 0;
	struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, nothing };
	struct icmp_filter no_replies = { 1u << ICMP_ECHOREPLY };
	for (int i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_RAW, tcp ? IPPROTO_TCP : IPPROTO_ICMP), refused = 0;
		if (fd < 0)
			die("a raw socket (needs CAP_NET_RAW)");
		if (strcmp(kind, "icmp-filter") == 0)
			refused = setsockopt(fd, SOL_RAW, ICMP_FILTER, &no_replies, sizeof no_replies);
		else if (strcmp(kind, "icmp-bpf") == 0 || strcmp(kind, "tcp-bpf") == 0)
			refused = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
		if (refused)
			die("a filter");
		fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	puts("held");
	fflush(stdout);
	fds[count] = (struct pollfd){ .fd = 0, .events = POLLIN };
	if (strcmp(kind, "icmp-read") == 0 || strcmp(kind, "tcp-read") == 0)
		read_all(fds, count);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
}

static int end_of(int listener, struct sockaddr_in *to)
{
	int fd = listener < 0 ? socket(AF_INET, SOCK_STREAM, 0) : accept(listener, NULL, NULL), one = 1;
	if (fd < 0 || (listener < 0 && connect(fd, (struct sockaddr *)to, sizeof *to) != 0) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
		die("a connection over loopback");
	return fd;
}

static uint64_t nanos(struct timeval t) { return ((uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec) * 1000; }

static void chat(long exchanges)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof here;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&here, &length) != 0)
		die("listen");
	int ends[2];
	ends[0] = end_of(-1, &here);
	ends[1] = end_of(listener, &here);
	struct rusage began, ended;
	char byte = 0;
	for (long i = -WARM_UP; i < exchanges; i++) {
		if (i == 0)
			getrusage(RUSAGE_SELF, &began);
		for (int end = 0; end < 2; end++)
			if (write(ends[end], &byte, 1) != 1 || read(ends[1 - end], &byte, 1) != 1)
				die("a byte over loopback");
	}
	getrusage(RUSAGE_SELF, &ended);
	printf("%ld %llu %llu\n", exchanges, (unsigned long long)(nanos(ended.ru_utime) - nanos(began.ru_utime)),
	       (unsigned long long)(nanos(ended.ru_stime) - nanos(began.ru_stime)));
}

/* A port on all addresses. Deferred: neither a half-open probe nor one that is reset ever wakes it up, so it costs no CPU. */
static int listener(int deferred, uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = { .sin_family = AF_INET };
	socklen_t length = sizeof any;
	if (fd < 0)
		die("socket");
	int patience = 60;
	if (deferred && setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &patience, sizeof patience) != 0)
		die("TCP_DEFER_ACCEPT");
	if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&any, &length) != 0)
		die("listen");
	*port = ntohs(any.sin_port);
	return fd;
}

/* Who closes a connection in order needs somebody who accepts it; a child does. */
static void listen_on_all(void)
{
	uint16_t deferred, accepting;
	listener(1, &deferred);
	int fd = listener(0, &accepting);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			close(accept(fd, NULL, NULL));
	}
	printf("%u %u\n", (unsigned)deferred, (unsigned)accepting);
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
	kill(child, SIGKILL);
}

int main(int count, char **words)
{
	if (count == 4 && strcmp(words[1], "hold") == 0)
		hold(words[2], atoi(words[3]));
	else if (count == 3 && strcmp(words[1], "chat") == 0 && atol(words[2]) > 0)
		chat(atol(words[2]));
	else if (count == 2 && strcmp(words[1], "listen") == 0)
		listen_on_all();
	else {
		fprintf(stderr, "others: accepted: listen, hold KIND N, chat N\n");
		return 2;
	}
	return 0;
}
