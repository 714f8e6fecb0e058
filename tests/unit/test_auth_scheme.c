/*
 * Password schemes: vectors made by other programs (libxcrypt through perl,
 * the argon2 reference program), the bounds of cost, and what is no hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "auth/scheme/scheme.h"
#include "auth/settings.h"
#include "daemon/base/secret.h"

static const struct auth_settings cheap = { .auth_argon2_memory = 8388608, .auth_argon2_passes = 1 };

/* All of the password "pencil". */
static const char *const pencil[] = {
    "$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41",
    "$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/",
    "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9",
    "$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/XlgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0",
    "$6$rounds=1000$saltsalt$bbY.T.ZpN43KapLdmlSbP6MmxBlkMSbhrh.Y1rmY0fYaRO/t.4sKqUiU.Z8byKf8Oa1yagMn/0fncuHSYrb9h.",
    "$2a$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "$2x$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "$y$j75$saltsaltsaltsalt$NqEh491kiRv92sczGxs7PABorTQKeT3095HgoXgjRI6",
    "$gy$j75$saltsaltsaltsalt$zKYYWVjZ2K6HjgvtuAr2Z3VCwrNEM99c3bj.koBRB2.",
    "$7$8/..../....saltsalt$jAYk9nOtqobUW8G7lyhSWDPhxhE94xEn1NoWLo7WYsC",
    "$sha1$1000$saltsalt$f5fy5E2AE3zEHg5kubFJI20Zuv1O",
    "$md5$saltsalt$$me6wuCyrNpyEoT.XbRuLk0",
    "$md5,rounds=100$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/",
    "$3$$0f0800266a19a0ddc7ff30bba6c76e9b",
    "_J9..salt.LtJrhwc.v2",
    "abJ32bJMdTsnY",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
    "$argon2id$v=19$m=1024,t=1,p=4$c29tZXNhbHQxMjM0NTY3OA$5QnJaKsOlHL8cTNjFjLu2VFCVs+U+0maittRLhWMbNk",
    "$argon2i$v=19$m=256,t=3,p=1$c29tZXNhbHQxMjM0NTY3OA$FotxX6BD1hpjWt5hXubpLHD8SL6aJiqQHg3FTqlyHdQ",
    "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$ib2/o0qkvMBvTJs5+SXjqQywnMCcMNwNPIH6+4ns/wM",
    "{CRYPT}abJ32bJMdTsnY",
    "{crypt}$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41",
    "{MD5-CRYPT}$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41",
    "{SHA256-CRYPT}$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/",
    "{SHA512-CRYPT}$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/XlgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0",
    "{BLF-CRYPT}$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    "{Argon2id}$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
    "{ARGON2I}$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$ib2/o0qkvMBvTJs5+SXjqQywnMCcMNwNPIH6+4ns/wM",
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
};

