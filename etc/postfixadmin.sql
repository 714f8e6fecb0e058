-- Postern on the user tables of another program, here those of Postfixadmin.
--
--     psql -d postern -f postfixadmin.sql        as the owner of the schema postern
--
-- The tables `domain` and `mailbox` below are Postfixadmin's, in the schema
-- `public` of the same database (or foreign tables of postgres_fdw there), and
-- are only read. An account that is there has a maildrop in Postern from its
-- first login or its first mail on; its password, whether it is active, and its
-- quota are always theirs. Aliases are the mail server's: it looks them up in
-- the same tables, and hands Postern the addresses of mailboxes.
--
-- Two functions of Postern are replaced, as they are meant to be. `posternctl
-- schema status` tells so, and an upgrade of the schema leaves them alone.
-- posternctl's verbs for passwords do nothing for such accounts: their
-- passwords are not in Postern.

begin;

-- The account, as both sides know it; mailbox is null where theirs has none.
-- Writes only where something has changed.
create or replace function postern.provider_account(p_address text, out mailbox bigint, out active boolean, out password text)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_quota bigint;
begin
    select f.password, f.active and d.active, nullif(f.quota, 0) into password, active, v_quota
      from public.mailbox f join public.domain d on d.domain = f.domain
     where f.username = p_address;
    if not found then
        return;
    end if;
    -- One tenant for all of them; see postern.adopt() for another way.
    mailbox := postern.adopt(p_address, 'postfixadmin');
    update postern.mailbox m set enabled = active, quota = v_quota
     where m.mailbox = provider_account.mailbox and (m.enabled, m.quota) is distinct from (active, v_quota);
end
$$;

-- Its columns are a promise to the auth helper. The text of a password is any
-- that Postern knows: {BLF-CRYPT}$2y$..., $1$..., {SSHA256}..., see postern.conf(5).
create or replace function postern.credentials(p_address text)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select a.mailbox, p_address, a.active, 'password', '', a.password
          from postern.provider_account(p_address) a where a.mailbox is not null;
end
$$;

-- Ours does all that there is to do, once the accounts are known to it. Who was
-- removed over there is disabled here: his mail is kept.
do $$
begin
    if to_regprocedure('postern.resolve_known(text[], text[], bigint, text)') is null then
        alter function postern.resolve(text[], text[], bigint, text) rename to resolve_known;
    end if;
end
$$;

create or replace function postern.resolve(p_addresses text[], p_bases text[], p_octets bigint, p_postmaster text)
returns table (n integer, verdict integer, mailbox bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_address text;
    v_mailbox bigint;
begin
    foreach v_address in array p_addresses || p_bases loop
        continue when v_address is null;
        select a.mailbox into v_mailbox from postern.provider_account(v_address) a;
        if v_mailbox is null then
            update postern.mailbox m set enabled = false where m.address = v_address and m.enabled;
        end if;
    end loop;
    return query select * from postern.resolve_known(p_addresses, p_bases, p_octets, p_postmaster);
end
$$;

revoke all on all functions in schema postern from public;
revoke all on function postern.resolve_known(text[], text[], bigint, text) from postern_lmtp;
grant execute on function postern.resolve(text[], text[], bigint, text) to postern_lmtp;

-- Who was proven by the secrets of before has to prove himself again.
update postern.policy_version set version = postern.next_proof(version);

commit;
