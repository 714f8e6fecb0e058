/*
 * passwords.c - `passwords`: the passwords of many mailboxes, from a file of another server,
 * and what that means for their owners.
 *
 * Must never show a secret. What is refused is told by line and name, and leaves the others alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/ctl.h"
#include "admin/csv.h"
#include "admin/db.h"
#include "admin/json.h"
#include "admin/passwd.h"
#include "admin/progress.h"
#include "admin/shown.h"
#include "admin/verbs/credential.h"
#include "admin/verbs/keyring.h"
#include "auth/name.h"
#include "auth/scheme/scheme.h"
#include "auth/scheme/scram.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum { BATCH = 1000, SCHEMES_MAX = 64 };

/* A line that can be used, as far as one can tell without the database. */
struct wanted {
    const struct passwd_entry *entry;
    char *address;
    int row;                    /* of the answer that has the accounts */
};

struct passwords {
    struct ctl *c;
    bool dry_run, final;
    struct passwd *file;
    struct keyring *keyring;
    struct wanted *wanted;      /* as many as entries */
    size_t count;
    PGresult *accounts;         /* find_accounts() */
    struct json json;
    struct progress progress;
    struct scheme_count {
        char name[SCHEME_NAME_MAX];
        uint64_t mailboxes;
    } schemes[SCHEMES_MAX];
    size_t scheme_count;
    uint64_t set, refused, kept;
    uint64_t no_scram, no_secret;   /* that lack, so far, what their domain stores for SCRAM-SHA-256; for APOP */
};

/* ---------------------------------------------------------------- refusing */

static void refuse(struct passwords *p, const struct passwd_entry *e, const char *why)
{
    p->refused++;
    progress_clear(&p->progress);
    if (p->c->json) {
        json_object(&p->json, NULL);
        json_int(&p->json, "line", (int64_t)e->line);
        json_text(&p->json, "name", span_str(e->name));
        json_text(&p->json, "reason", span_str(why));
        json_end(&p->json);
        return;
    }
    printf("REFUSED line %zu %s: %s\n", e->line, e->name[0] != '\0' ? shown_name(e->name) : "\"\"", why);
}

static int by_address(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order != 0 ? order : x->entry < y->entry ? -1 : x->entry > y->entry;
}

static int by_line(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* What can be told of a line by itself; NULL: nothing is wrong. */
static const char *fault_of(const struct passwd_entry *e, struct span domain, char address[CTL_ADDRESS_SIZE])
{
    const char *why = e->fault;

    address[0] = '\0';
    if (why == NULL && name_canonical(span_str(e->name), domain, address, &why) == 1)
        why = e->plain ? scheme_password_problem(span_str(e->secret)) : credential_hash_fault(e->secret);
    return why;
}

/* Each address once: other servers take the first line that they find. */
static void take_lines(struct passwords *p, struct span domain)
{
    size_t n = 0;

    for (size_t i = 0; i < p->file->count; i++) {
        const struct passwd_entry *e = &p->file->entries[i];
        char address[CTL_ADDRESS_SIZE];
        const char *why = fault_of(e, domain, address);

        if (why != NULL)
            refuse(p, e, why);
        else
            p->wanted[p->count++] = (struct wanted){ e, mem_str(address), 0 };
    }
    qsort(p->wanted, p->count, sizeof *p->wanted, by_address);
    for (size_t i = 0; i < p->count; i++) {
        if (n > 0 && strcmp(p->wanted[n - 1].address, p->wanted[i].address) == 0) {
            refuse(p, p->wanted[i].entry, "a line before is of the same mailbox");
            mem_free(p->wanted[i].address);
        } else {
            p->wanted[n++] = p->wanted[i];
        }
    }
    p->count = n;
    qsort(p->wanted, p->count, sizeof *p->wanted, by_line);
}

/* ------------------------------------------------------------ the mailboxes */

enum { COL_MAILBOX, COL_STORES, COL_HAS_PASSWORD, COL_HAS_DOMAIN, COL_FAULT };

static bool find_accounts(struct passwords *p)
{
    struct buf addresses = BUF_EMPTY;
    struct args a = ARGS_NONE;

    pg_array_begin(&addresses, PG_TEXT);
    for (size_t i = 0; i < p->count; i++)
        pg_array_put_bytes(&addresses, span_str(p->wanted[i].address));
    pg_array_set_count(&addresses, (uint32_t)p->count);
    args_binary(&a, &addresses);
    p->accounts = db_ask(p->c, "find the mailboxes",
                         "select mailbox, array_to_string(stores, ' '), has_password, has_domain, fault"
                         " from postern.find_accounts($1)", &a);
    buf_free(&addresses);
    return p->accounts != NULL;
}

/* Those that are here, and are to be changed. */
static void take_mailboxes(struct passwords *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->count; i++) {
        struct wanted *w = &p->wanted[i];
        const int row = (int)i;

        if (PQgetisnull(p->accounts, row, COL_MAILBOX)) {
            refuse(p, w->entry, PQgetisnull(p->accounts, row, COL_FAULT) ? "there is no such mailbox"
                                                                        : PQgetvalue(p->accounts, row, COL_FAULT));
            mem_free(w->address);
        } else if (p->final && PQgetvalue(p->accounts, row, COL_HAS_PASSWORD)[0] == 't') {
            p->kept++;
            mem_free(w->address);
        } else {
            w->row = row;
            p->wanted[n++] = *w;
        }
    }
    p->count = n;
}

