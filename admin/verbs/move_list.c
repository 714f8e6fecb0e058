/*
 * move_list.c - the file that says which mailboxes move (see move_list.h).
 *
 * Must never show a field that may hold a secret.
 */
#include "admin/verbs/move_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/pop3/address.h"
#include "admin/secret_line.h"
#include "admin/shown.h"
#include "admin/verbs/credential.h"
#include "admin/verbs/importing.h"
#include "auth/name.h"
#include "auth/scheme/scheme.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

enum column {
    COL_ADDRESS, COL_SOURCE, COL_USER, COL_SECRET, COL_SECRET_FILE, COL_UIDLS, COL_SERVER, COL_UIDL_FORMAT, COL_CONTROL,
    COL_FORMAT, COL_HASH, COL_HASH_FILE, COL_PASSWORD, COL_PASSWORD_FILE, COL_QUOTA, COL_QUOTA_MESSAGES, COLUMNS,
};
static const char *const names[COLUMNS] = {
    "address", "source", "user", "secret", "secret_file", "uidls", "server", "uidl_format", "control",
    "format", "hash", "hash_file", "password", "password_file", "quota", "quota_messages",
};

/* ------------------------------------------------------------- the columns */

/* Which one each column is. False after a message. */
static bool columns(const struct csv *c, const char *path, enum column which[CSV_COLUMNS_MAX])
{
    bool seen[COLUMNS] = { false };
    int sources = 0;

    for (size_t i = 0; i < c->column_count; i++) {
        int n = 0;

        while (n < COLUMNS && strcmp(names[n], c->columns[i]) != 0)
            n++;
        if (n == COLUMNS) {
            ctl_error(CTL_FAILED, "%s: there is no column \"%s\": nothing was done; the columns are address, source,"
                      " user, secret, secret_file, uidls, server, uidl_format, control, format, hash, hash_file,"
                      " password, password_file, quota and quota_messages", shown_name(path), c->columns[i]);
            return false;
        }
        if (n == COL_SOURCE ? ++sources > MOVE_SOURCES_MAX : seen[n]) {
            ctl_error(CTL_FAILED, "%s: the column \"%s\" is there too often: nothing was done", shown_name(path),
                      c->columns[i]);
            return false;
        }
        seen[n] = true;
        which[i] = (enum column)n;
    }
    if (!seen[COL_ADDRESS])
        ctl_error(CTL_FAILED, "%s: its first line must name the columns, \"address\" among them: nothing was done",
                  shown_name(path));
    return seen[COL_ADDRESS];
}

/* ---------------------------------------------------------------- one line */

void move_list_fault(struct move_line *l, const char *why)
{
    if (l->fault == NULL)
        l->fault = mem_str(why);
}

static void fault_at(struct move_line *l, const char *path, const char *why)
{
    struct buf text = BUF_EMPTY;

    buf_addf(&text, "%s: %s", shown_name(path), why);
    move_list_fault(l, buf_span(&text).at);
    buf_free(&text);
}

static void set_quota(struct move_line *l, const char *text, bool octets)
{
    int64_t *n = octets ? &l->quota : &l->quota_messages;
    const char *unit = octets ? strchr("kMGT", text[strlen(text) - 1]) : NULL;
    struct span digits = { text, strlen(text) - (unit != NULL) };
    uint64_t value, scale = unit != NULL ? UINT64_C(1) << (10 * (unit - "kMGT" + 1)) : 1;

    if (strcmp(text, "none") == 0)
        *n = -1;
    else if (num_parse(digits, (uint64_t)INT64_MAX / scale, &value) == 1)
        *n = (int64_t)(value * scale);
    else
        move_list_fault(l, octets ? "the quota is neither a number of octets, such as 500M or 2G, nor none"
                                  : "the quota of messages is neither a number nor none");
}

static void set_address(struct move_line *l, const char *typed, struct span domain)
{
    char address[CTL_ADDRESS_SIZE];
    const char *why;

    if (name_canonical(span_str(typed), domain, address, &why) != 1)
        move_list_fault(l, why);
    l->address = mem_str(l->fault == NULL ? address : typed);
}

