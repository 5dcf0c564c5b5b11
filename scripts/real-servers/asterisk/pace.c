/*
 * Makes Asterisk's media clock PACE times as fast, for tests: loaded into the unmodified Asterisk.
 *
 * res_fax_spandsp counts samples on a timerfd of 50 Hz, so a T.38 fax takes as long as on a modem
 * although no modem is there. The time-outs of SIP, the dialplan and AMI do not use timerfd and
 * stay as they are. Both ends of a fax need the same pace.
 */
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static struct timespec shorter(struct timespec t) {
  long long ns = t.tv_sec * 1000000000LL + t.tv_nsec;
  /* Zero stops the timer, so anything else must stay above it. */
  if (ns > 0) {
    ns /= PACE;
    if (ns == 0) {
      ns = 1;
    }
  }
  return (struct timespec){.tv_sec = ns / 1000000000LL, .tv_nsec = ns % 1000000000LL};
}

int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *old) {
  struct itimerspec set = {.it_interval = shorter(wanted->it_interval),
                           .it_value = shorter(wanted->it_value)};
  return (int)syscall(SYS_timerfd_settime, fd, flags, &set, old);
}
