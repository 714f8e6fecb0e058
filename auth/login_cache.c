/*
 * login_cache.c - the table of cached logins: sets of four, the latest first.
 *
 * Owns the key, made at random for each table and never shown. Must never
 * hold a password, a stored secret, or a digest made without the key.
 */
#include "auth/login_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { WAYS = 4, SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

/* 128 bits: a stranger cannot compute one, and 2^128 guesses are out of reach. All zero is an empty place. */
struct digest {
    unsigned char octets[16];
};

/* The memory itself: as many sets as its size says. */
struct table {
    unsigned char key[crypto_generichash_KEYBYTES];
    struct digest digests[];    /* sets * WAYS */
};

struct login_cache {
    struct table *table;        /* NULL: nothing is kept */
    size_t size, sets;
};

static size_t size_for(size_t entries)
{
    return sizeof(struct table) + (entries / WAYS + (entries % WAYS != 0)) * WAYS * sizeof(struct digest);
}

int login_cache_memory(size_t entries)
{
    unsigned char key[crypto_generichash_KEYBYTES];
    int fd = memfd_create("postern-login-cache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good;

    randombytes_buf(key, sizeof key);
    good = fd >= 0 && ftruncate(fd, (off_t)size_for(entries)) == 0 &&
           pwrite(fd, key, sizeof key, 0) == (ssize_t)sizeof key && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
    secret_wipe(key, sizeof key);
    if (good || fd < 0)
        return fd;
    close(fd);
    return -1;
}

bool login_cache_fits(int fd, size_t entries)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_size == (off_t)size_for(entries) && fcntl(fd, F_GET_SEALS) == SEALS;
}

struct login_cache *login_cache_new(int fd)
{
    struct login_cache *c = mem_zalloc(sizeof *c);
    struct stat st;

    if (fd < 0)
        return c;
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)size_for(1)) {
        void *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED) {
            c->table = memory;
            c->size = (size_t)st.st_size;
            c->sets = (c->size - sizeof(struct table)) / (WAYS * sizeof(struct digest));
            /* As well as it goes: the key is to be in no swap and in no core file. */
            (void)mlock(c->table, sizeof c->table->key);
            (void)madvise(memory, c->size, MADV_DONTDUMP);
        } else {
            log_warning(NULL, "login cache disabled: %s", strerror(errno));
        }
    }
    close(fd);
    return c;
}

void login_cache_free(struct login_cache **cache)
{
    struct login_cache *c = *cache;

    if (c == NULL)
        return;
    *cache = NULL;
    if (c->table != NULL)
        munmap(c->table, c->size);
    mem_free(c);
}

/* With its length in front, so that "ab"+"c" and "a"+"bc" are two things. */
static void hash_text(crypto_generichash_state *state, struct span text)
{
    unsigned char len[8];

    for (size_t i = 0; i < sizeof len; i++)
        len[i] = (unsigned char)((uint64_t)text.len >> (8 * i));
    crypto_generichash_update(state, len, sizeof len);
    crypto_generichash_update(state, (const unsigned char *)text.at, text.len);
}

/* The digest, and the set where it would be. */
static struct digest *locate(struct login_cache *c, struct span stored, struct span password, struct digest *digest_r)
{
    crypto_generichash_state state;
    unsigned char full[sizeof(struct digest) + sizeof(uint64_t)];
    uint64_t where;

    crypto_generichash_init(&state, c->table->key, sizeof c->table->key, sizeof full);
    hash_text(&state, stored);
    hash_text(&state, password);
    crypto_generichash_final(&state, full, sizeof full);
    secret_wipe(&state, sizeof state);
    memcpy(digest_r, full, sizeof *digest_r);
    memcpy(&where, full + sizeof *digest_r, sizeof where);
    return c->table->digests + where % c->sets * WAYS;
}

/* set[0 .. at - 1] one place back, the digest in front. */
static void to_front(struct digest *set, size_t at, const struct digest *digest)
{
    memmove(set + 1, set, at * sizeof *set);
    set[0] = *digest;
}

bool login_cache_has(struct login_cache *c, struct span stored, struct span password)
{
    struct digest digest;

    if (c->table == NULL)
        return false;
    struct digest *set = locate(c, stored, password, &digest);
    for (size_t i = 0; i < WAYS; i++)
        if (sodium_memcmp(&set[i], &digest, sizeof digest) == 0) {
            to_front(set, i, &digest);
            return true;
        }
    return false;
}

void login_cache_add(struct login_cache *c, struct span stored, struct span password)
{
    struct digest digest;

    if (c->table == NULL || login_cache_has(c, stored, password))
        return;
    to_front(locate(c, stored, password, &digest), WAYS - 1, &digest);
}

struct proof_text {
    char s[48];
};

static struct proof_text proof_text(const struct mailbox_ref *mailbox, int64_t proof)
{
    struct proof_text t;

    /* No scheme begins like this. */
    snprintf(t.s, sizeof t.s, "=%s=%lld", mailbox_text(mailbox).s, (long long)proof);
    return t;
}

bool login_cache_has_proof(struct login_cache *c, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password)
{
    return login_cache_has(c, span_str(proof_text(mailbox, proof).s), password);
}

void login_cache_add_proof(struct login_cache *c, const struct mailbox_ref *mailbox, int64_t proof,
                           struct span password)
{
    login_cache_add(c, span_str(proof_text(mailbox, proof).s), password);
}
