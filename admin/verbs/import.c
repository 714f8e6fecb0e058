/*
 * import.c - `import`: messages of mbox files, Maildirs, directories and files
 * into a mailbox, in their order.
 *
 * A message is stored, reported or counted, never passed over in silence. An
 * import that ends early has stored whole batches; --resume goes on behind them,
 * and brings nothing back that was deleted since.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/progress.h"
#include "admin/mail/put.h"
#include "admin/shown.h"
#include "admin/mail/source.h"
#include "admin/mail/dovecot.h"
#include "admin/mail/pairs.h"
#include "admin/mail/set_uidls.h"
#include "daemon/base/mem.h"

/* What imports stored before and what the mailbox has, when a resumed one began: digests in rising order. */
struct known {
    PGresult *rows;     /* digest, copies, gone */
    struct known_count {
        int64_t copies; /* that are there, and were not met again so far */
        int64_t gone;   /* that were deleted since, likewise */
    } *counts;
};

enum { DOUBTS_KEPT = 1000 };

struct doubt {
    char *file;
    uint64_t line;
    const char *what;   /* static */
};

/* --with: one of each kind that is left out otherwise. */
enum { WITH_GONE = STATE_KINDS };
static const struct {
    const char *word, *key, *text;
} kinds[] = {
    [STATE_LIVING] = { NULL, NULL, NULL },
    [STATE_KIND_DELETED] = { "deleted", "left_out_deleted", "marked as deleted" },
    [STATE_KIND_DRAFT] = { "drafts", "left_out_drafts", "drafts" },
    [STATE_KIND_FOLDER_DATA] = { "folder-data", "left_out_folder_data", "FOLDER INTERNAL DATA" },
    [WITH_GONE] = { "gone", "left_out_gone", "deleted since they were imported" },
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

struct import {
    struct ctl *c;
    char address[CTL_ADDRESS_SIZE];
    struct put *put;
    struct known known;
    struct pairs *pairs;            /* NULL: no UIDLs came along */
    uint64_t without;               /* UIDLs that no message got, and messages that got none */
    struct progress progress;
    struct json json;
    struct buf octets;              /* of one small message */
    bool with[KIND_COUNT];
    uint64_t left_out[KIND_COUNT];
    uint64_t seen, rejected, there;
    int64_t octets_read;
    struct doubt *doubts;           /* the first ones: with --json they are told at the end */
    uint64_t doubt_count;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* ---------------------------------------------------------- what is there */

static bool known_load(struct import *im, const struct mailbox_ref *mailbox)
{
    struct args a = ARGS_NONE;
    int n;

    args_mailbox(&a, mailbox);
    im->known.rows = db_ask_binary(im->c, "list what is there", "select * from postern.list_digests($1)", &a);
    if (im->known.rows == NULL)
        return false;
    n = PQntuples(im->known.rows);
    im->known.counts = mem_array((size_t)n + 1, sizeof *im->known.counts);
    for (int i = 0; i < n; i++)
        im->known.counts[i] = (struct known_count){
            db_int8(im->known.rows, i, 1), im->with[WITH_GONE] ? 0 : db_int8(im->known.rows, i, 2),
        };
    return true;
}

static struct known_count *known_find(const struct known *k, const unsigned char digest[CONTENT_DIGEST])
{
    int low = 0, high = k->rows != NULL ? PQntuples(k->rows) : 0;

    while (low < high) {
        int middle = low + (high - low) / 2, order = memcmp(digest, PQgetvalue(k->rows, middle, 0), CONTENT_DIGEST);

        if (order == 0)
            return &k->counts[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* A mailbox may hold one message several times: each of them is met once. False: it is to be stored. */
static bool known_take(struct import *im, const unsigned char digest[CONTENT_DIGEST])
{
    struct known_count *n = known_find(&im->known, digest);

    if (n == NULL || (n->copies == 0 && n->gone == 0))
        return false;
    if (n->copies > 0) {
        n->copies--;
        im->there++;
    } else {
        n->gone--;
        im->left_out[WITH_GONE]++;
    }
    return true;
}

/* ------------------------------------------------------------ one message */

static void reject(struct import *im, const struct source_item *it, const char *why)
{
    im->rejected++;
    progress_clear(&im->progress);
    if (im->c->json) {
        json_object(&im->json, NULL);
        json_text(&im->json, "file", span_str(it->path));
        if (it->number > 0)
            json_int(&im->json, "message", it->number);
        json_text(&im->json, "reason", span_str(why));
        json_end(&im->json);
    } else {
        printf("REJECTED %s %s\n", it->name, why);
        fflush(stdout);
    }
}

static void doubt(void *arg, const char *path, uint64_t line, const char *what)
{
    struct import *im = arg;

    progress_clear(&im->progress);
    if (!im->c->json) {
        printf("DOUBT %s:%llu %s\n", shown_name(path), (unsigned long long)line, what);
        fflush(stdout);
    } else if (im->doubt_count < DOUBTS_KEPT) {
        if (im->doubts == NULL)
            im->doubts = mem_array(DOUBTS_KEPT, sizeof *im->doubts);
        im->doubts[im->doubt_count] = (struct doubt){ mem_str(path), line, what };
    }
    im->doubt_count++;
}

/* Before the first message, in an array of its own. */
static void uidl_fault_told(void *arg, const char *file, size_t line, const char *uidl, const char *what)
{
    struct import *im = arg;

    im->without++;
    if (im->c->json) {
        json_object(&im->json, NULL);
        json_text(&im->json, "file", span_str(file));
        if (line > 0)
            json_int(&im->json, uidl != NULL ? "line" : "message", (int64_t)line);
        if (uidl != NULL)
            json_text(&im->json, "uidl", span_str(uidl));
        json_text(&im->json, "reason", span_str(what));
        json_end(&im->json);
        return;
    }
    printf("UIDL %s", shown_name(file));
    if (line > 0)
        printf(uidl != NULL ? ":%zu" : ":message %zu", line);
    if (uidl != NULL)
        printf(" %s", uidl[0] != '\0' ? shown_name(uidl) : "\"\"");
    printf(" %s\n", what);
}

/* Of a message that is going to be stored. */
static const char *uidl_of(struct import *im, const struct source_item *it, const struct pair *pair)
{
    if (im->pairs == NULL || (pair != NULL && pair->uidl == NULL))
        return NULL;
    if (pair != NULL && !pair->in_use)
        return pair->uidl;
    im->without++;
    doubt(im, it->path, it->number,
          pair != NULL ? "stored with a new UIDL: another message in the mailbox has its own"
                       : "stored with a new UIDL: it changed since the UIDLs were looked at");
    return NULL;
}

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static enum ctl_exit import_small(struct import *im, const struct source_item *it, const struct pair *pair)
{
    unsigned char digest[CONTENT_DIGEST];
    struct span octets;

    buf_clear(&im->octets);
    if (!source_read(it, gather, &im->octets)) {
        reject(im, it, errno == ENODATA ? "became shorter while it was read" : "cannot be read");
        return CTL_DONE;
    }
    octets = buf_span(&im->octets);
    content_digest(octets, digest);
    if (known_take(im, digest))
        return CTL_DONE;
    return put_small(im->put, octets, digest, it->received, uidl_of(im, it, pair));
}

struct measure {
    struct content_hash hash;
    uint64_t octets;
};

static void measure(void *arg, const char *at, size_t len)
{
    struct measure *m = arg;

    content_hash_add(&m->hash, (struct span){ at, len });
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

static enum ctl_exit send_large(struct import *im, const struct source_item *it, uint64_t octets,
                                const unsigned char digest[CONTENT_DIGEST], const char *uidl)
{
    struct sending s = { im, CTL_DONE, 0 };
    enum ctl_exit end = put_large_begin(im->put, octets, digest);

    if (end != CTL_DONE)
        return end;
    if (!source_read(it, send_piece, &s) && s.end == CTL_DONE) {
        put_large_abandon(im->put);
        reject(im, it, "became shorter while it was read");
        return CTL_DONE;
    }
    return s.end == CTL_DONE ? put_large_end(im->put, it->received, uidl) : s.end;
}

/* Read twice: its digest is stored before its octets, and neither is held in memory. */
static enum ctl_exit import_large(struct import *im, const struct source_item *it, const struct pair *pair)
{
    unsigned char digest[CONTENT_DIGEST];
    struct measure m = { .octets = 0 };
    const char *uidl;
    enum ctl_exit end;

    content_hash_begin(&m.hash);
    if (!source_read(it, measure, &m)) {
        reject(im, it, "cannot be read");
        return CTL_DONE;
    }
    content_hash_end(&m.hash, digest);
    if (known_take(im, digest))
        return CTL_DONE;
    uidl = uidl_of(im, it, pair);
    do
        end = send_large(im, it, m.octets, digest, uidl);
    while (end != CTL_DONE && put_large_again(im->put));
    return end;
}

static enum ctl_exit import_all(struct import *im, struct source *source)
{
    struct source_item it;
    enum ctl_exit end = CTL_DONE;

    while (end == CTL_DONE && !interrupted && source_next(source, &it) == 1) {
        const struct pair *pair = im->pairs != NULL ? pairs_find(im->pairs, &it) : NULL;

        im->seen++;
        if (it.reject != NULL) {
            reject(im, &it, it.reject);
            continue;
        }
        if (it.kind != STATE_LIVING && !im->with[it.kind]) {
            im->left_out[it.kind]++;
            continue;
        }
        end = it.end - it.at <= PUT_SMALL ? import_small(im, &it, pair) : import_large(im, &it, pair);
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

/* "deleted,drafts" */
static bool option_with(const char *given, bool with[KIND_COUNT])
{
    while (given != NULL && *given != '\0') {
        struct span word = { given, strcspn(given, ", ") };
        int found = 0;

        for (int i = STATE_LIVING + 1; i < KIND_COUNT; i++)
            if (span_is(word, span_str(kinds[i].word)))
                found = i;
        if (found == 0 && word.len > 0) {
            ctl_error(CTL_USAGE, "\"%.*s\" is not deleted, drafts, folder-data or gone: see posternctl import --help",
                      (int)word.len, word.at);
            return false;
        }
        with[found] = true;
        given += word.len + (given[word.len] != '\0');
    }
    return true;
}

static void json_doubts(struct import *im)
{
    struct json *j = &im->json;

    json_array(j, "doubts");
    for (uint64_t i = 0; i < im->doubt_count && i < DOUBTS_KEPT; i++) {
        json_object(j, NULL);
        json_text(j, "file", span_str(im->doubts[i].file));
        json_int(j, "line", (int64_t)im->doubts[i].line);
        json_text(j, "reason", span_str(im->doubts[i].what));
        json_end(j);
    }
    json_end(j);
    json_int(j, "doubts_in_all", (int64_t)im->doubt_count);
    json_int(j, "uidls_in_doubt", (int64_t)im->without);
}

static void summary_json(struct import *im, struct source_seen seen, bool complete)
{
    struct json *j = &im->json;

    json_end(j);
    json_doubts(im);
    json_int(j, "imported", (int64_t)put_stored(im->put));
    json_int(j, "octets", (int64_t)put_stored_octets(im->put));
    json_int(j, "there_already", (int64_t)im->there);
    for (int i = STATE_LIVING + 1; i < KIND_COUNT; i++)
        json_int(j, kinds[i].key, (int64_t)im->left_out[i]);
    json_int(j, "files", (int64_t)seen.files);
    json_int(j, "mboxes", (int64_t)seen.mboxes);
    json_int(j, "separators", (int64_t)seen.separators);
    json_int(j, "octets_seen", seen.octets);
    json_bool(j, "complete", complete);
    json_end(j);
}

static void summary_text(struct import *im, struct source_seen seen)
{
    printf("imported %llu messages, %llu octets into %s in %.1f s", (unsigned long long)put_stored(im->put),
           (unsigned long long)put_stored_octets(im->put), im->address, progress_seconds(&im->progress));
    if (im->there > 0)
        printf(", %llu already there", (unsigned long long)im->there);
    if (im->rejected > 0)
        printf(", %llu rejected", (unsigned long long)im->rejected);
    if (im->doubt_count > 0)
        printf(", %llu doubts", (unsigned long long)im->doubt_count);
    if (im->without > 0)
        printf(", %llu UIDLs in doubt", (unsigned long long)im->without);
    printf("\nread %llu files, %llu octets", (unsigned long long)seen.files, (unsigned long long)seen.octets);
    if (seen.mboxes > 0)
        printf("; %llu of them mbox, with %llu separators", (unsigned long long)seen.mboxes,
               (unsigned long long)seen.separators);
    for (int i = STATE_LIVING + 1; i < KIND_COUNT; i++)
        if (im->left_out[i] > 0)
            printf("; left out: %llu %s (--with %s)", (unsigned long long)im->left_out[i], kinds[i].text,
                   kinds[i].word);
    putchar('\n');
}

static void summary(struct import *im, struct source_seen seen, enum ctl_exit end, bool stopped)
{
    progress_clear(&im->progress);
    if (im->c->json)
        summary_json(im, seen, end == CTL_DONE && !stopped);
    else
        summary_text(im, seen);
    if (stopped || end != CTL_DONE)
        ctl_error(end, "%s: run the same command with --resume to continue",
                  stopped ? "interrupted" : "stopped, the last batch was not stored");
}

/* What POP3 never showed, and nobody should look for in vain. */
static void folders(struct import *im, const struct source *source)
{
    if (im->c->json)
        json_array(&im->json, "folders");
    for (size_t i = 0; i < source_folders(source); i++) {
        if (im->c->json)
            json_text(&im->json, NULL, span_str(source_folder(source, i)));
        else
            printf("FOLDER %s is not imported: give its path to import it, too\n",
                   shown_name(source_folder(source, i)));
    }
    if (im->c->json)
        json_end(&im->json);
}

/* Nothing is stored before all of the UIDLs were looked at. */
static bool pair_all(struct import *im, struct source *source, const struct mailbox_ref *mailbox)
{
    const char *list = im->c->opt[OPT_UIDLS];
    const bool wanted = list != NULL || source_has_uidls(source);

    if (im->c->json) {
        json_start(&im->json, stdout);
        json_object(&im->json, NULL);
        json_array(&im->json, "uidls");
    }
    if (wanted)
        im->pairs = pairs_new(im->c, mailbox, source, list,
                              im->c->opt[OPT_RESUME] != NULL || im->c->opt[OPT_SET_UIDLS] != NULL, uidl_fault_told, im);
    fflush(stdout);
    if (im->c->json)
        json_end(&im->json);
    folders(im, source);
    if (!wanted || im->pairs != NULL)
        return true;
    if (im->c->json)
        json_end(&im->json);
    return false;
}

static enum ctl_exit import_run(struct import *im, struct source *source, const struct mailbox_ref *mailbox)
{
    struct sigaction stop = { .sa_handler = on_interrupt }, old_int, old_term;
    enum ctl_exit end, flushed;
    bool stopped;

    sigaction(SIGINT, &stop, &old_int);
    sigaction(SIGTERM, &stop, &old_term);
    im->put = put_new(im->c, mailbox);
    progress_start(&im->progress, "messages", source_octets(source));
    if (im->c->json)
        json_array(&im->json, "rejected");
    end = import_all(im, source);
    stopped = interrupted != 0;
    /* What was gathered is whole messages: they are stored, also where the next one could not be. */
    if (PQstatus(im->c->db) == CONNECTION_OK) {
        flushed = put_flush(im->put);
        end = end != CTL_DONE ? end : flushed;
    }
    summary(im, source_seen(source), end, stopped);
    put_free(&im->put);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    if (end == CTL_DONE && (stopped || im->rejected > 0 || im->doubt_count > 0 || im->without > 0))
        end = CTL_PARTLY;
    return end;
}

/* A second pass over mail that is there: nothing is stored. */
static enum ctl_exit set_all(struct import *im, struct source *source, const struct mailbox_ref *mailbox)
{
    const bool dry_run = im->c->opt[OPT_DRY_RUN] != NULL;
    struct json *j = &im->json;
    struct set_uidls done;
    enum ctl_exit end;

    if (im->c->json)
        json_array(j, "kept");
    end = set_uidls(im->c, mailbox, source, im->pairs, dry_run, uidl_fault_told, im, &done);
    if (im->c->json) {
        json_end(j);
        json_doubts(im);
        json_int(j, "set", end == CTL_DONE ? (int64_t)done.set : 0);
        json_int(j, "had", (int64_t)done.had);
        json_int(j, "missing", (int64_t)done.missing);
        json_bool(j, "dry_run", dry_run);
        json_end(j);
    } else if (end == CTL_DONE) {
        printf("%s %llu UIDLs in %s; %llu messages had theirs", dry_run ? "would set" : "set",
               (unsigned long long)done.set, im->address, (unsigned long long)done.had);
        if (done.missing > 0)
            printf(", %llu are not in the mailbox", (unsigned long long)done.missing);
        if (im->without > 0)
            printf(", %llu UIDLs in doubt", (unsigned long long)im->without);
        putchar('\n');
    }
    return end == CTL_DONE && (done.missing > 0 || im->without > 0 || im->doubt_count > 0) ? CTL_PARTLY : end;
}

enum ctl_exit run_import(struct ctl *c)
{
    static const char *const formats[] = { "auto", "mbox", "maildir", "eml" };
    static const char *const quotings[] = { "rd", "o", "none" };
    static const enum mbox_quoting meanings[] = { MBOX_UNQUOTE_RD, MBOX_UNQUOTE_O, MBOX_PLAIN };
    struct import im = { .c = c };
    struct args a = ARGS_NONE;
    struct source_how how;
    struct source *source;
    enum ctl_exit end = CTL_FAILED;
    PGresult *res;
    struct mailbox_ref mailbox;
    const char *const uidl_format = c->opt[OPT_UIDL_FORMAT], *fault;
    int format, quoting;

    if (!option_word(c->opt[OPT_FORMAT], "format", formats, 4, &format)
        || !option_word(c->opt[OPT_QUOTING], "quoting", quotings, 3, &quoting)
        || !option_with(c->opt[OPT_WITH], im.with))
        return CTL_USAGE;
    if (c->opt[OPT_SET_UIDLS] != NULL && c->opt[OPT_RESUME] != NULL)
        return ctl_error(CTL_USAGE, "--set-uidls and --resume exclude each other");
    if (uidl_format != NULL && strcmp(uidl_format, "none") != 0 && (fault = dovecot_format_fault(uidl_format)) != NULL)
        return ctl_error(CTL_USAGE, "the format of UIDLs \"%s\" %s", uidl_format, fault);
    if (c->opt[OPT_DRY_RUN] != NULL && c->opt[OPT_SET_UIDLS] == NULL)
        return ctl_error(CTL_USAGE, "--dry-run is for --set-uidls");
    if (!ctl_address(c->args[0], false, im.address))
        return CTL_FAILED;
    args_text(&a, im.address);
    res = db_ask_binary(c, "find the mailbox", "select postern.begin_import($1)", &a);
    if (res == NULL)
        return db_end(c);
    mailbox = db_mailbox(res, 0, 0);
    PQclear(res);

    how = (struct source_how){
        .format = (enum source_format)format, .quoting = meanings[quoting], .any = c->opt[OPT_ANY] != NULL,
        .follow_links = c->opt[OPT_FOLLOW_LINKS] != NULL, .doubt = doubt, .arg = &im,
        .uidl_format = uidl_format,
    };
    source = source_new(c->args + 1, c->nargs - 1, &how);
    if ((fault = source_fault(source)) != NULL)
        end = ctl_error(CTL_FAILED, "%s: nothing was stored; see --uidl-format", fault);
    else if (c->opt[OPT_SET_UIDLS] != NULL && c->opt[OPT_UIDLS] == NULL && !source_has_uidls(source))
        end = ctl_error(CTL_USAGE, "--set-uidls wants --uidls, or a Maildir of Dovecot");
    else if (c->opt[OPT_RESUME] != NULL && !known_load(&im, &mailbox))
        end = db_end(c);
    else if (pair_all(&im, source, &mailbox))
        end = c->opt[OPT_SET_UIDLS] != NULL ? set_all(&im, source, &mailbox) : import_run(&im, source, &mailbox);
    else
        end = db_end(c);
    source_free(&source);
    if (im.pairs != NULL)
        pairs_free(&im.pairs);
    PQclear(im.known.rows);
    mem_free(im.known.counts);
    for (uint64_t i = 0; i < im.doubt_count && im.doubts != NULL && i < DOUBTS_KEPT; i++)
        mem_free(im.doubts[i].file);
    mem_free(im.doubts);
    buf_free(&im.octets);
    return end;
}
