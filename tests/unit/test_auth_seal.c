/*
 * Seals of stored secrets: what one key closes nobody else opens, nor in
 * another row; key files; what is made from a password.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "auth/account/make.h"
#include "auth/scheme/scram.h"
#include "auth/scheme/seal.h"
#include "auth/settings.h"
#include "daemon/base/secret.h"

static const struct auth_settings cheap = { .auth_argon2_memory = 8388608, .auth_argon2_passes = 1 };
static char path[] = "/tmp/postern-test-keys-XXXXXX";

static struct keyring *keys(const char *text, mode_t mode, char error[KEYRING_ERROR_MAX])
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
    error[0] = '\0';
    return keyring_load(path, error);
}

static char line_a[KEYRING_LINE_MAX], line_b[KEYRING_LINE_MAX];

/* Comments and blank lines, both line ends, and no line end at the end. */
static struct keyring *with(const char *first, const char *second)
{
    char text[4 * KEYRING_LINE_MAX], error[KEYRING_ERROR_MAX];

    snprintf(text, sizeof text, "# keys\n\n  %s\r\n%s", first, second);
    struct keyring *r = keys(text, 0400, error);
    if (r == NULL)
        fail_msg("%s", error);
    return r;
}

static void test_seal(void **state)
{
    const struct seal_row row = { { 7 }, "password", SPAN_OF("") };
    struct keyring *a = with(line_a, ""), *b = with(line_b, line_a), *c = with(line_b, "");
    char sealed[SEAL_TEXT_MAX], again[SEAL_TEXT_MAX], out[SCHEME_TEXT_MAX];
    const char *why = NULL;
    struct span id;

    (void)state;
    assert_string_equal(keyring_first(a), "a");
    assert_string_equal(keyring_first(b), "b");
    assert_true(seal_close(a, &row, "$argon2id$secret", sealed));
    assert_null(strstr(sealed, "argon"));
    assert_true(seal_is(sealed, &id));
    assert_true(span_is(id, SPAN_OF("a")));
    assert_false(seal_is("$argon2id$", NULL));
    assert_int_equal(seal_open(a, &row, sealed, out, &why), 0);
    assert_string_equal(out, "$argon2id$secret");
    /* The older key still opens; a stranger's does not, nor none. */
    assert_int_equal(seal_open(b, &row, sealed, out, &why), 0);
    assert_int_equal(seal_open(c, &row, sealed, out, &why), -1);
    assert_non_null(strstr(why, "not in the key file"));
    assert_string_equal(out, "");
    assert_int_equal(seal_open(NULL, &row, sealed, out, &why), -1);
    assert_non_null(strstr(why, "auth_key_file"));
    /* Never the same twice. */
    assert_true(seal_close(a, &row, "$argon2id$secret", again));
    assert_string_not_equal(sealed, again);
    /* One that was added, or has gone, changes what tells the keys of one file from those of another. */
    unsigned char of[3][KEYRING_DERIVED], same[KEYRING_DERIVED];
    struct keyring *const all[] = { a, b, c };
    for (size_t i = 0; i < 3; i++) {
        keyring_fingerprint(all[i], of[i]);
        keyring_fingerprint(all[i], same);
        assert_memory_equal(of[i], same, sizeof same);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(of[i], of[k], sizeof same);
    }
    keyring_free(&a);
    keyring_free(&b);
    keyring_free(&c);
    assert_null(a);
}

