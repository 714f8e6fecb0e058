-- Postern on the accounts of iRedMail (1.x).
--
--     psql -d postern -v ON_ERROR_STOP=1 -v kind=pgsql -v host=db.example.org -f iredmail.sql
--
-- as a superuser who owns the schema postern; kind is pgsql, or mysql for MySQL
-- and MariaDB. See README in this folder.
--
-- In the other database, as its administrator, create a login that may read the two tables, in
-- PostgreSQL
--
--     create role postern login password '...';
--     grant select (username, password, quota, domain, active, enablepop3, enabledeliver) on mailbox to postern;
--     grant select (domain, active) on domain to postern;
--
-- and in MySQL
--
--     CREATE USER postern@'%' IDENTIFIED BY '...';
--     GRANT SELECT ON vmail.mailbox TO postern@'%';
--     GRANT SELECT ON vmail.domain TO postern@'%';
--
-- Quotas are megabytes, 0 is none. `enablepop3` says who may log in, and
-- `enabledeliver` who gets mail.

\if :{?kind} \else \set kind 'pgsql' \endif
\if :{?dbname} \else \set dbname 'vmail' \endif
\ir server-:kind.sql

create foreign table postern_accounts.their_mailbox (
    username      text collate "C",
    password      text collate "C",
    quota         text collate "C",
    domain        text collate "C",
    active        text collate "C",
    enablepop3    text collate "C",
    enabledeliver text collate "C"
) server postern_accounts options (:place, table_name 'mailbox');
create foreign table postern_accounts.their_domain (
    domain text collate "C",
    active text collate "C"
) server postern_accounts options (:place, table_name 'domain');

create or replace function postern_accounts.by_address(p_address text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select f.username, f.password, postern_accounts.truth(f.active) and postern_accounts.truth(d.active),
               postern_accounts.truth(f.enablepop3), postern_accounts.truth(f.enabledeliver),
               postern_accounts.limit_of(f.quota::numeric, 1048576)
          from postern_accounts.their_mailbox f
          join postern_accounts.their_domain d on d.domain = f.domain
         where f.username = p_address;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
