/*
 * A whole LMTP session, its octets in pieces of any size, with deliveries that
 * are made up here.
 *
 * What must hold: the session ends when its client does, every line that it
 * says is a reply, each command has its one and each end of a message one for
 * every recipient (the loop of the session counts them, and stops where they
 * differ), and what would be stored begins with our lines, has CRLF line ends
 * only, and is what was hashed.
 */
#include <errno.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "daemon/lmtp/lmtp.h"
#include "daemon/session/trust.h"
#include "daemon/net/loop.h"
#include "daemon/session/session.h"
#include "storage/deliver/deliver.h"
#include "storage/deliver/spool.h"
#include "tests/fuzz/fuzz.h"

enum { TURNS = 3, PATIENCE_MS = 20000, QUESTIONS = 256, RECIPIENTS = 1000 };

static struct loop *loop;
static struct lmtp_settings settings;
static struct service *service;
static struct trust *trust;
static size_t ended;
static enum db_status status;

/* ---------------------------------------------- what storage/deliver/deliver.h declares */

struct deliver_job {
    resolve_done *resolved;     /* NULL: forgotten, or a message */
    deliver_done *delivered;
    void *owner;
    size_t count;
    struct resolved rows[2 * QUESTIONS];
    struct delivered recipients[RECIPIENTS];
    struct delivery_lost lost[RECIPIENTS];
    size_t lost_count;
};

size_t deliver_lanes_up(const struct deliver *deliver)
{
    (void)deliver;
    return 1;
}

static void answer_resolve(void *arg)
{
    struct deliver_job *job = arg;

    if (job->resolved != NULL)
        job->resolved(job->owner, status == DB_RETRY ? status : DB_OK, job->rows, status == DB_RETRY ? 0 : job->count);
    free(job);
}

static struct deliver_job *job_new(void *owner)
{
    struct deliver_job *job = calloc(1, sizeof *job);

    MUST(job != NULL);
    job->owner = owner;
    return job;
}

/* The first letter of an address says what it is. */
struct deliver_job *deliver_resolve(struct deliver *deliver, const struct resolve_question *questions, size_t count,
                                    uint64_t octets, const char *postmaster, resolve_done *done, void *owner)
{
    struct deliver_job *job = job_new(owner);

    (void)deliver, (void)octets, (void)postmaster;
    MUST(count <= QUESTIONS);
    job->resolved = done;
    for (size_t i = 0; i < count; i++) {
        const char *letter = strchr("0ndfv", questions[i].address[0]);
        struct resolved row = { .recipient = i, .verdict = RECIPIENT_OK, .mailbox = { 7 } };

        if (letter != NULL && *letter != '\0') {
            row.verdict = (enum recipient_verdict)(letter - "0ndfv");
            row.mailbox.number = row.verdict == RECIPIENT_OK ? 9 : 0;
        }
        job->rows[job->count++] = row;
        if (questions[i].address[0] == 'l') {
            row.mailbox.number = 8;
            job->rows[job->count++] = row;
        }
    }
    loop_defer(loop, answer_resolve, job);
    return job;
}

static void answer_deliver(void *arg)
{
    struct deliver_job *job = arg;
    const struct delivery_result result = {
        .status = status, .disk_full = status == DB_RETRY, .recipients = status == DB_OK ? job->recipients : NULL, .count = job->count,
        .lost = job->lost, .lost_count = status == DB_OK ? job->lost_count : 0,
    };

    if (job->delivered != NULL)
        job->delivered(job->owner, &result);
    free(job);
}

static void check_message(struct spool *spool)
{
    unsigned char digest[CONTENT_DIGEST], wanted[CONTENT_DIGEST];
    size_t len = (size_t)spool_octets(spool);
    struct span whole;
    const char *message;

    MUST(spool_fetch(spool, 0, len, &whole) == SPOOL_READY && whole.len == len);
    message = whole.at;
    MUST(len > 13 && memcmp(message, "Return-Path: ", 13) == 0);
    for (size_t i = 0; i < len; i++) {
        MUST(message[i] != '\r' || (i + 1 < len && message[i + 1] == '\n'));
        MUST(message[i] != '\n' || (i > 0 && message[i - 1] == '\r'));
    }
    MUST(message[len - 1] == '\n');
    spool_digest(spool, digest);
    crypto_generichash(wanted, sizeof wanted, (const unsigned char *)message, len, NULL, 0);
    MUST(memcmp(digest, wanted, sizeof wanted) == 0);
}

