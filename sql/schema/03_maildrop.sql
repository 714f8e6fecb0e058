-- What a session does to a maildrop: lock it and list it, delete, give it back.
-- fetch_parts and fetch_headers are in 05_content, the login is in 12_login.
--
-- Every function that is granted is `security definer` and is granted to exactly
-- the roles that need it. Most are PL/pgSQL: a call is one statement for the
-- client, each statement inside has its own snapshot and a plan that is kept.
--
-- Two kinds have no search_path of their own. Some that are not granted are called
-- for each message: to set it and to reset it costs more than some of their
-- statements, so they run with that of their caller. And those with a body of
-- SQL that begins with `return` or `begin atomic` (lock_key and the like) were
-- parsed when they were made; they become part of the statement that calls them.

-- lock_key: the advisory lock of a maildrop. 'PO' in the upper 16 bits keeps it apart
-- from locks of other programs in the same database; a mailbox has 48 bits.
create function postern.lock_key(p_mailbox bigint) returns bigint
language sql immutable parallel safe
return (x'504F'::bigint << 48) | p_mailbox;

-- open_maildrop: take the lock, then tell what is in it.
--
-- outcome: 0 locked and listed, 1 another session holds it, 2 there is no such
-- mailbox, or it was disabled since the login was proven, or the login was proven
-- by p_proof and p_version (null: by the secrets, just now), and these do not
-- hold any more. The lock is a session-level advisory lock of the calling connection: it is held only after
-- outcome 0. (If the statement fails the caller unlocks, as such locks survive
-- a rollback.)
--
-- A caller that kept a listing passes its uidvalidity, next_uid and expunges.
-- If nothing was removed since, only what is new comes back, and whole is
-- false; otherwise pass nulls, or see whole = true, and take all of it.
-- The three arrays run side by side, in the order of uid; uidls is null where
-- no message has an own UIDL.
create function postern.open_maildrop(p_mailbox bigint, p_uidvalidity bigint, p_next_uid bigint, p_expunges bigint,
    p_proof bigint, p_version bigint,
    out outcome integer, out uidvalidity bigint, out next_uid bigint, out expunges bigint,
    out whole boolean, out uids bigint[], out octets bigint[], out uidls text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_key constant bigint := postern.lock_key(p_mailbox);
    v_active boolean;
    v_from bigint := 0;
begin
    if not pg_try_advisory_lock(v_key) then
        outcome := 1;
        return;
    end if;

    -- From here on a new snapshot: what the last holder committed before it
    -- unlocked is seen.
    select m.uidvalidity, m.next_uid, m.expunges,
           m.enabled and d.enabled and t.enabled and
           (p_proof is null or (m.proof = p_proof and p_version = (select v.version from postern.policy_version v)))
      into uidvalidity, next_uid, expunges, v_active
      from postern.mailbox m
      join postern.domain d on d.domain = m.domain
      join postern.tenant t on t.tenant = d.tenant
     where m.mailbox = p_mailbox;
    if not found or not v_active then
        perform pg_advisory_unlock(v_key);
        outcome := 2;
        return;
    end if;
    outcome := 0;

    whole := (uidvalidity, expunges) is distinct from (p_uidvalidity, p_expunges) or p_next_uid is null;
    if not whole then
        if p_next_uid = next_uid then
            return;
        end if;
        v_from := p_next_uid;
    end if;
    -- Below next_uid, so that a delivery that commits between these two
    -- statements is left to the next login.
    -- In the order of the inner query, which an index gives: an order in each
    -- aggregate would be a sort in each (PostgreSQL 15), four times the cost.
    select array_agg(s.uid), array_agg(s.octets), case when count(s.uidl) > 0 then array_agg(s.uidl) end
      into uids, octets, uidls
      from (select m.uid, m.octets, m.uidl
              from postern.message m
             where m.mailbox = p_mailbox and m.uid >= v_from and m.uid < open_maildrop.next_uid
             order by m.uid) s;
end
$$;

-- close_maildrop: give the lock back. False if this connection did not hold it.
create function postern.close_maildrop(p_mailbox bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_advisory_unlock(postern.lock_key(p_mailbox));
end
$$;

-- move_locks: one step in moving the locks of idle sessions from one
-- connection to another (storage/maildrop/aside.c). Between two steps each maildrop is
-- locked by at least one of the two connections, in one mode or the other, so a
-- session that opens it and asks for the exclusive lock is refused all the time.
--
--   1  share  here the exclusive lock becomes a shared one
--   2  join   the other connection takes a shared one: all of them, or none
--   3  leave  here it is released; that it was still here proves that the other
--             connection has held it without a gap
--   4  own    there (or here, if step 2 failed) the shared becomes exclusive
--
-- Returns the number of locks that could not be moved. Session-level locks survive an
-- error, so step 2, which takes new slots of the lock table and may find none,
-- gives back what it took.
create function postern.move_locks(p_step integer, p_mailboxes bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox bigint;
    v_done integer := 0;
begin
    if p_step = 1 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_try_advisory_lock_shared(postern.lock_key(v_mailbox)) and pg_advisory_unlock(postern.lock_key(v_mailbox)) then
                v_done := v_done + 1;
            end if;
        end loop;
    elsif p_step = 2 then
        begin
            foreach v_mailbox in array p_mailboxes loop
                exit when not pg_try_advisory_lock_shared(postern.lock_key(v_mailbox));
                v_done := v_done + 1;
            end loop;
        exception when others or query_canceled then
            null;
        end;
        if v_done < cardinality(p_mailboxes) then
            foreach v_mailbox in array p_mailboxes[:v_done] loop
                perform pg_advisory_unlock_shared(postern.lock_key(v_mailbox));
            end loop;
            v_done := 0;
        end if;
    elsif p_step = 3 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_advisory_unlock_shared(postern.lock_key(v_mailbox)) then
                v_done := v_done + 1;
            end if;
        end loop;
    elsif p_step = 4 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_try_advisory_lock(postern.lock_key(v_mailbox)) and pg_advisory_unlock_shared(postern.lock_key(v_mailbox)) then
                v_done := v_done + 1;
            end if;
        end loop;
    end if;
    return cardinality(p_mailboxes) - v_done;
end
$$;

-- expunge: what QUIT does. All of these messages go, or none, in the
-- transaction of the caller. Who asks is told in the history.
--
-- The fence: the caller's connection must be the one that holds the lock. The
-- lock is asked for once more, for this transaction: on the connection that
-- holds it that always succeeds, on any other one it fails while somebody else
-- holds the maildrop. (A program that lost its connection does not even ask.)
-- Errors: PN423.
create function postern.expunge(p_mailbox bigint, p_uids bigint[], p_session text, p_peer text, p_ms bigint,
    p_retrieved bigint[], p_octets bigint, out removed bigint, out expunges bigint, out deferred boolean)
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not pg_try_advisory_xact_lock(postern.lock_key(p_mailbox)) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    select r.removed, r.expunges, r.deferred into removed, expunges, deferred
      from postern.remove_messages(p_mailbox, p_uids, 'pop3', p_session, p_peer) r;
    -- Of a mailbox that was erased meanwhile there is to be nothing.
    if expunges is not null or exists (select from postern.removed r where r.mailbox = p_mailbox) then
        perform postern.note_session(p_mailbox, p_session, p_peer, p_ms, p_retrieved, p_octets);
    end if;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.lock_key(bigint) to postern_mail, postern_admin;
grant execute on function
    postern.open_maildrop(bigint, bigint, bigint, bigint, bigint, bigint), postern.close_maildrop(bigint),
    postern.move_locks(integer, bigint[]), postern.expunge(bigint, bigint[], text, text, bigint, bigint[], bigint)
    to postern_mail;
