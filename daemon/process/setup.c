/*
 * setup.c - reads the configuration and makes what it asks for, at the start and
 * at each reload. Nothing is given up before all of the new one is there.
 */
#include "daemon/process/setup.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/login_cache.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/primary.h"
#include "daemon/process/certs.h"
#include "daemon/process/handover.h"
#include "daemon/process/sockets.h"
#include "daemon/system/detach.h"
#include "daemon/system/privdrop.h"

enum { SPARE_DESCRIPTORS = 64 };    /* of a worker, beside sessions, lanes and helpers */

/* Nobody reads the log who could be told this by the log. */
#define NO_LOG_DAEMON \
    "no log daemon listens at %s: log lines are dropped until one does; or set log to \"stderr\" or a file"

void setup_init(struct setup *s, const struct master_start *start)
{
    *s = (struct setup){
        .start = start, .file = setup_path(start->file), .told = BUF_EMPTY,
        .login_cache = start->handover != NULL ? start->handover->login_cache : -1,
    };
}

void setup_free(struct setup *s)
{
    sockets_free(&s->sockets, NULL);
    buf_free(&s->told);
    if (s->login_cache >= 0)
        close(s->login_cache);
    config_free(&s->config);
    mem_free(s->file);
}

void setup_tell(const struct master_start *start, bool is_error, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!start->no_stderr)
        fprintf(stderr, "posternd: %s\n", text);
    if (log_is_stderr())
        return;
    if (is_error)
        log_error(NULL, "%s", text);
    else
        log_warning(NULL, "%s", text);
}

static unsigned config_flags(const struct master_start *start)
{
    return (start->adopted_count == 0 ? CONFIG_LISTENERS : 0u) | (start->foreground ? 0u : CONFIG_DETACHED);
}

/* "stderr" is the client or a listening socket where it is not ours. */
static bool open_log(const struct master_start *start, const struct config *c, const char **error_r)
{
    const char *target = start->no_stderr && strcmp(c->daemon.log, "stderr") == 0 ? "syslog" : c->daemon.log;

    return log_open(target, c->daemon.log_level, "posternd", error_r);
}

static bool has_passed(const struct config *c)
{
    for (size_t i = 0; i < c->listeners.count; i++)
        if (config_listener(c, i)->passed)
            return true;
    return false;
}

static void raise_limits(const struct config *c)
{
    /* A passer may stay for as long as its client. */
    uint64_t each = has_passed(c) ? 2 : 1;
    /* One that is relayed has a connection to its old server. */
    uint64_t relays = c->pop3.pop3_relay_servers[0] != '\0' ? (uint64_t)c->pop3.pop3_relay_sessions : 0;
    uint64_t wanted = (uint64_t)c->daemon.sessions_per_worker * each + relays + (uint64_t)c->storage.database_lanes +
                      (uint64_t)c->auth.auth_helpers + c->listeners.count * 2 + SPARE_DESCRIPTORS;
    uint64_t got = privdrop_descriptors(wanted);

    if (got < wanted)
        log_warning(NULL,
                    "sessions_per_worker = %lld needs %llu descriptors but the limit is %llu: further connections wait",
                    (long long)c->daemon.sessions_per_worker, (unsigned long long)wanted, (unsigned long long)got);
}

/* An options_problem: to the log, and to the operator who asked for the reload. */
static void reload_problem(void *arg, const char *file, int line, const char *text)
{
    struct setup *s = arg;

    config_log_problem(NULL, file, line, text);
    if (line > 0)
        buf_addf(&s->told, "%s:%d: %s\n", file, line, text);
    else
        buf_addf(&s->told, "%s: %s\n", file != NULL ? file : "configuration", text);
}

__attribute__((format(printf, 2, 3)))
static void reload_failed(struct setup *s, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_error(NULL, "reload: %s; the old configuration and its certificates stay in effect", text);
    buf_addf(&s->told, "%s\n", text);
}

/* Cached logins outlive a reload, and an upgrade, unless there is to be more or less room. */
static void share_login_cache(struct setup *s)
{
    const size_t octets = (size_t)s->config->auth.auth_cache;

    if (s->login_cache >= 0 && octets > 0 && login_cache_fits(s->login_cache, octets))
        return;
    if (s->login_cache >= 0)
        close(s->login_cache);
    s->login_cache = octets > 0 ? login_cache_memory(octets) : -1;
    if (s->login_cache < 0 && octets > 0)
        log_warning(NULL, "login cache disabled: %s", strerror(errno));
}

