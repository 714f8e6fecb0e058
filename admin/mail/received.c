/*
 * received.c - when a message came to its server (see received.h).
 */
#include "admin/mail/received.h"

#include "admin/mail/fromline.h"

enum { FIELD_MAX = 4096 };

/* The field that the head begins with, folded lines and all; *head begins behind it. */
static struct span field(struct span *head)
{
    size_t n = 0;

    do {
        const char *lf = memchr(head->at + n, '\n', head->len - n);

        n = lf != NULL ? (size_t)(lf - head->at) + 1 : head->len;
    } while (n < head->len && (head->at[n] == ' ' || head->at[n] == '\t'));
    struct span f = { head->at, n };
    *head = (struct span){ head->at + n, head->len - n };
    return f;
}

static bool is_named(struct span f, struct span name)
{
    return f.len > name.len && strncasecmp(f.at, name.at, name.len) == 0;
}

/* Folds become blanks, and comments such as "(envelope-from x)" go: from_date() wants words. */
static bool date_in(struct span text, int64_t *time_r)
{
    char words[FIELD_MAX];
    size_t n = 0;
    unsigned depth = 0;

    for (size_t i = 0; i < text.len && n < sizeof words; i++) {
        const char c = text.at[i];

        if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (depth == 0)
            words[n++] = c == '\r' || c == '\n' || c == '\t' ? ' ' : c;
    }
    return from_date((struct span){ words, n }, time_r) == 1 && *time_r >= 0;
}

enum received_by received_time(struct span head, int64_t *time_r)
{
    struct span date = { NULL, 0 };

    while (head.len > 0 && head.at[0] != '\r' && head.at[0] != '\n') {
        struct span f = field(&head);

        if (is_named(f, SPAN_OF("Received:"))) {
            const char *semicolon = memrchr(f.at, ';', f.len);

            if (semicolon != NULL &&
                date_in((struct span){ semicolon + 1, (size_t)(f.at + f.len - semicolon) - 1 }, time_r))
                return RECEIVED_FIELD;
        } else if (date.at == NULL && is_named(f, SPAN_OF("Date:"))) {
            date = (struct span){ f.at + 5, f.len - 5 };
        }
    }
    return date.at != NULL && date_in(date, time_r) ? RECEIVED_DATE : RECEIVED_NOTHING;
}
