/*
 * dovecot.c - the order and the UIDLs that Dovecot gave the messages of a Maildir.
 */
#include "admin/mail/dovecot.h"

#include <string.h>

#include "admin/mail/listfile.h"
#include "admin/mail/state.h"

enum { LETTERS = 26 };

const char dovecot_format[] = "%08Xu%08Xv";

static const char *uidlist_header(struct dovecot_list *l, struct span line)
{
    struct span version = listfile_word(&line);
    bool known = false;

    l->version = span_is(version, SPAN_OF("1")) ? 1 : span_is(version, SPAN_OF("3")) ? 3 : 0;
    if (l->version == 0)
        return "does not begin with the version 1 or 3";
    while (line.len > 0 && !known) {
        struct span word = listfile_word(&line);

        if (l->version == 1)
            known = listfile_number(word, &l->validity);
        else if (word.len > 1 && word.at[0] == 'V')
            known = listfile_number((struct span){ word.at + 1, word.len - 1 }, &l->validity);
        if (l->version == 1)
            break;
    }
    return known && l->validity > 0 ? NULL : "has no uidvalidity in its first line";
}

/* The words of version 3 up to the name, which follows a colon. */
static const char *extensions(struct span *line, struct dovecot_entry *e)
{
    while (line->len > 0 && line->at[0] != ':') {
        struct span word = listfile_word(line), value;

        if (word.len == 0)
            continue;
        value = (struct span){ word.at + 1, word.len - 1 };
        if (word.at[0] == 'P') {
            e->has_uidl = true;
            e->uidl = value;
        } else if (word.at[0] == 'G') {
            e->guid = value;
        } else if (word.at[0] == 'O' && !listfile_number(value, &e->order)) {
            return "has an O without a number";
        }
    }
    if (line->len == 0)
        return "has no name of a file";
    *line = (struct span){ line->at + 1, line->len - 1 };
    return NULL;
}

static const char *uidlist_entry(struct span line, bool whole, int version, struct dovecot_entry *e)
{
    const char *why = NULL;

    *e = (struct dovecot_entry){ .order = UINT32_MAX };
    if (!whole)
        return "is not complete";
    if (!listfile_number(listfile_word(&line), &e->uid) || e->uid == 0)
        return "does not begin with a uid";
    if (version == 3)
        why = extensions(&line, e);
    if (why != NULL)
        return why;
    e->name = listfile_base(line);
    if (e->name.len == 0)
        return "has no name of a file";
    return listfile_is_name(e->name) ? NULL : "has a name that no file of a Maildir has";
}

const char *dovecot_open(struct dovecot_list *l, int fd)
{
    const char *why;
    bool whole;

    *l = (struct dovecot_list){ .line = 1 };
    why = listfile_read(fd, &l->text);
    l->left = buf_span(&l->text);
    if (why == NULL && l->left.len == 0)
        why = "is empty";
    return why != NULL ? why : uidlist_header(l, listfile_line(&l->left, &whole));
}

void dovecot_close(struct dovecot_list *l) { buf_free(&l->text); }

int dovecot_next(struct dovecot_list *l, struct dovecot_entry *e, const char **fault_r)
{
    struct span line;
    bool whole;

    if (l->left.len == 0)
        return 0;
    l->line++;
    line = listfile_line(&l->left, &whole);
    *fault_r = uidlist_entry(line, whole, l->version, e);
    if (*fault_r == NULL && e->uid <= l->last)
        *fault_r = "has a uid that does not rise";
    if (*fault_r != NULL)
        return -1;
    l->last = e->uid;
    return 1;
}

void dovecot_uidl(const struct dovecot_list *l, const struct dovecot_entry *e, const char *format, struct buf *out)
{
    const struct span kept = e->uidl.len > 0 ? e->uidl : e->name;
    const struct uidl_values values = { .uid = e->uid, .validity = l->validity, .name = e->name,
                                        .guid = e->guid.len > 0 ? e->guid : e->name };

    if (e->has_uidl)
        buf_add(out, kept.at, kept.len);
    else
        uidl_format_make(format, &values, out);
}

int dovecot_letter(struct span keywords, const char *keyword)
{
    while (keywords.len > 0) {
        bool whole;
        struct span line = listfile_line(&keywords, &whole), number = listfile_word(&line);
        uint32_t n;

        if (whole && listfile_number(number, &n) && span_is_nocase(line, span_str(keyword)))
            return n < LETTERS ? 'a' + (int)n : -1;
    }
    return 0;
}

bool dovecot_has_letter(const char *name, int letter)
{
    const char *info = name + state_maildir_base(name);

    return *info != '\0' && strchr(info + 3, letter) != NULL;
}