static void count_scheme(struct passwords *p, const char *name)
{
    size_t i = 0;

    while (i < p->scheme_count && strcmp(p->schemes[i].name, name) != 0)
        i++;
    if (i == SCHEMES_MAX)
        return;
    if (i == p->scheme_count)
        strcpy(p->schemes[p->scheme_count++].name, name);
    p->schemes[i].mailboxes++;
}

/* What its owner has after this, and what not until a login by PASS, LOGIN or PLAIN. */
static void note(struct passwords *p, const struct wanted *w, bool made)
{
    const char *stores = PQgetvalue(p->accounts, w->row, COL_STORES);
    char name[SCHEME_NAME_MAX] = "PLAIN";

    if (!w->entry->plain)
        scheme_name(w->entry->secret, name);
    count_scheme(p, name);
    p->set++;
    if (made)
        return;
    if (strstr(stores, "scram-sha-256") != NULL && strcmp(name, "SCRAM-SHA-256") != 0)
        p->no_scram++;
    if (strstr(stores, "shared-secret") != NULL)
        p->no_secret++;
}

/* ------------------------------------------------------------------ storing */

/* The rows of one mailbox. A password that is known makes all that its domain stores. */
static void add_rows(struct passwords *p, const struct wanted *w, struct credential_rows *rows)
{
    const char *plain = w->entry->plain ? w->entry->secret : scheme_plain(w->entry->secret), *why;
    struct mailbox_ref mailbox = { 0 };

    mailbox_parse(span_str(PQgetvalue(p->accounts, w->row, COL_MAILBOX)), &mailbox);
    if (plain == NULL) {
        if (!p->dry_run)
            credential_add_hash(rows, p->keyring, &mailbox, w->entry->secret);
        note(p, w, false);
    } else if (p->dry_run || credential_add_password(rows, p->c, p->keyring, &mailbox,
                                                     PQgetvalue(p->accounts, w->row, COL_STORES), span_str(plain),
                                                     &why)) {
        note(p, w, true);
    } else {
        refuse(p, w->entry, why);
    }
    progress_count(&p->progress, (uint64_t)(w - p->wanted), p->count);
}

static enum ctl_exit store_all(struct passwords *p)
{
    enum ctl_exit end = CTL_DONE;

    progress_start(&p->progress, "mailboxes", 0);
    for (size_t i = 0; end == CTL_DONE && i < p->count;) {
        const uint64_t set = p->set;
        struct credential_rows rows;

        credential_begin(&rows);
        for (size_t last = i + BATCH; i < p->count && i < last; i++)
            add_rows(p, &p->wanted[i], &rows);
        if (rows.count > 0)
            end = credential_store(p->c, &rows);
        if (end != CTL_DONE)
            p->set = set;       /* all of a batch, or none */
        credential_wipe(&rows);
    }
    progress_clear(&p->progress);
    return end;
}

/* One stands for all: where credentials() is a provider's own, it is so for everybody. */
static enum ctl_exit check_proof(struct passwords *p)
{
    struct mailbox_ref mailbox = { 0 };

    if (p->dry_run || p->set == 0)
        return CTL_DONE;
    mailbox_parse(span_str(PQgetvalue(p->accounts, p->wanted[0].row, COL_MAILBOX)), &mailbox);
    return credential_is_proven_with(p->c, &mailbox, "password", p->wanted[0].address, "stored");
}

/* ------------------------------------------------------------------- report */

static int by_count(const void *a, const void *b)
{
    const struct scheme_count *x = a, *y = b;

    return x->mailboxes != y->mailboxes ? (x->mailboxes < y->mailboxes ? 1 : -1) : strcmp(x->name, y->name);
}

