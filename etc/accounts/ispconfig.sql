-- Postern on the accounts of ISPConfig (3.x; MySQL or MariaDB, package
-- postgresql-NN-mysql-fdw).
--
--     psql -d postern -v ON_ERROR_STOP=1 -v host=db.example.org -f ispconfig.sql
--
-- as a superuser who owns the schema postern. See README in this folder.
--
-- In the other database, as its administrator, create a login that may read the two tables:
--
--     CREATE USER postern@'%' IDENTIFIED BY '...';
--     GRANT SELECT ON dbispconfig.mail_user TO postern@'%';
--     GRANT SELECT ON dbispconfig.mail_domain TO postern@'%';
--
-- Quotas are octets, -1 and 0 are none. The name that a client logs in with is
-- `login`, which need not be the address. Where names without a domain are used,
-- say which domain Postern adds to them (default_domain of the listener), and of
-- several servers, which one this is: -v default_domain=example.org -v server=1

\if :{?dbname} \else \set dbname 'dbispconfig' \endif
\ir server-mysql.sql

create foreign table postern_accounts.their_mail_user (
    server_id      text collate "C",
    email          text collate "C",
    login          text collate "C",
    password       text collate "C",
    quota          text collate "C",
    disablepop3    text collate "C",
    disabledeliver text collate "C",
    postfix        text collate "C"
) server postern_accounts options (:place, table_name 'mail_user');
create foreign table postern_accounts.their_mail_domain (
    server_id text collate "C",
    domain    text collate "C",
    active    text collate "C"
) server postern_accounts options (:place, table_name 'mail_domain');

-- The accounts of one server, or of all.
create view postern_accounts.their_users_here as
    select * from postern_accounts.their_mail_user
\if :{?server}
     where server_id = :'server'
\endif
;

create or replace function postern_accounts.by_address(p_address text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select f.email, f.password, postern_accounts.truth(f.postfix) and postern_accounts.truth(d.active),
               not postern_accounts.truth(f.disablepop3), not postern_accounts.truth(f.disabledeliver),
               postern_accounts.limit_of(f.quota::numeric, 1)
          from postern_accounts.their_users_here f
          join postern_accounts.their_mail_domain d on d.domain = split_part(p_address, '@', -1) and d.server_id = f.server_id
         where f.email = p_address;
end
$$;

-- default_domain: what Postern adds to a name without a domain.
\if :{?default_domain} \else \set default_domain '' \endif
create or replace function postern_accounts.default_domain() returns text immutable return :'default_domain';

-- The domain is known only when the account is, so it is two questions.
create or replace function postern_accounts.by_login(p_login text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant text := postern_accounts.default_domain();
    v_short constant text := case when v_domain <> '' and right(p_login, length(v_domain) + 1) = '@' || v_domain
                                  then left(p_login, -length(v_domain) - 1) end;
    v_email text;
    v_try text;
begin
    foreach v_try in array array[p_login, v_short] loop
        select f.email into v_email from postern_accounts.their_users_here f
         where f.login = v_try and lower(f.login collate "C") = v_try limit 1;
        if found then
            return query select * from postern_accounts.by_address(lower(v_email collate "C"));
            return;
        end if;
    end loop;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