struct deliver_job *deliver_message(struct deliver *deliver, struct spool **spool, const struct delivery_recipient *recipients,
                                    size_t count, const struct delivery_terms *terms, deliver_done *done, void *owner)
{
    struct deliver_job *job = job_new(owner);

    (void)deliver, (void)terms;
    MUST(count >= 1 && count <= RECIPIENTS);
    job->delivered = done;
    job->count = count;
    for (size_t i = 0; i < count; i++) {
        MUST(recipients[i].count >= 1);
        job->recipients[i].verdict = recipients[i].address[1] == 'f' ? RECIPIENT_FULL : RECIPIENT_OK;
        if (recipients[i].count > 1 && job->recipients[i].verdict == RECIPIENT_OK)
            job->lost[job->lost_count++] = (struct delivery_lost){ .recipient = i, .mailbox = recipients[i].mailboxes[i % 2], .why = RECIPIENT_FULL };
    }
    check_message(*spool);
    spool_free(spool);
    loop_defer(loop, answer_deliver, job);
    return job;
}

void deliver_forget(struct deliver_job *job)
{
    job->resolved = NULL;
    job->delivered = NULL;
}

/* --------------------------------------------------------------------- target */

static void session_ended(void *arg)
{
    (void)arg;
    ended++;
    loop_stop(loop);
}

static void no_problem(void *arg, const char *file, int line, const char *text)
{
    (void)arg, (void)file, (void)line, (void)text;
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct option_target target = { &lmtp_options, &settings };
    char *error = NULL;

    (void)argc, (void)argv;
    secret_init();
    /* What finds no room says so, over and over. */
    MUST(log_open("/dev/null", LOG_LEVEL_ERROR, "fuzz", &(const char *){ NULL }));
    MUST(options_load(NULL, &target, 1, NULL, false, no_problem, NULL) == 0);
    mem_free(settings.lmtp_spool_dir);
    settings.lmtp_spool_dir = mem_str("/tmp");
    settings.lmtp_max_size = 65536;
    settings.lmtp_spool_memory = 32768;     /* so that files come into it */
    settings.lmtp_duplicate_window = 1000;
    trust = trust_new("", &error);
    loop = loop_new();
    return trust == NULL;
}

static void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void run_turns(unsigned turns)
{
    while (turns-- > 0) {
        loop_defer(loop, stop_loop, NULL);
        loop_run(loop);
    }
}

static void too_late(void *arg)
{
    (void)arg;
    fprintf(stderr, "the session does not end\n");
    abort();
}

static void until_ended(void)
{
    struct timer *timer = timer_new(loop, too_late, NULL);

    timer_set(timer, PATIENCE_MS);
    while (ended == 0)
        loop_run(loop);
    timer_free(&timer);
}

static void hear(int fd, struct buf *heard)
{
    ssize_t n;

    while ((n = recv(fd, buf_reserve(heard, 65536), 65536, MSG_DONTWAIT)) > 0)
        buf_commit(heard, (size_t)n);
}

static bool digits(const char *at)
{
    for (int i = 0; i < 3; i++)
        if (at[i] < '0' || at[i] > '9')
            return false;
    return true;
}

/* "250-text" and "250 text" */
static void check_replies(struct span out)
{
    while (out.len > 0) {
        const char *end = memmem(out.at, out.len, "\r\n", 2);

        MUST(end != NULL && end - out.at >= 4 && digits(out.at) && (out.at[3] == ' ' || out.at[3] == '-'));
        for (const char *c = out.at; c < end; c++)
            MUST((unsigned char)*c >= ' ' && *c != 0x7F);
        out.len -= (size_t)(end + 2 - out.at);
        out.at = end + 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum db_status statuses[] = { DB_OK, DB_OK, DB_OK, DB_RETRY, DB_LOST, DB_BUG };
    struct lmtp_settings mine = settings;
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);
    uint8_t flags = take_octet(&in);
    struct buf heard = BUF_EMPTY;
    int pair[2];

    status = statuses[take_octet(&in) % 6];
    mine.bare_newline = flags & 1 ? LMTP_BARE_REJECT : LMTP_BARE_CONVERT;
    mine.nul_octets = flags & 2 ? LMTP_NUL_REJECT : LMTP_NUL_STORE;
    service = lmtp_protocol.serve(&(struct service_host){ .loop = loop, .settings = &mine, .session_ended = session_ended });
    ended = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    lmtp_protocol.start(service, pair[0], pair[0], &(struct session_entry){ .default_domain = "", .trust = trust });
    while (in.len > 0 && ended == 0) {
        struct span piece = cut(&c, &in);

        if (send(pair[1], piece.at, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece.len)
            break;
        run_turns(TURNS);
        hear(pair[1], &heard);
    }
    if (flags & 4)
        service_drain(service);
    shutdown(pair[1], flags & 8 ? SHUT_RDWR : SHUT_WR);
    until_ended();
    hear(pair[1], &heard);
    check_replies(buf_span(&heard));
    MUST(service_sessions(service) == 0);
    run_turns(TURNS);
    close(pair[1]);
    service_free(&service);
    buf_free(&heard);
    return 0;
}