/* The same password, by doveadm pw and by Python's hashlib: known by the name in braces. */
static const char *const pencil_named[] = {
    /* S20: salts and counts of RFC 7677 section 3 and RFC 5802 section 5 */
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
    "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "{SHA1}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "{sha}d2fc512490a15036460b5489401439d6da5407fa",
    "{SHA.HEX}d2fc512490a15036460b5489401439d6da5407fa",
    "{SHA.B64}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "{SHA.BASE64}0vxRJJChUDZGC1SJQBQ51tpUB/o",
    "{SHA256}E4CWaPtDY4Zwb2fcsFLtWEoEuhaowCoX1m00ww/O2iE=",
    "{SHA512}Gd8Bqrgo+NUINrp1cJcTrtInM1344YZDkYXAbJF6Kn03cat24wfPo7a4nvGmaC1mgd3xGISHDl3hPnk/uVXu6w==",
    "{SHA512.HEX}19df01aab828f8d50836ba75709713aed227335df8e186439185c06c917a2a7d3771ab76e307cfa3b6b89ef1a6682d6681ddf11884870e5de13e793fb955eeeb",
    "{SSHA}tlLaN0ks7AeoDsWwpwYqQ5FFMotpTP3O",
    "{SSHA256}/xF6rakxZymYItxrJRL6wQDY581NhAfzfmNwhwIrL83aU9la",
    "{SSHA256.HEX}f6ec14674ac0bcae2543f9abf7b661838a96dd616fe07e076509e1baac7d7b87f90015c7",
    "{SSHA512}xLiLMlIhGnHiPHXVLlqp/qmhklHKhmqwZo5F56jyfRVwqjs3ZSJe9NXLmn0FtwhdwwIwJIdllAzQcNXDAQs+GL2aA2M=",
    "{SMD5}LK2LzHsW565qDpLWK6F23LqoeEw=",
    "{LDAP-MD5}qPaDC855Copn/C6E4SCTug==",
    "{MD5}qPaDC855Copn/C6E4SCTug==",
    "{MD5}$1$Oce7VeET$T2TMv2Y1GibQTk8zBjQI11",
    "{MD5RAW}a8f6830bce790a8a67fc2e84e12093ba",
    "{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093ba",
    "{DES-CRYPT}by4dXbyqVzvh2",
    "{PBKDF2}$1$ZYxh3E.mXEhp4tfj$5000$ad0e04a424cbb3fade4b7dedb9ef49bf1b0cc535",
    "{PBKDF2}1000$c2FsdHNhbHQxMjM0NTY3OA$Qy6N.54efqD3GWO6NulkL9.InT0",
    "{PBKDF2-SHA1}1000$c2FsdHNhbHQxMjM0NTY3OA$Qy6N.54efqD3GWO6NulkL9.InT0",
    "$pbkdf2$1000$c2FsdHNhbHQxMjM0NTY3OA$Qy6N.54efqD3GWO6NulkL9.InT0",
    "{PBKDF2-SHA256}1000$c2FsdHNhbHQxMjM0NTY3OA$HdkkfObVgzug5o/v.HRDEAWuh2LRK03XTXHr9ibxtBk",
    "$pbkdf2-sha256$1000$c2FsdHNhbHQxMjM0NTY3OA$HdkkfObVgzug5o/v.HRDEAWuh2LRK03XTXHr9ibxtBk",
    "{PBKDF2-SHA512}1000$c2FsdHNhbHQxMjM0NTY3OA$b3HHw8gxZSBwVUyf.9Sm42GOO4/vW.3OWCTfL/hMjZxYGCO/K7insT7FoBmMlewDoGwaGi4fw.rHf2nRa0VIUw",
    "$pbkdf2-sha512$1000$c2FsdHNhbHQxMjM0NTY3OA$b3HHw8gxZSBwVUyf.9Sm42GOO4/vW.3OWCTfL/hMjZxYGCO/K7insT7FoBmMlewDoGwaGi4fw.rHf2nRa0VIUw",
    "{PLAIN}pencil",
    "{CLEARTEXT}pencil",
    "{clear}pencil",
};

/* Cut off, of another length than the digest, too costly, in a form that is none. */
static const char *const named_damaged[] = {
    "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/", "{SHA}", "{SSHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=", "{SHA256}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
    "{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093b", "{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093bg", "{PLAIN}", "{PLAIN.HEX}70",
    "{MD5}$1$Oce7VeET$", "{WHIRLPOOL}abc", "{SHA.ROT13}abc", "{SHA", "{PBKDF2}$1$ZYxh3E.mXEhp4tfj$5000$ad0e04a424cbb3fade4b7dedb9ef49bf1b0cc5",
    "{PBKDF2}$1$salt$2000001$ad0e04a424cbb3fade4b7dedb9ef49bf1b0cc535", "{PBKDF2}$1$salt$0$ad0e04a424cbb3fade4b7dedb9ef49bf1b0cc535",
    "{PBKDF2-SHA256}1000$c2Fs$", "{PBKDF2-SHA256}1000$$HdkkfObVgzug5o/v.HRDEAWuh2LRK03XTXHr9ibxtBk", "{PBKDF2-SHA384}1$a$b",
    "$pbkdf2-sha256$1000$c2FsdHNhbHQxMjM0NTY3OA$HdkkfObVgzug5o/v.HRDEAWuh2LRK03XTXHr9ibxtB",
};

static void test_named(void **state)
{
    const char *error = "-";

    (void)state;
    for (size_t i = 0; i < sizeof pencil_named / sizeof pencil_named[0]; i++) {
        if (!scheme_known(pencil_named[i], &error))
            fail_msg("%s: %s", pencil_named[i], error);
        if (scheme_verify(pencil_named[i], SPAN_OF("pencil"), &error) != SCHEME_MATCHES)
            fail_msg("%s: does not match, %s", pencil_named[i], error);
        assert_int_equal(scheme_verify(pencil_named[i], SPAN_OF("pencix"), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil_named[i], SPAN_OF("pencils"), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil_named[i], SPAN_OF("penci"), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil_named[i], SPAN_OF(""), &error), SCHEME_DIFFERS);
    }
    for (size_t i = 0; i < sizeof named_damaged / sizeof named_damaged[0]; i++) {
        error = NULL;
        if (scheme_known(named_damaged[i], &error))
            fail_msg("%s: is known", named_damaged[i]);
        assert_non_null(error);
        assert_int_equal(scheme_verify(named_damaged[i], SPAN_OF("pencil"), &error), SCHEME_UNKNOWN);
    }
}

