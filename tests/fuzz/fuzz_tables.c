/* Tables that operators write, and files in which other servers keep passwords. */
#include <stdarg.h>

#include "admin/csv.c"
#include "admin/passwd.c"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static char *text_of(struct span in)
{
    char *text = mem_alloc(in.len + 1);

    memcpy(text, in.at, in.len);
    return text;
}

static void check_csv(struct span in)
{
    const char *error = NULL;
    struct csv *c = csv_parse(text_of(in), in.len, &error);
    size_t line = 0;

    if (c == NULL) {
        MUST(error != NULL);
        return;
    }
    MUST(c->column_count > 0 && c->column_count <= CSV_COLUMNS_MAX);
    for (size_t i = 0; i < c->count; i++) {
        const struct csv_row *row = &c->rows[i];

        MUST(row->line > line && (row->fault == NULL) == (row->fields != NULL));
        line = row->line;
        for (size_t k = 0; row->fields != NULL && k < c->column_count; k++)
            MUST(row->fields[k] >= c->text && row->fields[k] + strlen(row->fields[k]) <= c->text + c->text_len &&
                 strchr(row->fields[k], '\n') == NULL);
    }
    csv_free(&c);
}

static void check_passwd(enum passwd_format format, struct span in)
{
    const char *error = NULL;
    struct passwd *p = passwd_parse(format, text_of(in), in.len, &error);

    if (p == NULL) {
        MUST(error != NULL);
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        const struct passwd_entry *e = &p->entries[i];

        MUST(e->fault != NULL ? e->secret[0] == '\0' : e->name[0] != '\0' && e->secret[0] != '\0');
        MUST(strlen(e->name) + strlen(e->secret) <= in.len);
    }
    passwd_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };

    check_csv(in);
    for (enum passwd_format format = PASSWD_CSV; format <= PASSWD_USERDB; format++)
        check_passwd(format, in);
    return 0;
}
