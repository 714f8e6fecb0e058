-- Tables of a mail server: views, with a role of its own that may read these and
-- nothing else.
--
-- Read-only, for Postfix's pgsql: maps and their like, with a role of its own.
-- What is disabled is not shown, so that it is refused while the sender is
-- still there.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'postern_maps') then
        create role postern_maps login;
    end if;
end
$$;

create schema postern_maps;
comment on schema postern_maps is 'Postern: read-only views for the tables of a mail server';
revoke all on schema postern_maps from public;
grant usage on schema postern_maps to postern_maps;

create view postern_maps.domains as
    select o.name, a.name as alias_of, t.name as tenant
      from postern.domain o
      left join postern.domain a on a.domain = o.alias_of
      join postern.tenant t on t.tenant = coalesce(a.tenant, o.tenant)
     where o.enabled and coalesce(a.enabled, true) and t.enabled;
comment on view postern_maps.domains is 'domains that mail is taken for; alias_of is the domain that it is another name of; tenant is who owns it, for tables of one tenant alone';

create view postern_maps.mailboxes as
    select m.address, o.name as domain, t.name as tenant
      from postern.mailbox m
      join postern.domain o on o.domain = m.domain
      join postern.tenant t on t.tenant = o.tenant
     where m.enabled and o.enabled and t.enabled;
comment on view postern_maps.mailboxes is 'addresses of mailboxes';

create view postern_maps.aliases as
    select a.address, o.name as domain, m.address as mailbox, t.name as tenant
      from postern.alias a
      join postern.domain o on o.domain = a.domain
      join postern.tenant t on t.tenant = o.tenant
      join postern.mailbox m on m.mailbox = a.mailbox
     where a.enabled and o.enabled and t.enabled and m.enabled;
comment on view postern_maps.aliases is 'addresses that mean mailboxes, a row for each; @domain is the catch-all';

create view postern_maps.elsewhere as
    select m.address, o.name as domain, s.name as server, t.name as tenant
      from postern.mailbox m
      join postern.domain o on o.domain = m.domain
      join postern.tenant t on t.tenant = o.tenant
      join postern.old_server s on s.server = coalesce(m.old_server, o.old_server)
     where not m.moved;
comment on view postern_maps.elsewhere is 'mailboxes that are still at an old server, which is to get their mail until they have moved';

grant select on all tables in schema postern_maps to postern_maps;
