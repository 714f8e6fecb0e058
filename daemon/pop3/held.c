/*
 * held.c - answers to a login that are held until their time, so that the time tells nobody what
 * was found out, nor how.
 *
 * Owns when they are said. Never tells why a login was refused; the log does, as far as it is known here.
 */
#include "daemon/pop3/login.h"

#include "daemon/net/loop.h"
#include "daemon/pop3/grid.h"

enum outcome pop3_hold(struct pop3_session *s, enum outcome (*say)(struct pop3_session *s), uint64_t at)
{
    s->login->say = say;
    s->login->say_at = at;
    pop3_set_login_timer(s);
    return CMD_WAIT;
}

uint64_t pop3_soon(const struct pop3_session *s)
{
    return grid_next(s->login->pass_at, GRID_CHALLENGE, GRID_CHALLENGE, loop_now(pop3_host(s)->loop));
}

static enum outcome say_refusal(struct pop3_session *s)
{
    pop3_set_name(s, (struct span){ NULL, 0 });
    s->login->refused++;
    pop3_err(s, RC_AUTH, "wrong name or password");
    if (s->login->refused < pop3_settings(s)->pop3_login_failures)
        return CMD_DONE;
    s->base.end = END_REFUSED;
    return CMD_CLOSE;
}

static uint64_t at_least(uint64_t ms, uint64_t least)
{
    return ms > least ? ms : least;
}

/*
 * The credentials do not hold, for whatever reason. When it is said depends on
 * when PASS came and on how often this address and this name were refused
 * before, so that the time tells nobody the reason (A10).
 */
enum outcome pop3_refuse(struct pop3_session *s, const char *reason, uint32_t guesses)
{
    pop3_log_refused(s, reason);
    uint64_t now = loop_now(pop3_host(s)->loop);
    uint64_t delay = guard_wrong(pop3_service_of(s)->guard, &s->seat, pop3_name(s), guesses, now);
    return pop3_hold(s, say_refusal,
                     grid_next(s->login->pass_at, at_least(delay, GRID_REFUSAL),
                               at_least((uint64_t)pop3_settings(s)->pop3_failure_delay, GRID_REFUSAL), now));
}
