/*
 * settings.c - the options of POP3, and what a bound cannot say of them.
 */
#include "daemon/pop3/session.h"

#include <stdio.h>

#include "daemon/base/host_port.h"
#include "daemon/base/mem.h"
#include "daemon/base/names.h"
#include "daemon/base/network.h"
#include "daemon/base/num.h"

static const struct option rows[] = {
#define OPTION(field, type, def, min, max, text) \
    { #field, OPTION_T_##type, def, min, max, text, offsetof(struct pop3_settings, field) },
#include "daemon/pop3/options.def"
#undef OPTION
};
const struct option_table pop3_options = { rows, sizeof rows / sizeof rows[0], sizeof(struct pop3_settings) };

enum { STANDARD_IDLE = 600000, EXPIRE_MAX = 99999 };

int pop3_parse_expire(const char *text, uint64_t *days_r, bool *user_r)
{
    static const struct span user = { " user", 5 };
    struct span expire = span_str(text);

    *user_r =
        expire.len > user.len && span_is_nocase((struct span){ expire.at + expire.len - user.len, user.len }, user);
    if (*user_r)
        expire.len -= user.len;
    if (span_is_nocase(expire, SPAN_OF("never")))
        return 0;
    return num_parse(expire, EXPIRE_MAX, days_r) == 1 ? 1 : -1;
}

static int check_relay_servers(const struct pop3_settings *settings, options_problem *problem, void *arg,
                               const char *file)
{
    struct span list = span_str(settings->pop3_relay_servers), word;
    struct host_port server;
    char text[256];
    int found, problems = 0;

    while ((found = host_port_next(&list, &server, &word)) != 0) {
        if (found > 0)
            continue;
        snprintf(text, sizeof text, "pop3_relay_servers: \"%.*s\" is not HOST:PORT",
                 (int)(word.len < 128 ? word.len : 128), word.at);
        problem(arg, file, 0, text);
        problems++;
    }
    if (problems == 0 && host_port_names(span_str(settings->pop3_relay_servers)) > NAMES_ADDED_MAX) {
        snprintf(text, sizeof text, "pop3_relay_servers: there are more than %d names: give addresses of some of them",
                 NAMES_ADDED_MAX);
        problem(arg, file, 0, text);
        problems++;
    }
    if (settings->pop3_relay_servers[0] != '\0' && settings->pop3_relay_time >= settings->pop3_login_time) {
        problem(arg, file, 0, "pop3_relay_time must be less than pop3_login_time, or nobody would hear of its end");
        problems++;
    }
    return problems;
}

int pop3_settings_check(const void *of, options_problem *problem, void *arg, const char *file)
{
    const struct pop3_settings *settings = of;
    int problems = 0;
    char *error = NULL;
    uint64_t days;
    bool user;

    if (settings->pop3_idle < STANDARD_IDLE && !settings->pop3_idle_below_standard) {
        problem(arg, file, 0, "pop3_idle is below the 10 minutes that RFC 1939 requires; "
                              "set pop3_idle_below_standard = true to allow that");
        problems++;
    }
    if (settings->pop3_expire[0] != '\0' && pop3_parse_expire(settings->pop3_expire, &days, &user) < 0) {
        problem(
            arg, file, 0,
            "pop3_expire must be empty, \"never\" or a number of days up to 99999, followed by \" user\""
            " where mailboxes differ");
        problems++;
    }
    if (settings->pop3_login_delay % 1000 != 0 || settings->pop3_login_delay_user % 1000 != 0) {
        problem(
            arg, file, 0,
            "pop3_login_delay and pop3_login_delay_user must be whole seconds, as CAPA announces them in seconds");
        problems++;
    }
    struct network_list *exempt = network_list_new(settings->pop3_limit_exempt, &error);
    if (exempt == NULL) {
        char text[256];

        snprintf(text, sizeof text, "pop3_limit_exempt: %.200s", error);
        problem(arg, file, 0, text);
        problems++;
        mem_drop(&error);
    }
    network_list_free(&exempt);
    return problems + check_relay_servers(settings, problem, arg, file);
}
