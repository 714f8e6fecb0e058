-- Tenants, domains, mailboxes and aliases, as `posternctl` makes, lists, changes
-- and removes them; a mailbox is removed by remove_mailbox (17_space), as that
-- removes its mail.
--
-- Names and addresses come in canonical form (lower case, domains as A-labels);
-- posternctl makes it, and what is not in it is refused (check_name).
--
-- In set_... functions null leaves a value as it is, and a quota of -1 takes
-- the limit away: of a mailbox's messages then what its tenant says for each holds.

-- ------------------------------------------------------------ looking names up

-- find_tenant: the number of the tenant with this name. Not granted.
-- Errors: PN404.
create function postern.find_tenant(p_name text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v bigint;
begin
    select t.tenant into v from postern.tenant t where t.name = p_name;
    if v is null then
        raise exception 'tenant % does not exist', p_name using errcode = 'PN404';
    end if;
    return v;
end
$$;

-- find_domain: the number of the domain with this name. Not granted.
-- Errors: PN404.
create function postern.find_domain(p_name text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v bigint;
begin
    select d.domain into v from postern.domain d where d.name = p_name;
    if v is null then
        raise exception 'domain % does not exist', p_name using errcode = 'PN404';
    end if;
    return v;
end
$$;

-- find_home: the domain of an address, which has to be one that may have addresses of its
-- own: one that is not another's alias. Not granted.
-- Errors: PN400, PN404.
create function postern.find_home(p_address text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(split_part(p_address, '@', -1));
    v_home text;
begin
    select h.name into v_home from postern.domain d join postern.domain h on h.domain = d.alias_of where d.domain = v_domain;
    if found then
        raise exception 'domain % is an alias of %: create its addresses there', split_part(p_address, '@', -1), v_home
            using errcode = 'PN400';
    end if;
    return v_domain;
end
$$;

-- find_mailbox: the number of the mailbox with this address.
-- Errors: PN404.
create function postern.find_mailbox(p_address text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v bigint;
begin
    select m.mailbox into v from postern.mailbox m where m.address = p_address;
    if v is null then
        raise exception 'mailbox % does not exist', p_address using errcode = 'PN404';
    end if;
    return v;
end
$$;

-- ------------------------------------------------------------------- tenants

-- add_tenant: a new tenant; a quota of null or -1 is no limit, but for the messages of each
-- mailbox, where null is the table's default.
-- Errors: PN400, PN409.
create function postern.add_tenant(p_name text, p_quota bigint, p_quota_messages bigint default null,
    p_quota_messages_each bigint default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_name collate "C" !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
        raise exception 'the name of a tenant must have 1 to 63 of a-z 0-9 . _ - and begin with a letter or a digit' using errcode = 'PN400';
    end if;
    insert into postern.tenant (name, quota, quota_messages) values (p_name, nullif(p_quota, -1), nullif(p_quota_messages, -1))
        on conflict do nothing;
    if not found then
        raise exception 'tenant % already exists', p_name using errcode = 'PN409';
    end if;
    if p_quota_messages_each is not null then
        perform postern.set_tenant(p_name, null, null, null, null, p_quota_messages_each);
    end if;
end
$$;

-- list_tenants: one tenant, or all where p_name is null, with what its domains hold; number is
-- what the log of posternd calls it.
-- Errors: PN404.
create function postern.list_tenants(p_name text)
returns table (name text, enabled boolean, quota bigint, quota_messages bigint, quota_messages_each bigint, domains bigint,
               mailboxes bigint, messages bigint, octets bigint, created_at timestamptz, max_domains integer, max_mailboxes integer,
               number bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if p_name is not null then
        perform postern.find_tenant(p_name);
    end if;
    return query
        select t.name, t.enabled, t.quota, t.quota_messages, t.quota_messages_each,
               (select count(*) from postern.domain d where d.tenant = t.tenant),
               (select count(*) from postern.domain d join postern.mailbox m using (domain) where d.tenant = t.tenant),
               coalesce(s.messages, 0), coalesce(s.octets, 0), t.created_at, t.max_domains, t.max_mailboxes, t.tenant
          from postern.tenant t
          left join lateral (select sum(u.messages)::bigint as messages, sum(u.octets)::bigint as octets
                               from postern.domain_usage u where u.tenant = t.tenant) s on true
         where p_name is null or t.name = p_name
         order by t.name;
end
$$;

-- set_tenant: another name, on or off, another quota.
-- Errors: PN400, PN404, PN409.
create function postern.set_tenant(p_name text, p_new_name text, p_enabled boolean, p_quota bigint,
    p_quota_messages bigint default null, p_quota_messages_each bigint default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_new_name collate "C" !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
        raise exception 'the name of a tenant must have 1 to 63 of a-z 0-9 . _ - and begin with a letter or a digit' using errcode = 'PN400';
    end if;
    update postern.tenant t
       set name = coalesce(p_new_name, t.name), enabled = coalesce(p_enabled, t.enabled),
           quota = case when p_quota is null then t.quota else nullif(p_quota, -1) end,
           quota_messages = case when p_quota_messages is null then t.quota_messages else nullif(p_quota_messages, -1) end,
           quota_messages_each = case when p_quota_messages_each is null then t.quota_messages_each
                                      else nullif(p_quota_messages_each, -1) end
     where t.tenant = postern.find_tenant(p_name);
exception when unique_violation then
    raise exception 'tenant % already exists', p_new_name using errcode = 'PN409';
end
$$;

-- remove_tenant: one that has no domains and no operators.
-- Errors: PN404, PN423.
create function postern.remove_tenant(p_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.tenant t where t.tenant = postern.find_tenant(p_name);
exception when foreign_key_violation then
    raise exception 'tenant % has domains or operators', p_name using errcode = 'PN423';
end
$$;

-- ------------------------------------------------------------------- domains

-- check_crossing: does mail to this domain, or from it, stay within its tenant? Names of domains
-- and aliases that lead to another tenant are for the operator of the host to force. Not
-- granted.
-- Errors: PN403.
create function postern.check_crossing(p_domain bigint) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
begin
    for r in
        select o.name as address, h.name as target, t.name as tenant, u.name as other
          from postern.domain o join postern.domain h on h.domain = o.alias_of
          join postern.tenant t on t.tenant = o.tenant join postern.tenant u on u.tenant = h.tenant
         where p_domain in (o.domain, h.domain) and o.tenant <> h.tenant
        union all
        select a.address, m.address, t.name, u.name
          from postern.alias a join postern.domain o on o.domain = a.domain
          join postern.mailbox m on m.mailbox = a.mailbox join postern.domain h on h.domain = m.domain
          join postern.tenant t on t.tenant = o.tenant join postern.tenant u on u.tenant = h.tenant
         where p_domain in (o.domain, h.domain) and o.tenant <> h.tenant
         limit 1
    loop
        raise exception 'mail to % would be tenant %''s and go to %, which is tenant %''s: --force lets it', r.address, r.tenant, r.target, r.other
            using errcode = 'PN403';
    end loop;
end
$$;

-- add_domain: a domain of its own, or another name of p_alias_of, and then its tenant is
-- that of p_alias_of, unless p_tenant says otherwise and p_force is true.
-- Errors: PN400, PN404, PN409.
create function postern.add_domain(p_name text, p_tenant text, p_alias_of text, p_quota bigint,
    p_quota_messages bigint default null, p_force boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_alias_of bigint;
    v_tenant bigint;
begin
    perform postern.check_name('domain', p_name);
    if p_alias_of is not null then
        v_alias_of := postern.find_home(p_alias_of);
        select d.tenant into v_tenant from postern.domain d where d.domain = v_alias_of;
    end if;
    if p_tenant is not null then
        v_tenant := postern.find_tenant(p_tenant);
    elsif v_tenant is null then
        raise exception 'the tenant of domain % is missing', p_name using errcode = 'PN400';
    end if;
    insert into postern.domain (tenant, name, alias_of, quota, quota_messages)
        values (v_tenant, p_name, v_alias_of, nullif(p_quota, -1), nullif(p_quota_messages, -1)) on conflict do nothing;
    if not found then
        raise exception 'domain % already exists', p_name using errcode = 'PN409';
    end if;
    if not p_force then
        perform postern.check_crossing(postern.find_domain(p_name));
    end if;
end
$$;

-- list_domains: one domain, or those of a tenant, or all where both are null; with what
-- their mailboxes hold.
-- Errors: PN404.
create function postern.list_domains(p_tenant text, p_name text)
returns table (name text, tenant text, alias_of text, enabled boolean, quota bigint, quota_messages bigint, stores text,
               mailboxes bigint, messages bigint, octets bigint, old_server text, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if p_tenant is not null then
        perform postern.find_tenant(p_tenant);
    end if;
    if p_name is not null then
        perform postern.find_domain(p_name);
    end if;
    return query
        select d.name, t.name, h.name, d.enabled, d.quota, d.quota_messages, nullif(array_to_string(d.stores, ' '), ''),
               (select count(*) from postern.mailbox m where m.domain = d.domain),
               s.messages, s.octets, o.name, d.created_at
          from postern.domain d
          join postern.tenant t on t.tenant = d.tenant
          left join postern.old_server o on o.server = d.old_server
          left join postern.domain h on h.domain = d.alias_of
          join postern.domain_usage s on s.domain = d.domain
         where (p_tenant is null or t.name = p_tenant) and (p_name is null or d.name = p_name)
         order by d.name;
end
$$;

-- set_domain: another name, tenant, quota, on or off. Another name for a domain is
-- another domain part of all of its addresses. What of its mail would then cross from one
-- tenant to another keeps it where it is, unless p_force.
-- Errors: PN400, PN404, PN409.
create function postern.set_domain(p_name text, p_new_name text, p_tenant text, p_enabled boolean, p_quota bigint,
    p_quota_messages bigint default null, p_force boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_name);
begin
    if p_new_name is not null then
        perform postern.check_name('domain', p_new_name);
    end if;
    update postern.domain d
       set name = coalesce(p_new_name, d.name), enabled = coalesce(p_enabled, d.enabled),
           tenant = case when p_tenant is null then d.tenant else postern.find_tenant(p_tenant) end,
           quota = case when p_quota is null then d.quota else nullif(p_quota, -1) end,
           quota_messages = case when p_quota_messages is null then d.quota_messages else nullif(p_quota_messages, -1) end
     where d.domain = v_domain;
    if p_tenant is not null and not p_force then
        perform postern.check_crossing(v_domain);
    end if;
    if p_new_name is not null then
        update postern.mailbox m set address = left(m.address, -length(p_name)) || p_new_name where m.domain = v_domain;
        update postern.alias a set address = left(a.address, -length(p_name)) || p_new_name where a.domain = v_domain;
    end if;
exception when unique_violation then
    raise exception 'domain % already exists', p_new_name using errcode = 'PN409';
end
$$;

-- remove_domain: one that has no mailboxes, with its aliases.
-- Errors: PN404, PN423.
create function postern.remove_domain(p_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_name);
begin
    delete from postern.alias a where a.domain = v_domain;
    delete from postern.domain d where d.domain = v_domain;
exception when foreign_key_violation then
    raise exception 'domain % has mailboxes or alias domains', p_name using errcode = 'PN423';
end
$$;

-- ----------------------------------------------------------------- mailboxes

-- add_mailbox: a new mailbox, in a domain that is there; no secret, no mail.
-- Errors: PN400, PN404, PN409.
create function postern.add_mailbox(p_address text, p_quota bigint, p_quota_messages bigint default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_name('mailbox', p_address);
    if exists (select from postern.alias a where a.address = p_address) then
        raise exception '% is already an alias', p_address using errcode = 'PN409';
    end if;
    insert into postern.mailbox (domain, address, quota, quota_messages)
        values (postern.find_home(p_address), p_address, nullif(p_quota, -1), nullif(p_quota_messages, -1)) on conflict do nothing;
    if not found then
        raise exception 'mailbox % already exists', p_address using errcode = 'PN409';
    end if;
end
$$;

-- list_mailboxes: those of a domain, or all where p_domain is null. quota_messages is what
-- holds, of its own or of the tenant.
-- Errors: PN404.
create function postern.list_mailboxes(p_domain text)
returns table (address text, enabled boolean, quota bigint, quota_messages bigint, messages bigint, octets bigint, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, m.enabled, m.quota, coalesce(m.quota_messages, t.quota_messages_each), m.messages, m.octets, m.created_at
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
         where p_domain is null or m.domain = postern.find_domain(p_domain)
         order by m.address;
end
$$;

-- show_mailbox: one mailbox and what there is of it. active is whether it, its domain and
-- its tenant are all enabled; quota_messages as in list_mailboxes.
-- Errors: PN404.
create function postern.show_mailbox(p_address text)
returns table (address text, domain text, tenant text, enabled boolean, active boolean, quota bigint, quota_messages bigint, messages bigint,
               octets bigint, credentials text, aliases bigint, old_server text, uidvalidity text, next_uid bigint, expunges bigint,
               created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, d.name, t.name, m.enabled, m.enabled and d.enabled and t.enabled, m.quota,
               coalesce(m.quota_messages, t.quota_messages_each), m.messages, m.octets,
               coalesce((select string_agg(c.kind, ', ' order by c.kind) from postern.credential c where c.mailbox = m.mailbox), 'none'),
               (select count(*) from postern.alias a where a.mailbox = m.mailbox),
               (select s.name from postern.old_server s where s.server = coalesce(m.old_server, d.old_server) and not m.moved),
               postern.uidvalidity_text(m.uidvalidity), m.next_uid, m.expunges, m.created_at
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
         where m.mailbox = postern.find_mailbox(p_address);
end
$$;

-- set_mailbox: another address, on or off, another quota. A mailbox stays in its domain,
-- whose sums it is part of.
-- Errors: PN400, PN404, PN409.
create function postern.set_mailbox(p_address text, p_new_address text, p_enabled boolean, p_quota bigint,
    p_quota_messages bigint default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_new_address is not null then
        perform postern.check_name('mailbox', p_new_address);
    end if;
    if split_part(p_new_address, '@', -1) <> split_part(p_address, '@', -1) then
        raise exception 'a mailbox stays in its domain: the new address must end in @%', split_part(p_address, '@', -1)
            using errcode = 'PN400';
    end if;
    if exists (select from postern.alias a where a.address = p_new_address) then
        raise exception '% is already an alias', p_new_address using errcode = 'PN409';
    end if;
    update postern.mailbox m
       set address = coalesce(p_new_address, m.address), enabled = coalesce(p_enabled, m.enabled),
           quota = case when p_quota is null then m.quota else nullif(p_quota, -1) end,
           quota_messages = case when p_quota_messages is null then m.quota_messages else nullif(p_quota_messages, -1) end
     where m.mailbox = postern.find_mailbox(p_address);
exception when unique_violation then
    raise exception 'mailbox % already exists', p_new_address using errcode = 'PN409';
end
$$;

-- find_accounts: a row for each of these addresses, in their order: its mailbox, if there is
-- one, what its domain stores of passwords, whether there is one; whether the domain is there;
-- and why there can be no mailbox of that address (null: there can).
create function postern.find_accounts(p_addresses text[])
returns table (mailbox bigint, stores text[], has_password boolean, has_domain boolean, fault text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.mailbox, d.stores,
               exists (select from postern.credential c where c.mailbox = m.mailbox and c.kind not in ('app-password', 'certificate')),
               d.domain is not null,
               case when m.mailbox is not null then null
                    when exists (select from postern.alias a where a.address = n.address) then 'it is an alias'
                    when h.domain is not null then format('its domain is an alias of %s', h.name)
               end
          from unnest(p_addresses) with ordinality as n(address, i)
          left join postern.mailbox m on m.address = n.address
          left join postern.domain d on d.name = split_part(n.address, '@', -1)
          left join postern.domain h on h.domain = d.alias_of
         order by n.i;
end
$$;

-- move_in: a mailbox that is wanted, with these quotas unless they are null: one that is
-- missing is made where p_make is true; and its domain, where p_tenant says for whom.
-- Errors: PN400, PN404, PN409.
create function postern.move_in(p_address text, p_make boolean, p_tenant text, p_quota bigint, p_quota_messages bigint,
    out mailbox bigint, out made_domain boolean, out made_mailbox boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_domain constant text := split_part(p_address, '@', -1);
begin
    made_domain := false;
    made_mailbox := false;
    if p_make and p_tenant is not null and not exists (select from postern.domain d where d.name = v_domain) then
        begin
            perform postern.add_domain(v_domain, p_tenant, null, null);
            made_domain := true;
        exception when sqlstate 'PN409' then    -- by another connection, just now
        end;
    end if;
    select m.mailbox into mailbox from postern.mailbox m where m.address = p_address;
    if mailbox is null and p_make then
        perform postern.add_mailbox(p_address, p_quota, p_quota_messages);
        made_mailbox := true;
    end if;
    mailbox := postern.find_mailbox(p_address);
    if not made_mailbox and num_nonnulls(p_quota, p_quota_messages) > 0 then
        perform postern.set_mailbox(p_address, null, null, p_quota, p_quota_messages);
    end if;
end
$$;

-- holdings: what goes with a tenant, a domain or a mailbox that is removed.
-- Errors: PN404.
create function postern.holdings(p_kind text, p_name text)
returns table (domains bigint, mailboxes bigint, messages bigint, octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_tenant bigint;
    v_domain bigint;
    v_mailbox bigint;
begin
    case p_kind
    when 'tenant' then v_tenant := postern.find_tenant(p_name);
    when 'domain' then v_domain := postern.find_domain(p_name);
    when 'mailbox' then v_mailbox := postern.find_mailbox(p_name);
    end case;
    return query
        select count(distinct d.domain), count(m.mailbox), coalesce(sum(m.messages), 0)::bigint, coalesce(sum(m.octets), 0)::bigint
          from postern.domain d
          left join postern.mailbox m on m.domain = d.domain
         where d.tenant = v_tenant or d.domain = v_domain or m.mailbox = v_mailbox;
end
$$;

-- ------------------------------------------------------------------- aliases

-- put_alias: an alias means these mailboxes, too. The targets are mailboxes, so an alias
-- cannot loop; of the same tenant, unless p_force. Not granted.
-- Errors: PN400, PN403, PN404, PN409.
create function postern.put_alias(p_address text, p_mailboxes text[], p_force boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain bigint;
    v_target text;
begin
    perform postern.check_name('alias', p_address);
    v_domain := postern.find_home(p_address);
    if exists (select from postern.mailbox m where m.address = p_address) then
        raise exception '% is already a mailbox', p_address using errcode = 'PN409';
    end if;
    foreach v_target in array p_mailboxes loop
        insert into postern.alias (domain, address, mailbox)
            values (v_domain, p_address, postern.find_mailbox(v_target)) on conflict do nothing;
        if not found then
            raise exception 'alias % already delivers to %', p_address, v_target using errcode = 'PN409';
        end if;
    end loop;
    -- Those that were there before may have been forced.
    select m.address into v_target
      from postern.mailbox m join postern.domain h on h.domain = m.domain join postern.domain d on d.domain = v_domain
     where m.address = any (p_mailboxes) and h.tenant <> d.tenant limit 1;
    if found and not p_force then
        raise exception 'mailbox % belongs to another tenant than %: --force lets mail go there', v_target, p_address using errcode = 'PN403';
    end if;
end
$$;

-- add_alias: an alias, or more mailboxes that one means.
-- Errors: PN400, PN403, PN404, PN409.
create function postern.add_alias(p_address text, p_mailboxes text[], p_force boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.put_alias(p_address, p_mailboxes, p_force);
end
$$;

-- list_aliases: a row for each target: of one alias, of a domain's, or of all.
-- Errors: PN404.
create function postern.list_aliases(p_domain text, p_address text)
returns table (address text, mailbox text, enabled boolean, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select a.address, m.address, a.enabled, a.created_at
          from postern.alias a join postern.mailbox m on m.mailbox = a.mailbox
         where (p_domain is null or a.domain = postern.find_domain(p_domain)) and (p_address is null or a.address = p_address)
         order by a.address, m.address;
    if not found and p_address is not null then
        raise exception 'alias % does not exist', p_address using errcode = 'PN404';
    end if;
end
$$;

-- set_alias: other targets in place of those that it has, where p_mailboxes is not null;
-- on or off.
-- Errors: PN400, PN404, PN409.
create function postern.set_alias(p_address text, p_mailboxes text[], p_enabled boolean, p_force boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_enabled boolean;
begin
    select bool_and(a.enabled) into v_enabled from postern.alias a where a.address = p_address;
    if v_enabled is null then
        raise exception 'alias % does not exist', p_address using errcode = 'PN404';
    end if;
    if p_mailboxes is not null then
        delete from postern.alias a where a.address = p_address;
        perform postern.put_alias(p_address, p_mailboxes, p_force);
    end if;
    update postern.alias a set enabled = coalesce(p_enabled, v_enabled) where a.address = p_address;
end
$$;

-- remove_alias: these targets, or all of them where p_mailboxes is null.
-- Errors: PN404.
create function postern.remove_alias(p_address text, p_mailboxes text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_target text;
begin
    if p_mailboxes is null then
        delete from postern.alias a where a.address = p_address;
        if not found then
            raise exception 'alias % does not exist', p_address using errcode = 'PN404';
        end if;
        return;
    end if;
    foreach v_target in array p_mailboxes loop
        delete from postern.alias a where a.address = p_address and a.mailbox = postern.find_mailbox(v_target);
        if not found then
            raise exception 'alias % does not deliver to %', p_address, v_target using errcode = 'PN404';
        end if;
    end loop;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.find_mailbox(text), postern.add_tenant(text, bigint, bigint, bigint), postern.list_tenants(text),
    postern.set_tenant(text, text, boolean, bigint, bigint, bigint), postern.remove_tenant(text),
    postern.add_domain(text, text, text, bigint, bigint, boolean), postern.list_domains(text, text),
    postern.set_domain(text, text, text, boolean, bigint, bigint, boolean), postern.remove_domain(text),
    postern.add_mailbox(text, bigint, bigint), postern.list_mailboxes(text), postern.show_mailbox(text),
    postern.set_mailbox(text, text, boolean, bigint, bigint), postern.holdings(text, text), postern.add_alias(text, text[], boolean),
    postern.find_accounts(text[]), postern.move_in(text, boolean, text, bigint, bigint),
    postern.list_aliases(text, text), postern.set_alias(text, text[], boolean, boolean), postern.remove_alias(text, text[])
    to postern_admin;