static void test_locked(void **state)
{
    (void)state;
    assert_true(scheme_is_locked("!"));
    assert_true(scheme_is_locked("*"));
    assert_true(scheme_is_locked("!$6$saltsalt$rD9f"));
    assert_true(scheme_is_locked("!!"));
    assert_true(scheme_is_locked("{CRYPT}!$6$saltsalt$rD9f"));
    assert_false(scheme_is_locked("$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41"));
    assert_false(scheme_is_locked(""));
    assert_false(scheme_is_locked("{PLAIN}!"));
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pencil / sizeof pencil[0]; i++) {
        const char *error = "-";
        if (!scheme_known(pencil[i], &error))
            fail_msg("%s: %s", pencil[i], error);
        if (scheme_verify(pencil[i], SPAN_OF("pencil"), &error) != SCHEME_MATCHES)
            fail_msg("%s: does not match, %s", pencil[i], error);
        assert_int_equal(scheme_verify(pencil[i], SPAN_OF("pencix"), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil[i], SPAN_OF("penci"), &error), SCHEME_DIFFERS);
        /* A07; and what crypt(3) would take for "pencil". */
        assert_int_equal(scheme_verify(pencil[i], SPAN_OF(""), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil[i], SPAN_OF("pencil\0"), &error), SCHEME_DIFFERS);
        assert_int_equal(scheme_verify(pencil[i], SPAN_OF("pencil\0x"), &error), SCHEME_DIFFERS);
    }
}

/* Every beginning of a hash: none is known, so none can be taken for a shorter one. */
static void test_cut_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pencil / sizeof pencil[0]; i++) {
        char cut[SCHEME_TEXT_MAX];
        size_t len = strlen(pencil[i]);
        for (size_t n = 0; n < len; n++) {
            const char *error = NULL;
            memcpy(cut, pencil[i], n);
            cut[n] = '\0';
            /* Argon2 hashes may be of any length: a shorter one is another hash, which does not match. */
            if (scheme_known(cut, &error) && strstr(cut, "$argon2") == NULL)
                fail_msg("%s is known", cut);
            assert_int_not_equal(scheme_verify(cut, SPAN_OF("pencil"), &error), SCHEME_MATCHES);
        }
        snprintf(cut, sizeof cut, "%s ", pencil[i]);
        const char *error;
        assert_int_equal(scheme_known(cut, &error), 0);
        snprintf(cut, sizeof cut, "%s\n", pencil[i]);
        assert_int_equal(scheme_known(cut, &error), 0);
    }
}

static void test_junk(void **state)
{
    static const char *const junk[] = {
        "", " ", "!", "*", "*0", "x", "!!", "pencil", "!abJ32bJMdTsnY", "{", "{}", "{NTLM}pencil", "{CRYPT}", "{CRYPT",
        "{SSHA}fAWN1zsXmzzZmKX3u1O5", "$", "$$", "$9$saltsalt$wCrc3hcrR95SV83Xh8Z.41", "$6$", "$2b$",
        "{MD5-CRYPT}$6$rounds=1000$saltsalt$bbY.T.ZpN43KapLdmlSbP6MmxBlkMSbhrh.Y1rmY0fYaRO/t.4sKqUiU.Z8byKf8Oa1yagMn/0fncuHSYrb9h.",
        "{CRYPT}{CRYPT}abJ32bJMdTsnY",
        "$argon2d$v=19$m=64,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$P8Jo6Ot4yb2nmsGy1PMl19URi1NKPuyZfGHo+avxJbk",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$5M/wm17pIHdyyZW18l8T5YX9RnpERjB+ZoZ8o3YRNWQ",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF!",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQxMjM0NTY3OA==$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=256,t=2$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=-1,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=99999999999999999999,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4",
        "$argon2", "$argon2id$", "$argon2id$v=19$m=,t=,p=$$",
    };
    char lengthy[2 * SCHEME_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        const char *error = NULL;
        if (scheme_known(junk[i], &error))
            fail_msg("\"%s\" is known", junk[i]);
        assert_non_null(error);
        assert_int_equal(scheme_verify(junk[i], SPAN_OF("pencil"), &error), SCHEME_UNKNOWN);
    }
    const char *error = NULL;
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_int_equal(scheme_known(lengthy, &error), 0);
    memcpy(lengthy, "$6$", 3);
    assert_int_equal(scheme_known(lengthy, &error), 0);
    lengthy[SCHEME_TEXT_MAX] = '\0';
    assert_int_equal(scheme_verify(lengthy, SPAN_OF("a"), &error), SCHEME_UNKNOWN);
}

