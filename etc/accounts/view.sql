-- Postern on a table or view of yours: the pattern for everything that has no file
-- of its own here.
--
--     psql -d postern -v ON_ERROR_STOP=1 -v host=db.example.org -f view.sql
--
-- as a superuser who owns the schema postern. See README in this folder.
--
-- Over there, make a view of this form and let the login that is named below read
-- it. Texts may be of any type, the switches boolean, number or 'y' and 'n':
--
--     create view postern_account as
--         select address,     -- of the mailbox
--                login,       -- the name that a client logs in with; mostly the address
--                password,    -- a hash with its prefix, or as crypt(3) makes it: postern.conf(5)
--                active,      -- whether there is such an account now
--                pop3,        -- whether it may log in
--                delivers,    -- whether it gets mail
--                quota        -- octets; 0, less or null: no limit
--           from ...
--
-- An index on what address and login are made of is what a login costs.

\if :{?dbname} \else \set dbname 'accounts' \endif
\ir server-pgsql.sql

create foreign table postern_accounts.their_account (
    address  text collate "C",
    login    text collate "C",
    password text collate "C",
    active   text collate "C",
    pop3     text collate "C",
    delivers text collate "C",
    quota    text collate "C"
) server postern_accounts options (:place, table_name 'postern_account');

create or replace function postern_accounts.by_address(p_address text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select f.address, f.password, postern_accounts.truth(f.active), postern_accounts.truth(f.pop3),
               postern_accounts.truth(f.delivers), postern_accounts.limit_of(f.quota::numeric, 1)
          from postern_accounts.their_account f
         where f.address = p_address;
end
$$;

create or replace function postern_accounts.by_login(p_login text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select f.address, f.password, postern_accounts.truth(f.active), postern_accounts.truth(f.pop3),
               postern_accounts.truth(f.delivers), postern_accounts.limit_of(f.quota::numeric, 1)
          from postern_accounts.their_account f
         where f.login = p_login and lower(f.login collate "C") = p_login;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
