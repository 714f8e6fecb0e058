-- Which server answers, and whether it is one that may be believed.

-- server_identity: another text for every server and timeline on which a mailbox
-- may have another history: what was learned from one does not hold on another.
-- Null on a standby, which is no authority for anything. (The control file names
-- the timeline of the last checkpoint, and the one of a server that was promoted
-- just now is a new one.)
create function postern.server_identity() returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select case when pg_is_in_recovery() then null
                else (select s.system_identifier from pg_control_system() s) || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.server_identity() to postern_mail, postern_lmtp;