/* Each pair: the dearest that is taken, and the cheapest that is not. */
static void test_cost_bounds(void **state)
{
#define HASH43 "1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
#define HASH86 "bbY.T.ZpN43KapLdmlSbP6MmxBlkMSbhrh.Y1rmY0fYaRO/t.4sKqUiU.Z8byKf8Oa1yagMn/0fncuHSYrb9h."
#define BLOWFISH "$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"
#define ARGON "$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4"
    static const struct {
        const char *taken, *refused;
    } pairs[] = {
        { "$5$rounds=1000000$saltsalt$" HASH43, "$5$rounds=1000001$saltsalt$" HASH43 },
        { "$6$rounds=1000000$saltsalt$" HASH86, "$6$rounds=999999999$saltsalt$" HASH86 },
        { "$sha1$1000000$saltsalt$f5fy5E2AE3zEHg5kubFJI20Zuv1O", "$sha1$4294967295$saltsalt$f5fy5E2AE3zEHg5kubFJI20Zuv1O" },
        { "$md5,rounds=1000000$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/", "$md5,rounds=4294963199$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/" },
        { "$2b$15" BLOWFISH, "$2b$16" BLOWFISH },
        { "$2y$04" BLOWFISH, "$2y$31" BLOWFISH },
        { "_zz1.salt.LtJrhwc.v2", "_zzzzsalt.LtJrhwc.v2" },
        /* N 2^18, r 32: what crypt_gensalt() makes at its highest cost; then one bit of N more. */
        { "$y$jFT$saltsaltsaltsalt$" HASH43, "$y$jGT$saltsaltsaltsalt$" HASH43 },
        { "$gy$jFT$saltsaltsaltsalt$" HASH43, "$gy$jGT$saltsaltsaltsalt$" HASH43 },
        { "$7$GU..../....saltsalt$" HASH43, "$7$IU..../....saltsalt$" HASH43 },
        { "$7$FU..../....saltsalt$" HASH43, "$7$FU....zzzzzsaltsalt$" HASH43 },
        { "$7$FU..../....saltsalt$" HASH43, "$7$Fzzzzz/....saltsalt$" HASH43 },
        { "$argon2id$v=19$m=1048576,t=1,p=1" ARGON, "$argon2id$v=19$m=1048577,t=1,p=1" ARGON },
        { "$argon2id$v=19$m=1024,t=16,p=1" ARGON, "$argon2id$v=19$m=1024,t=17,p=1" ARGON },
        { "$argon2id$v=19$m=1024,t=1,p=16" ARGON, "$argon2id$v=19$m=1024,t=1,p=17" ARGON },
        { "$argon2i$v=19$m=1024,t=16,p=1" ARGON, "$argon2i$v=19$m=4294967295,t=4294967295,p=1" ARGON },
    };

    /* Of the right length, and what says the cost is no number, or none that the method has. */
    static const char *const odd[] = {
        "$5$rounds=many$saltsalt$" HASH43, "$5$rounds=" HASH43, "$sha1$many$saltsalt$f5fy5E2AE3zEHg5kubFJI20Zuv1O",
        "$md5,rounds=$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/", "$md5,round=1$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/", "$md5x$saltsalt$$SfAWN1zsXmzzZmKX3u1O5/",
        "$2b$0x" BLOWFISH, "$2b$04abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2x", "_zz*.salt.LtJrhwc.v2",
        "$7$*U..../....saltsalt$" HASH43, "$7$.U..../....saltsalt$" HASH43, "$7$zU..../....saltsalt$" HASH43,
        "$7$GU.*../....saltsalt$" HASH43, "$7$GU..../*...saltsalt$" HASH43, "$7$G...../....saltsalt$" HASH43,
        "$7$GU.........saltsalt$" HASH43, "$7$Gzzzz1/....saltsalt$" HASH43, "$7$GU....zzzz1saltsalt$" HASH43,
        "$y$*FT$saltsaltsaltsalt$" HASH43, "$y$j*T$saltsaltsaltsalt$" HASH43, "$y$jF*$saltsaltsaltsalt$" HASH43,
        "$y$jFT*$saltsaltsaltsalt$" HASH43, "$y$jFz*$saltsaltsaltsalt$" HASH43, "$y$jFz1zzz$saltsaltsaltsalt$" HASH43,
        "$y$jk1T$saltsaltsaltsalt$" HASH43,
    };

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const char *error = "-";
        if (scheme_known(odd[i], &error))
            fail_msg("%s is known", odd[i]);
        assert_int_equal(scheme_verify(odd[i], SPAN_OF("pencil"), &error), SCHEME_UNKNOWN);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *error = "-";
        if (!scheme_known(pairs[i].taken, &error))
            fail_msg("%s: %s", pairs[i].taken, error);
        if (scheme_known(pairs[i].refused, &error))
            fail_msg("%s is known", pairs[i].refused);
        assert_int_equal(scheme_verify(pairs[i].refused, SPAN_OF("pencil"), &error), SCHEME_UNKNOWN);
    }
}

