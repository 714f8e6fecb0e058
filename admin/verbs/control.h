/*
 * control.h - the tool's end of the control socket (daemon/base/control.h).
 */
#ifndef POSTERN_ADMIN_CONTROL_H
#define POSTERN_ADMIN_CONTROL_H

#include "admin/ctl.h"
#include "daemon/base/buf.h"

/*
 * One command, its words with a space between, and all that is answered, in
 * answer_r terminated by a NUL. CTL_FAILED after a message where the master
 * does not answer in time, or says ERR.
 */
enum ctl_exit control_ask(const struct ctl *c, const char *command, struct buf *answer_r);

/* A number of the metrics: of "postern_NAME" or "postern_NAME{LABELS}"; 0 if it is not there. */
double metrics_find(const char *text, const char *name);

#endif
