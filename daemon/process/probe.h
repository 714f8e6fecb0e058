/*
 * probe.h - looks at the database before the start, without speaking to it here.
 */
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H

#include "daemon/config/config.h"

/*
 * In a process of its own, with the rights of a worker, for each of those that serve this set of
 * protocols (config_together()): does the database have
 * the schema that this program needs, and no pooler in front of it that shares
 * connections between transactions? 1 yes; 0 no; -1 it cannot be reached.
 * *text_r, to mem_free(), says what is wrong and which command fixes it; NULL after 1.
 */
int probe_schema(struct config *config, unsigned spoken, char **text_r);

#endif