static void test_hash(void **state)
{
    char out[SCHEME_TEXT_MAX], other[SCHEME_TEXT_MAX], lengthy[PASSWORD_MAX + 1];
    const char *error = "-";

    (void)state;
    assert_int_equal(scheme_hash("argon2id", SPAN_OF(" a  b "), &cheap, out, &error), 0);
    assert_int_equal(strncmp(out, "$argon2id$v=19$m=8192,t=1,p=1$", 30), 0);
    assert_int_equal(scheme_known(out, &error), 1);
    assert_int_equal(scheme_verify(out, SPAN_OF(" a  b "), &error), SCHEME_MATCHES);
    assert_int_equal(scheme_verify(out, SPAN_OF("a  b"), &error), SCHEME_DIFFERS);      /* A06 */
    assert_int_equal(scheme_hash("ARGON2ID", SPAN_OF(" a  b "), &cheap, other, &error), 0);
    assert_string_not_equal(out, other);

    memset(lengthy, 'l', sizeof lengthy);
    assert_int_equal(scheme_hash("argon2id", (struct span){ lengthy, PASSWORD_MAX }, &cheap, out, &error), 0);
    assert_int_equal(scheme_verify(out, (struct span){ lengthy, PASSWORD_MAX }, &error), SCHEME_MATCHES);
    assert_int_equal(scheme_verify(out, (struct span){ lengthy, PASSWORD_MAX - 1 }, &error), SCHEME_DIFFERS);
    assert_int_equal(scheme_verify(out, (struct span){ lengthy, PASSWORD_MAX + 1 }, &error), SCHEME_DIFFERS);
    assert_int_equal(scheme_hash("argon2id", (struct span){ lengthy, PASSWORD_MAX + 1 }, &cheap, out, &error), -1);
    assert_string_equal(out, "");
    assert_int_equal(scheme_hash("argon2id", SPAN_OF(""), &cheap, out, &error), -1);
    assert_int_equal(scheme_hash("argon2id", SPAN_OF("a\0b"), &cheap, out, &error), -1);
    assert_int_equal(scheme_hash("plain", SPAN_OF("a"), &cheap, out, &error), -1);
    /* Longer than crypt(3) takes is a wrong password, not a fault. */
    assert_int_equal(scheme_verify(pencil[3], (struct span){ lengthy, 600 }, &error), SCHEME_DIFFERS);
}

static void test_costs_as_new(void **state)
{
    char out[SCHEME_TEXT_MAX], prefixed[SCHEME_TEXT_MAX];
    struct auth_settings dearer = cheap;
    const char *error;

    (void)state;
    assert_int_equal(scheme_hash("argon2id", SPAN_OF("pencil"), &cheap, out, &error), 0);
    assert_true(scheme_costs_as_new(out, &cheap));
    snprintf(prefixed, sizeof prefixed, "{ARGON2ID}%.*s", SCHEME_TEXT_MAX - 20, out);
    assert_true(scheme_costs_as_new(prefixed, &cheap));
    dearer.auth_argon2_passes = 2;
    assert_false(scheme_costs_as_new(out, &dearer));
    for (size_t i = 0; i < sizeof pencil / sizeof pencil[0]; i++)
        assert_false(scheme_costs_as_new(pencil[i], &cheap));
    assert_false(scheme_costs_as_new("", &cheap));
    assert_false(scheme_costs_as_new("{NO}", &cheap));
}

