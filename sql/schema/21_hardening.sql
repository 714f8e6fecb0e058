-- Which server answers, and whether it is one that may be believed.

-- server_identity: another text for every server and timeline on which a mailbox
-- may have another history: what was learned from one does not hold on another.
-- Null on a standby, which is no authority for anything. (The control file names
-- the timeline of the last checkpoint, and the one of a server that was promoted
-- just now is a new one.)
create function postern.server_identity() returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select case when pg_is_in_recovery() then null
                else (select s.system_identifier from pg_control_system() s) || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.server_identity() to postern_auth, postern_mail, postern_lmtp;

-- ------------------------------------------------------------- what a role may do

-- activity_functions: what shows the sessions of others, their locks and statements; the
-- views pg_stat_activity, pg_locks, pg_stat_replication and the like call them.
-- Not granted.
create function postern.activity_functions() returns setof regprocedure
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure from pg_proc p
     where p.pronamespace = 'pg_catalog'::regnamespace
       and (p.proname in ('pg_stat_get_activity', 'pg_stat_get_wal_senders', 'pg_stat_get_wal_receiver', 'pg_stat_get_progress_info',
                          'pg_stat_get_subscription', 'pg_lock_status', 'pg_blocking_pids', 'pg_safe_snapshot_blocking_pids', 'pg_prepared_xact')
            or starts_with(p.proname::text, 'pg_stat_get_backend_'))
$$;

-- needless_functions: what PostgreSQL lets everybody execute and nobody but its owner
-- needs here: to end or cancel what other sessions of the role do, or to look at them, to
-- notify, to sleep, to store large objects, to write or read positions of the WAL, to export
-- snapshots. The functions that call them run as the owner of the schema.
-- Not granted.
create function postern.needless_functions() returns setof regprocedure
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure from pg_proc p
     where p.pronamespace = 'pg_catalog'::regnamespace
       and (p.proname in ('pg_cancel_backend', 'pg_terminate_backend', 'pg_notify', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'loread', 'lowrite',
                          'pg_export_snapshot', 'pg_logical_emit_message', 'pg_current_wal_lsn', 'pg_current_wal_insert_lsn',
                          'pg_current_wal_flush_lsn', 'pg_walfile_name', 'pg_walfile_name_offset', 'pg_last_wal_receive_lsn', 'pg_last_wal_replay_lsn')
            or starts_with(p.proname::text, 'lo_'))
    union
    select postern.activity_functions()
$$;

