-- Stored secrets: of which kinds, app passwords, better hashes at the next
-- login, seals; and where a provider's own accounts come in.

-- ---------------------------------------------------------------- what is kept

alter table postern.credential drop constraint credential_kind_check;
alter table postern.credential add constraint credential_kind_check
    check (kind in ('password', 'app-password', 'scram-sha-256', 'scram-sha-1', 'shared-secret'));
alter table postern.credential add constraint credential_label_check
    check (octet_length(label) <= 64 and label !~ '[[:cntrl:]]' and (kind = 'app-password') = (label <> ''));
alter table postern.credential add column used_at timestamptz;
comment on column postern.credential.kind is 'what it is good for: password and app-password for a password in the clear, the others for SASL mechanisms and APOP that do not send it';
comment on column postern.credential.label is 'name of an app password; else empty';
comment on column postern.credential.secret is 'a hash, a verifier or, as shared-secret, the password itself; sealed where there is a key: {SEALED}ID:...';
comment on column postern.credential.used_at is 'when an app password was last used, to the hour';

-- What is stored beside the hash where a password is set, for mechanisms that
-- do not send it. Nothing, unless an operator says so.
alter table postern.domain add column stores text[] collate "C" not null default '{}'
    check (stores <@ array['scram-sha-256', 'scram-sha-1', 'shared-secret']);
comment on column postern.domain.stores is 'kinds of secrets that are kept beside the hash of a password';

-- ------------------------------------------------- what the auth helper writes