static void take(struct move_line *l, enum column which, char *field, struct span domain)
{
    const char *why;

    if (which == COL_ADDRESS)
        set_address(l, field, domain);
    if (field[0] == '\0')
        return;
    switch (which) {
    case COL_SOURCE:
        l->sources[l->source_count++] = field;
        break;
    case COL_USER:
        l->user = field;
        break;
    case COL_SECRET:
        l->secret = field;
        break;
    case COL_SECRET_FILE:
        l->secret_file = field;
        break;
    case COL_UIDLS:
        l->uidls = field;
        break;
    case COL_UIDL_FORMAT:
        l->uidl_format = field;
        if ((why = importing_uidl_fault(field)) != NULL)
            move_list_fault(l, "the format of UIDLs is not one that a server has: see --uidl-format");
        break;
    case COL_SERVER:
        l->server = field;
        if (importing_server_fault(field) != NULL)
            move_list_fault(l, "the server is not one that --server takes");
        break;
    case COL_CONTROL:
        l->control = field;
        break;
    case COL_FORMAT:
        l->has_format = true;
        if (!importing_format(field, &l->format))
            move_list_fault(l, "the format is not auto, mbox, maildir or eml");
        break;
    case COL_HASH:
        l->hash = field;
        break;
    case COL_HASH_FILE:
        l->hash_file = field;
        break;
    case COL_PASSWORD:
        l->password = field;
        break;
    case COL_PASSWORD_FILE:
        l->password_file = field;
        break;
    case COL_QUOTA:
        set_quota(l, field, true);
        break;
    case COL_QUOTA_MESSAGES:
        set_quota(l, field, false);
        break;
    case COL_ADDRESS:
    case COLUMNS:
        break;
    }
}

static void told_fault(void *arg, const char *line)
{
    move_list_fault(arg, line);
}

static bool read_secret(struct move_line *l, const char *path, struct secret_line *secret)
{
    bool ok = strcmp(path, "-") != 0;

    if (!ok)
        move_list_fault(l, "a file with a password must have a name");
    ctl_errors_to(told_fault, l);
    ok = ok && secret_line_of_file(path, secret);
    ctl_errors_to(NULL, NULL);
    secret->text[ok ? secret->len : 0] = '\0';
    return ok;
}

static void set_password_fault(struct move_line *l, const char *what, const char *why)
{
    struct buf line = BUF_EMPTY;

    buf_addf(&line, "the password%s cannot be used: %s", what, why);
    l->password_fault = mem_str(buf_span(&line).at);
    buf_free(&line);
}

/* Who needs a new password gets their mail all the same. */
static void check_secrets(struct move_line *l)
{
    int given = (l->hash[0] != '\0') + (l->hash_file != NULL) + (l->password[0] != '\0') + (l->password_file != NULL);
    const char *file = l->hash_file != NULL ? l->hash_file : l->password_file, *why;
    struct secret_line secret;
    const char *hash = l->hash_file != NULL ? secret.text : l->hash;
    const char *password = l->password_file != NULL ? secret.text : l->password;

    if (given > 1) {
        move_list_fault(l, "it has more than one of hash, hash_file, password and password_file");
        return;
    }
    if (file != NULL && !read_secret(l, file, &secret))
        return;
    if (hash[0] != '\0' && (why = credential_hash_fault(hash)) != NULL)
        set_password_fault(l, " hash", why);
    if (password[0] != '\0' && (why = scheme_password_problem(span_str(password))) != NULL)
        set_password_fault(l, "", why);
    if (file != NULL)
        secret_wipe(&secret, sizeof secret);
}

static bool is_server(const char *source)
{
    return strncasecmp(source, "pop://", 6) == 0 || strncasecmp(source, "pops://", 7) == 0;
}

static void check_server(struct move_line *l, bool master)
{
    struct pop3_address address;
    struct secret_line secret;
    const char *why;

    if (l->source_count > 1 || l->uidls != NULL || l->has_format || l->uidl_format != NULL)
        move_list_fault(l, "a server is the only source of its mailbox, and needs no format and no UIDLs");
    if ((why = pop3_address(l->sources[0], &address)) != NULL)
        fault_at(l, l->sources[0], why);
    else
        pop3_address_free(&address);
    if (master ? l->secret[0] != '\0' || l->secret_file != NULL : (l->secret[0] != '\0') == (l->secret_file != NULL))
        move_list_fault(l, master ? "it has a password for the server, where --master logs in"
                                  : "it must have either secret or secret_file, for the server");
    if (l->secret_file != NULL && read_secret(l, l->secret_file, &secret))
        secret_wipe(&secret, sizeof secret);
}

/* "dbmail:", or "dbmail:USERID" */
static const char *user_of_dbmail(const char *source)
{
    static const struct span word = { "dbmail:", 7 };

    return strncmp(source, word.at, word.len) == 0 ? source + word.len : NULL;
}

static void check_dbmail(struct move_line *l, bool known)
{
    if (l->source_count > 1 || l->uidls != NULL || l->has_format || l->uidl_format != NULL || l->server != NULL ||
        l->control != NULL || l->secret[0] != '\0' || l->secret_file != NULL)
        move_list_fault(l, "DBMail is the only source of its mailbox, and needs nothing but a user");
    else if (!known)
        move_list_fault(l, "its source is DBMail: --dbmail must name the database");
    if (l->dbmail[0] == '\0')
        l->dbmail = l->user != NULL ? l->user : l->address;
}

