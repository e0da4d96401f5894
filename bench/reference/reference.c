/*
 * The reference: the same probes by the least code that measures them, in C. What an agent costs beyond this is its own.
 *
 *   reference MODE BATCH ROUNDS TARGETS PORT FIRST SOURCE
 *     icmp           echo, both kernel stamps
 *     syn            half-open SYN, both kernel stamps
 *     connect        connect() on BATCH descriptors used again and again, TCP_INFO
 *     connect-fresh  connect() on a new descriptor each, epoll, TCP_INFO
 *
 * A mode sends ROUNDS probes to each of TARGETS addresses from FIRST on, by way of SOURCE, and prints one line:
 * probes, of those measured by the kernel's clock on both sides, CPU nanoseconds of user and of system, sum of round trips in ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 64          /* messages in one call */
#define PACKET 64        /* 8 bytes of ICMP header and 56 of payload */
#define SYN_BYTES 24     /* a TCP header and the maximum segment size */
#define PORTS 64         /* source ports of SYNs, as many as dt's default */
#define TCP_ESTABLISHED 1 /* net/tcp_states.h */
#define WARM_UP 4096     /* probes before the clock starts: the kernel begins to stamp a while after it was asked to */
#define IDENTIFIER 0x5eed
#define PATIENCE_MS 1000 /* without an answer for so long, the reference gives up */

#ifndef SCM_TS_OPT_ID
#define SCM_TS_OPT_ID 81 /* since Linux 6.13 */
#endif

static void die(const char *what)
{
	fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set(int fd, int level, int name, int value, const char *what)
{
	if (setsockopt(fd, level, name, &value, sizeof value) != 0)
		die(what);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t micros(struct timeval t) { return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec; }

/* Where the targets begin, and the address that SYNs come from. */
static uint32_t first_target, source;

static struct sockaddr_in target(uint32_t number, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	a.sin_addr.s_addr = htonl(first_target + number);
	return a;
}

static uint16_t sum16(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* ---- What was measured. ---- */

static uint64_t probes, measured, rtt_sum;
static struct rusage began;

static void start(void)
{
	probes = measured = rtt_sum = 0;
	getrusage(RUSAGE_SELF, &began);
}

static void report(void)
{
	struct rusage ended;
	getrusage(RUSAGE_SELF, &ended);
	printf("%llu %llu %llu %llu %llu\n", (unsigned long long)probes, (unsigned long long)measured,
	       (unsigned long long)(micros(ended.ru_utime) - micros(began.ru_utime)) * 1000,
	       (unsigned long long)(micros(ended.ru_stime) - micros(began.ru_stime)) * 1000, (unsigned long long)rtt_sum);
}

/* ---- Raw sockets: sendmmsg, recvmmsg, the error queue. ---- */

struct room {
	uint8_t bytes[256];
	_Alignas(16) uint8_t control[256];
};

static struct room received[MOST];
static uint8_t packets[MOST][PACKET];
static _Alignas(16) uint8_t keys[MOST][CMSG_SPACE(sizeof(uint32_t))];
static struct sockaddr_in names[MOST];
static struct iovec out_vectors[MOST], in_vectors[MOST];
static struct mmsghdr out[MOST], in[MOST];
/* By place in the batch. */
static uint64_t left[MOST], arrived[MOST];
static uint32_t base;
static uint16_t ports[PORTS];

static void prepare(size_t length)
{
	for (int i = 0; i < MOST; i++) {
		struct cmsghdr *key = (struct cmsghdr *)keys[i];
		key->cmsg_level = SOL_SOCKET;
		key->cmsg_type = SCM_TS_OPT_ID;
		key->cmsg_len = CMSG_LEN(sizeof(uint32_t));
		out_vectors[i] = (struct iovec){ packets[i], length };
		out[i].msg_hdr = (struct msghdr){ .msg_name = &names[i], .msg_namelen = sizeof names[i],
			.msg_iov = &out_vectors[i], .msg_iovlen = 1, .msg_control = keys[i], .msg_controllen = sizeof keys[i] };
		in_vectors[i] = (struct iovec){ received[i].bytes, sizeof received[i].bytes };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &in_vectors[i], .msg_iovlen = 1, .msg_control = received[i].control };
	}
}

static int read_batch(int fd, int flags)
{
	for (int i = 0; i < MOST; i++)
		in[i].msg_hdr.msg_controllen = sizeof received[i].control;
	int count = recvmmsg(fd, in, MOST, flags | MSG_DONTWAIT, NULL);
	if (count < 0 && errno != EAGAIN)
		die("recvmmsg");
	return count < 0 ? 0 : count;
}

static uint64_t stamp_of(struct msghdr *message, uint32_t *key)
{
	uint64_t stamp = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
			struct timespec t;
			memcpy(&t, CMSG_DATA(c), sizeof t);
			stamp = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		} else if (key && c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) {
			struct sock_extended_err error;
			memcpy(&error, CMSG_DATA(c), sizeof error);
			if (error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING)
				*key = error.ee_data;
		}
	}
	return stamp;
}

