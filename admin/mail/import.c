/*
 * import.c - one import: the messages of a source into one mailbox, in their order.
 *
 * Must never pass a message over in silence, nor store one in front of another that
 * came before it.
 */
#include "admin/mail/import.h"

#include <errno.h>

#include "admin/db.h"
#include "admin/mail/known.h"
#include "admin/mail/put.h"
#include "admin/mail/sync_files.h"
#include "admin/tenant.h"
#include "daemon/base/mem.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

struct import {
    struct ctl *c;
    struct import_how how;
    struct import_told told;
    struct mailbox_ref mailbox;
    bool begun;
    struct put *put;
    struct known *known;            /* NULL: it is not resumed */
    struct pairs *pairs;            /* NULL: no UIDLs came along */
    enum known_as *by_uidl;         /* of each of `pairs`: known so, need not be read; NULL: of none */
    struct buf adopt_digests, adopt_uidls;  /* of messages that were there by their digests; an array the second */
    uint32_t adopt_count, adopt_there;
    struct buf octets;              /* of one small message */
    uint64_t seen;
    int64_t octets_read;
    struct import_done done;
};

/* ------------------------------------------------------------ what is told */

static void reject(struct import *im, const struct source_item *it, const char *why)
{
    im->done.rejected++;
    im->told.rejected(im->told.arg, it, why);
}

void import_doubt(void *import, const char *path, uint64_t line, const char *what)
{
    struct import *im = import;

    im->done.doubts++;
    im->told.doubt(im->told.arg, path, line, what);
}

static void uidl_wrong(void *arg, const char *file, size_t line, const char *uidl, const char *what)
{
    struct import *im = arg;

    im->done.uidls_in_doubt++;
    im->told.uidl(im->told.arg, file, line, uidl, what);
}

/* ------------------------------------------------------------ one message */

/* Of a message that is going to be stored. */
static const char *uidl_of(struct import *im, const struct source_item *it, const struct pair *pair)
{
    if (im->pairs == NULL || (pair != NULL && pair->uidl == NULL))
        return NULL;
    if (pair != NULL && !pair->in_use)
        return pair->uidl;
    im->done.uidls_in_doubt++;
    import_doubt(im, it->path, it->number,
                 pair != NULL ? "stored with a new UIDL: another message in the mailbox has its own"
                              : "stored with a new UIDL: it changed since the UIDLs were looked at");
    return NULL;
}

static bool count_known(struct import *im, enum known_as as)
{
    if (as == KNOWN_THERE)
        im->done.there++;
    else if (as == KNOWN_GONE)
        im->done.left_out[IMPORT_GONE]++;
    return as != KNOWN_NOT;
}

/* False: it is to be stored. */
static bool is_known(struct import *im, const struct source_item *it, const struct pair *pair,
                     const unsigned char digest[CONTENT_DIGEST])
{
    enum known_as as = im->known != NULL ? known_take(im->known, digest) : KNOWN_NOT;

    if (as != KNOWN_NOT && source_by_uidl(it->source) && pair != NULL && pair->uidl != NULL && !pair->shared) {
        buf_add(&im->adopt_digests, digest, CONTENT_DIGEST);
        if (im->adopt_count++ == 0)
            pg_array_begin(&im->adopt_uidls, PG_TEXT);
        pg_array_put_bytes(&im->adopt_uidls, span_str(pair->uidl));
        im->adopt_there += as == KNOWN_THERE;
    }
    return count_known(im, as);
}

/* NULL: one that was not looked at, or has changed since. */
static enum known_as known_by_uidl(const struct import *im, const struct pair *pair)
{
    return im->by_uidl != NULL && pair != NULL ? im->by_uidl[pairs_number(im->pairs, pair)] : KNOWN_NOT;
}

/* Of a server, which numbers its messages so. */
static bool is_wanted(void *arg, const struct source_item *it)
{
    const struct import *im = arg;

    return it->number == 0 || it->number > pairs_count(im->pairs) || im->by_uidl[it->number - 1] == KNOWN_NOT;
}

static bool is_left_out(const struct import *im, const struct source_item *it)
{
    return it->kind != STATE_LIVING && !im->how.with[it->kind];
}

/* By its UIDL alone. The messages of an mbox may change and keep it: they are read. */
static enum known_as is_by_uidl(const struct import *im, const struct source_item *it, const struct pair *pair)
{
    if (it->reject != NULL || is_left_out(im, it) || pair == NULL || pair->uidl == NULL || pair->shared ||
        (!source_by_uidl(it->source) && it->number > 0))
        return KNOWN_NOT;
    return source_by_uidl(it->source) ? known_take_uidl(im->known, pair->uidl)
                                      : known_take_file(im->known, pair->uidl, it->received);
}

