// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * A program with USDT probes whose arguments stand in every kind of place (x86-64). Each time it gets SIGUSR1 it passes the probe
 * `forms` five times, if somebody looks at it, which a semaphore tells, and its neighbours as well.
 */
#include <signal.h>
#include <stdio.h>

/* The note that describes a probe at this place. */
#define PROBE(name, semaphore, arguments)                                      \
	"990: nop\n"                                                           \
	".pushsection .note.stapsdt, \"\", \"note\"\n"                         \
	".balign 4\n"                                                          \
	".4byte 992f - 991f, 994f - 993f, 3\n"                                 \
	"991: .asciz \"stapsdt\"\n"                                            \
	"992: .balign 4\n"                                                     \
	"993: .8byte 990b, 0, " semaphore "\n"                                 \
	".asciz \"tracer_test\"\n"                                             \
	".asciz \"" name "\"\n"                                                \
	".asciz \"" arguments "\"\n"                                           \
	"994: .balign 4\n"                                                     \
	".popsection\n"

/* How many look at `forms`. */
volatile unsigned short looked_at __attribute__((section(".probes")));

static const long values[] = { 0x8234567812345678, 2, 3, 4, 0x5555555566666666 };

static void pass(void)
{
	asm volatile(PROBE("forms", "looked_at",
			   "8@%%rax 4@%%eax -4@%%ecx 2@%%ax 1@%%al -1@%%al 4@8(%%rbx,%%rdx,8) 1@-1(%%rbx,%%rdx) "
			   "8@(%%rbx) -2@6(%%rbx) -4@$-9 4@$7")
		     :
		     : "a"(0x1122334455667788), "b"(values), "c"(-2L), "d"(3L));
	/* One probe at two places. */
	asm volatile(PROBE("twice", "0", "4@$1"));
	asm volatile(PROBE("twice", "0", "4@$2"));
}

int main(void)
{
	sigset_t signals;
	int signal;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	puts("begun");
	while (!sigwait(&signals, &signal)) {
		for (int i = 0; looked_at && i < 5; i++)
			pass();
		puts(looked_at ? "passed" : "nobody looks");
	}
	return 1;
}
