/*
 * conninfo.h - libpq connection strings, put together.
 */
#ifndef POSTERN_STORAGE_CONNINFO_H
#define POSTERN_STORAGE_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The words of `common` (a key=value string or a URI), those of `role` laid
 * over them, and application_name. Returns a key=value string to mem_free(),
 * or NULL with a text (mem_error()) in *error_r. connect_timeout (10 s),
 * keepalives (idle 30 s, interval 10 s, count 3) and tcp_user_timeout (30 s) are
 * added where neither says otherwise, so that a dead host is noticed; so is
 * client_encoding, UTF8, as octets are counted in what the database sends.
 */
char *conninfo_merge(const char *common, const char *role, const char *application_name, char **error_r);

/*
 * The same string, whose lists of hosts, addresses and ports begin `by` places
 * later and go round: libpq tries the first one first, and a host that takes
 * connections and says nothing would keep it from the others for ever. For
 * what conninfo_merge() has returned. To mem_free().
 */
char *conninfo_rotate(const char *conninfo, size_t by);
/* How many hosts it names, at least 1. */
size_t conninfo_hosts(const char *conninfo);
/* Is a server wanted that can be written to? */
bool conninfo_wants_writable(const char *conninfo);

#endif
