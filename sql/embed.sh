#!/bin/sh
# Writes the C source that holds the schema of a directory: sh sql/embed.sh DIR
# Its texts become arrays of numbers, as a string literal may not be that long.
set -eu
# The version of the schema before the first upgrade: development had counted to 11.
first=12
number() { echo "$1" | sed 's/_.*//; s/^0*//'; }

array() { # FILE NAME
    echo "static const char sql_$2[] = {"
    od -An -v -tu1 "$1" | sed 's/  */ /g; s/^ //; s/ /,/g; s/$/,/'
    echo '0};'
}

echo '/* Made by sql/embed.sh from sql/schema and sql/upgrade: do not edit. */'
echo '#include "storage/pg/schema.h"'
files=
for f in "$1"/schema/[0-9][0-9]_*.sql; do
    n=$(basename "$f" .sql)
    array "$f" "$n"
    files="$files $n"
done
version=$first
upgrades=
for f in "$1"/upgrade/[0-9][0-9][0-9][0-9]_*.sql; do
    test -e "$f" || continue
    n=$(basename "$f" .sql)
    if test "$(number "$n")" -ne $((version + 1)); then
        echo "embed.sh: $f: upgrade $((version + 1)) was to come next" >&2
        exit 1
    fi
    array "$f" "$n"
    version=$((version + 1))
    upgrades="$upgrades $n"
done
echo "const int schema_first = $first, schema_version = $version;"
echo 'const struct schema_text schema_files[] = {'
for n in $files; do
    echo "    { $version, \"$n\", sql_$n },"
done
echo '    { 0, NULL, NULL }'
echo '};'
echo 'const struct schema_text schema_upgrades[] = {'
for n in $upgrades; do
    echo "    { $(number "$n"), \"$n\", sql_$n },"
done
echo '    { 0, NULL, NULL }'
echo '};'
