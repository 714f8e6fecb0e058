-- A MySQL or MariaDB database as a foreign server, for the files of this folder that
-- include it. Where it is comes with -v (the host as a name or an address, not as a
-- socket); the password in the environment.
\if :{?host} \else \set host '127.0.0.1' \endif
\if :{?port} \else \set port '3306' \endif
\if :{?user} \else \set user 'postern' \endif
\set password ''
\getenv password ACCOUNTS_PASSWORD

begin;

create extension if not exists mysql_fdw;
drop server if exists postern_accounts cascade;
create server postern_accounts foreign data wrapper mysql_fdw options (host :'host', port :'port', reconnect 'true');
create user mapping for current_user server postern_accounts options (username :'user', password :'password');

-- Where the tables are: options of each foreign table.
\set place 'dbname ' :'dbname'

\ir accounts.sql
