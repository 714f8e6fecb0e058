/*
 * move_work.h - one mailbox of a move: made, given its password, filled from its source. Runs in a
 * process of its own (admin/jobs.h), and tells the parent what happens.
 */
#ifndef POSTERN_ADMIN_MOVE_WORK_H
#define POSTERN_ADMIN_MOVE_WORK_H

#include "admin/ctl.h"
#include "admin/jobs.h"
#include "admin/mail/import.h"
#include "admin/mail/source.h"
#include "admin/verbs/import_pop3.h"
#include "admin/verbs/move_list.h"
#include "auth/scheme/seal.h"

/* What holds for all lines. */
struct move_how {
    struct ctl *c;              /* without a connection: each process makes its own */
    const struct move_list *list;
    const struct keyring *keyring;
    const char *tenant;         /* NULL: no domain is made */
    bool create, final, dry_run, over_quota;
    bool sync;
    struct source_how source;   /* unless a line says otherwise */
    struct import_pop3 pop3;    /* of servers: all but the address, and the secret that of a master user only */
    bool with[IMPORT_KINDS];
    bool (*stop)(void *arg);    /* as that of struct import_told, without an argument that matters */
};

enum { MOVE_REASON_MAX = 512 };

struct move_result {
    enum ctl_exit end;
    bool lost;                  /* the database could not be reached: it makes no sense to go on */
    bool made_domain, made_mailbox, set_password, kept_password;    /* with dry_run: would have been */
    struct import_done import;
    struct sync_done synced;
    struct source_seen seen;
    uint64_t ms;
    char reason[MOVE_REASON_MAX];   /* "" with CTL_DONE */
};

/* Something in the mail that people should look at. */
enum move_note { NOTE_REJECTED = 'R', NOTE_DOUBT = 'D', NOTE_UIDL = 'U', NOTE_FOLDER = 'F', NOTE_SERVER = 'S' };

/* What comes of a message of the process; texts are lent. One of them is not NULL. */
struct move_heard {
    const struct move_result *result;
    const struct move_progress {
        uint64_t messages;
        int64_t octets;
    } *progress;
    const struct move_said_note {
        enum move_note what;
        uint64_t number;        /* of the line, or the message; 0: none */
        const char *file, *uidl, *reason;       /* uidl may be NULL */
    } *note;
};

/* In the process: the line, from beginning to end; the result is the last that is said. */
void move_work(const struct move_how *how, const struct move_line *line, const struct jobs_voice *voice);
/* In the parent. */
void move_hear(struct span message, struct move_heard *heard_r);

#endif
