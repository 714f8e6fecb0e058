-- Postern on the accounts of Postfixadmin (3.x).
--
--     psql -d postern -v ON_ERROR_STOP=1 -v kind=pgsql -v host=db.example.org -f postfixadmin.sql
--
-- as a superuser who owns the schema postern; kind is pgsql, or mysql for MySQL
-- and MariaDB. See README in this folder.
--
-- In the other database, as its administrator, create a login that may read the two tables, in
-- PostgreSQL
--
--     create role postern login password '...';
--     grant select (username, password, quota, domain, active) on mailbox to postern;
--     grant select (domain, active) on domain to postern;
--
-- and in MySQL
--
--     CREATE USER postern@'%' IDENTIFIED BY '...';
--     GRANT SELECT ON postfix.mailbox TO postern@'%';
--     GRANT SELECT ON postfix.domain TO postern@'%';
--
-- Quotas are octets, 0 is none. Postfixadmin's aliases are the mail server's: it
-- looks them up in its tables and hands Postern the addresses of mailboxes.

\if :{?kind} \else \set kind 'pgsql' \endif
\if :{?dbname} \else \set dbname 'postfix' \endif
\ir server-:kind.sql

create foreign table postern_accounts.their_mailbox (
    username text collate "C",
    password text collate "C",
    quota    text collate "C",
    domain   text collate "C",
    active   text collate "C"
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
        select f.username, f.password, postern_accounts.truth(f.active) and postern_accounts.truth(d.active), true, true,
               postern_accounts.limit_of(f.quota::numeric, 1)
          from postern_accounts.their_mailbox f
          join postern_accounts.their_domain d on d.domain = f.domain
         where f.username = p_address;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
