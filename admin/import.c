/*
 * import.c - `import`: messages of mbox files, Maildirs, directories and files
 * into a mailbox, in their order.
 *
 * A message is stored or reported, never passed over in silence. An import that
 * ends early has stored whole batches; --resume goes on behind them.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/put.h"
#include "admin/source.h"
#include "admin/uidls.h"
#include "daemon/base/mem.h"

/* What the mailbox had already when a resumed import began: digests in rising order. */
struct known {
    PGresult *rows;     /* digest, copies */
    int64_t *copies;    /* of each, not met again so far */
};

struct import {
    struct ctl *c;
    char address[CTL_ADDRESS_SIZE];
    struct put *put;
    struct known known;
    struct uidls *uidls;            /* NULL: none were given */
    struct progress progress;
    struct json json;
    struct buf octets;              /* of one small message */
    uint64_t seen, rejected, there;
    int64_t octets_read;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* ---------------------------------------------------------- what is there */

static bool known_load(struct import *im, int64_t mailbox)
{
    struct args a = ARGS_NONE;
    int n;

    args_int(&a, mailbox);
    im->known.rows = db_ask_binary(im->c, "list what is there", "select * from postern.list_digests($1)", &a);
    if (im->known.rows == NULL)
        return false;
    n = PQntuples(im->known.rows);
    im->known.copies = mem_array((size_t)n + 1, sizeof *im->known.copies);
    for (int i = 0; i < n; i++)
        im->known.copies[i] = db_int8(im->known.rows, i, 1);
    return true;
}

/* A mailbox may hold one message several times: each of them is met once. */
static bool known_take(struct known *k, const unsigned char digest[PUT_DIGEST])
{
    int low = 0, high = k->rows != NULL ? PQntuples(k->rows) : 0;

    while (low < high) {
        int middle = low + (high - low) / 2, order = memcmp(digest, PQgetvalue(k->rows, middle, 0), PUT_DIGEST);

        if (order == 0)
            return k->copies[middle] > 0 && k->copies[middle]-- > 0;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* ------------------------------------------------------------ one message */

static void reject(struct import *im, const char *name, const char *why)
{
    im->rejected++;
    progress_clear(&im->progress);
    if (im->c->json) {
        json_object(&im->json, NULL);
        json_text(&im->json, "file", span_str(name));
        json_text(&im->json, "reason", span_str(why));
        json_end(&im->json);
    } else {
        printf("REJECTED %s %s\n", name, why);
        fflush(stdout);
    }
}

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static enum ctl_exit import_small(struct import *im, const struct source_item *it, const char *uidl)
{
    unsigned char digest[PUT_DIGEST];
    struct span octets;

    buf_clear(&im->octets);
    if (!source_read(it, gather, &im->octets)) {
        reject(im, it->name, errno == ENODATA ? "became shorter while it was read" : "cannot be read");
        return CTL_DONE;
    }
    octets = buf_span(&im->octets);
    put_digest(octets.at, octets.len, digest);
    if (known_take(&im->known, digest)) {
        im->there++;
        return CTL_DONE;
    }
    return put_small(im->put, octets, digest, it->received, uidl);
}

struct measure {
    crypto_generichash_state hash;
    uint64_t octets;
};

static void measure(void *arg, const char *at, size_t len)
{
    struct measure *m = arg;

    crypto_generichash_update(&m->hash, (const unsigned char *)at, len);
    m->octets += len;
}

struct sending {
    struct import *im;
    enum ctl_exit end;
    int64_t sent;
};

static void send_piece(void *arg, const char *at, size_t len)
{
    struct sending *s = arg;

    if (s->end != CTL_DONE)
        return;
    s->end = put_large_data(s->im->put, at, len);
    s->sent += (int64_t)len;
    progress_step(&s->im->progress, s->im->seen, s->im->octets_read + s->sent);
}

/* Read twice: its digest is stored before its octets, and neither is held in memory. */
static enum ctl_exit import_large(struct import *im, const struct source_item *it, const char *uidl)
{
    unsigned char digest[PUT_DIGEST];
    struct measure m = { .octets = 0 };
    struct sending s = { im, CTL_DONE, 0 };
    enum ctl_exit end;

    crypto_generichash_init(&m.hash, NULL, 0, PUT_DIGEST);
    if (!source_read(it, measure, &m)) {
        reject(im, it->name, "cannot be read");
        return CTL_DONE;
    }
    crypto_generichash_final(&m.hash, digest, PUT_DIGEST);
    if (known_take(&im->known, digest)) {
        im->there++;
        return CTL_DONE;
    }
    end = put_large_begin(im->put, m.octets, digest);
    if (end != CTL_DONE)
        return end;
    if (!source_read(it, send_piece, &s) && s.end == CTL_DONE) {
        put_large_abandon(im->put);
        reject(im, it->name, "became shorter while it was read");
        return CTL_DONE;
    }
    return s.end == CTL_DONE ? put_large_end(im->put, it->received, uidl) : s.end;
}

static enum ctl_exit import_all(struct import *im, struct source *source)
{
    struct source_item it;
    enum ctl_exit end = CTL_DONE;

    while (end == CTL_DONE && !interrupted && source_next(source, &it) == 1) {
        const char *uidl = NULL;

        im->seen++;
        /* One that is rejected has a line too: the list was made of the same files. */
        if (im->uidls != NULL && (uidl = uidls_next(im->uidls)) == NULL)
            return ctl_error(CTL_FAILED, "there are more messages than UIDLs: %s is number %llu", it.name, (unsigned long long)im->seen);
        if (it.reject != NULL) {
            reject(im, it.name, it.reject);
            continue;
        }
        end = it.end - it.at <= PUT_SMALL ? import_small(im, &it, uidl) : import_large(im, &it, uidl);
        im->octets_read += it.end - it.at;
        progress_step(&im->progress, im->seen, im->octets_read);
    }
    return end;
}

/* ------------------------------------------------------------------- verb */

static bool option_word(const char *given, const char *what, const char *const *words, int count, int *which_r)
{
    for (int i = 0; i < count; i++)
        if (given == NULL || strcmp(given, words[i]) == 0) {
            *which_r = i;
            return true;
        }
    ctl_error(CTL_USAGE, "\"%s\" is not a %s: see posternctl import --help", given, what);
    return false;
}

static void summary(struct import *im, enum ctl_exit end, bool stopped)
{
    uint64_t stored = put_stored(im->put), octets = put_stored_octets(im->put);
    double seconds = progress_seconds(&im->progress);

    progress_clear(&im->progress);
    if (im->c->json) {
        json_end(&im->json);
        json_int(&im->json, "imported", (int64_t)stored);
        json_int(&im->json, "octets", (int64_t)octets);
        json_int(&im->json, "there_already", (int64_t)im->there);
        json_bool(&im->json, "complete", end == CTL_DONE && !stopped);
        json_end(&im->json);
    } else {
        printf("imported %llu messages, %llu octets into %s in %.1f s", (unsigned long long)stored, (unsigned long long)octets,
               im->address, seconds);
        if (im->there > 0)
            printf(", %llu were there already", (unsigned long long)im->there);
        if (im->rejected > 0)
            printf(", %llu rejected", (unsigned long long)im->rejected);
        putchar('\n');
    }
    if (stopped || end != CTL_DONE)
        ctl_error(end, "%s: the same command with --resume goes on where this one ended",
                  stopped ? "interrupted" : "stopped, the last batch was not stored");
}

static enum ctl_exit import_run(struct import *im, struct source *source, int64_t mailbox)
{
    struct sigaction stop = { .sa_handler = on_interrupt }, old_int, old_term;
    enum ctl_exit end, flushed;
    bool stopped;

    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    im->put = put_new(im->c, mailbox);
    progress_start(&im->progress, "messages", source_octets(source));
    if (im->c->json) {
        json_start(&im->json, stdout);
        json_object(&im->json, NULL);
        json_array(&im->json, "rejected");
    }
    end = import_all(im, source);
    stopped = interrupted != 0;
    /* What was gathered is whole messages: they are stored, also where the next one could not be. */
    if (PQstatus(im->c->db) == CONNECTION_OK) {
        flushed = put_flush(im->put);
        end = end != CTL_DONE ? end : flushed;
    }
    summary(im, end, stopped);
    put_free(&im->put);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    if (end == CTL_DONE && !stopped && im->uidls != NULL && uidls_next(im->uidls) != NULL)
        end = ctl_error(CTL_PARTLY, "there are more UIDLs than messages");
    return end == CTL_DONE && (stopped || im->rejected > 0) ? CTL_PARTLY : end;
}

enum ctl_exit run_import(struct ctl *c)
{
    static const char *const formats[] = { "auto", "mbox", "maildir", "eml" };
    static const char *const quotings[] = { "rd", "o", "none" };
    static const enum mbox_quoting meanings[] = { MBOX_UNQUOTE_RD, MBOX_UNQUOTE_O, MBOX_PLAIN };
    struct import im = { .c = c };
    struct args a = ARGS_NONE;
    struct source *source;
    enum ctl_exit end = CTL_FAILED;
    PGresult *res;
    int64_t mailbox;
    int format, quoting;

    if (!option_word(c->opt[OPT_FORMAT], "format", formats, 4, &format) || !option_word(c->opt[OPT_QUOTING], "quoting", quotings, 3, &quoting))
        return CTL_USAGE;
    if (!ctl_address(c->args[0], false, im.address))
        return CTL_FAILED;
    args_text(&a, im.address);
    res = db_ask_binary(c, "find the mailbox", "select postern.begin_import($1)", &a);
    if (res == NULL)
        return db_end(c);
    mailbox = db_int8(res, 0, 0);
    PQclear(res);

    source = source_new(c->args + 1, c->nargs - 1, (enum source_format)format, meanings[quoting], c->opt[OPT_ANY] != NULL);
    if (c->opt[OPT_UIDLS] == NULL || (im.uidls = uidls_new(c->opt[OPT_UIDLS])) != NULL)
        end = c->opt[OPT_RESUME] == NULL || known_load(&im, mailbox) ? import_run(&im, source, mailbox) : db_end(c);
    source_free(&source);
    if (im.uidls != NULL)
        uidls_free(&im.uidls);
    PQclear(im.known.rows);
    mem_free(im.known.copies);
    buf_free(&im.octets);
    return end;
}