static void test_decoy(void **state)
{
    char out[SCHEME_TEXT_MAX], other[SCHEME_TEXT_MAX];
    const char *error = "-";

    (void)state;
    scheme_decoy(&cheap, out);
    scheme_decoy(&cheap, other);
    assert_string_not_equal(out, other);
    assert_int_equal(scheme_known(out, &error), 1);
    assert_true(scheme_costs_as_new(out, &cheap));
    assert_int_equal(scheme_verify(out, SPAN_OF("x"), &error), SCHEME_DIFFERS);
}

/* A sanitizer needs more addresses than it would be left; gcc and clang tell of it in two ways. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifndef __SANITIZE_ADDRESS__
/* Without memory nobody can tell: that must not become a wrong password. */
static void test_no_memory(void **state)
{
    static const char dear[] =
        "$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$vWazQ6JEqkf9b3ff3PbKq/JtNgPyxgVhdsWG7/9ElF4";
    static const struct auth_settings dearest = { .auth_argon2_memory = 1073741824, .auth_argon2_passes = 1 };
    char out[SCHEME_TEXT_MAX];
    const char *error = NULL;
    struct rlimit all, some;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_AS, &all), 0);
    some = all;
    some.rlim_cur = 256 << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &some), 0);
    enum scheme_answer answer = scheme_verify(dear, SPAN_OF("pencil"), &error);
    int made = scheme_hash("argon2id", SPAN_OF("pencil"), &dearest, out, &error);
    assert_int_equal(setrlimit(RLIMIT_AS, &all), 0);
    assert_int_equal(answer, SCHEME_FAILED);
    assert_int_equal(made, -1);
    assert_non_null(error);
}
#endif

static void check_name(const char *stored, const char *wanted)
{
    char name[SCHEME_NAME_MAX];

    scheme_name(stored, name);
    assert_string_equal(name, wanted);
}

static void test_names(void **state)
{
    (void)state;
    check_name("$6$saltsalt$x", "SHA512-CRYPT");
    check_name("{crypt}$1$saltsalt$x", "MD5-CRYPT");
    check_name("{MD5}$1$saltsalt$x", "MD5-CRYPT");
    check_name("{md5}abc", "MD5");
    check_name("abJ32bJMdTsnY", "DES-CRYPT");
    check_name("{ssha256.HEX}00", "SSHA256");
    check_name("{CLEARTEXT}secret", "PLAIN");
    check_name("{SCRAM-SHA-256}4096,a,b,c", "SCRAM-SHA-256");
    check_name("SCRAM-SHA-1$4096:a$b:c", "SCRAM-SHA-1");
    check_name("secret", "UNKNOWN");
    check_name("{secret", "UNKNOWN");
    check_name("{A\033[Bcdefghijklmnopqrstuvwxyz}", "A??BCDEFGHIJKLMNOPQRSTU");
    assert_string_equal(scheme_plain("{PLAIN}secret"), "secret");
    assert_null(scheme_plain("{PLAIN}"));
    assert_null(scheme_plain("{PLAIN.HEX}00"));
    assert_null(scheme_plain("{SHA}secret"));
}

/* What is for one mechanism alone says so. */
static void test_states(void **state)
{
    static const char *const stored[] = { "{CRAM-MD5}00", "{cram-md5.hex}00", "{HMAC-MD5}00", "{NTLM}00" };
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++) {
        assert_int_equal(scheme_known(stored[i], &why), 0);
        assert_null(strstr(why, "not known"));
    }
    assert_int_equal(scheme_known("{SCRAM-SHA-256}99999999,W22ZaJ0SNY7soEsUEjb6gQ==,aaaa,bbbb", &why), 0);
    assert_int_equal(scheme_known("{SCRAM-SHA-512}4096,W22ZaJ0SNY7soEsUEjb6gQ==,aaaa,bbbb", &why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_named), cmocka_unit_test(test_locked),
        cmocka_unit_test(test_cut_off),     cmocka_unit_test(test_junk),
        cmocka_unit_test(test_cost_bounds), cmocka_unit_test(test_hash),        cmocka_unit_test(test_costs_as_new),
        cmocka_unit_test(test_decoy),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_states),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(test_no_memory),
#endif
    };
    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
