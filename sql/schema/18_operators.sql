-- Operators of tenants: who they are, and what the operator of the host lets a tenant do.
-- What they see and change is in 20_tenants.
--
-- An operator is a role of PostgreSQL that may log in. It is a member of postern_tenant, which
-- may execute the functions of the schema postern_tenant. These belong to
-- postern_tenant_owner, whom policies of rows bind, by session_user: no `set role` and
-- nothing else that a session can do changes whose rows they are.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'postern_tenant') then
        create role postern_tenant;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'postern_tenant_owner') then
        create role postern_tenant_owner;
    end if;
    -- Who gives a function away must be able to take the role that gets it.
    if not pg_has_role(current_user, 'postern_tenant_owner', 'member') or current_setting('server_version_num')::integer >= 160000 then
        execute format('grant postern_tenant_owner to %I', current_user);
    end if;
end
$$;

-- By name: a dump has no roles, and a name means the same in another cluster.
create table postern.tenant_operator (
    role        text collate "C" not null primary key,
    tenant      bigint      not null references postern.tenant,
    rights      text[] collate "C" not null
                check (rights <@ array['accounts', 'passwords', 'policies', 'sessions', 'history', 'mail']),
    created_at  timestamptz not null default now()
);
create index tenant_operator_tenant on postern.tenant_operator (tenant);
comment on table  postern.tenant_operator is 'roles that may see and change what belongs to one tenant';
comment on column postern.tenant_operator.rights is 'what they may do besides looking at the accounts; mail is to read and store mail';

-- my_tenant: whose operator is logged in; null: nobody's. By session_user, so whatever role was
-- set, and whichever function asks.
create function postern.my_tenant() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select o.tenant from postern.tenant_operator o where o.role = session_user::text);
end
$$;