/* The place in the batch that an answer belongs to, or MOST. */
typedef uint32_t (*matcher)(const uint8_t *bytes, size_t length);

static uint32_t match_echo(const uint8_t *bytes, size_t length)
{
	size_t header = (size_t)(bytes[0] & 15) * 4;
	uint32_t key;
	if (length < header + 16 || bytes[header] != 0)
		return MOST;
	memcpy(&key, bytes + header + 8, 4);
	return key - base;
}

static uint32_t match_answer(const uint8_t *bytes, size_t length)
{
	size_t header = (size_t)(bytes[0] & 15) * 4;
	uint32_t acknowledged;
	if (length < header + 20)
		return MOST;
	memcpy(&acknowledged, bytes + header + 8, 4);
	return ntohl(acknowledged) - 1 - base;
}

static void write_echo(int place, uint32_t key)
{
	uint8_t *p = packets[place];
	p[0] = ICMP_ECHO;
	p[2] = p[3] = 0;
	p[4] = IDENTIFIER >> 8, p[5] = IDENTIFIER & 255;
	p[6] = (uint8_t)(key >> 8), p[7] = (uint8_t)key;
	memcpy(p + 8, &key, 4);
	uint16_t sum = sum16(p, PACKET, 0);
	memcpy(p + 2, &sum, 2);
}

static void write_syn(int place, uint32_t key)
{
	uint8_t *p = packets[place];
	uint16_t port = htons(ports[key % PORTS]), window = htons(64240);
	uint32_t number = htonl(key), destination = ntohl(names[place].sin_addr.s_addr);
	memset(p, 0, SYN_BYTES);
	memcpy(p, &port, 2);
	memcpy(p + 2, &names[place].sin_port, 2);
	memcpy(p + 4, &number, 4);
	p[12] = SYN_BYTES / 4 << 4, p[13] = 2;
	memcpy(p + 14, &window, 2);
	p[20] = 2, p[21] = 4, p[22] = 1460 >> 8, p[23] = 1460 & 255;
	uint32_t pseudo = (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + IPPROTO_TCP + SYN_BYTES;
	uint16_t sum = sum16(p, SYN_BYTES, pseudo);
	memcpy(p + 16, &sum, 2);
}

static void exchange(int fd, int batch, uint32_t first, uint32_t targets, uint16_t port, int echo)
{
	for (int i = 0; i < batch; i++) {
		uint32_t key = base + (uint32_t)i;
		names[i] = target((first + (uint32_t)i) % targets, port);
		memcpy(CMSG_DATA((struct cmsghdr *)keys[i]), &key, sizeof key);
		if (echo) {
			names[i].sin_port = 0;
			write_echo(i, key);
		} else {
			write_syn(i, key);
			names[i].sin_port = 0;
		}
		left[i] = arrived[i] = 0;
	}
	int sent = sendmmsg(fd, out, (unsigned)batch, 0);
	if (sent != batch)
		die("sendmmsg");
	matcher match = echo ? match_echo : match_answer;
	int answered = 0, stamped = 0;
	uint64_t end = 0;
	while (answered < batch || stamped < batch) {
		int got = read_batch(fd, 0);
		for (int i = 0; i < got; i++) {
			uint32_t place = match(received[i].bytes, in[i].msg_len);
			if (place < (uint32_t)batch && !arrived[place]) {
				arrived[place] = stamp_of(&in[i].msg_hdr, NULL);
				answered++;
			}
		}
		int queued = read_batch(fd, MSG_ERRQUEUE);
		for (int i = 0; i < queued; i++) {
			uint32_t key = base - 1;
			uint64_t stamp = stamp_of(&in[i].msg_hdr, &key);
			if (key - base < (uint32_t)batch) {
				left[key - base] = stamp;
				stamped++;
			}
		}
		if (got || queued)
			continue;
		uint64_t now = now_ns(CLOCK_MONOTONIC);
		end = end ? end : now + PATIENCE_MS * 1000000ull;
		if (now > end) /* without a stamp, as before the kernel has begun to, or unanswered */
			break;
	}
	for (int i = 0; i < batch; i++) {
		int both = left[i] && arrived[i] >= left[i];
		measured += (uint64_t)both;
		rtt_sum += both ? arrived[i] - left[i] : 0;
	}
	probes += (uint64_t)batch;
	base += (uint32_t)batch;
}

static void stamps(int fd)
{
	set(fd, SOL_IP, IP_RECVERR, 1, "IP_RECVERR");
	set(fd, SOL_SOCKET, SO_TIMESTAMPING,
	    SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_CMSG |
	    SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY, "SO_TIMESTAMPING");
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20, "SO_RCVBUFFORCE (needs CAP_NET_ADMIN)");
}

