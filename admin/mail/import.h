/*
 * import.h - one import: the messages of a source into one mailbox, in their order.
 *
 * Shared by the verbs that import one mailbox and many: knows no option, prints nothing but
 * errors, and tells the rest to whoever runs it. A message is stored, told or counted, never
 * passed over in silence. An import that ends early has stored whole batches; one that is
 * resumed goes on behind them, and brings nothing back that was deleted since.
 *
 *     im = import_new(c, &how, &told);
 *     import_begin(im, address), then source_new() with import_doubt() and im,
 *     import_look(im, source), then import_run(im, source) or import_set_uidls(im, source, ...)
 *     import_sync(im, source, ...), if it is a server
 *     import_free(&im), then source_free()
 */
#ifndef POSTERN_ADMIN_IMPORT_H
#define POSTERN_ADMIN_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ctl.h"
#include "admin/mail/pairs.h"
#include "admin/mail/set_uidls.h"
#include "admin/mail/source.h"
#include "admin/mail/sync.h"

/* What is left out unless it is asked for: enum state_kind, and what was deleted since it was imported. */
enum { IMPORT_GONE = STATE_KINDS, IMPORT_KINDS };

struct import_how {
    bool with[IMPORT_KINDS];    /* import these, too; that of STATE_LIVING does not matter */
    bool resumed;               /* messages may be there, or be gone, that an import brought; of a server always */
    bool set_uidls;             /* import_set_uidls() will be called, and not import_run() */
    bool by_uidl;               /* a file need not be read whose UIDL and time a message has that is there */
    bool sync;                  /* import_sync() will be called, now or after a later import */
    bool over_quota;            /* quotas are no reason to refuse a message */
    bool dry_run;               /* read all, store nothing: what is counted as stored would be */
    const char *uidls;          /* path of a list of UIDLs (uidls.h), or NULL; lent */
};

/* Who runs it is told, in the order in which it happens. Texts are lent for the call. */
struct import_told {
    pairs_note *uidl;           /* wrong with a UIDL, before the first message is stored */
    source_doubt *doubt;        /* a line that people should look at */
    void (*rejected)(void *arg, const struct source_item *item, const char *why);
    void (*step)(void *arg, uint64_t messages, int64_t octets);     /* so far; also for a piece of a large one */
    bool (*stop)(void *arg);    /* asked before each message: true ends the import after whole batches */
    void *arg;
};

struct import_done {
    uint64_t stored, stored_octets;         /* committed */
    uint64_t there;                         /* that the mailbox had already */
    uint64_t adopted;                       /* of these: have got the UIDLs of the source, as they had none */
    uint64_t other_uidls;                   /* of these: were fetched for their UIDLs, and keep those that they had */
    uint64_t left_out[IMPORT_KINDS];
    uint64_t rejected, doubts;
    uint64_t uidls_in_doubt;                /* UIDLs that no message got, and messages that got none */
    bool stopped;                           /* because stop() said so */
};

struct import;

/* What is lent must live until import_free(). */
struct import *import_new(struct ctl *c, const struct import_how *how, const struct import_told *told);
/* Another import into the mailbox may begin then. The source must still be there. */
void import_free(struct import **import);

/*
 * The mailbox of this address, and the right to import into it: waits for an import that has it. With
 * dry_run the address may be NULL: a mailbox that is not there yet.
 */
enum ctl_exit import_begin(struct import *import, const char *address);
/* For struct source_how: `arg` is the import. */
source_doubt import_doubt;
/* Has messages and UIDLs looked at, and tells what is wrong; stores nothing. CTL_DONE, or an error that was said. */
enum ctl_exit import_look(struct import *import, struct source *source);
/*
 * Stores. Whatever it returns, what import_done() says was stored is. CTL_PARTLY: something was rejected or in
 * doubt, or it was stopped.
 */
enum ctl_exit import_run(struct import *import, struct source *source);
/* Sets the UIDLs of messages that are there (set_uidls.h); CTL_PARTLY likewise, or if messages are missing. */
enum ctl_exit import_set_uidls(struct import *import, struct source *source, bool dry_run, struct set_uidls *set_r);

/*
 * After import_run() has seen all there is: removes what has gone at the source (sync.h). Of files that is what
 * imports with how.sync brought, and nothing while one of them cannot be read. The import was resumed.
 */
enum ctl_exit import_sync(struct import *import, struct source *source, const struct sync_how *how,
                          struct sync_done *done_r);

/* After it: the source and the mailbox go their own ways from now on, and import_sync() finds nothing to remove. */
enum ctl_exit import_end_sync(struct import *import);

/* So far; lent until import_free(). */
const struct import_done *import_done(const struct import *import);

#endif
