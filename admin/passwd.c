/*
 * passwd.c - files in which other servers keep names and hashes of passwords (see passwd.h).
 *
 * Works in place: fields end where a separator stood.
 */
#include "admin/passwd.h"

#include <string.h>

#include "admin/csv.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

static struct passwd_entry *add(struct passwd *p, size_t line)
{
    struct passwd_entry *e;

    if (p->count == p->room) {
        p->room = p->room > 0 ? 2 * p->room : 256;
        p->entries = mem_resize(p->entries, p->room, sizeof *p->entries);
    }
    e = &p->entries[p->count++];
    *e = (struct passwd_entry){ .line = line, .name = "", .secret = "" };
    return e;
}

/* What is there, looked at for the first time. */
static void complete(struct passwd_entry *e)
{
    if (e->fault == NULL && e->name[0] == '\0')
        e->fault = "it has no name";
    else if (e->fault == NULL && e->secret[0] == '\0')
        e->fault = "it has no password";
    if (e->fault != NULL)
        e->secret = "";
}

/* ------------------------------------------------------------------ lines */

/* NAME:HASH, and more that does not matter */
static void colons(struct passwd_entry *e, char *line)
{
    char *hash = strchr(line, ':'), *end;

    e->name = line;
    if (hash == NULL) {
        e->fault = "it has no colon behind the name";
        return;
    }
    *hash++ = '\0';
    e->secret = hash;
    end = strchr(hash, ':');
    if (end != NULL)
        *end = '\0';
}

/* The value of this field, with the NUL that ends it set later. */
static char *field(char *fields, const char *name)
{
    const size_t len = strlen(name);

    for (char *at = fields; at != NULL; at = strchr(at, '|')) {
        if (*at == '|')
            at++;
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            return at + len + 1;
    }
    return NULL;
}

static void userdb(struct passwd_entry *e, char *line)
{
    char *tab = strchr(line, '\t'), *hash;

    e->name = line;
    if (tab == NULL) {
        e->fault = "it has no tab behind the name";
        return;
    }
    *tab = '\0';
    hash = field(tab + 1, "pop3pw");
    if (hash == NULL)
        hash = field(tab + 1, "systempw");
    if (hash != NULL) {
        e->secret = hash;
        hash[strcspn(hash, "|")] = '\0';
    } else if (field(tab + 1, "hmac-md5pw") != NULL || field(tab + 1, "pop3-hmac-md5pw") != NULL) {
        e->fault = "it has only the state of CRAM-MD5, with which no password can be compared";
    }
}

static void lines(struct passwd *p, enum passwd_format format)
{
    char *at = p->text, *const end = p->text + p->text_len;

    for (size_t number = 1; at < end; number++) {
        char *lf = memchr(at, '\n', (size_t)(end - at)), *stop = lf != NULL ? lf : end;
        size_t len = (size_t)(stop - at);

        if (len > 0 && at[len - 1] == '\r')
            len--;
        at[len] = '\0';
        if (len > 0 && at[0] != '#') {
            struct passwd_entry *e = add(p, number);

            if (memchr(at, '\0', len) != NULL)
                e->fault = "it contains a NUL";
            else if (format == PASSWD_USERDB)
                userdb(e, at);
            else
                colons(e, at);
            complete(e);
        }
        at = stop + 1;
    }
}

/* -------------------------------------------------------------------- CSV */

static int column(const struct csv *c, const char *name)
{
    for (size_t i = 0; i < c->column_count; i++)
        if (strcmp(c->columns[i], name) == 0)
            return (int)i;
    return -1;
}

static bool rows(struct passwd *p, const char **error_r)
{
    const struct csv *c = p->csv;
    int name = column(c, "address"), hash = column(c, "hash"), password = column(c, "password");

    if (name < 0)
        name = column(c, "user");
    if (name < 0 || (hash < 0 && password < 0)) {
        *error_r = "its first line must name the columns, \"address\" and \"hash\" or \"password\" among them";
        return false;
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct csv_row *row = &c->rows[i];
        struct passwd_entry *e = add(p, row->line);

        e->fault = row->fault;
        if (row->fault == NULL) {
            e->name = row->fields[name];
            e->secret = hash >= 0 ? row->fields[hash] : "";
            e->plain = e->secret[0] == '\0' && password >= 0;
            if (e->plain)
                e->secret = row->fields[password];
            else if (password >= 0 && row->fields[password][0] != '\0')
                e->fault = "it has both a hash and a password";
        }
        complete(e);
    }
    return true;
}

struct passwd *passwd_parse(enum passwd_format format, char *text, size_t len, const char **error_r)
{
    struct passwd *p = mem_zalloc(sizeof *p);
    bool ok = true;

    if (format == PASSWD_CSV) {
        p->csv = csv_parse(text, len, error_r);
        ok = p->csv != NULL && rows(p, error_r);
    } else {
        p->text = text;
        p->text_len = len;
        text[len] = '\0';
        lines(p, format);
    }
    if (!ok)
        passwd_free(&p);
    return p;
}

void passwd_free(struct passwd **passwd)
{
    struct passwd *p = *passwd;

    if (p->csv != NULL)
        csv_free(&p->csv);
    if (p->text != NULL) {
        secret_wipe(p->text, p->text_len);
        mem_free(p->text);
    }
    mem_free(p->entries);
    mem_free(p);
    *passwd = NULL;
}