static void filter(int fd, struct sock_filter *program, unsigned short length)
{
	struct sock_fprog all = { length, program };
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) != 0)
		die("SO_ATTACH_FILTER");
}

static int open_echo(void)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
	if (fd < 0)
		die("a raw ICMP socket (needs CAP_NET_RAW)");
	struct icmp_filter only_replies = { ~(1u << ICMP_ECHOREPLY) };
	if (setsockopt(fd, SOL_RAW, ICMP_FILTER, &only_replies, sizeof only_replies) != 0)
		die("ICMP_FILTER");
	struct sock_filter ours[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IDENTIFIER, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	filter(fd, ours, sizeof ours / sizeof *ours);
	stamps(fd);
	prepare(PACKET);
	for (int i = 0; i < MOST; i++)
		for (int at = 12; at < PACKET; at++)
			packets[i][at] = (uint8_t)at;
	return fd;
}

/* Neighbouring ports, each held by a bound socket, so that the kernel answers a SYN-ACK to it with RST. */
static void hold_ports(void)
{
	uint16_t port = 61000;
	for (int held = 0; held < PORTS; port++) {
		if (port >= 65000)
			die("64 free neighbouring ports");
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
		if (fd < 0)
			die("socket");
		if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) {
			held = 0;
			continue;
		}
		ports[held++] = port;
	}
}

static int open_syn(void)
{
	hold_ports();
	int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
	if (fd < 0)
		die("a raw TCP socket (needs CAP_NET_RAW)");
	struct sock_filter answers[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ports[0], 0, 5),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, ports[PORTS - 1], 4, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x12, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	filter(fd, answers, sizeof answers / sizeof *answers);
	stamps(fd);
	prepare(SYN_BYTES);
	return fd;
}

static void raw(int echo, int batch, uint32_t rounds, uint32_t targets, uint16_t port)
{
	int fd = echo ? open_echo() : open_syn();
	base = 1;
	for (uint32_t sent = 0; sent < WARM_UP; sent += (uint32_t)batch)
		exchange(fd, batch, sent, targets, port, echo);
	start();
	for (uint64_t sent = 0; sent < (uint64_t)rounds * targets; sent += (uint64_t)batch)
		exchange(fd, batch, (uint32_t)(sent % targets), targets, port, echo);
	report();
}

/* ---- connect(). ---- */

static int stream(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
	if (fd < 0)
		die("socket");
	/* Ended by RST, so that no connection lingers and uses the ports up. */
	struct linger at_once = { 1, 0 };
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) != 0)
		die("SO_LINGER");
	return fd;
}

static void begin(int fd, uint32_t number, uint16_t port)
{
	struct sockaddr_in to = target(number, port);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
		die("connect");
}