/* Whoever can write to the database cannot give one row the secret of another. */
static void test_other_row(void **state)
{
    const struct seal_row row = { { 7 }, "app-password", SPAN_OF("phone") };
    const struct seal_row others[] = {
        { { 8 }, "app-password", SPAN_OF("phone") }, { { 7 }, "password", SPAN_OF("phone") }, { { 7 }, "app-password", SPAN_OF("phone2") },
        { { 7 }, "app-password", SPAN_OF("") }, { { 7 }, "app-passwordp", SPAN_OF("hone") }, { { 7 + (INT64_C(1) << 32) }, "app-password", SPAN_OF("phone") },
    };
    struct keyring *a = with(line_a, "");
    char sealed[SEAL_TEXT_MAX], out[SCHEME_TEXT_MAX];
    const char *why;

    (void)state;
    assert_true(seal_close(a, &row, "x", sealed));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(seal_open(a, &others[i], sealed, out, &why), -1);
    /* Each octet that is changed breaks it, and so does each end that is cut off. */
    for (size_t i = strlen("{SEALED}"); i < strlen(sealed); i++) {
        char changed[SEAL_TEXT_MAX];
        memcpy(changed, sealed, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(seal_open(a, &row, changed, out, &why), -1);
        changed[i] = '\0';
        assert_int_equal(seal_open(a, &row, changed, out, &why), -1);
    }
    assert_int_equal(seal_open(a, &row, "{SEALED}", out, &why), -1);
    keyring_free(&a);
}

static void test_longest(void **state)
{
    char label[SEAL_LABEL_MAX + 1], text[SCHEME_TEXT_MAX + 1], sealed[SEAL_TEXT_MAX], out[SCHEME_TEXT_MAX];
    struct seal_row row = { { 1 }, "app-password", { label, SEAL_LABEL_MAX } };
    struct keyring *a = with(line_a, "");
    const char *why;

    (void)state;
    memset(label, 'l', sizeof label);
    memset(text, 't', sizeof text);
    text[SCHEME_TEXT_MAX - 1] = '\0';
    assert_true(seal_close(a, &row, text, sealed));
    assert_int_equal(seal_open(a, &row, sealed, out, &why), 0);
    assert_string_equal(out, text);
    text[SCHEME_TEXT_MAX - 1] = 't';
    text[SCHEME_TEXT_MAX] = '\0';
    assert_false(seal_close(a, &row, text, sealed));
    row.label.len++;
    assert_false(seal_close(a, &row, "t", sealed));
    keyring_free(&a);
}

static void refused(const char *text, mode_t mode, const char *says)
{
    char error[KEYRING_ERROR_MAX];

    assert_null(keys(text, mode, error));
    if (strstr(error, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, says);
}

static void test_bad_files(void **state)
{
    char text[4 * KEYRING_LINE_MAX], error[KEYRING_ERROR_MAX];

    (void)state;
    refused(line_a, 0440, "others than its owner");
    refused(line_a, 0404, "others than its owner");
    refused("", 0400, "no key");
    refused("# nothing\n", 0400, "no key");
    refused("a", 0400, "32 octets");
    refused("a c2hvcnQ=", 0400, "32 octets");
    refused("a:b c2hvcnQ=", 0400, "id");
    snprintf(text, sizeof text, "%s x\n", line_a);
    refused(text, 0400, "32 octets");
    snprintf(text, sizeof text, "%s\n%s\n", line_a, line_a);
    refused(text, 0400, "the same id");
    assert_null(keyring_load("/nonexistent/keys", error));
    assert_non_null(strstr(error, "/nonexistent/keys"));
    assert_false(keyring_new_line("a b", text));
    assert_false(keyring_new_line("", text));
}

static void test_made(void **state)
{
    const char *why = NULL;
    char text[SCHEME_TEXT_MAX], app[APP_PASSWORD_MAX], form[APP_PASSWORD_MAX];
    struct scram_verifier v;

    (void)state;
    assert_int_equal(make_secret(CREDENTIAL_PASSWORD, SPAN_OF("pencil"), &cheap, text, &why), 0);
    assert_int_equal(scheme_verify(text, SPAN_OF("pencil"), &why), SCHEME_MATCHES);
    assert_int_equal(make_secret(CREDENTIAL_SCRAM_SHA_256, SPAN_OF("pencil"), &cheap, text, &why), 0);
    assert_true(scram_parse(text, false, &v));
    assert_int_equal(make_secret(CREDENTIAL_SCRAM_SHA_1, SPAN_OF("pencil"), &cheap, text, &why), 0);
    assert_true(scram_parse(text, true, &v));
    assert_int_equal(make_secret(CREDENTIAL_SHARED_SECRET, SPAN_OF("pencil"), &cheap, text, &why), 0);
    assert_string_equal(text, "pencil");
    assert_int_equal(make_secret(CREDENTIAL_SHARED_SECRET, SPAN_OF(""), &cheap, text, &why), -1);
    assert_int_equal(make_secret(CREDENTIAL_SCRAM_SHA_256, SPAN_OF("a\0b"), &cheap, text, &why), -1);
    make_app_password(app);
    assert_int_equal(strlen(app), 29);
    size_t len = make_app_form(span_str(app), form);
    assert_int_equal(len, 25);
    assert_int_equal(make_secret(CREDENTIAL_APP_PASSWORD, span_str(app), &cheap, text, &why), 0);
    assert_int_equal(scheme_verify(text, (struct span){ form, len }, &why), SCHEME_MATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal), cmocka_unit_test(test_other_row), cmocka_unit_test(test_longest),
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_made),
    };
    int fd, failed;

    secret_init();
    fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    keyring_new_line("a", line_a);
    keyring_new_line("b", line_b);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
