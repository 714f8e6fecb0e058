-- Postern with the accounts of another program: the part that all files share.
-- Do not run it by itself; README tells which file to use.
--
-- The other program's tables define the accounts, their passwords, whether they
-- are active, and their quotas. Postern reads them at each login
-- and for each recipient, and never writes to them. An account has a maildrop in
-- Postern from its first login or its first mail on: it is "adopted".
--
-- A file for a program creates two functions, which return one row or none:
--
--     postern_accounts.by_address(text)    the account that a message is for
--     postern_accounts.by_login(text)      the account of a login name; only if
--                                          names are not addresses
--
-- Two functions of Postern are replaced, as they are meant to be; `posternctl
-- schema status` shows it, and an upgrade of the schema does not touch them.
-- remove.sql restores Postern's own.

create schema if not exists postern_accounts;
comment on schema postern_accounts is 'Postern: accounts of another program, see etc/accounts/README';
revoke all on schema postern_accounts from public;

do $$
begin
    if to_regtype('postern_accounts.account') is null then
        create type postern_accounts.account as (
            address     text,       -- in any case; compared without regard to it
            password    text,       -- any form that Postern knows, see postern.conf(5); null: none is good
            active      boolean,    -- false: no mail comes in, nobody logs in
            pop3        boolean,    -- false: nobody logs in
            delivers    boolean,    -- false: no mail comes in
            quota       bigint      -- octets; null: no limit
        );
    end if;
end
$$;

create table if not exists postern_accounts.adopted (
    mailbox     bigint      not null primary key references postern.mailbox on delete cascade,
    active      boolean     not null,
    quota       bigint
);
comment on table  postern_accounts.adopted is 'mailboxes whose account is the other program''s; others are Postern''s own';
comment on column postern_accounts.adopted.active is 'what the other program said last: only a change is carried over, so that what an operator sets with posternctl stays';

