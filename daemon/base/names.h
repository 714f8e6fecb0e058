/*
 * names.h - names of hosts, of the database and of others, looked up where nobody waits.
 *
 * libpq asks the name service before it returns from PQconnectStart(), and one
 * that does not answer would hold up every session of a worker. Here each name
 * has a thread that asks; whoever connects takes what was found last, and has it asked
 * again for the next time.
 */
#ifndef POSTERN_BASE_NAMES_H
#define POSTERN_BASE_NAMES_H

#include <stddef.h>

enum { NAMES_ADDED_MAX = 48 };      /* each has a thread */
/*
 * Before names_start(): one name more, which is in no connection string. An address is passed over, and so
 * are more than NAMES_ADDED_MAX, as the names of the database have to have their places.
 */
void names_add(const char *name);
/*
 * Starts a thread for each of those, and for each host name in these connection strings (each may
 * be NULL); they ask as soon as threads_confine() lets them go. Where there is no
 * name nothing happens; where there is no thread it is left to libpq.
 */
void names_start(const char *const *conninfo, size_t count);
/* Behind threads_confine(): waits for the first answers, for two seconds at the most. */
void names_await(void);

/*
 * The connection string with the addresses that are known of its hosts, a host
 * of several addresses as often; one of which none is known is left out. To be
 * wiped and freed. NULL, with a text (mem_error()), where no host is left.
 * Never waits.
 */
char *names_resolve(const char *conninfo, char **error_r);

/*
 * The addresses that are known of a name that was added, with commas in between, or the
 * address itself; to be freed. "": none are known, or it was not added. Never waits, but in
 * a process that never called names_start(): one of a single session.
 */
char *names_look(const char *name);

#endif