void setup_settled(struct setup *s)
{
    certs_warn(s->config);
    share_login_cache(s);
    raise_limits(s->config);
}

static bool same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL ? strcmp(a, b) == 0 : a == b;
}

/* Which server was believed is known of the hosts that were named: of others nothing is. */
static void forget_primary(const struct config *was, const struct config *is)
{
    if (same_text(was->conninfo_mail, is->conninfo_mail) && same_text(was->conninfo_auth, is->conninfo_auth) &&
        same_text(was->conninfo_lmtp, is->conninfo_lmtp))
        return;
    if (!primary_share())
        log_warning(NULL, "could not share memory: %s", strerror(errno));
}

/* What can fail comes first. */
bool setup_again(struct setup *s)
{
    const char *why = NULL;
    char *error = NULL;
    int problems;
    struct config *config;
    struct sockets *sockets;

    buf_clear(&s->told);
    config = config_load(s->file, config_flags(s->start), reload_problem, s, &problems);
    if (problems == 0)
        problems = certs_load(config, s->file, s->config, reload_problem, s);
    if (problems > 0) {
        reload_failed(s, "%d problems", problems);
        config_free(&config);
        return false;
    }
    sockets = sockets_bind(config, s->sockets, &error);
    if (sockets == NULL) {
        reload_failed(s, "%s", error);
        mem_drop(&error);
        config_free(&config);
        return false;
    }
    if (!open_log(s->start, config, &why)) {
        reload_failed(s, "could not open the log %s: %s", config->daemon.log, why);
        sockets_free(&sockets, s->sockets);
        config_free(&config);
        return false;
    }
    if (strcmp(config->daemon.pid_file, s->config->daemon.pid_file) != 0) {
        if (pid_file_write(config->daemon.pid_file) < 0)
            log_warning(NULL, "could not write pid_file %s: %s", config->daemon.pid_file, strerror(errno));
        pid_file_remove(s->config->daemon.pid_file);
    }
    if (log_unreached() != NULL)
        buf_addf(&s->told, NO_LOG_DAEMON "\n", log_unreached());
    sockets_free(&s->sockets, sockets);
    s->sockets = sockets;
    forget_primary(s->config, config);
    config_free(&s->config);
    s->config = config;
    setup_settled(s);
    return true;
}

static bool first_config(struct setup *s)
{
    const char *why = NULL;
    options_problem *problem = s->start->no_stderr ? config_log_problem : config_print_problem;
    int problems;

    s->config = config_load(s->start->file, config_flags(s->start), problem, stderr, &problems);
    if (problems > 0 || certs_load(s->config, s->start->file, NULL, problem, stderr) > 0)
        return false;
    if (!open_log(s->start, s->config, &why)) {
        setup_tell(s->start, true, "could not open the log %s: %s", s->config->daemon.log, why);
        return false;
    }
    if (log_unreached() != NULL)
        setup_tell(s->start, false, NO_LOG_DAEMON, log_unreached());
    return true;
}

static bool first_sockets(struct setup *s)
{
    char *error = NULL;

    if (s->start->adopted_count > 0) {
        s->sockets =
            sockets_adopt(s->config, s->start->adopted, s->start->adopted_count, s->start->adopted_names, &error);
    } else {
        if (s->start->handover != NULL)
            s->inherited = s->start->handover->sockets;
        s->sockets = sockets_bind(s->config, s->inherited, &error);
    }
    if (s->sockets == NULL)
        setup_tell(s->start, true, "%s", error);
    mem_drop(&error);
    return s->sockets != NULL;
}

bool setup_first(struct setup *s)
{
    return first_config(s) && first_sockets(s);
}

/*
 * The file by a path that holds in any directory. Links are left as they are: they may point
 * elsewhere at the next reload.
 */
char *setup_path(const char *file)
{
    char cwd[PATH_MAX], *path;
    size_t size;

    if (file[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
        return mem_str(file);
    size = strlen(cwd) + strlen(file) + 2;
    path = mem_alloc(size);
    snprintf(path, size, "%s/%s", cwd, file);
    return path;
}

