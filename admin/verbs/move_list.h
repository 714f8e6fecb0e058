/*
 * move_list.h - the file that says which mailboxes move: a table (admin/csv.h), a row for each.
 *
 *   address         of the mailbox
 *   source          paths of mbox files, Maildirs, directories or files; the column may be
 *                   there several times; or the address of a POP3 server, "pops://HOST"
 *   user            there, if not the address of the mailbox
 *   secret          the password there; or secret_file, a file that holds it
 *   uidls, server, uidl_format, control, format     as the options of `import`
 *   hash            of the password, made by the other server; or hash_file, a file that holds it
 *   password        itself; or password_file
 *   quota, quota_messages           a number, or none
 *
 * All but the address may be empty, or not there.
 */
#ifndef POSTERN_ADMIN_MOVE_LIST_H
#define POSTERN_ADMIN_MOVE_LIST_H

#include "admin/ctl.h"
#include "admin/csv.h"
#include "admin/mail/source.h"

enum { MOVE_SOURCES_MAX = 16, MOVE_UNSET = -2 };

struct move_line {
    size_t line;                /* of the file */
    char *address;              /* canonical; what stands there, if that is none */
    char *fault;                /* why nothing can be done; NULL: nothing is known to be wrong */
    char *password_fault;       /* why no password is set, though one is named; NULL: there is no reason */
    char *sources[MOVE_SOURCES_MAX];    /* lent from the file, as all below */
    int source_count;
    bool pop3;                  /* the one source is a server, */
    const char *dbmail;         /* or a user of DBMail: the userid, lent; else NULL */
    const char *user, *secret, *secret_file;    /* NULL, "", NULL where nothing is said */
    const char *uidls, *server, *uidl_format, *control;    /* NULL where nothing is said */
    const char *hash, *password;        /* "" where nothing is said */
    const char *hash_file, *password_file;
    enum source_format format;
    bool has_format;
    int64_t quota, quota_messages;      /* -1: none, MOVE_UNSET: as it is */
    /* of the database, before anything was done */
    bool has_mailbox, has_domain, has_password;
};

struct move_list {
    struct move_line *lines;
    size_t count;
    struct csv *csv;
};

/*
 * Reads the file, and finds what is wrong with each line: names, numbers, hashes; files that are not
 * there or cannot be read. domain is for addresses that have none, or "". master: servers are logged in
 * to by a user whose password is none of the file. dbmail: it is known where DBMail's database is. NULL
 * after a message: it is no such file.
 */
struct move_list *move_list_read(const char *path, const char *domain, bool master, bool dbmail);
void move_list_free(struct move_list **list);
/* What the line says of its source, in place of what is said for all of them. */
void move_list_how(const struct move_line *line, struct source_how *how);
/* A line's fault, unless it has one. */
void move_list_fault(struct move_line *line, const char *why);

#endif
