/*
 * comparison.h - the comparison of one mailbox with what another server has of it.
 */
#ifndef POSTERN_ADMIN_COMPARISON_H
#define POSTERN_ADMIN_COMPARISON_H

#include "admin/ctl.h"
#include "admin/json.h"
#include "admin/mail/import.h"
#include "admin/mail/source.h"

struct comparison_of {
    const char *address;
    /* The messages of another server for this canonical address; doubts go there. NULL after a message. */
    struct source *(*open)(void *arg, const char *address, source_doubt *doubt, void *doubt_arg);
    void *arg;
    const char *uidls;              /* path of a list, or NULL */
    const bool *with;               /* IMPORT_KINDS of them, as in struct import_how */
};

/*
 * Tells each difference as a line, and the counts; or, where j is not NULL, all of it as an object.
 * CTL_DONE: they are alike. CTL_PARTLY: they are not.
 */
enum ctl_exit comparison_run(struct ctl *c, struct json *j, struct comparison_of what);

/* ", 3 missing here", unless there are none. */
void comparison_count(const char *what, uint64_t n);

#endif
