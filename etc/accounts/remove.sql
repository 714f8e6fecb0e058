-- Goes back to Postern's own accounts, as before the file of a program was run.
--
--     psql -d postern -v ON_ERROR_STOP=1 -f remove.sql
--
-- Mailboxes and mail stay. The passwords are in the other program's tables, so
-- nobody can log in to an adopted mailbox until it has a password here: add
-- `-v passwords=1` to take over the current hashes, or set new ones
-- with `posternctl password`.

\if :{?passwords} \else \set passwords 0 \endif

begin;

\if :passwords
insert into postern.credential (mailbox, kind, label, secret)
    select a.mailbox, 'password', '', f.password
      from postern_accounts.adopted a
      join postern.mailbox m on m.mailbox = a.mailbox
     cross join lateral postern_accounts.by_address(m.address) f
     where lower(f.address collate "C") = m.address and f.password <> ''
    on conflict (mailbox, kind, label) do update set secret = excluded.secret, changed_at = now();
\endif

do $$
begin
    if to_regprocedure('postern.credentials_local(text)') is not null then
        drop function postern.credentials(text);
        alter function postern.credentials_local(text) rename to credentials;
        grant execute on function postern.credentials(text) to postern_auth;
    end if;
    if to_regprocedure('postern.resolve_local(text[], text[], bigint, text)') is not null then
        drop function postern.resolve(text[], text[], bigint, text);
        alter function postern.resolve_local(text[], text[], bigint, text) rename to resolve;
        grant execute on function postern.resolve(text[], text[], bigint, text) to postern_lmtp;
    end if;
end
$$;

drop schema if exists postern_accounts cascade;
drop server if exists postern_accounts cascade;

update postern.policy_version set version = postern.next_proof(version);

commit;
