#!/bin/sh
# Writes the C source that holds the migrations: sh sql/embed.sh sql/0001_x.sql ...
# Their texts become arrays of numbers, as a string literal may not be that long.
set -eu
echo '/* Made by sql/embed.sh from sql/NNNN_*.sql: do not edit. */'
echo '#include "storage/schema.h"'
for f in "$@"; do
    n=$(basename "$f" .sql)
    echo "static const char sql_$n[] = {"
    od -An -v -tu1 "$f" | sed 's/  */ /g; s/^ //; s/ /,/g; s/$/,/'
    echo '0};'
done
echo 'const struct migration schema_migrations[] = {'
for f in "$@"; do
    n=$(basename "$f" .sql)
    v=$(echo "$n" | sed 's/_.*//; s/^0*//')
    echo "    { $v, \"$n\", sql_$n },"
done
echo '};'
echo 'const size_t schema_migration_count = sizeof schema_migrations / sizeof schema_migrations[0];'
