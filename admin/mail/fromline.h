/*
 * fromline.h - From_ lines of mbox files, and whether one separates messages
 * (RFC 4155 appendix A, and what programs really write). Pure: looks at octets
 * that it is given, reads nothing.
 *
 * No line alone tells a separator from text: "From Monday on we meet at 9:00"
 * has a date, and "From - " has none. So three things are weighed: the form of
 * the line, what precedes it, and what follows it.
 */
#ifndef POSTERN_ADMIN_FROMLINE_H
#define POSTERN_ADMIN_FROMLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/span.h"

enum from_form {
    FROM_NONE,          /* does not begin with "From " */
    FROM_TEXT,          /* could be text as well */
    FROM_LIKELY,        /* unlikely in a text: nothing after it, "-", an address */
    FROM_DATED,         /* sender and date, nothing else */
};

struct from_line {
    enum from_form form;
    bool has_time;
    bool casual;        /* dated as people write it, "From Mon 5 Jan 2026 08:30": no address, no seconds */
    bool zone;          /* one is named */
    bool daemon;        /* dated, and the sender is MAILER-DAEMON: only programs write that */
    int64_t time;       /* microseconds since 1970, in UTC where no zone is named */
};

/* A line, with or without its end. */
struct from_line from_line(struct span line);

/*
 * The date of a header field `Date:` or of a From_ line: words in any order, as
 * they vary. Zones by name and by number. 1, or 0 if there is none.
 */
int from_date(struct span words, int64_t *time_r);

/* What follows a From_ line. */
enum from_behind {
    BEHIND_END,         /* the end of the file */
    BEHIND_EMPTY,       /* an empty line */
    BEHIND_TEXT,
    BEHIND_FIELD,       /* a header field, or a continuation followed by one */
    BEHIND_HEADER,      /* fields up to an empty line, and one of them as all mail has them */
};

/*
 * `ahead` is what follows: FROM_AHEAD octets, or fewer at the end of the file.
 * From_ lines in front, quoted or not, are passed over.
 */
enum { FROM_AHEAD = 4096 };
enum from_behind from_behind(struct span ahead);

/* A header field: a name (RFC 5322 section 2.2), blanks (section 4.5), a colon. "http://" is none. */
bool from_is_field(struct span line);
/* ">>From ": how many `>` stand in front of a "From "; -1 if there is none. */
int from_marks(struct span line);

enum from_verdict { FROM_IS_TEXT, FROM_SEPARATES };

/*
 * The verdict. blank: an empty line or nothing stands in front. loose: the
 * mbox begins with a From_ line of the form FROM_TEXT, so its others have a
 * right to that. *doubt_r is NULL, or static text: what people should look at.
 */
enum from_verdict from_judge(const struct from_line *line, bool blank, enum from_behind behind, bool loose,
                             const char **doubt_r);

#endif