static void check_files(struct move_line *l)
{
    for (int i = 0; i < l->source_count; i++)
        if (access(l->sources[i], R_OK) != 0)
            fault_at(l, l->sources[i], strerror(errno));
    if (l->uidls != NULL && access(l->uidls, R_OK) != 0)
        fault_at(l, l->uidls, strerror(errno));
    if (l->control != NULL && access(l->control, X_OK) != 0)
        fault_at(l, l->control, strerror(errno));
    if (l->control != NULL && l->source_count != 1)
        move_list_fault(l, "the column control is for one source");
    if (l->uidls != NULL && l->source_count == 0)
        move_list_fault(l, "it has a list of UIDLs, but no source");
    if (l->user != NULL || l->secret[0] != '\0' || l->secret_file != NULL)
        move_list_fault(l, "it has a user or a password for a server, but no server");
}

/* ----------------------------------------------------------------- the file */

static int by_address(const void *a, const void *b)
{
    const struct move_line *x = *(struct move_line *const *)a, *y = *(struct move_line *const *)b;
    int order = strcmp(x->address, y->address);

    return order != 0 ? order : x < y ? -1 : x > y;
}

/* The second line of a mailbox is most likely a mistake: which quota, which password? */
static void check_doubles(struct move_list *m)
{
    struct move_line **sorted = mem_array(m->count + 1, sizeof *sorted);
    struct move_line *first = NULL;

    for (size_t i = 0; i < m->count; i++)
        sorted[i] = &m->lines[i];
    qsort(sorted, m->count, sizeof *sorted, by_address);
    for (size_t i = 0; i < m->count; i++) {
        if (first != NULL && strcmp(first->address, sorted[i]->address) == 0) {
            struct buf text = BUF_EMPTY;

            buf_addf(&text, "line %zu is of the same mailbox: name several sources in several columns", first->line);
            move_list_fault(sorted[i], buf_span(&text).at);
            buf_free(&text);
        } else {
            first = sorted[i];
        }
    }
    mem_free(sorted);
}

struct move_list *move_list_read(const char *path, const char *domain, bool master, bool dbmail)
{
    enum column which[CSV_COLUMNS_MAX];
    struct move_list *m;
    const char *why;
    size_t len;
    char *text = csv_slurp(path, &len, &why);
    struct csv *csv = text != NULL ? csv_parse(text, len, &why) : NULL;

    if (csv == NULL) {
        ctl_error(CTL_FAILED, "%s: %s", shown_name(path), why);
        return NULL;
    }
    if (!columns(csv, path, which)) {
        csv_free(&csv);
        return NULL;
    }
    if (csv->count == 0) {
        ctl_error(CTL_FAILED, "%s: no line follows the one that names the columns", shown_name(path));
        csv_free(&csv);
        return NULL;
    }
    m = mem_zalloc(sizeof *m);
    m->csv = csv;
    m->count = csv->count;
    m->lines = mem_array(m->count + 1, sizeof *m->lines);
    for (size_t i = 0; i < m->count; i++) {
        const struct csv_row *row = &csv->rows[i];
        struct move_line *l = &m->lines[i];

        *l = (struct move_line){ .line = row->line, .hash = "", .password = "", .secret = "", .quota = MOVE_UNSET,
                                 .quota_messages = MOVE_UNSET };
        if (row->fault != NULL) {
            move_list_fault(l, row->fault);
            l->address = mem_str("");
            continue;
        }
        for (size_t k = 0; k < csv->column_count; k++)
            take(l, which[k], row->fields[k], span_str(domain));
        check_secrets(l);
        for (int k = 0; k < l->source_count; k++)
            l->pop3 = l->pop3 || is_server(l->sources[k]);
        l->dbmail = l->source_count > 0 ? user_of_dbmail(l->sources[0]) : NULL;
        if (l->pop3)
            check_server(l, master);
        else if (l->dbmail != NULL)
            check_dbmail(l, dbmail);
        else
            check_files(l);
    }
    check_doubles(m);
    return m;
}

void move_list_free(struct move_list **list)
{
    struct move_list *m = *list;

    for (size_t i = 0; i < m->count; i++) {
        mem_free(m->lines[i].address);
        mem_free(m->lines[i].fault);
        mem_free(m->lines[i].password_fault);
    }
    mem_free(m->lines);
    csv_free(&m->csv);
    mem_free(m);
    *list = NULL;
}

void move_list_how(const struct move_line *l, struct source_how *how)
{
    how->listed = l->uidls != NULL;
    if (l->server != NULL && strcmp(l->server, "dovecot") != 0)
        how->doveconf = NULL;
    if (l->server != NULL)
        how->server = l->server;
    if (l->uidl_format != NULL)
        how->uidl_format = l->uidl_format;
    how->control = l->control;
    if (l->has_format)
        how->format = l->format;
}