-- upgrade_secret: a better form of the same secret, at a login that proved it.
-- Only if it is still the one that was proven. True if it was replaced.
create function postern.upgrade_secret(p_mailbox bigint, p_kind text, p_label text, p_old text, p_new text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set secret = p_new
     where c.mailbox = p_mailbox and c.kind = p_kind and c.label = p_label and c.secret = p_old;
    return found;
end
$$;

-- missing_secrets: kinds that the domain of this mailbox wants stored and that
-- are not there.
create function postern.missing_secrets(p_mailbox bigint) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select k.kind
          from postern.mailbox m join postern.domain d on d.domain = m.domain, unnest(d.stores) as k(kind)
         where m.mailbox = p_mailbox
           and not exists (select from postern.credential c where c.mailbox = m.mailbox and c.kind = k.kind);
end
$$;

-- add_secret: one of these, made from the password that p_proof (the stored
-- secret, as it was read) has just proven. False if that is not the password
-- any more, or the kind is not wanted, or somebody else was first.
create function postern.add_secret(p_mailbox bigint, p_proof text, p_kind text, p_secret text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.credential (mailbox, kind, secret)
        select m.mailbox, p_kind, p_secret
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.credential c on c.mailbox = m.mailbox and c.kind = 'password' and c.label = '' and c.secret = p_proof
         where m.mailbox = p_mailbox and p_kind = any (d.stores)
           for update of c
        on conflict (mailbox, kind, label) do nothing;
    return found;
end
$$;

-- use_app_password: it was used just now. Writes at most once an hour.
create function postern.use_app_password(p_mailbox bigint, p_label text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set used_at = date_trunc('hour', now())
     where c.mailbox = p_mailbox and c.kind = 'app-password' and c.label = p_label
       and (c.used_at is null or c.used_at < date_trunc('hour', now()));
end
$$;

-- ------------------------------------------------------ what posternctl asks

-- secret_plan: the mailbox, and what to store where its password is set.
create function postern.secret_plan(p_address text, out mailbox bigint, out stores text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    mailbox := postern.find_mailbox(p_address);
    select d.stores into stores
      from postern.mailbox m join postern.domain d on d.domain = m.domain where m.mailbox = secret_plan.mailbox;
end
$$;

-- set_secrets: a new password, in all its forms; those of the old one go. With
-- empty arrays there is none any more. App passwords stay.
create function postern.set_secrets(p_mailbox bigint, p_kinds text[], p_secrets text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(p_kinds) <> cardinality(p_secrets) or not p_kinds <@ array['password', 'scram-sha-256', 'scram-sha-1', 'shared-secret'] then
        raise exception 'these are not the kinds of secrets of a password' using errcode = 'PN400';
    end if;
    delete from postern.credential c where c.mailbox = p_mailbox and c.kind <> 'app-password' and c.kind <> all (p_kinds);
    insert into postern.credential as c (mailbox, kind, secret)
        select p_mailbox, n.kind, n.secret from unnest(p_kinds, p_secrets) as n(kind, secret)
        on conflict (mailbox, kind, label) do update set secret = excluded.secret, changed_at = now();
end
$$;
drop function postern.set_password(text, text);

create function postern.add_app_password(p_mailbox bigint, p_label text, p_secret text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Each wrong password is compared with all of them. Two at once wait here for each other.
    perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if (select count(*) from postern.credential c where c.mailbox = p_mailbox and c.kind = 'app-password') >= 16 then
        raise exception 'there are 16 app passwords already: remove one' using errcode = 'PN409';
    end if;
    insert into postern.credential (mailbox, kind, label, secret) values (p_mailbox, 'app-password', p_label, p_secret);
exception when unique_violation then
    raise exception 'there is an app password % already', p_label using errcode = 'PN409';
when check_violation then
    raise exception 'the name of an app password has 1 to 64 octets, and no control characters' using errcode = 'PN400';
end
$$;

create function postern.list_app_passwords(p_address text)
returns table (name text, created_at timestamptz, used_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select c.label, c.changed_at, c.used_at from postern.credential c
         where c.mailbox = postern.find_mailbox(p_address) and c.kind = 'app-password' order by c.label;
end
$$;

create function postern.remove_app_password(p_address text, p_label text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.credential c
     where c.mailbox = postern.find_mailbox(p_address) and c.kind = 'app-password' and c.label = p_label;
    if not found then
        raise exception 'there is no app password % of %', p_label, p_address using errcode = 'PN404';
    end if;
end
$$;

-- set_domain_stores: from the next password on; what is not wanted any more goes at once.
create function postern.set_domain_stores(p_name text, p_stores text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_name);
begin
    update postern.domain d set stores = p_stores where d.domain = v_domain;
    delete from postern.credential c using postern.mailbox m
     where m.domain = v_domain and c.mailbox = m.mailbox and c.kind not in ('password', 'app-password') and c.kind <> all (p_stores);
exception when check_violation then
    raise exception 'what a domain may store is scram-sha-256, scram-sha-1 and shared-secret' using errcode = 'PN400';
end
$$;

drop function postern.list_domains(text, text);
create function postern.list_domains(p_tenant text, p_name text)
returns table (name text, tenant text, alias_of text, enabled boolean, quota bigint, stores text, mailboxes bigint, messages bigint,
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
        select d.name, t.name, h.name, d.enabled, d.quota, nullif(array_to_string(d.stores, ' '), ''),
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

-- ---------------------------------------------------------- seals, by the owner

-- scan_secrets, replace_secret: for `posternctl secrets`, which runs as the
-- owner of the schema: no role of a process may read them all. Not granted.
create function postern.scan_secrets(p_after bigint, p_most integer)
returns table (credential bigint, mailbox bigint, kind text, label text, secret text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select c.credential, c.mailbox, c.kind, c.label, c.secret from postern.credential c
         where c.credential > p_after order by c.credential limit p_most;
end
$$;

-- False if it is not the one that was read any more.
create function postern.replace_secret(p_credential bigint, p_old text, p_new text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set secret = p_new where c.credential = p_credential and c.secret = p_old;
    return found;
end
$$;

-- --------------------------------------------------- a provider's own accounts

-- adopt: this account of another program's tables has a maildrop from now on.
-- For a credentials() or resolve() of a provider's own, and for his triggers.
-- The tenant and the domain are made where they are not there. Returns the
-- mailbox, which may have been there before. Not granted.
create function postern.adopt(p_address text, p_tenant text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain bigint;
    v_mailbox bigint;
begin
    select m.mailbox into v_mailbox from postern.mailbox m where m.address = p_address;
    if found then
        return v_mailbox;
    end if;
    perform postern.check_name('mailbox', p_address);
    insert into postern.tenant (name) values (p_tenant) on conflict (name) do nothing;
    insert into postern.domain (tenant, name)
        select t.tenant, split_part(p_address, '@', -1) from postern.tenant t where t.name = p_tenant
        on conflict (name) do nothing;
    select d.domain into strict v_domain from postern.domain d where d.name = split_part(p_address, '@', -1);
    insert into postern.mailbox (domain, address) values (v_domain, p_address) on conflict (address) do nothing;
    select m.mailbox into strict v_mailbox from postern.mailbox m where m.address = p_address;
    return v_mailbox;
end
$$;

-- What the functions were that a provider may replace, so that `schema status`
-- tells of those that are not ours. A migration never replaces one of these.
create table postern.replaceable (
    name    text collate "C" not null primary key,
    digest  text collate "C" not null
);
comment on table postern.replaceable is 'functions that a provider may replace, and the MD5 of our own';
insert into postern.replaceable (name, digest)
    select p.proname, md5(p.prosrc) from pg_catalog.pg_proc p
     where p.pronamespace = 'postern'::regnamespace and p.proname in ('credentials', 'resolve');

create function postern.list_replaced() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select r.name from postern.replaceable r
          join pg_catalog.pg_proc p on p.pronamespace = 'postern'::regnamespace and p.proname = r.name
         where md5(p.prosrc) <> r.digest order by r.name;
end
$$;

-- proves: are logins of this mailbox proven with what is stored here? A
-- credentials() of a provider's own may know other secrets, or these as well:
-- so it is asked, as a login would ask it, and not looked at.
create function postern.proves(p_mailbox bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_address text;
begin
    select m.address into v_address from postern.mailbox m where m.mailbox = p_mailbox;
    return not exists (select c.kind, c.secret from postern.credential c where c.mailbox = p_mailbox
                       except select g.kind, g.secret from postern.credentials(v_address) g where g.mailbox = p_mailbox)
       and (exists (select from postern.credential c where c.mailbox = p_mailbox and c.kind <> 'app-password')
            or not exists (select from postern.credentials(v_address) g where g.kind <> 'app-password' and g.secret is not null));
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.upgrade_secret(bigint, text, text, text, text), postern.missing_secrets(bigint),
    postern.add_secret(bigint, text, text, text), postern.use_app_password(bigint, text) to postern_auth;
grant execute on function postern.secret_plan(text), postern.set_secrets(bigint, text[], text[]),
    postern.add_app_password(bigint, text, text), postern.list_app_passwords(text), postern.remove_app_password(text, text),
    postern.set_domain_stores(text, text[]), postern.list_domains(text, text), postern.list_replaced(), postern.proves(bigint) to postern_admin;
