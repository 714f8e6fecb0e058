-- What the operator's tool asks: tenants, domains, mailboxes, aliases, passwords,
-- messages, and `posternctl check`. postern_admin holds execute rights on these
-- functions and no right on any table.
--
-- Names and addresses come in canonical form (lower case, domains as A-labels);
-- posternctl makes it, and what is not in it is refused (check_name). Errors have a text for people and one of these codes:
-- PN400 bad value, PN404 not found, PN409 exists already, PN423 in use,
-- PN507 over quota.
--
-- In set_... functions null leaves a value as it is, and a quota of -1 takes
-- the limit away.

-- ------------------------------------------------------------ looking names up

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

-- A domain that may have addresses of its own: one that is not another's alias.
create function postern.find_home(p_address text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(split_part(p_address, '@', -1));
    v_home text;
begin
    select h.name into v_home from postern.domain d join postern.domain h on h.domain = d.alias_of where d.domain = v_domain;
    if found then
        raise exception 'domain % is an alias of %: its addresses are made there', split_part(p_address, '@', -1), v_home
            using errcode = 'PN400';
    end if;
    return v_domain;
end
$$;

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

-- check_name: a name that is to be given to something. Not granted.
create function postern.check_name(p_kind text, p_name text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_fault constant text := postern.name_fault(p_kind, p_name);
begin
    if v_fault is not null then
        raise exception '% "%" cannot be: %', p_kind, p_name, v_fault using errcode = 'PN400';
    end if;
end
$$;

-- ------------------------------------------------------------------- tenants

create function postern.add_tenant(p_name text, p_quota bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_name collate "C" !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
        raise exception 'a tenant''s name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or a digit' using errcode = 'PN400';
    end if;
    insert into postern.tenant (name, quota) values (p_name, nullif(p_quota, -1)) on conflict do nothing;
    if not found then
        raise exception 'tenant % exists already', p_name using errcode = 'PN409';
    end if;
end
$$;

create function postern.list_tenants(p_name text)
returns table (name text, enabled boolean, quota bigint, domains bigint, mailboxes bigint, messages bigint, octets bigint,
               created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if p_name is not null then
        perform postern.find_tenant(p_name);
    end if;
    return query
        select t.name, t.enabled, t.quota,
               (select count(*) from postern.domain d where d.tenant = t.tenant),
               (select count(*) from postern.domain d join postern.mailbox m using (domain) where d.tenant = t.tenant),
               coalesce(s.messages, 0), coalesce(s.octets, 0), t.created_at
          from postern.tenant t
          left join lateral (select sum(u.messages)::bigint as messages, sum(u.octets)::bigint as octets
                               from postern.domain d join postern.usage u using (domain) where d.tenant = t.tenant) s on true
         where p_name is null or t.name = p_name
         order by t.name;
end
$$;

create function postern.set_tenant(p_name text, p_new_name text, p_enabled boolean, p_quota bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_new_name collate "C" !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
        raise exception 'a tenant''s name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or a digit' using errcode = 'PN400';
    end if;
    update postern.tenant t
       set name = coalesce(p_new_name, t.name), enabled = coalesce(p_enabled, t.enabled),
           quota = case when p_quota is null then t.quota else nullif(p_quota, -1) end
     where t.tenant = postern.find_tenant(p_name);
exception when unique_violation then
    raise exception 'tenant % exists already', p_new_name using errcode = 'PN409';
end
$$;

create function postern.remove_tenant(p_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.tenant t where t.tenant = postern.find_tenant(p_name);
exception when foreign_key_violation then
    raise exception 'tenant % has domains', p_name using errcode = 'PN423';
end
$$;

-- ------------------------------------------------------------------- domains

create function postern.add_domain(p_name text, p_tenant text, p_alias_of text, p_quota bigint) returns void
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
        raise exception 'which tenant has domain %?', p_name using errcode = 'PN400';
    end if;
    insert into postern.domain (tenant, name, alias_of, quota)
        values (v_tenant, p_name, v_alias_of, nullif(p_quota, -1)) on conflict do nothing;
    if not found then
        raise exception 'domain % exists already', p_name using errcode = 'PN409';
    end if;
end
$$;

create function postern.list_domains(p_tenant text, p_name text)
returns table (name text, tenant text, alias_of text, enabled boolean, quota bigint, mailboxes bigint, messages bigint,
               octets bigint, created_at timestamptz)
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
        select d.name, t.name, h.name, d.enabled, d.quota,
               (select count(*) from postern.mailbox m where m.domain = d.domain),
               coalesce(s.messages, 0), coalesce(s.octets, 0), d.created_at
          from postern.domain d
          join postern.tenant t on t.tenant = d.tenant
          left join postern.domain h on h.domain = d.alias_of
          left join lateral (select sum(u.messages)::bigint as messages, sum(u.octets)::bigint as octets
                               from postern.usage u where u.domain = d.domain) s on true
         where (p_tenant is null or t.name = p_tenant) and (p_name is null or d.name = p_name)
         order by d.name;
end
$$;

-- Another name for a domain is another domain part of all of its addresses.
create function postern.set_domain(p_name text, p_new_name text, p_tenant text, p_enabled boolean, p_quota bigint) returns void
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
           quota = case when p_quota is null then d.quota else nullif(p_quota, -1) end
     where d.domain = v_domain;
    if p_new_name is not null then
        update postern.mailbox m set address = left(m.address, -length(p_name)) || p_new_name where m.domain = v_domain;
        update postern.alias a set address = left(a.address, -length(p_name)) || p_new_name where a.domain = v_domain;
    end if;
exception when unique_violation then
    raise exception 'domain % exists already', p_new_name using errcode = 'PN409';
end
$$;

create function postern.remove_domain(p_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_name);
begin
    delete from postern.alias a where a.domain = v_domain;
    delete from postern.domain d where d.domain = v_domain;
exception when foreign_key_violation then
    raise exception 'domain % has mailboxes, or is what another domain is an alias of', p_name using errcode = 'PN423';
end
$$;

-- ----------------------------------------------------------------- mailboxes

create function postern.add_mailbox(p_address text, p_quota bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_name('mailbox', p_address);
    if exists (select from postern.alias a where a.address = p_address) then
        raise exception '% is an alias already', p_address using errcode = 'PN409';
    end if;
    insert into postern.mailbox (domain, address, quota)
        values (postern.find_home(p_address), p_address, nullif(p_quota, -1)) on conflict do nothing;
    if not found then
        raise exception 'mailbox % exists already', p_address using errcode = 'PN409';
    end if;
end
$$;

create function postern.list_mailboxes(p_domain text)
returns table (address text, enabled boolean, quota bigint, messages bigint, octets bigint, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, m.enabled, m.quota, m.messages, m.octets, m.created_at
          from postern.mailbox m
         where p_domain is null or m.domain = postern.find_domain(p_domain)
         order by m.address;
end
$$;

create function postern.show_mailbox(p_address text)
returns table (address text, domain text, tenant text, enabled boolean, active boolean, quota bigint, messages bigint, octets bigint,
               credentials text, aliases bigint, uidvalidity text, next_uid bigint, expunges bigint, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, d.name, t.name, m.enabled, m.enabled and d.enabled and t.enabled, m.quota, m.messages, m.octets,
               coalesce((select string_agg(c.kind, ', ' order by c.kind) from postern.credential c where c.mailbox = m.mailbox), 'none'),
               (select count(*) from postern.alias a where a.mailbox = m.mailbox),
               lpad(to_hex(m.uidvalidity), 12, '0'), m.next_uid, m.expunges, m.created_at
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
         where m.mailbox = postern.find_mailbox(p_address);
end
$$;

-- A mailbox stays in its domain, whose sums it is part of.
create function postern.set_mailbox(p_address text, p_new_address text, p_enabled boolean, p_quota bigint) returns void
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
        raise exception '% is an alias already', p_new_address using errcode = 'PN409';
    end if;
    update postern.mailbox m
       set address = coalesce(p_new_address, m.address), enabled = coalesce(p_enabled, m.enabled),
           quota = case when p_quota is null then m.quota else nullif(p_quota, -1) end
     where m.mailbox = postern.find_mailbox(p_address);
exception when unique_violation then
    raise exception 'mailbox % exists already', p_new_address using errcode = 'PN409';
end
$$;

-- Unless forced, not while a session holds it: the lock of the maildrop is taken
-- for this transaction, so that none can begin meanwhile either.
create function postern.remove_mailbox(p_address text, p_force boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_domain bigint;
begin
    if not p_force and not pg_try_advisory_xact_lock(postern.lock_key(v_mailbox)) then
        raise exception 'a session holds the maildrop of %', p_address using errcode = 'PN423';
    end if;
    select m.domain into v_domain from postern.mailbox m where m.mailbox = v_mailbox for update;
    perform postern.remove_messages(v_mailbox, array(select g.uid from postern.message g where g.mailbox = v_mailbox));
    delete from postern.mailbox m where m.mailbox = v_mailbox;
end
$$;

-- p_secret is a password hash; only postern_auth can read it again.
create function postern.set_password(p_address text, p_secret text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.credential as c (mailbox, kind, label, secret)
        values (postern.find_mailbox(p_address), 'password', '', p_secret)
        on conflict (mailbox, kind, label) do update set secret = excluded.secret, changed_at = now();
end
$$;

-- holdings: what goes with a tenant, a domain or a mailbox that is removed.
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

-- Not granted. The targets are mailboxes, so an alias cannot loop.
create function postern.put_alias(p_address text, p_mailboxes text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain bigint;
    v_target text;
begin
    perform postern.check_name('alias', p_address);
    v_domain := postern.find_home(p_address);
    if exists (select from postern.mailbox m where m.address = p_address) then
        raise exception '% is a mailbox already', p_address using errcode = 'PN409';
    end if;
    foreach v_target in array p_mailboxes loop
        insert into postern.alias (domain, address, mailbox)
            values (v_domain, p_address, postern.find_mailbox(v_target)) on conflict do nothing;
        if not found then
            raise exception 'alias % means % already', p_address, v_target using errcode = 'PN409';
        end if;
    end loop;
end
$$;

create function postern.add_alias(p_address text, p_mailboxes text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.put_alias(p_address, p_mailboxes);
end
$$;

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

-- Other targets in place of those that it has (p_mailboxes), and on or off.
create function postern.set_alias(p_address text, p_mailboxes text[], p_enabled boolean) returns void
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
        perform postern.put_alias(p_address, p_mailboxes);
    end if;
    update postern.alias a set enabled = coalesce(p_enabled, v_enabled) where a.address = p_address;
end
$$;

-- These targets, or all of them where p_mailboxes is null.
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
            raise exception 'alias % does not mean %', p_address, v_target using errcode = 'PN404';
        end if;
    end loop;
end
$$;

-- ------------------------------------------------------------------ messages

-- The messages of a mailbox after p_after, at most p_limit of them, with the
-- UIDL that a client sees. fetch_parts() gives their octets.
create function postern.list_messages(p_mailbox bigint, p_after bigint, p_limit bigint)
returns table (uid bigint, uidl text, octets bigint, received_at timestamptz, delivered_to text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select g.uid, coalesce(g.uidl, lpad(to_hex(m.uidvalidity), 12, '0') || '.' || g.uid), g.octets, g.received_at, g.delivered_to
          from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
         where g.mailbox = p_mailbox and g.uid > p_after
         order by g.uid limit p_limit;
end
$$;

create function postern.show_message(p_address text, p_uid bigint)
returns table (address text, number bigint, uid bigint, uidl text, octets bigint, received_at timestamptz, delivered_to text,
               content bigint, content_octets bigint, content_refs integer, parts bigint, digest text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, (select count(*) from postern.message n where n.mailbox = m.mailbox and n.uid <= g.uid),
               g.uid, coalesce(g.uidl, lpad(to_hex(m.uidvalidity), 12, '0') || '.' || g.uid), g.octets, g.received_at,
               g.delivered_to, g.content, c.octets, c.refs,
               (select count(*) from postern.content_part p where p.content = g.content), encode(c.digest, 'hex')
          from postern.mailbox m
          join postern.message g on g.mailbox = m.mailbox
          left join postern.content c on c.content = g.content
         where m.mailbox = postern.find_mailbox(p_address) and g.uid = p_uid;
    if not found then
        raise exception 'mailbox % has no message with uid %', p_address, p_uid using errcode = 'PN404';
    end if;
end
$$;

-- All of these messages go, or none; p_uids null is all that there are.
create function postern.remove_mail(p_address text, p_uids bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_missing bigint;
begin
    perform from postern.mailbox m where m.mailbox = v_mailbox for no key update;
    select min(u.uid) into v_missing from unnest(p_uids) as u(uid)
     where not exists (select from postern.message g where g.mailbox = v_mailbox and g.uid = u.uid);
    if v_missing is not null then
        raise exception 'mailbox % has no message with uid %', p_address, v_missing using errcode = 'PN404';
    end if;
    return r.removed from postern.remove_messages(v_mailbox,
        coalesce(p_uids, array(select g.uid from postern.message g where g.mailbox = v_mailbox))) r;
end
$$;

-- The mailbox to import into, and the right to: one import at a time, held by the
-- connection. The last batch of an import that was killed may still be on its
-- way into the database; whoever resumes waits until that connection has ended,
-- and only then compares.
create function postern.begin_import(p_address text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_key constant bigint := (x'5049'::bigint << 48) | v_mailbox;
begin
    if not pg_try_advisory_lock(v_key) then
        raise notice 'waiting for another import into %', p_address;
        perform pg_advisory_lock(v_key);
    end if;
    return v_mailbox;
end
$$;

-- What imports have stored in a mailbox, in pieces of 32 octets: a digest for each
-- message, a row for each batch. A message that its client deleted leaves
-- nothing that lasts, and an import that is resumed must not bring it back.
create table postern.imported (
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    digests     bytea       not null
);
create index imported_mailbox on postern.imported (mailbox);
-- Digests cannot be compressed; and this way a piece of them is read alone.
alter table postern.imported alter column digests set storage external;
comment on table postern.imported is 'digests of all that imports stored in a mailbox, for --resume; 32 octets a message, kept as long as the mailbox';

-- note_imported: in the transaction that stores these messages.
create function postern.note_imported(p_mailbox bigint, p_digests bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(octet_length(p_digests), 0) = 0 or octet_length(p_digests) % 32 <> 0 then
        raise exception 'note_imported: digests have 32 octets each' using errcode = 'PN400';
    end if;
    insert into postern.imported (mailbox, digests) values (p_mailbox, p_digests);
end
$$;

-- What need not be stored again: digests in rising order, how many messages with
-- it the mailbox has, and how many more of them were imported and are gone.
create function postern.list_digests(p_mailbox bigint)
returns table (digest bytea, copies bigint, gone bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        with here as (
            select c.digest, count(*) as n from postern.message g join postern.content c on c.content = g.content
             where g.mailbox = p_mailbox group by c.digest
        ), noted as (
            select substr(i.digests, 32 * k + 1, 32) as digest, count(*) as n
              from postern.imported i, generate_series(0, octet_length(i.digests) / 32 - 1) k
             where i.mailbox = p_mailbox group by 1
        )
        select coalesce(here.digest, noted.digest), coalesce(here.n, 0), greatest(coalesce(noted.n, 0) - coalesce(here.n, 0), 0)
          from here full join noted on noted.digest = here.digest order by 1;
end
$$;

-- --------------------------------------------------------------------- check

-- owners: who would miss this content, in words. Not granted.
create function postern.owners(p_content bigint) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select string_agg(m.address || ' uid ' || g.uid, ', ' order by m.address, g.uid)
                       from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
                      where g.content = p_content), 'nobody');
end
$$;

-- find_problems: what does not add up, without reading the mail itself.
--
-- Each kind is one statement and so sees one moment: counts and sums are kept
-- by the transactions that change what they count, so whatever differs within
-- one snapshot is wrong, however many deliveries and sessions are running.
-- `mendable` ones can be given to mend() with their kind and id.
create function postern.find_problems()
returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select 'message octets', g.mailbox, true,
               format('mailbox %s: %s message(s), first of them uid %s, do not have the octets of their content',
                      min(m.address), count(*), min(g.uid))
          from postern.message g join postern.content c on c.content = g.content join postern.mailbox m on m.mailbox = g.mailbox
         where g.octets <> c.octets + coalesce(octet_length(g.delivered_to) + 16, 0)
         group by g.mailbox order by g.mailbox;
    return query
        select 'mailbox', m.mailbox, true,
               format('mailbox %s: counts %s messages, %s octets, next uid %s; there are %s messages, %s octets, last uid %s',
                      m.address, m.messages, m.octets, m.next_uid, coalesce(s.n, 0), coalesce(s.octets, 0), coalesce(s.last, 0))
          from postern.mailbox m
          left join (select g.mailbox, count(*) as n, sum(g.octets) as octets, max(g.uid) as last
                       from postern.message g group by g.mailbox) s on s.mailbox = m.mailbox
         where m.messages <> coalesce(s.n, 0) or m.octets <> coalesce(s.octets, 0) or m.next_uid <= coalesce(s.last, 0)
         order by m.mailbox;
    return query
        select 'usage', d.domain, true,
               format('domain %s: usage counts %s messages, %s octets; its mailboxes count %s messages, %s octets',
                      d.name, coalesce(u.n, 0), coalesce(u.octets, 0), coalesce(s.n, 0), coalesce(s.octets, 0))
          from postern.domain d
          left join (select x.domain, sum(x.messages) as n, sum(x.octets) as octets
                       from postern.usage x group by x.domain) u on u.domain = d.domain
          left join (select m.domain, sum(m.messages) as n, sum(m.octets) as octets
                       from postern.mailbox m group by m.domain) s on s.domain = d.domain
         where coalesce(u.n, 0) <> coalesce(s.n, 0) or coalesce(u.octets, 0) <> coalesce(s.octets, 0)
         order by d.domain;
    return query
        select case when g.n is null then 'orphan content' else 'refs' end, c.content, true,
               case when g.n is null then format('content %s: %s octets that no message refers to', c.content, c.octets)
                    else format('content %s: counts %s references, there are %s', c.content, c.refs, g.n) end
          from postern.content c
          left join (select m.content, count(*) as n from postern.message m group by m.content) g on g.content = c.content
         where c.refs is distinct from g.n
         order by c.content;
    return query
        select 'orphan parts', p.content, true, format('content %s: %s part(s) without a content', p.content, count(*))
          from postern.content_part p
         where not exists (select from postern.content c where c.content = p.content)
           and not exists (select from postern.message g where g.content = p.content)
         group by p.content order by p.content;
    return query
        select 'missing content', g.content, false,
               format('content %s: is gone, and with it the message of %s', g.content, postern.owners(g.content))
          from (select distinct g.content from postern.message g
                 where not exists (select from postern.content c where c.content = g.content)) g
         order by g.content;
    return query
        select 'uidl', m.mailbox, false,
               format('mailbox %s: the own UIDL "%s" of uid %s is one that the mailbox gives by itself', m.address, g.uidl, g.uid)
          from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
         where starts_with(g.uidl, lpad(to_hex(m.uidvalidity), 12, '0') || '.')
         order by m.mailbox, g.uid;
    return query select 'partitions', 0::bigint, false, p.problem from postern.partition_problems() p(problem);
end
$$;

-- partition_problems: content and content_part are both plain, or both hashed
-- over the same number of partitions, and no part is ever toasted. Not granted.
create function postern.partition_problems() returns setof text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        with kid as (
            select i.inhparent, substring(pg_get_expr(c.relpartbound, c.oid) collate "C" from 'modulus ([0-9]+)')::integer as modulus
              from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent in ('postern.content'::regclass, 'postern.content_part'::regclass)
        )
        select format('table %s: %s of %s partitions are there', t.relname, count(kid.modulus), max(kid.modulus))
          from pg_class t left join kid on kid.inhparent = t.oid
         where t.oid in ('postern.content'::regclass, 'postern.content_part'::regclass) and t.relkind = 'p'
         group by t.relname
        having count(kid.modulus) is distinct from max(kid.modulus)::bigint or min(kid.modulus) <> max(kid.modulus);
    return query
        select format('content has %s partitions, content_part has %s', n.content, n.part)
          from (select (select count(*) from pg_inherits i where i.inhparent = 'postern.content'::regclass) as content,
                       (select count(*) from pg_inherits i where i.inhparent = 'postern.content_part'::regclass) as part) n
         where n.content <> n.part;
    return query
        select format('table %s: column data does not have storage plain', c.relname)
          from pg_class c join pg_attribute a on a.attrelid = c.oid
         where (c.oid = 'postern.content_part'::regclass
                or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = 'postern.content_part'::regclass))
           and a.attname = 'data' and a.attstorage <> 'p'
         order by c.relname;
end
$$;

-- mend: put one problem right, under the locks that its writers take.
create function postern.mend(p_kind text, p_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_refs integer;
    v_messages bigint;
    v_octets bigint;
begin
    case p_kind
    when 'message octets' then
        perform from postern.mailbox m where m.mailbox = p_id for no key update;
        update postern.message g set octets = c.octets + coalesce(octet_length(g.delivered_to) + 16, 0)
          from postern.content c
         where g.mailbox = p_id and c.content = g.content
           and g.octets <> c.octets + coalesce(octet_length(g.delivered_to) + 16, 0);
        -- A listing that a worker remembers is not true any more.
        update postern.mailbox m set expunges = m.expunges + 1 where m.mailbox = p_id;
        perform postern.mend('mailbox', p_id);
    when 'mailbox' then
        -- Who changes a mailbox holds its row: what is counted then is final.
        perform from postern.mailbox m where m.mailbox = p_id for no key update;
        update postern.mailbox m
           set messages = s.n, octets = s.octets, next_uid = greatest(m.next_uid, s.last + 1), expunges = m.expunges + 1
          from (select count(*) as n, coalesce(sum(g.octets), 0) as octets, coalesce(max(g.uid), 0) as last
                  from postern.message g where g.mailbox = p_id) s
         where m.mailbox = p_id;
        perform postern.mend('usage', m.domain) from postern.mailbox m where m.mailbox = p_id;
    when 'usage' then
        -- One snapshot sees a transaction in both tables or in neither; of two
        -- menders the second one sees what the first one has done.
        perform from postern.domain d where d.domain = p_id for no key update;
        select s.n - u.n, s.octets - u.octets into v_messages, v_octets
          from (select coalesce(sum(m.messages), 0) as n, coalesce(sum(m.octets), 0) as octets
                  from postern.mailbox m where m.domain = p_id) s,
               (select coalesce(sum(x.messages), 0) as n, coalesce(sum(x.octets), 0) as octets
                  from postern.usage x where x.domain = p_id) u;
        perform postern.add_usage(p_id, v_messages, v_octets);
    when 'refs', 'orphan content' then
        -- Who drops a reference removes his message first and then waits here;
        -- nobody ever adds one to a content that was committed.
        perform from postern.content c where c.content = p_id for update;
        select count(*) into v_refs from postern.message g where g.content = p_id;
        if v_refs > 0 then
            update postern.content c set refs = v_refs where c.content = p_id;
        else
            delete from postern.content_part p where p.content = p_id;
            delete from postern.content c where c.content = p_id;
        end if;
    when 'orphan parts' then
        delete from postern.content_part p where p.content = p_id
           and not exists (select from postern.content c where c.content = p_id)
           and not exists (select from postern.message g where g.content = p_id);
    end case;
end
$$;

-- scan_contents: contents and their parts in order, from behind
-- (p_content, p_part) on, at most p_limit rows. data is null for a content
-- without parts. p_only asks for the rest of that one content alone.
--
-- The settings: a page must come from the two primary keys, in their order,
-- whatever the statistics say; any other plan reads the whole store for each.
create function postern.scan_contents(p_content bigint, p_part integer, p_limit bigint, p_only boolean)
returns table (content bigint, octets bigint, digest bytea, part integer, data bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
as $$
#variable_conflict use_column
declare
    v_rows bigint;
begin
    -- The rest of the one that was begun; when that is through, those that follow.
    return query
        select c.content, c.octets, c.digest, p.part, p.data
          from postern.content c left join postern.content_part p on p.content = c.content and p.part > p_part
         where c.content = p_content and (p.part is not null or p_part < 0)
         order by p.part limit p_limit;
    get diagnostics v_rows = row_count;
    if v_rows < p_limit and not p_only then
        return query
            select c.content, c.octets, c.digest, p.part, p.data
              from (select * from postern.content c where c.content > p_content order by c.content limit p_limit) c
              left join lateral (select q.part, q.data from postern.content_part q
                                  where q.content = c.content and q.content > p_content) p on true
             order by c.content, p.part limit p_limit;
    end if;
end
$$;

create function postern.content_owners(p_content bigint) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return postern.owners(p_content);
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.find_mailbox(text),
    postern.add_tenant(text, bigint), postern.list_tenants(text), postern.set_tenant(text, text, boolean, bigint),
    postern.remove_tenant(text),
    postern.add_domain(text, text, text, bigint), postern.list_domains(text, text),
    postern.set_domain(text, text, text, boolean, bigint), postern.remove_domain(text),
    postern.add_mailbox(text, bigint), postern.list_mailboxes(text), postern.show_mailbox(text),
    postern.set_mailbox(text, text, boolean, bigint), postern.remove_mailbox(text, boolean),
    postern.set_password(text, text), postern.holdings(text, text),
    postern.add_alias(text, text[]), postern.list_aliases(text, text), postern.set_alias(text, text[], boolean),
    postern.remove_alias(text, text[]),
    postern.list_messages(bigint, bigint, bigint), postern.show_message(text, bigint), postern.remove_mail(text, bigint[]),
    postern.begin_import(text), postern.list_digests(bigint), postern.note_imported(bigint, bytea), postern.fetch_parts(bigint, bigint[], integer, integer),
    postern.find_problems(), postern.mend(text, bigint),
    postern.scan_contents(bigint, integer, bigint, boolean), postern.content_owners(bigint)
    to postern_admin;