-- is_public: may everybody do this? Not granted.
create function postern.is_public(p_acl aclitem[], p_privilege text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select exists (select from aclexplode(p_acl) a where a.grantee = 0 and a.privilege_type = p_privilege collate "C") $$;

-- unhardened: what harden() would still take away, a line for each kind. Not granted.
create function postern.unhardened() returns setof text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select format('everybody may execute %s functions that only the owner of the schema needs, such as %s', count(*), min(p.proname))
      from pg_proc p
     where p.oid in (select f from postern.needless_functions() f)
       and postern.is_public(coalesce(p.proacl, acldefault('f', p.proowner)), 'EXECUTE')
    having count(*) > 0
    union all
    select format('everybody has the right %s on database %s', r, d.datname)
      from pg_database d, unnest(array['CONNECT', 'TEMPORARY']) r
     where d.datname = current_database() and postern.is_public(coalesce(d.datacl, acldefault('d', d.datdba)), r)
$$;

-- harden: for a superuser, who can call it again: after a dump was restored, say,
-- as these rights are not part of it. Other roles that are to connect to this
-- database need a grant from then on; those that monitor it (pg_monitor) go on to see
-- what others do.
-- Errors: 42501.
create function postern.harden() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner regrole := (select n.nspowner from pg_namespace n where n.nspname = 'postern');
    f regprocedure;
begin
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        raise exception 'only a superuser can take rights from everybody' using errcode = '42501';
    end if;
    for f in select n from postern.needless_functions() n loop
        execute format('revoke execute on function %s from public', f);
        execute format('grant execute on function %s to %s', f, v_owner);
    end loop;
    for f in select a from postern.activity_functions() a loop
        execute format('grant execute on function %s to pg_read_all_stats', f);
    end loop;
    execute format('revoke connect, temporary on database %I from public', current_database());
    execute format('grant connect on database %I to postern_auth, postern_mail, postern_lmtp, postern_admin, postern_maps, postern_tenant', current_database());
    execute format('grant connect, temporary on database %I to %s', current_database(), v_owner);
end
$$;

-- Who may do what with our objects, as the files of the schema have granted it.
create table postern.granted (
    grantee     text collate "C" not null,
    object      text collate "C" not null,
    privilege   text collate "C" not null,
    primary key (object, grantee, privilege)
);
alter table postern.granted enable row level security;
comment on table postern.granted is 'the grants that this schema has made: whatever else there is somebody has added';

-- present_grants: on our schemas, tables, views, sequences, columns and functions, other
-- than the owner's. Not granted.
create function postern.present_grants() returns table (grantee text, object text, privilege text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with ours as (select n.oid, n.nspname, n.nspowner, n.nspacl from pg_namespace n where n.nspname in ('postern', 'postern_maps', 'postern_tenant')),
    it (object, owner, acl) as (
        select 'schema ' || quote_ident(n.nspname), n.nspowner, n.nspacl from ours n
        union all
        select case when c.relkind = 'S' then 'sequence ' else 'table ' end || c.oid::regclass, c.relowner, c.relacl
          from pg_class c join ours n on n.oid = c.relnamespace
        union all
        select 'table ' || c.oid::regclass, c.relowner, a.attacl
          from pg_attribute a join pg_class c on c.oid = a.attrelid join ours n on n.oid = c.relnamespace
         where a.attacl is not null
        union all
        select 'function ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
          from pg_proc p join ours n on n.oid = p.pronamespace)
    select distinct case when a.grantee = 0 then 'public' else a.grantee::regrole::text end, it.object, a.privilege_type
      from it, aclexplode(it.acl) a
     where a.grantee <> it.owner
$$;

-- note_grants: those that are there now are the schema's own. The last statement of the
-- schema, and of each upgrade that grants. Not granted.
create function postern.note_grants() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.granted;
    insert into postern.granted select g.grantee, g.object, g.privilege from postern.present_grants() g;
end
$$;

-- find_risks: what somebody has set, granted or taken over that changes what the
-- programs or their roles can do; each with the command that mends it. is_wrong is
-- false for what may be meant so: a database that cannot be, or was not, hardened.
create function postern.find_risks() returns table (is_wrong boolean, risk text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_roles constant oid[] := (select array_agg(r.oid) from pg_roles r
                                where r.rolname in ('postern_auth', 'postern_mail', 'postern_lmtp', 'postern_admin', 'postern_maps',
                                                    'postern_tenant', 'postern_tenant_owner'));
    v_owner constant oid := (select n.nspowner from pg_namespace n where n.nspname = 'postern');
begin
    -- What is about memory and logging is an operator's affair.
    return query
        select true, format('%s sets %s for its sessions: alter %s reset %I', s.who, s.setting, s.who, split_part(s.setting, '=', 1))
          from (select case when x.setrole = 0 then format('database %I', d.datname)
                            when x.setdatabase = 0 then 'role ' || x.setrole::regrole
                            else format('role %s in database %I', x.setrole::regrole, d.datname) end as who, c as setting
                  from pg_db_role_setting x left join pg_database d on d.oid = x.setdatabase, unnest(x.setconfig) c
                 where (x.setdatabase = 0 or d.datname = current_database()) and (x.setrole = any (v_roles) or x.setrole = 0)) s
          left join pg_settings p on lower(p.name) collate "C" = lower(split_part(s.setting, '=', 1)) collate "C"
         where coalesce(p.category, '') !~ '^(Resource Usage|Reporting and Logging|Statistics|Autovacuum)' collate "C"
         order by 2;
    return query
        select true, format('role %s may do what %s may: revoke %s from %s', m.member::regrole, m.roleid::regrole, m.roleid::regrole, m.member::regrole)
          from pg_auth_members m join pg_roles r on r.oid = m.member
         where (m.member = any (v_roles) or m.roleid = any (v_roles)) and not r.rolsuper and m.member <> v_owner
           -- Of another database of this cluster, or of this one: here they may do what tenant_operator says.
           and m.roleid <> 'postern_tenant'::regrole
         order by 2;
    return query
        select true, format('role %I has attributes that it does not need: alter role %I nosuperuser nocreaterole nocreatedb noreplication nobypassrls',
                            r.rolname, r.rolname)
          from pg_roles r
         where r.oid = any (v_roles) and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
         order by 2;
    return query
        select true, format('operator %s cannot be used: %s', o.operator, o.fault) from postern.list_operators(null) o
         where o.fault is not null and o.connections is not null
         order by 2;
    return query
        select true, format('table %s has no row-level security: alter table %s enable row level security', c.oid::regclass, c.oid::regclass)
          from pg_class c
         where c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
         order by 2;
    return query
        select true, format('%s has the right %s on %s, which the schema does not grant: revoke %s on %s from %s',
                            g.grantee, g.privilege, g.object, g.privilege, g.object, g.grantee)
          from postern.present_grants() g
         where not exists (select from postern.granted n
                            where n.object = g.object collate "C" and n.grantee = g.grantee collate "C" and n.privilege = g.privilege collate "C")
         order by 2;
    return query
        select true, format('%s belongs to %s, the schema to %s: alter %s owner to %s', o.object, o.owner::regrole, v_owner::regrole, o.object, v_owner::regrole)
          from (select 'function ' || p.oid::regprocedure as object, p.proowner as owner from pg_proc p where p.pronamespace = 'postern'::regnamespace
                union all
                select 'table ' || c.oid::regclass, c.relowner from pg_class c
                 where c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p', 'v')) o
         where o.owner <> v_owner
         order by 2;
    return query
        select true, format('function %s belongs to %s, and policies of rows do not bind it: alter function %s owner to postern_tenant_owner',
                            p.oid::regprocedure, p.proowner::regrole, p.oid::regprocedure)
          from pg_proc p
         where p.pronamespace = to_regnamespace('postern_tenant') and p.proowner <> 'postern_tenant_owner'::regrole
         order by 2;
    return query
        select false, format('%s: as a superuser, select postern.harden()', u) from postern.unhardened() u;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.find_risks() to postern_admin;

do $$
begin
    if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
        perform postern.harden();
    end if;
    perform postern.note_grants();
end
$$;