-- who_am_i: the operator who is logged in, their tenant and their rights; no row: nobody's.
create function postern.who_am_i() returns table (operator text, tenant text, rights text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select o.role, t.name, o.rights from postern.tenant_operator o join postern.tenant t on t.tenant = o.tenant
         where o.role = session_user::text;
end
$$;

-- ------------------------------------------------- who is one, for the owner of the schema

-- operator_fault: why this role is not, or cannot be, the operator of a tenant; null where it
-- can. Not granted.
create function postern.operator_fault(p_role text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
begin
    if p_role is null or p_role collate "C" !~ '^[a-z][a-z0-9_-]{0,62}$' then
        return 'its name must have 1 to 63 of a-z 0-9 _ - and begin with a letter';
    elsif p_role collate "C" ~ '^(pg_|postern)' or p_role in ('postgres', 'public', 'none', 'user', 'current_user', 'session_user', 'current_role') then
        return 'that name belongs to PostgreSQL or to Postern';
    end if;
    select * into r from pg_roles g where g.rolname = p_role;
    if not found then
        return null;
    elsif not exists (select from postern.tenant_operator o where o.role = p_role) then
        return 'there is a role of that name already, for something else';
    elsif r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls then
        return 'the role of that name has attributes that no tenant''s operator may have';
    elsif exists (select from pg_auth_members m where m.member = r.oid and m.roleid <> 'postern_tenant'::regrole) then
        return 'the role of that name is a member of other roles than postern_tenant';
    end if;
    return null;
end
$$;

-- check_operator: one that is there already. Not granted.
-- Errors: PN404, PN409.
create function postern.check_operator(p_role text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_fault text;
begin
    if not exists (select from postern.tenant_operator o where o.role = p_role) then
        raise exception 'operator % does not exist', p_role using errcode = 'PN404';
    end if;
    v_fault := postern.operator_fault(p_role);
    if v_fault is not null then
        raise exception 'operator % cannot be used: %', p_role, v_fault using errcode = 'PN409';
    end if;
end
$$;

-- operator_rights: those that were named, or those that are given unless others are
-- named: all but mail. Not granted.
-- Errors: PN400.
create function postern.operator_rights(p_rights text[]) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    c_all constant text[] := array['accounts', 'passwords', 'policies', 'sessions', 'history', 'mail'];
begin
    if not coalesce(p_rights, '{}') <@ c_all then
        raise exception 'there is no right "%": rights are %', (select r from unnest(p_rights) r where r <> all (c_all) limit 1),
            array_to_string(c_all, ', ') using errcode = 'PN400';
    end if;
    return array(select r from unnest(c_all) with ordinality u(r, n) where r = any (coalesce(p_rights, c_all[1:5])) order by n);
end
$$;

-- add_operator: a role that may log in, and see and change what belongs to this tenant. One
-- that is in the table but whose role is not there (after a dump was restored in another
-- cluster) gets its role again, and keeps its rights where p_rights is null. It cannot log in
-- by password before one is set. Not granted: it runs as who calls it, who must be
-- able to create roles.
-- Errors: PN400, PN404, PN409.
create function postern.add_operator(p_tenant text, p_role text, p_rights text[], p_connections integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant constant bigint := postern.find_tenant(p_tenant);
    v_fault constant text := postern.operator_fault(p_role);
begin
    if v_fault is not null then
        raise exception 'operator % cannot be added: %', p_role, v_fault using errcode = 'PN409';
    end if;
    if coalesce(p_connections, 5) not between 1 and 1000 then
        raise exception 'an operator can have 1 to 1000 connections' using errcode = 'PN400';
    end if;
    insert into postern.tenant_operator as o (role, tenant, rights) values (p_role, v_tenant, postern.operator_rights(p_rights))
        on conflict (role) do update set rights = case when p_rights is null then o.rights else excluded.rights end
        where o.tenant = excluded.tenant and to_regrole(quote_ident(p_role)) is null;
    if not found then
        raise exception 'operator % already exists', p_role using errcode = 'PN409';
    end if;
    execute format('create role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit %s in role postern_tenant',
                   p_role, coalesce(p_connections, 5));
end
$$;

-- set_operator: other rights, or another number of connections; null leaves them. Connections
-- are of the role, so only who may alter roles changes them. Not granted.
-- Errors: PN400, PN404, PN409.
create function postern.set_operator(p_role text, p_rights text[], p_connections integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_operator(p_role);
    if p_connections not between 1 and 1000 then
        raise exception 'an operator can have 1 to 1000 connections' using errcode = 'PN400';
    end if;
    if p_rights is not null then
        update postern.tenant_operator o set rights = postern.operator_rights(p_rights) where o.role = p_role;
    end if;
    if p_connections is not null then
        execute format('alter role %I connection limit %s', p_role, p_connections);
    end if;
end
$$;

-- set_operator_password: p_verifier is what a client makes of the password (SCRAM), as the
-- statement may be in the log of the server; null takes the password away. Not granted.
-- Errors: PN400, PN404, PN409.
create function postern.set_operator_password(p_role text, p_verifier text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_operator(p_role);
    if p_verifier collate "C" !~ '^SCRAM-SHA-256[$][0-9]+:[A-Za-z0-9+/=]+[$][A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$' then
        raise exception 'not a verifier of SCRAM-SHA-256' using errcode = 'PN400';
    end if;
    if to_regrole(quote_ident(p_role)) is null then
        raise exception 'operator % has no role in this cluster: add them again', p_role using errcode = 'PN404';
    end if;
    execute format('alter role %I password %s', p_role, coalesce(quote_literal(p_verifier), 'null'));
end
$$;

-- remove_operator: the role goes, and its connections with it. Not granted.
-- Errors: PN404, PN409.
create function postern.remove_operator(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_operator(p_role);
    delete from postern.tenant_operator o where o.role = p_role;
    if to_regrole(quote_ident(p_role)) is not null then
        execute format('alter role %I nologin', p_role);
        perform pg_terminate_backend(a.pid) from pg_stat_activity a where a.usename = p_role;
        execute format('drop role %I', p_role);
    end if;
end
$$;

-- list_operators: of one tenant, or of all where p_tenant is null. connections is null where
-- this cluster has no such role; fault is why it is not used.
-- Errors: PN404.
create function postern.list_operators(p_tenant text)
returns table (operator text, tenant text, rights text, connections integer, fault text, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_tenant constant bigint := case when p_tenant is not null then postern.find_tenant(p_tenant) end;
begin
    return query
        select o.role, t.name, array_to_string(o.rights, ','), r.rolconnlimit,
               case when r.rolname is null then 'there is no such role in this cluster: add the operator again'
                    when not pg_has_role(r.oid, 'postern_tenant', 'usage') then 'it is no member of postern_tenant'
                    else postern.operator_fault(o.role) end, o.created_at
          from postern.tenant_operator o join postern.tenant t on t.tenant = o.tenant
          left join pg_roles r on r.rolname = o.role
         where v_tenant is null or o.tenant = v_tenant
         order by t.name, o.role;
end
$$;

-- ------------------------------------------------------------------ how much

-- set_tenant_limits: how many domains and mailboxes a tenant may have; null leaves it, -1 is no
-- limit. One that has more keeps them.
-- Errors: PN400, PN404.
create function postern.set_tenant_limits(p_name text, p_max_domains integer, p_max_mailboxes integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if least(p_max_domains, p_max_mailboxes) < -1 then
        raise exception 'the limits of a tenant cannot be negative' using errcode = 'PN400';
    end if;
    update postern.tenant t
       set max_domains = case when p_max_domains is null then t.max_domains else nullif(p_max_domains, -1) end,
           max_mailboxes = case when p_max_mailboxes is null then t.max_mailboxes else nullif(p_max_mailboxes, -1) end
     where t.tenant = postern.find_tenant(p_name);
end
$$;

-- check_tenant_limits: has this tenant more domains, or mailboxes, than it may have? It is locked
-- first, where it has a limit, so two at once are counted one after the other. Not granted.
-- Errors: PN507.
create function postern.check_tenant_limits(p_tenant bigint, p_domains boolean, p_mailboxes boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    t record;
    v_n bigint;
begin
    select * into t from postern.tenant x where x.tenant = p_tenant and num_nonnulls(x.max_domains, x.max_mailboxes) > 0 for no key update;
    if not found then
        return;
    end if;
    select count(*) into v_n from postern.domain d where d.tenant = p_tenant;
    if p_domains and v_n > t.max_domains then
        raise exception 'tenant % may have % domains, this would be number %', t.name, t.max_domains, v_n using errcode = 'PN507';
    end if;
    select count(*) into v_n from postern.domain d join postern.mailbox m on m.domain = d.domain where d.tenant = p_tenant;
    if p_mailboxes and v_n > t.max_mailboxes then
        raise exception 'tenant % may have % mailboxes, these would be %', t.name, t.max_mailboxes, v_n using errcode = 'PN507';
    end if;
end
$$;

-- limit_domains: a trigger: a tenant has one more now.
create function postern.limit_domains() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' or new.tenant <> old.tenant then
        perform postern.check_tenant_limits(new.tenant, true, tg_op = 'UPDATE');
    end if;
    return null;
end
$$;

-- limit_mailboxes: a trigger: there are more of them now.
create function postern.limit_mailboxes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_tenant_limits(d.tenant, false, true)
       from (select distinct t.tenant
               from added a join postern.domain o on o.domain = a.domain join postern.tenant t on t.tenant = o.tenant
              where t.max_mailboxes is not null) d;
    return null;
end
$$;
create trigger limit_domains after insert or update of tenant on postern.domain
    for each row execute function postern.limit_domains();
create trigger limit_mailboxes after insert on postern.mailbox referencing new table as added
    for each statement execute function postern.limit_mailboxes();

-- ---------------------------------------------------------------- which policies

-- is_stricter: does this value of a switch let people do less, or as much? Not granted.
create function postern.is_stricter(p_switch text, p_value text, p_limit text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select coalesce(case p_switch when 'pop3' then p_value = 'false'
                                  when 'tls_only' then p_value = 'true'
                                  when 'sessions' then p_value::bigint <= p_limit::bigint
                                  when 'login_delay' then p_value::bigint >= p_limit::bigint end, false)
$$;

-- refuse_policy: a trigger: what a tenant's operator may not set. The operator of the host alone
-- sets what holds for a tenant or everybody, and what costs the host more than the tenant
-- pays for: traces, deletions that are kept, compression. A switch that they have named as final
-- stays as they set it, there and in all that is narrower, or becomes stricter.
-- Errors: PN403.
create function postern.refuse_policy() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_hosts constant text[] := array['trace_until', 'undelete', 'codec', 'final'];
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) else '{}' end;
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else '{}' end;
    v_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else to_jsonb(old) end;
    v_domain bigint := (v_row ->> 'domain')::bigint;
    v_mailbox constant bigint := (v_row ->> 'mailbox')::bigint;
    v_tenant constant bigint := postern.my_tenant();
    v_switch text;
    v_wider record;
begin
    -- What goes with a mailbox goes.
    if v_tenant is null or pg_trigger_depth() > 1 then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if num_nonnulls(v_domain, v_mailbox) = 0 then
        raise exception 'policies of a tenant, or of everybody, are set by the operator of the host' using errcode = 'PN403';
    end if;
    if v_mailbox is not null then
        select m.domain into v_domain from postern.mailbox m where m.mailbox = v_mailbox;
    end if;
    for v_switch in
        select k from jsonb_object_keys(v_row) k
         where k not in ('policy', 'tenant', 'domain', 'mailbox')
           and (v_old ->> k) is distinct from (v_new ->> k)
    loop
        if v_switch = any (c_hosts) then
            raise exception '% is set by the operator of the host', v_switch using errcode = 'PN403';
        end if;
        if coalesce(old.final, '{}') @> array[v_switch] then
            raise exception '% was set here by the operator of the host, and is final', v_switch using errcode = 'PN403';
        end if;
        continue when v_new ->> v_switch is null;
        select to_jsonb(p) ->> v_switch as value into v_wider from postern.policy p
         where p.final @> array[v_switch]
           and (num_nonnulls(p.tenant, p.domain, p.mailbox) = 0 or p.tenant = v_tenant or (p.domain = v_domain and v_mailbox is not null))
         order by p.domain is null, p.tenant is null limit 1;
        if found and not postern.is_stricter(v_switch, v_new ->> v_switch, v_wider.value) then
            raise exception '% cannot be set to "%": the operator of the host has set it to %, and that is final',
                v_switch, v_new ->> v_switch, coalesce('"' || v_wider.value || '"', 'nothing') using errcode = 'PN403';
        end if;
    end loop;
    return case when tg_op = 'DELETE' then old else new end;
end
$$;
create trigger refuse_policy before insert or update or delete on postern.policy
    for each row execute function postern.refuse_policy();

revoke all on all functions in schema postern from public;
grant execute on function postern.list_operators(text), postern.set_tenant_limits(text, integer, integer), postern.who_am_i() to postern_admin;
