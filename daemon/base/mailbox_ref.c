/*
 * mailbox_ref.c - references to mailboxes as text.
 */
#include "daemon/base/mailbox_ref.h"

#include "daemon/base/num.h"

struct mailbox_text mailbox_text(const struct mailbox_ref *m)
{
    struct mailbox_text text;

    text.s[num_format(text.s, (uint64_t)m->number)] = '\0';
    return text;
}

bool mailbox_parse(struct span text, struct mailbox_ref *m_r)
{
    uint64_t number;

    if (num_parse(text, INT64_MAX, &number) != 1 || number == 0)
        return false;
    *m_r = (struct mailbox_ref){ .number = (int64_t)number };
    return true;
}
