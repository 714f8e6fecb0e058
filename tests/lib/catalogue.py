"""The catalogue of our schemas as lines of text: what two databases are compared by.

    sorted_lines = lines(ask)       where ask(sql) gives what psql -A -t prints

Everything is in it that can differ between two ways to one schema: tables, columns with their order, types, defaults and
storage, constraints, indexes, views, sequences, functions with bodies and settings, triggers, rights, owners, comments, settings
of the database, and the rows that `schema init` writes. What depends on the day is left out: which partitions the history has.
"""
import difflib
import re

OURS = "(select oid from pg_namespace where nspname in ('postern', 'postern_maps', 'postern_tenant'))"


def _flat(text):
    return f"replace({text}, E'\\n', E'\\\\n')"


def _rights(acl, kind, owner):
    """In one order, whoever was given them first."""
    return (f"(select string_agg(concat(coalesce(nullif(a.grantee, 0)::regrole::text, 'public'), '=', a.privilege_type, a.is_grantable), ' '"
            f"  order by a.grantee, a.privilege_type, a.is_grantable) from aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) a)")


QUERIES = {
    "schema": f"select nspname, nspowner::regrole, {_rights('nspacl', 'n', 'nspowner')} from pg_namespace where oid in {OURS}",
    # Of any kind, so that something for which there is no query below is seen at least by its name.
    "there is": f"""select pg_describe_object(classid, objid, objsubid) from pg_depend
        where refclassid = 'pg_namespace'::regclass and refobjid in {OURS}""",
    "comment": f"""select pg_describe_object(d.classoid, d.objoid, d.objsubid), {_flat('d.description')}
        from pg_description d, lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
        where coalesce(i.schema, i.name) in ('postern', 'postern_maps', 'postern_tenant') or i.identity ~ '(^| )postern(_maps|_tenant)?[.]'""",
    "relation": f"""select c.oid::regclass, relkind, relpersistence, relowner::regrole, (select array_agg(o order by o) from unnest(reloptions) o),
            pg_get_partkeydef(c.oid), pg_get_expr(relpartbound, c.oid), relrowsecurity, relreplident,
            {_rights('relacl', 'r', 'relowner')}
        from pg_class c where relnamespace in {OURS} and relkind <> 'S'
        union all
        select c.oid::regclass, relkind, relpersistence, relowner::regrole, null, null, null, null, null, {_rights('relacl', 's', 'relowner')}
        from pg_class c where relnamespace in {OURS} and relkind = 'S'""",
    "column": f"""select a.attrelid::regclass, row_number() over (partition by attrelid order by attnum), attname, format_type(atttypid, atttypmod),
            attcollation::regcollation, attnotnull, attidentity, attgenerated, attstorage, attcompression, attstattarget, attoptions, attacl,
            pg_get_expr(d.adbin, d.adrelid)
        from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace in {OURS} and relkind in ('r', 'p', 'v', 'm', 'f', 'c') and attnum > 0 and not attisdropped""",
    "constraint": f"select conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid) from pg_constraint where connamespace in {OURS}",
    "index": f"""select indexrelid::regclass, indisvalid, indisreplident, indisclustered, pg_get_indexdef(indexrelid)
        from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace in {OURS}""",
    "view": f"select c.oid::regclass, {_flat('pg_get_viewdef(c.oid)')} from pg_class c where relkind in ('v', 'm') and relnamespace in {OURS}",
    "sequence": f"""select seqrelid::regclass, format_type(seqtypid, null), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle
        from pg_sequence s join pg_class c on c.oid = s.seqrelid where relnamespace in {OURS}""",
    "function": f"""select p.oid::regprocedure, proowner::regrole, {_rights('proacl', 'f', 'proowner')}, {_flat('pg_get_functiondef(p.oid)')}
        from pg_proc p where pronamespace in {OURS} and prokind in ('f', 'p')""",
    "trigger": f"""select tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where relnamespace in {OURS} and not tgisinternal""",
    "rule": f"""select r.ev_class::regclass, rulename, ev_enabled, {_flat('pg_get_ruledef(r.oid)')} from pg_rewrite r join pg_class c on c.oid = r.ev_class
        where relnamespace in {OURS} and rulename <> '_RETURN'""",
    "row policy": f"""select polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[],
            {_flat('pg_get_expr(polqual, polrelid)')}, {_flat('pg_get_expr(polwithcheck, polrelid)')}
        from pg_policy p join pg_class c on c.oid = p.polrelid where relnamespace in {OURS}""",
    "default rights": "select defaclrole::regrole, defaclobjtype, defaclacl from pg_default_acl",
    "setting": """select setrole, unnest(setconfig) from pg_db_role_setting
        where setdatabase in (0, (select oid from pg_database where datname = current_database()))""",
    "row of replaceable": "select name, digest from postern.replaceable",
    "rows of policy_version": "select count(*) from postern.policy_version",
}


def lines(ask):
    found = set()
    for row in ask(";\n".join(f"select '{what}', q.* from ({query}) q" for what, query in QUERIES.items())).split("\n"):
        if re.search("history_[0-9]{8}", row):
            row = re.sub(r"'[0-9]{4}-[0-9]{2}-[0-9]{2} [^']*'", "'DAY'", re.sub("history_[0-9]{8}", "history_DAY", row))
        found.add(row)
    return sorted(found)


def differences(one, other):
    """What only one of them has, as lines that begin with - or +."""
    return [line for line in difflib.unified_diff(one, other, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))]