/* Which messages need not be fetched, or read. */
static void look_by_uidl(struct import *im, struct source *source)
{
    struct source_item it;

    im->by_uidl = mem_array(pairs_count(im->pairs) + 1, sizeof *im->by_uidl);
    for (size_t i = 0; i < pairs_count(im->pairs); i++)
        im->by_uidl[i] = KNOWN_NOT;
    source_quiet(source, true);
    while (source_next(source, &it) == 1) {
        const struct pair *pair = pairs_find(im->pairs, &it);

        if (pair != NULL)
            im->by_uidl[pairs_number(im->pairs, pair)] = is_by_uidl(im, &it, pair);
    }
    source_quiet(source, false);
    source_again(source);
    pairs_again(im->pairs);
    source_choose(source, is_wanted, im);
}

/* Behind the last message: it needs the connection for itself. */
static enum ctl_exit adopt(struct import *im, struct source *source)
{
    struct args a = ARGS_NONE;
    int64_t set = 0;

    if (im->adopt_count == 0)
        return CTL_DONE;
    pg_array_set_count(&im->adopt_uidls, im->adopt_count);
    args_mailbox(&a, &im->mailbox);
    args_binary(&a, &im->adopt_digests);
    args_binary(&a, &im->adopt_uidls);
    args_text(&a, source_label(source));
    if (!db_numbers(im->c, "set the UIDLs", "select postern.adopt_uidls($1, $2, $3, $4)", &a, 1, &set))
        return db_end(im->c);
    im->done.adopted = (uint64_t)set;
    im->done.other_uidls = im->adopt_there - (uint64_t)set;
    im->adopt_count = 0;
    return CTL_DONE;
}

/* What a dry run would store. */
static enum ctl_exit count(struct import *im, const struct source_item *it, const struct pair *pair, uint64_t octets)
{
    (void)uidl_of(im, it, pair);
    im->done.stored++;
    im->done.stored_octets += octets;
    return CTL_DONE;
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
    if (is_known(im, it, pair, digest))
        return CTL_DONE;
    if (im->how.dry_run)
        return count(im, it, pair, octets.len);
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
    s->im->told.step(s->im->told.arg, s->im->seen, s->im->octets_read + s->sent);
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
    if (is_known(im, it, pair, digest))
        return CTL_DONE;
    if (im->how.dry_run)
        return count(im, it, pair, m.octets);
    uidl = uidl_of(im, it, pair);
    do
        end = send_large(im, it, m.octets, digest, uidl);
    while (end != CTL_DONE && put_large_again(im->put));
    return end;
}

static enum ctl_exit import_item(struct import *im, struct source_item *it)
{
    const struct pair *pair = im->pairs != NULL ? pairs_find(im->pairs, it) : NULL;

    im->seen++;
    if (it->reject == NULL && is_left_out(im, it)) {
        im->done.left_out[it->kind]++;
        return CTL_DONE;
    }
    if (it->reject == NULL && count_known(im, known_by_uidl(im, pair)))
        return CTL_DONE;
    /* What a server has is not fetched only to be counted. */
    if (it->reject == NULL && im->how.dry_run && source_by_uidl(it->source))
        return count(im, it, pair, (uint64_t)it->end);
    if (it->reject == NULL && !source_fetch(it) && source_broken(it->source) != NULL)
        return CTL_DONE;
    if (it->reject != NULL) {
        reject(im, it, it->reject);
        return CTL_DONE;
    }
    return it->end - it->at <= PUT_SMALL ? import_small(im, it, pair) : import_large(im, it, pair);
}

static enum ctl_exit import_all(struct import *im, struct source *source)
{
    struct source_item it;
    enum ctl_exit end = CTL_DONE;

    while (end == CTL_DONE) {
        im->done.stopped = im->told.stop(im->told.arg);
        if (im->done.stopped || source_broken(source) != NULL || source_next(source, &it) != 1)
            break;
        end = import_item(im, &it);
        if (it.reject == NULL && !is_left_out(im, &it))
            im->octets_read += it.end - it.at;
        im->told.step(im->told.arg, im->seen, im->octets_read);
    }
    if (end == CTL_DONE && !im->done.stopped && source_broken(source) != NULL)
        end = ctl_error(CTL_FAILED, "%s", source_broken(source));
    return end;
}

/* ------------------------------------------------------------- the import */

struct import *import_new(struct ctl *c, const struct import_how *how, const struct import_told *told)
{
    struct import *im = mem_zalloc(sizeof *im);

    im->c = c;
    im->how = *how;
    im->told = *told;
    return im;
}

