/*
 * import_pop3.h - the options of `import` that name a POP3 server, and its mail as a source.
 */
#ifndef POSTERN_ADMIN_IMPORT_POP3_H
#define POSTERN_ADMIN_IMPORT_POP3_H

#include "admin/ctl.h"
#include "admin/mail/source.h"
#include "admin/pop3/address.h"
#include "admin/secret_line.h"

struct import_pop3_told {
    bool (*stop)(void *arg);                        /* as in pop3/client.h */
    void (*tell)(void *arg, const char *text);      /* as in source_pop3.h */
    void *arg;
};

/* All zero before import_pop3_options(). */
struct import_pop3 {
    struct pop3_address address;
    struct secret_line secret;
    bool untrusted, plaintext;      /* --accept */
    int64_t wait;                   /* seconds */
    int64_t limit;                  /* --sync-limit, percent */
};

/* --accept, --wait and --sync-limit, which other verbs have, too. CTL_USAGE after a message. */
enum ctl_exit import_pop3_common(const struct ctl *c, struct import_pop3 *p);
/* What the command line says; the password is not asked for yet. CTL_USAGE after a message. */
enum ctl_exit import_pop3_options(const struct ctl *c, struct import_pop3 *p);
/*
 * Reads or asks for the password, logs in and lists; `mailbox` is the user if there is no other.
 * p must live as long as the source. NULL after a message.
 */
struct source *import_pop3_open(const struct ctl *c, struct import_pop3 *p, const char *mailbox,
                                const struct import_pop3_told *told);
/*
 * The same for an address and a secret that p has already. What people should know is told, as in
 * source_pop3.h; NULL with the reason in *why_r, to mem_free(). p, url and user must live as long as the source.
 */
struct source *import_pop3_log_in(const struct ctl *c, const struct import_pop3 *p, const char *url, const char *user,
                                  const struct import_pop3_told *told, char **why_r);
/* Wipes. */
void import_pop3_free(struct import_pop3 *p);

#endif
