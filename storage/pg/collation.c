/*
 * collation.c - one warning for all workers: they share a hash of what was
 * logged last.
 */
#include "storage/pg/collation.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "daemon/base/fnv.h"
#include "daemon/base/log.h"
#include "daemon/base/span.h"

static atomic_uint_fast32_t *told;

bool collation_share(void)
{
    void *shared = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return false;
    told = shared;
    return true;
}

bool collation_is_shared(void)
{
    return told != NULL;
}

static struct span column(const PGresult *res, int n)
{
    return (struct span){ PQgetvalue(res, 0, n), (size_t)PQgetlength(res, 0, n) };
}

/* Of the versions; 0 where they are the same. */
static uint_fast32_t hash(const PGresult *res)
{
    uint32_t h = FNV1A_EMPTY;

    if (PQntuples(res) == 0)
        return 0;
    for (int n = 1; n < 3; n++)
        h = fnv1a(h, column(res, n));
    return h | 1;
}

void collation_tell(const PGresult *res)
{
    uint_fast32_t mine = hash(res);

    if (told == NULL || atomic_exchange(told, mine) == mine || mine == 0)
        return;
    struct log_quoted name = log_text(column(res, 0));
    log_warning(NULL, COLLATION_TEXT, name.s, log_text(column(res, 1)).s, log_text(column(res, 2)).s, name.s);
}
