-- Postern on the accounts of Postfixadmin (3.x), in PostgreSQL.
--
--     psql -d postern -v ON_ERROR_STOP=1 -v host=db.example.org -f postfixadmin-pgsql.sql
--
-- as a superuser who owns the schema postern. README in this folder tells more.
--
-- Over there, as its administrator, a login that may read the two tables:
--
--     create role postern login password '...';
--     grant select (username, password, quota, domain, active) on mailbox to postern;
--     grant select (domain, active) on domain to postern;
--
-- Quotas are octets, 0 is none. Postfixadmin's aliases are the mail server's: it
-- looks them up in its tables and hands Postern the addresses of mailboxes.

-- Where it is, unless said otherwise with -v; the password in the environment.
\if :{?host} \else \set host '127.0.0.1' \endif
\if :{?port} \else \set port '5432' \endif
\if :{?dbname} \else \set dbname 'postfix' \endif
\if :{?user} \else \set user 'postern' \endif
\set password ''
\getenv password ACCOUNTS_PASSWORD

begin;

create extension if not exists postgres_fdw;
drop server if exists postern_accounts cascade;
-- A database that does not answer is an error within seconds, and a message that
-- the mail server tries again.
create server postern_accounts foreign data wrapper postgres_fdw
    options (host :'host', port :'port', dbname :'dbname', connect_timeout '3', options '-c statement_timeout=3s');
create user mapping for current_user server postern_accounts options (user :'user', password :'password');

\ir accounts.sql

create foreign table postern_accounts.their_mailbox (
    username text collate "C",
    password text collate "C",
    quota    text collate "C",
    domain   text collate "C",
    active   text collate "C"
) server postern_accounts options (schema_name 'public', table_name 'mailbox');
create foreign table postern_accounts.their_domain (
    domain text collate "C",
    active text collate "C"
) server postern_accounts options (schema_name 'public', table_name 'domain');

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

create or replace function postern_accounts.by_login(p_login text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select * from postern_accounts.by_address(p_login) f
         where lower(f.address collate "C") = p_login;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