static void read_info(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		die("TCP_INFO");
	if (info.tcpi_state != TCP_ESTABLISHED) {
		struct pollfd done = { .fd = fd, .events = POLLOUT };
		if (poll(&done, 1, PATIENCE_MS) != 1 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
		    info.tcpi_state != TCP_ESTABLISHED)
			die("no connection");
	}
	probes++;
	if (info.tcpi_rtt && !info.tcpi_total_retrans) {
		measured++;
		rtt_sum += (uint64_t)info.tcpi_rtt * 1000;
	}
}

static void connect_reused(int *fds, int batch, uint32_t first, uint32_t targets, uint16_t port)
{
	for (int i = 0; i < batch; i++)
		begin(fds[i], (first + (uint32_t)i) % targets, port);
	for (int i = 0; i < batch; i++) {
		read_info(fds[i]);
		struct sockaddr none = { .sa_family = AF_UNSPEC };
		if (connect(fds[i], &none, sizeof none) != 0)
			die("connect(AF_UNSPEC)");
	}
}

static void connect_fresh(int queue, int batch, uint32_t first, uint32_t targets, uint16_t port)
{
	struct epoll_event events[MOST];
	for (int i = 0; i < batch; i++) {
		int fd = stream();
		begin(fd, (first + (uint32_t)i) % targets, port);
		struct epoll_event wanted = { .events = EPOLLOUT, .data.fd = fd };
		if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &wanted) != 0)
			die("epoll_ctl");
	}
	for (int left_over = batch; left_over > 0;) {
		int count = epoll_wait(queue, events, MOST, PATIENCE_MS);
		if (count <= 0)
			die("no connection");
		for (int i = 0; i < count; i++) {
			int error = 0;
			socklen_t length = sizeof error;
			getsockopt(events[i].data.fd, SOL_SOCKET, SO_ERROR, &error, &length);
			if (error) {
				errno = error;
				die("connect");
			}
			read_info(events[i].data.fd);
			close(events[i].data.fd);
		}
		left_over -= count;
	}
}

static void handshakes(int fresh, int batch, uint32_t rounds, uint32_t targets, uint16_t port)
{
	int fds[MOST], queue = epoll_create1(0);
	for (int i = 0; i < batch && !fresh; i++)
		fds[i] = stream();
	for (int timed = 0; timed < 2; timed++) {
		uint64_t all = timed ? (uint64_t)rounds * targets : WARM_UP;
		start();
		for (uint64_t sent = 0; sent < all; sent += (uint64_t)batch) {
			if (fresh)
				connect_fresh(queue, batch, (uint32_t)(sent % targets), targets, port);
			else
				connect_reused(fds, batch, (uint32_t)(sent % targets), targets, port);
		}
	}
	report();
}

int main(int count, char **words)
{
	const char *mode = count > 1 ? words[1] : "";
	struct in_addr from, begin_at;
	if (count != 8 || inet_aton(words[6], &begin_at) == 0 || inet_aton(words[7], &from) == 0) {
		fprintf(stderr, "reference: MODE BATCH ROUNDS TARGETS PORT FIRST SOURCE\n");
		return 2;
	}
	int batch = atoi(words[2]);
	uint32_t rounds = (uint32_t)atoi(words[3]), targets = (uint32_t)atoi(words[4]);
	uint16_t port = (uint16_t)atoi(words[5]);
	first_target = ntohl(begin_at.s_addr);
	source = ntohl(from.s_addr);
	if (batch < 1 || batch > MOST || rounds < 1 || targets < 1) {
		fprintf(stderr, "reference: BATCH is 1 to 64, ROUNDS and TARGETS at least 1\n");
		return 2;
	}
	if (strcmp(mode, "icmp") == 0)
		raw(1, batch, rounds, targets, 0);
	else if (strcmp(mode, "syn") == 0)
		raw(0, batch, rounds, targets, port);
	else if (strcmp(mode, "connect") == 0)
		handshakes(0, batch, rounds, targets, port);
	else if (strcmp(mode, "connect-fresh") == 0)
		handshakes(1, batch, rounds, targets, port);
	else {
		fprintf(stderr, "reference: mode \"%s\"; accepted: icmp, syn, connect, connect-fresh\n", mode);
		return 2;
	}
	return 0;
}