-- truth: booleans, numbers, and the enums and texts that mean one.
create or replace function postern_accounts.truth(p_value text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select lower(p_value collate "C") in ('1', 't', 'true', 'y', 'yes', 'on')
$$;

-- limit_of: of a quota in units of p_unit octets; 0 or less means no quota.
create or replace function postern_accounts.limit_of(p_quota numeric, p_unit integer) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select least(p_quota * p_unit, 9223372036854775807)::bigint where p_quota > 0
$$;

-- by_login: names are addresses, unless the file of the program says otherwise.
create or replace function postern_accounts.by_login(p_login text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select * from postern_accounts.by_address(p_login) f where lower(f.address collate "C") = p_login;
end
$$;

-- own: whether this mailbox is Postern's own: one with a password in Postern that
-- was never adopted. The other program is not queried for it.
create or replace function postern_accounts.own(p_mailbox bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return not exists (select from postern_accounts.adopted a where a.mailbox = p_mailbox)
       and exists (select from postern.credential c where c.mailbox = p_mailbox);
end
$$;

-- home: the same address in the domain that this domain is an alias of.
create or replace function postern_accounts.home(p_address text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select left(p_address, -length(d.name)) || h.name
                       from postern.domain d join postern.domain h on h.domain = d.alias_of
                      where d.name = split_part(p_address, '@', -1)), p_address);
end
$$;

-- keep: the maildrop of an account, created if it is missing, with the changes of
-- the other program since the last call. Null if the account is not active and never
-- was, and if the address is Postern's own: a mailbox, an alias, or in an alias
-- domain.
create or replace function postern_accounts.keep(p_account postern_accounts.account) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_address constant text := lower(p_account.address collate "C");
    v_active constant boolean := coalesce(p_account.active, false);
    v_mailbox bigint;
    v_adopted boolean;
begin
    select m.mailbox, exists (select from postern_accounts.adopted a where a.mailbox = m.mailbox)
      into v_mailbox, v_adopted from postern.mailbox m where m.address = v_address;
    if v_mailbox is null and (not v_active or exists (select from postern.alias a where a.address = v_address)
                              or postern_accounts.home(v_address) <> v_address) then
        return null;
    end if;
    if not coalesce(v_adopted, false) then
        if postern_accounts.own(v_mailbox) then
            return null;
        end if;
        -- One tenant for all of them, unless the domain exists already.
        v_mailbox := postern.adopt(v_address, 'accounts');
        insert into postern_accounts.adopted (mailbox, active) values (v_mailbox, true) on conflict (mailbox) do nothing;
    end if;
    -- Each separately: a new quota in the other program does not enable what an operator has disabled here.
    update postern_accounts.adopted a set active = v_active where a.mailbox = v_mailbox and a.active <> v_active;
    if found then
        update postern.mailbox m set enabled = v_active where m.mailbox = v_mailbox;
    end if;
    update postern_accounts.adopted a set quota = p_account.quota where a.mailbox = v_mailbox and a.quota is distinct from p_account.quota;
    if found then
        update postern.mailbox m set quota = p_account.quota where m.mailbox = v_mailbox;
    end if;
    return v_mailbox;
end
$$;

-- gone: an account that was adopted and no longer exists. Its mail is kept, and is
-- available again if the account returns.
create or replace function postern_accounts.gone(p_mailbox bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    update postern_accounts.adopted a set active = false where a.mailbox = p_mailbox and a.active;
    if found then
        update postern.mailbox m set enabled = false where m.mailbox = p_mailbox;
    end if;
end
$$;

-- refuses: updates an address before Postern resolves it. Returns the mailbox if the
-- other program accepts no mail for it.
create or replace function postern_accounts.refuses(p_address text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_address constant text := postern_accounts.home(p_address);
    a postern_accounts.account;
    v_mailbox bigint;
begin
    select m.mailbox into v_mailbox from postern.mailbox m where m.address = v_address;
    if postern_accounts.own(v_mailbox) then
        return null;
    end if;
    -- A database that ignores case, accents or spaces when it compares returns more
    -- than was requested.
    select * into a from postern_accounts.by_address(v_address) f where lower(f.address collate "C") = v_address limit 1;
    if not found then
        perform postern_accounts.gone(v_mailbox);
        return null;
    end if;
    v_mailbox := postern_accounts.keep(a);
    return case when not coalesce(a.delivers, true) then v_mailbox end;
end
$$;

-- ----------------------------------------------- the two functions of Postern

do $$
begin
    if to_regprocedure('postern.credentials_local(text)') is null then
        alter function postern.credentials(text) rename to credentials_local;
        revoke all on function postern.credentials_local(text) from public, postern_auth;
    end if;
    if to_regprocedure('postern.resolve_local(text[], text[], bigint, text)') is null then
        alter function postern.resolve(text[], text[], bigint, text) rename to resolve_local;
        revoke all on function postern.resolve_local(text[], text[], bigint, text) from public, postern_lmtp;
    end if;
end
$$;

-- Its columns are a promise to the auth helper.
create or replace function postern.credentials(p_address text)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_mailbox bigint;
    v_address text;
    v_try text;
    v_theirs bigint;
    a postern_accounts.account;
begin
    select c.mailbox, c.address into v_mailbox, v_address from postern.credentials_local(p_address) c limit 1;
    if not coalesce(postern_accounts.own(v_mailbox), false) then
        -- Then by the name of an alias domain of theirs.
        foreach v_try in array array[p_address, nullif(postern_accounts.home(p_address), p_address)] loop
            exit when v_theirs is not null or v_try is null;
            select * into a from postern_accounts.by_login(v_try) f limit 1;
            if a.address is not null then
                v_theirs := postern_accounts.keep(a);
            end if;
        end loop;
        if v_theirs is not null then
            return query select v_theirs, lower(a.address collate "C"), m.enabled and d.enabled and t.enabled and coalesce(a.pop3, true),
                                'password', '', a.password
                           from postern.mailbox m
                           join postern.domain d on d.domain = m.domain
                           join postern.tenant t on t.tenant = d.tenant
                          where m.mailbox = v_theirs;
            return;
        end if;
        if exists (select from postern_accounts.adopted x where x.mailbox = v_mailbox) then
            -- Not a login name; the account may have another one.
            perform postern_accounts.gone(v_mailbox)
              where not exists (select from postern_accounts.by_address(v_address) f where lower(f.address collate "C") = v_address);
            return;
        end if;
    end if;
    return query select c.mailbox, c.address, c.active, c.kind, c.label, c.secret from postern.credentials_local(p_address) c;
end
$$;

-- Postern's own function does the rest, once it knows the accounts.
create or replace function postern.resolve(p_addresses text[], p_bases text[], p_octets bigint, p_postmaster text)
returns table (n integer, verdict integer, mailbox bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_address text;
    v_refuses bigint[];
begin
    foreach v_address in array p_addresses || p_bases
                               -- The catch-all must be known, too.
                               || case when exists (select from unnest(p_addresses) t where t ~ '^postmaster(@|$)' collate "C") then p_postmaster end loop
        continue when v_address is null;
        v_refuses := v_refuses || postern_accounts.refuses(v_address);
    end loop;
    return query
        select r.n, case when r.mailbox = any (v_refuses) then 3 else r.verdict end,
               case when r.mailbox = any (v_refuses) then null else r.mailbox end
          from postern.resolve_local(p_addresses, p_bases, p_octets, p_postmaster) r;
end
$$;

revoke all on function postern.credentials(text), postern.resolve(text[], text[], bigint, text) from public;
revoke all on all functions in schema postern_accounts from public;
grant execute on function postern.credentials(text) to postern_auth;
grant execute on function postern.resolve(text[], text[], bigint, text) to postern_lmtp;

-- Logins that were verified by the previous secrets are verified again.
update postern.policy_version set version = postern.next_proof(version);