void import_free(struct import **import)
{
    struct import *im = *import;

    if (im->put != NULL)
        put_free(&im->put);
    if (im->begun && PQstatus(im->c->db) == CONNECTION_OK) {
        struct args a = ARGS_NONE;

        args_mailbox(&a, &im->mailbox);
        (void)db_call(im->c, "end the import", "select postern.end_import($1)", &a);
    }
    if (im->pairs != NULL)
        pairs_free(&im->pairs);
    known_free(&im->known);
    mem_free(im->by_uidl);
    buf_free(&im->adopt_digests);
    buf_free(&im->adopt_uidls);
    buf_free(&im->octets);
    mem_free(im);
    *import = NULL;
}

enum ctl_exit import_begin(struct import *im, const char *address)
{
    struct args a = ARGS_NONE;
    enum ctl_exit end;
    PGresult *res;

    if (address == NULL) {
        ASSERT(im->how.dry_run);
        return CTL_DONE;
    }
    end = tenant_opens(im->c, address);
    if (end != CTL_DONE)
        return end;
    args_text(&a, address);
    res = db_ask_binary(im->c, "find the mailbox", "select postern.begin_import($1)", &a);
    if (res == NULL)
        return db_end(im->c);
    im->mailbox = db_mailbox(res, 0, 0);
    im->begun = true;
    PQclear(res);
    if (!im->how.resumed)
        return CTL_DONE;
    im->known = known_new(im->c, &im->mailbox, im->how.with[IMPORT_GONE]);
    return im->known != NULL ? CTL_DONE : db_end(im->c);
}

enum ctl_exit import_look(struct import *im, struct source *source)
{
    if (im->how.uidls == NULL && !source_has_uidls(source))
        return CTL_DONE;
    im->pairs = pairs_new(im->c, im->begun ? &im->mailbox : NULL, source, im->how.uidls,
                          im->how.resumed || im->how.set_uidls, uidl_wrong, im);
    if (im->pairs == NULL)
        return db_end(im->c);
    if ((source_by_uidl(source) || (im->how.by_uidl && im->how.uidls == NULL)) && im->known != NULL)
        look_by_uidl(im, source);
    return CTL_DONE;
}

static bool is_doubtful(const struct import *im)
{
    return im->done.stopped || im->done.rejected > 0 || im->done.doubts > 0 || im->done.uidls_in_doubt > 0;
}

enum ctl_exit import_run(struct import *im, struct source *source)
{
    enum ctl_exit end, flushed;

    if (!im->how.dry_run)
        im->put = put_new(im->c, &im->mailbox, im->how.over_quota);
    if (im->put != NULL)
        put_from(im->put, source_label(source) != NULL || !im->how.sync ? source_label(source) : sync_files_label);
    end = import_all(im, source);
    if (im->put == NULL)
        return end == CTL_DONE && is_doubtful(im) ? CTL_PARTLY : end;
    /*
     * What was gathered is whole messages: they are stored, also where the next one could not be. And where
     * the connection is lost and nothing has said so yet, this does.
     */
    if (end == CTL_DONE || PQstatus(im->c->db) == CONNECTION_OK) {
        flushed = put_flush(im->put);
        end = end != CTL_DONE ? end : flushed;
    }
    im->done.stored = put_stored(im->put);
    im->done.stored_octets = put_stored_octets(im->put);
    put_free(&im->put);
    if (end == CTL_DONE)
        end = adopt(im, source);
    return end == CTL_DONE && is_doubtful(im) ? CTL_PARTLY : end;
}

enum ctl_exit import_set_uidls(struct import *im, struct source *source, bool dry_run, struct set_uidls *set_r)
{
    enum ctl_exit end = set_uidls(im->c, &im->mailbox, source, im->pairs, im->how.with, dry_run, uidl_wrong, im,
                                  set_r);

    return end == CTL_DONE && (set_r->missing > 0 || is_doubtful(im)) ? CTL_PARTLY : end;
}

enum ctl_exit import_sync(struct import *im, struct source *source, const struct sync_how *how, struct sync_done *done)
{
    *done = (struct sync_done){ .of = 0 };
    if (!im->begun || im->known == NULL)
        return CTL_DONE;        /* a mailbox that is not there yet */
    if (source_label(source) != NULL)
        return sync_run(im->c, &im->mailbox, source, how, done);
    if (im->done.rejected > 0)
        return ctl_error(CTL_PARTLY, "%llu files or messages cannot be read, and may be what seems to have gone:"
                         " nothing was removed", (unsigned long long)im->done.rejected);
    return sync_files_run(im->c, &im->mailbox, source, im->known, how, done);
}

enum ctl_exit import_end_sync(struct import *im)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, &im->mailbox);
    return db_call(im->c, "end the copying", "select postern.end_sync($1)", &a);
}

const struct import_done *import_done(const struct import *im) { return &im->done; }
