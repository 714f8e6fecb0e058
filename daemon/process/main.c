/*
 * main.c - chooses what this process is to be: master, one session, or a few
 * lines of text.
 *
 * Until that is known nothing is written to descriptors 0 to 2: behind them
 * may be a client.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/mechanism.h"
#include "daemon/base/conninfo.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/process/certs.h"
#include "daemon/config/config.h"
#include "daemon/process/flags.h"
#include "daemon/process/handover.h"
#include "daemon/process/inetd.h"
#include "daemon/process/master.h"
#include "daemon/net/socket_dir.h"
#include "daemon/net/tls_cert.h"
#include "daemon/process/probe.h"
#include "daemon/system/privdrop.h"
#include "daemon/system/sd.h"
#include "daemon/system/stdio.h"

enum { EXIT_USAGE = 2, SD_FIRST_FD = 3, SD_MOST_FDS = 256 };

/* Whoever started us may have left signals ignored or blocked: both are inherited. */
static void reset_signals(void)
{
    static const int ours[] = { SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM };
    sigset_t none;

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        signal(ours[i], SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Text that was asked for and could not be written is an error (a full disk, a closed pipe). */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    fprintf(stderr, "posternd: could not write: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static void print_end(void *arg, bool over, const char *text)
{
    printf("%s: %s: %s\n", (const char *)arg, over ? "error" : "warning", text);
}

/* What would keep us from starting. A database that is away, or does not let a worker in, would not. */
static int check_database(struct config *config, const char *file)
{
    char *text = NULL;
    int outcome = probe_schema(config, config_speaks(config), &text);

    if (outcome == 0)
        config_print_problem(stdout, file, 0, text);
    else if (outcome < 0)
        printf("%s: warning: %s\n", file, text);
    mem_drop(&text);
    return outcome == 0;
}

/* The server would start all the same, and say so. */
static void warn_of_control(const struct config *config, const char *file)
{
    const char *path = config->control.control_socket;
    char *error = NULL;

    if (path[0] != '\0' && !socket_dir_check(path, &error))
        printf("%s: warning: control_socket: %s\n", file, error);
    mem_drop(&error);
}

/* Mechanisms that some clients prefer, and that prove nothing to another server. */
static void warn_of_relays(const struct config *config, const char *file)
{
    const unsigned fine = MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN) | MECH_BIT(MECH_EXTERNAL);
    const unsigned others = config->pop3.sasl_mechanisms & ~fine;

    for (unsigned m = 0; config->pop3.pop3_relay_servers[0] != '\0' && m < MECHANISMS; m++)
        if (others & MECH_BIT(m))
            printf("%s: warning: sasl_mechanisms: %s cannot be relayed, and clients that choose it are refused as long"
                   " as their mailbox is at an old server (pop3_relay_servers)\n", file, mechanisms[m].name);
}

/* Those that serve this set of protocols. */
static void warn_of_workers(const struct config *config, unsigned set, const char *file)
{
    const struct daemon_settings *d = &config->daemon;
    const char *metrics = d->metrics_user[0] != '\0' ? d->metrics_user : d->user;

    if (config->control.metrics_listen[0] != '\0' && strcmp(metrics, config_user(config, set)) == 0 &&
        conninfo_goes_by_user(config->conninfo_mail))
        printf("%s: warning: metrics_user: the process that serves the metrics has the user of the workers, whom"
               " the database lets in without a password; give it a user of its own\n", file);
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (protocols[i]->user != NULL && (set & protocol_bit(protocols[i])) && set != protocol_bit(protocols[i]))
            printf("%s: warning: %s_user: the workers that serve %s serve other protocols, too, and so have the"
                   " rights for all of them at the database; give it workers with a user of their own\n", file,
                   protocols[i]->name, protocols[i]->name);
}

/* The same of rights that a process has without need. */
static void warn_of_users(const struct config *config, const char *file)
{
    unsigned spoken = config_speaks(config);

    for (unsigned set; privdrop_is_root() && spoken != 0; spoken &= ~set) {
        set = config_together(config, spoken);
        warn_of_workers(config, set, file);
    }
}

static int check(const struct flags *f)
{
    struct tls_ends ends = TLS_ENDS_NONE;
    int problems;
    struct config *config =
        config_load(f->file, f->inetd ? 0 : CONFIG_LISTENERS, config_print_problem, stdout, &problems);

    if (problems == 0)
        problems = certs_load(config, f->file, NULL, config_print_problem, stdout);
    if (problems == 0 && !f->inetd)
        warn_of_control(config, f->file);
    if (problems == 0)
        warn_of_relays(config, f->file);
    if (problems == 0 && !f->inetd)
        warn_of_users(config, f->file);
    /*
     * No problem of the file: with a certificate that is over the server starts, and must, for
     * those who do not look at it.
     */
    certs_ends(config, &ends);
    tls_ends_tell(&ends, (int64_t)time(NULL), config->tls.tls_warn_before / 1000, print_end,
                  (void *)(uintptr_t)f->file);
    tls_ends_free(&ends);
    if (problems == 0)
        problems = check_database(config, f->file);
    config_free(&config);
    if (problems == 0)
        printf("%s: ok\n", f->file);
    return printed() == EXIT_SUCCESS && problems == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A listening socket as descriptor 0: inetd's `wait`, xinetd's `wait = yes`, systemd's StandardInput=socket. */
static int adopt_stdin(const struct flags *f, const char *program)
{
    int fds[2];

    close_range(3, ~0U, 0);
    if (stdio_take(fds) < 0)
        return EXIT_FAILURE;
    close(fds[1]);              /* the same socket once more, under wait; nothing that we write to anyhow */
    return master_run(&(struct master_start){
        .program = program,
        .file = f->file,
        .foreground = true,
        .adopted = fds,
        .adopted_count = 1,
        .ready_fd = -1,
        .no_stderr = true,
    });
}

static int one_session(const struct flags *f)
{
    const char *why = NULL;
    int fds[2];

    if (stdio_take(fds) < 0)
        return EXIT_FAILURE;
    if (!f->wrong) {
        int status = inetd_run(&(struct inetd_start){
            .file = f->file, .protocol = f->protocol, .tls = f->tls, .alone = f->alone, .stay = f->stay,
        }, fds[0], fds[1]);
        log_finish();
        return status;
    }
    log_open("syslog", LOG_LEVEL_INFO, "posternd", &why);
    log_error(NULL, "unknown option, or too many arguments");
    log_finish();
    if (!f->tls)
        inetd_refuse(fds[1], f->protocol->refusals[REFUSAL_CONFIG]);
    return EXIT_USAGE;
}

/* Away from where sockets may be passed. Below zero: told. */
static int take_ready_fd(int fd)
{
    int ready = fcntl(fd, F_DUPFD_CLOEXEC, SD_FIRST_FD + SD_MOST_FDS);

    if (ready < 0)
        fprintf(stderr, "posternd: --ready-fd=%d: %s\n", fd, strerror(errno));
    else
        close(fd);
    return ready;
}

/* For an upgrade. By the name that we were started with: behind a link there may be another file by then. */
static const char *program_path(const char *argv0)
{
    static char path[PATH_MAX];
    ssize_t n;

    if (strchr(argv0, '/') != NULL) {
        char *absolute = setup_path(argv0);

        snprintf(path, sizeof path, "%s", absolute);
        mem_free(absolute);
        return path;
    }
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 0 ? path : argv0;
}

/* In place of a master that goes on until we serve. */
static int take_over(const struct flags *f, const char *program, const struct handover *handover)
{
    return master_run(&(struct master_start){
        .program = program, .file = f->file, .foreground = f->foreground, .handover = handover,
        .adopted = handover->adopted, .adopted_count = handover->adopted_count,
        .adopted_names = handover->adopted_names, .ready_fd = -1,
    });
}

static int daemon_or_foreground(const struct flags *f, const char *program)
{
    int fds[SD_MOST_FDS];
    const char *why = NULL;
    char *names;
    size_t count;
    int status, ready = -1;
    static struct handover handover;

    switch (handover_take(&handover)) {
    case 0:
        break;
    case 1:
        return take_over(f, program, &handover);
    default:
        fprintf(stderr, "posternd: invalid handover data from the running posternd\n");
        return EXIT_FAILURE;
    }
    if (f->ready_fd >= 0 && (ready = take_ready_fd(f->ready_fd)) < 0)
        return EXIT_FAILURE;
    if (!sd_listen_fds(&count, &names, &why)) {
        fprintf(stderr, "posternd: %s\n", why);
        return EXIT_FAILURE;
    }
    /* Whatever else our caller had open would stay so for as long as we run. */
    if (ready >= 0) {
        close_range(SD_FIRST_FD + (unsigned)count, (unsigned)ready - 1, 0);
        close_range((unsigned)ready + 1, ~0U, 0);
    } else {
        close_range(SD_FIRST_FD + (unsigned)count, ~0U, 0);
    }
    for (size_t i = 0; i < count; i++)
        fds[i] = SD_FIRST_FD + (int)i;
    status = master_run(&(struct master_start){
        .program = program,
        .file = f->file,
        .foreground = f->foreground || count > 0,
        .adopted = fds,
        .adopted_count = count,
        .adopted_names = names,
        .ready_fd = ready,
    });
    mem_free(names);
    return status;
}

int main(int argc, char **argv)
{
    struct flags f = flags_parse(argc, argv);

    stdio_ensure();
    reset_signals();
    tls_cert_wipe_keys();
    secret_no_core();   /* a master, and a check, have the keys of certificates in memory */
    if (f.inetd && !f.check && !sd_is_listening(0))
        return one_session(&f);
    if (f.help) {
        flags_help(stdout);
        return printed();
    }
    if (f.wrong || (f.inetd && f.foreground) || (f.ready_fd >= 0 && !f.foreground) ||
        ((f.tls || f.alone || f.stay) && !f.inetd)) {
        flags_usage(stderr);
        return EXIT_USAGE;
    }
    if (f.version) {
        puts("posternd " POSTERN_VERSION);
        return printed();
    }
    if (f.print_config || f.print_manual) {
        (f.print_config ? config_sample : config_manual)(stdout);
        return printed();
    }
    if (f.check)
        return check(&f);
    if (sd_is_listening(0))
        return adopt_stdin(&f, program_path(argv[0]));
    return daemon_or_foreground(&f, program_path(argv[0]));
}