static void report_json(struct passwords *p)
{
    struct json *j = &p->json;

    json_end(j);
    json_array(j, "schemes");
    for (size_t i = 0; i < p->scheme_count; i++) {
        json_object(j, NULL);
        json_text(j, "scheme", span_str(p->schemes[i].name));
        json_int(j, "mailboxes", (int64_t)p->schemes[i].mailboxes);
        json_end(j);
    }
    json_end(j);
    json_int(j, "set", (int64_t)p->set);
    json_int(j, "kept", (int64_t)p->kept);
    json_int(j, "refused_in_all", (int64_t)p->refused);
    json_int(j, "without_scram", (int64_t)p->no_scram);
    json_int(j, "without_shared_secret", (int64_t)p->no_secret);
    json_bool(j, "dry_run", p->dry_run);
    json_end(j);
}

static void report_text(struct passwords *p)
{
    const char *until = p->c->auth.auth_upgrade
                            ? "a login with PASS, LOGIN or PLAIN"
                            : "a login with PASS, LOGIN or PLAIN while auth_upgrade is true, which it is not now";

    for (size_t i = 0; i < p->scheme_count; i++)
        printf("%-*s %10llu\n", SCHEME_NAME_MAX, p->schemes[i].name, (unsigned long long)p->schemes[i].mailboxes);
    printf("%s the passwords of %llu mailboxes", p->dry_run ? "would set" : "set", (unsigned long long)p->set);
    if (p->kept > 0)
        printf(", left %llu that have one here", (unsigned long long)p->kept);
    if (p->refused > 0)
        printf(", refused %llu lines: if their owners have no password here, they need a new one",
               (unsigned long long)p->refused);
    putchar('\n');
    if (p->no_scram > 0)
        printf("%llu mailboxes cannot use SCRAM-SHA-256 before %s\n", (unsigned long long)p->no_scram, until);
    if (p->no_secret > 0)
        printf("%llu mailboxes cannot use APOP or CRAM-MD5 before %s\n", (unsigned long long)p->no_secret, until);
}

static void report(struct passwords *p)
{
    qsort(p->schemes, p->scheme_count, sizeof *p->schemes, by_count);
    if (p->c->json)
        report_json(p);
    else
        report_text(p);
}

/* --------------------------------------------------------------------- verb */

static enum ctl_exit load(struct ctl *c, struct passwd **file_r)
{
    static const char *const words[] = { "csv", "dovecot", "shadow", "userdb" };
    const char *given = c->opt[OPT_FORMAT], *why;
    size_t format = 0, len;
    char *text;

    while (format < 4 && given != NULL && strcmp(given, words[format]) != 0)
        format++;
    if (format == 4)
        return ctl_error(CTL_USAGE, "\"%s\" is not csv, dovecot, shadow or userdb", given);
    text = csv_slurp(c->args[0], &len, &why);
    *file_r = text != NULL ? passwd_parse((enum passwd_format)format, text, len, &why) : NULL;
    return *file_r != NULL ? CTL_DONE : ctl_error(CTL_FAILED, "%s: %s", shown_name(c->args[0]), why);
}

static enum ctl_exit run(struct passwords *p, struct span domain)
{
    enum ctl_exit end;

    if (p->c->json) {
        json_start(&p->json, stdout);
        json_object(&p->json, NULL);
        json_array(&p->json, "refused");
    }
    take_lines(p, domain);
    if (find_accounts(p)) {
        take_mailboxes(p);
        end = store_all(p);
    } else {
        end = db_end(p->c);
    }
    report(p);
    if (end == CTL_DONE)
        end = check_proof(p);
    return end == CTL_DONE && p->refused > 0 ? CTL_PARTLY : end;
}

enum ctl_exit run_passwords(struct ctl *c)
{
    struct passwords p = { .c = c, .dry_run = c->opt[OPT_DRY_RUN] != NULL, .final = c->opt[OPT_FINAL] != NULL };
    char domain[CTL_DOMAIN_SIZE] = "";
    enum ctl_exit end;

    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        return CTL_FAILED;
    if (!ctl_keyring(c, &p.keyring))
        return CTL_FAILED;
    secret_no_core();
    end = load(c, &p.file);
    if (end != CTL_DONE) {
        keyring_free(&p.keyring);
        return end;
    }
    p.wanted = mem_array(p.file->count + 1, sizeof *p.wanted);
    end = run(&p, span_str(domain));
    for (size_t i = 0; i < p.count; i++)
        mem_free(p.wanted[i].address);
    mem_free(p.wanted);
    PQclear(p.accounts);
    passwd_free(&p.file);
    keyring_free(&p.keyring);
    return end;
}
