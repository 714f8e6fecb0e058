/*
 * conninfo.h - libpq connection strings, put together.
 */
#ifndef POSTERN_BASE_CONNINFO_H
#define POSTERN_BASE_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The words of `common` (a key=value string or a URI), those of `role` laid
 * over them, and application_name. Returns a key=value string to mem_free(),
 * or NULL with a text (mem_error()) in *error_r. connect_timeout (10 s),
 * keepalives (idle 10 s, interval 3 s, count 3) and tcp_user_timeout (10 s) are
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

/*
 * Is it a unix socket, and does it bring neither a password nor a passfile along? Then it is probably the
 * system user (pg_hba.conf: peer) that the database goes by.
 */
bool conninfo_goes_by_user(const char *conninfo);

/* Calls each for every host of it that is a name without an address. */
void conninfo_names(const char *conninfo, void (*each)(void *arg, const char *name), void *arg);

/* The addresses of a name, with commas in between, to be freed; "": none are known; NULL: libpq shall look it up. */
typedef char *conninfo_addresses(const char *name);
/* Such a function: it waits for the name service. */
char *conninfo_look_up(const char *name);
/*
 * The same string with these addresses beside the names of its hosts (a
 * certificate is compared with the name): a host of several addresses stands
 * there as often, one of none not at all. NULL, with a text (mem_error()) in
 * *error_r, where none is left. To be wiped and freed.
 */
char *conninfo_resolved(const char *conninfo, conninfo_addresses *look, char **error_r);

#endif
