-- Where a provider's own accounts come in (etc/accounts): which functions may be
-- replaced, and what those that replace them call. This file comes last, as it
-- notes what our own functions are.

-- What the functions were that a provider may replace, so that `schema status`
-- tells of those that are not ours. An upgrade never replaces one of these.
create table postern.replaceable (
    name    text collate "C" not null primary key,
    digest  text collate "C" not null
);
comment on table postern.replaceable is 'functions that a provider may replace, and the MD5 of our own';
insert into postern.replaceable (name, digest)
    select p.proname, md5(p.prosrc) from pg_catalog.pg_proc p
     where p.pronamespace = 'postern'::regnamespace and p.proname in ('credentials', 'resolve');

-- list_replaced: functions that are a provider's own, by name.
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

-- adopt: this account of another program's tables has a maildrop from now on.
-- For a credentials() or resolve() of a provider, and for their triggers.
-- The tenant and the domain are made where they are not there. Returns the
-- mailbox, which may have been there before. Not granted.
-- Errors: PN400.
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
       and (exists (select from postern.credential c where c.mailbox = p_mailbox and c.kind not in ('app-password', 'certificate'))
            or not exists (select from postern.credentials(v_address) g where g.kind not in ('app-password', 'certificate') and g.secret is not null));
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.list_replaced(), postern.proves(bigint) to postern_admin;
