-- Postern on the accounts of vpopmail (5.4, --enable-auth-module=mysql, one table
-- for all domains; MySQL or MariaDB, package postgresql-NN-mysql-fdw).
--
--     psql -d postern -v ON_ERROR_STOP=1 -v host=db.example.org -f vpopmail.sql
--
-- as a superuser who owns the schema postern. See README in this folder.
--
-- In the other database, as its administrator, create a login that may read the table:
--
--     CREATE USER postern@'%' IDENTIFIED BY '...';
--     GRANT SELECT ON vpopmail.vpopmail TO postern@'%';
--
-- pw_shell is the quota (NOQUOTA, 50M, 10485760S,1000C), of which Postern takes the
-- octets; bits of pw_gid say who may not log in by POP3 (2) and whose mail bounces
-- (16). Names of domains that mean another one are in qmail's files and not in the
-- table: make them with `posternctl domain add NAME --alias-of DOMAIN`.

\if :{?dbname} \else \set dbname 'vpopmail' \endif
\ir server-mysql.sql

create foreign table postern_accounts.their_vpopmail (
    pw_name   text collate "C",
    pw_domain text collate "C",
    pw_passwd text collate "C",
    pw_gid    text collate "C",
    pw_shell  text collate "C"
) server postern_accounts options (:place, table_name 'vpopmail');

-- quota_of: the octets of a quota of vpopmail.
create or replace function postern_accounts.quota_of(p_quota text) returns bigint
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v constant text[] := regexp_match(upper(p_quota collate "C"), '(?:^|,)([0-9]{1,15})([KMG]?)B?S?(?:,|$)');
begin
    return postern_accounts.limit_of(v[1]::numeric,
        case v[2] when 'K' then 1024 when 'M' then 1048576 when 'G' then 1073741824 else 1 end);
end
$$;

create or replace function postern_accounts.by_address(p_address text) returns setof postern_accounts.account
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant text := split_part(p_address, '@', -1);
    v_name constant text := left(p_address, -length(v_domain) - 1);
begin
    return query
        select f.pw_name || '@' || f.pw_domain, f.pw_passwd, true, coalesce(f.pw_gid::integer, 0) & 2 = 0,
               coalesce(f.pw_gid::integer, 0) & 16 = 0,
               postern_accounts.quota_of(f.pw_shell)
          from postern_accounts.their_vpopmail f
         where f.pw_name = v_name and f.pw_domain = v_domain;
end
$$;

revoke all on all functions in schema postern_accounts from public;

commit;
