-- Cached logins. A verified password remains valid as long as two numbers are the
-- same: mailbox.proof, which the triggers below change with the secrets and the
-- address of the mailbox, and policy_version, which they change with everything that
-- several mailboxes share: policies, and domains, which decide which address belongs
-- to which mailbox; and with what says that one is at an old server (11_elsewhere). So the next login need not read the secrets: open_maildrop()
-- compares both numbers.

-- next_proof: a number greater than p_proof, taken from the clock, so that no
-- restored backup brings an old one back. Not granted.
create function postern.next_proof(p_proof bigint) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select greatest(p_proof + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
$$;

-- ----------------------------------------------------------- of one mailbox

-- proof_ends: a trigger: what was proven with the secrets of a mailbox does not hold
-- any more, as one of them changed or went.
create function postern.proof_ends() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.mailbox m set proof = postern.next_proof(m.proof)
     where m.mailbox = old.mailbox or (tg_op = 'UPDATE' and m.mailbox = new.mailbox);
    return null;
end
$$;

create trigger proof_ends after delete or update of mailbox, kind, label, secret on postern.credential
    for each row execute function postern.proof_ends();

-- proof_of_address_ends: a trigger: nor does what was proven of another address.
create function postern.proof_of_address_ends() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    new.proof := postern.next_proof(old.proof);
    return new;
end
$$;

create trigger proof_ends before update of address on postern.mailbox
    for each row execute function postern.proof_of_address_ends();

-- --------------------------------------------------------------- of several

-- Read by each login and each session, as the highest version that there is, or by its number.
-- An index finds that first, and passes none of those before it, which are there as
-- long as somebody holds a snapshot.
create table postern.policy_version (
    version bigint  not null primary key
);
insert into postern.policy_version (version) values (postern.next_proof(0));
comment on table postern.policy_version is 'one row: another number whenever a policy, a domain or a provider''s function has changed';

-- policy_changed: a trigger: auth helpers must read policies and addresses again.
create function postern.policy_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.policy_version set version = postern.next_proof(version);
    return null;
end
$$;

create trigger policy_changed after insert or update on postern.policy
    for each statement execute function postern.policy_changed();
create trigger policy_changed after update or delete on postern.domain
    for each statement execute function postern.policy_changed();
create trigger policy_changed after update of domain, old_server, old_name, moved on postern.mailbox
    for each statement execute function postern.policy_changed();

-- policies_removed: a trigger: the same, where rows went. A mailbox that is removed
-- removes its policies, whether it had any or not.
create function postern.policies_removed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from removed) then
        update postern.policy_version set version = postern.next_proof(version);
    end if;
    return null;
end
$$;

create trigger policies_removed after delete on postern.policy referencing old table as removed
    for each statement execute function postern.policies_removed();

-- mailboxes_added: a trigger. An address of its own in a domain that is another name of
-- one: from now on it is not that of the mailbox there.
create function postern.mailboxes_added() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from added a join postern.domain d on d.domain = a.domain where d.alias_of is not null) then
        update postern.policy_version set version = postern.next_proof(version);
    end if;
    return null;
end
$$;

create trigger mailboxes_added after insert on postern.mailbox referencing new table as added
    for each statement execute function postern.mailboxes_added();

-- current_policy: whether what an auth helper was told by login() still holds.
-- It asks for it beside credentials(), and then needs nothing else.
create function postern.current_policy() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select max(v.version) from postern.policy_version v);
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.current_policy() to postern_auth;
