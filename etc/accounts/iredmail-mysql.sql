-- Postern on the accounts of iRedMail (1.x), in MySQL or MariaDB (package postgresql-NN-mysql-fdw).
--
--     psql -d postern -v ON_ERROR_STOP=1 -v host=db.example.org -f iredmail-mysql.sql
--
-- as a superuser who owns the schema postern. README in this folder tells more.
--
-- Over there, as its administrator, a login that may read the two tables:
--
--     CREATE USER postern@'%' IDENTIFIED BY '...';
--     GRANT SELECT ON vmail.mailbox TO postern@'%';
--     GRANT SELECT ON vmail.domain TO postern@'%';
--
-- Quotas are megabytes, 0 is none. `enablepop3` says who may log in, and
-- `enabledeliver` who gets mail.

-- Where it is, unless said otherwise with -v; the password in the environment.
-- The host is a name or an address, not a socket.
\if :{?host} \else \set host '127.0.0.1' \endif
\if :{?port} \else \set port '3306' \endif
\if :{?dbname} \else \set dbname 'vmail' \endif
\if :{?user} \else \set user 'postern' \endif
\set password ''
\getenv password ACCOUNTS_PASSWORD

begin;

create extension if not exists mysql_fdw;
drop server if exists postern_accounts cascade;
create server postern_accounts foreign data wrapper mysql_fdw options (host :'host', port :'port', reconnect 'true');
create user mapping for current_user server postern_accounts options (username :'user', password :'password');

\ir accounts.sql

create foreign table postern_accounts.their_mailbox (
    username      text collate "C",
    password      text collate "C",
    quota         text collate "C",
    domain        text collate "C",
    active        text collate "C",
    enablepop3    text collate "C",
    enabledeliver text collate "C"
) server postern_accounts options (dbname :'dbname', table_name 'mailbox');
create foreign table postern_accounts.their_domain (
    domain text collate "C",
    active text collate "C"
) server postern_accounts options (dbname :'dbname', table_name 'domain');

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
