-- A PostgreSQL database as a foreign server, for the files of this folder that
-- include it. Where it is comes with -v; the password in the environment.
\if :{?host} \else \set host '127.0.0.1' \endif
\if :{?port} \else \set port '5432' \endif
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

-- Where the tables are: options of each foreign table.
\set place 'schema_name ''public'''

\ir accounts.sql
