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

-- lock_keys: of several, in their order. Not granted.
create function postern.lock_keys(p_mailboxes bigint[]) returns bigint[]
language sql immutable parallel safe
return array(select postern.lock_key(m.mailbox) from unnest(p_mailboxes) with ordinality m(mailbox, n) order by m.n);

-- listed_at_once: how many messages one statement lists for a session: some 20 ms of a lane.
-- storage/maildrop/list_rest.c has the same number. Not granted.
create function postern.listed_at_once() returns bigint
language sql immutable parallel safe
return 20000;

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
-- no message has an own UIDL. Where they have listed_at_once() elements there may be
-- more below next_uid: list_rest() lists it.
--
-- p_ticket is what the auth helper made for this mailbox, proof, version and connection
-- (20_tickets).
-- Errors: PN401.
create function postern.open_maildrop(p_mailbox bigint, p_uidvalidity bigint, p_next_uid bigint, p_expunges bigint,
    p_proof bigint, p_version bigint, p_ticket bytea,
    out outcome integer, out uidvalidity bigint, out next_uid bigint, out expunges bigint,
    out whole boolean, out uids bigint[], out octets bigint[], out uidls text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_key constant bigint := postern.lock_key(p_mailbox);
    v_active boolean;
    v_holds boolean;
    v_from bigint := 0;
begin
    if not (postern.ticket_opens(p_ticket, p_proof, p_version) and postern.is_ticket(p_ticket, p_mailbox)) then
        raise exception 'no valid ticket for mailbox %', p_mailbox using errcode = 'PN401';
    end if;
    -- Twice: see owns().
    if not (pg_try_advisory_lock(v_key) and pg_try_advisory_lock(v_key)) then
        outcome := 1;
        return;
    end if;

    -- From here on a new snapshot: what the last holder committed before it
    -- unlocked is seen.
    select m.uidvalidity, m.next_uid, m.expunges,
           m.enabled and d.enabled and t.enabled, m.proof = p_proof and exists (select from postern.policy_version v where v.version = p_version)
      into uidvalidity, next_uid, expunges, v_active, v_holds
      from postern.mailbox m
      join postern.domain d on d.domain = m.domain
      join postern.tenant t on t.tenant = d.tenant
     where m.mailbox = p_mailbox;
    -- What depends on whether there is a proof is not in the statement: it would be planned anew each time.
    if not found or not v_active or (p_proof is not null and not v_holds) then
        perform pg_advisory_unlock(v_key), pg_advisory_unlock(v_key);
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
             order by m.uid limit postern.listed_at_once()) s;
end
$$;

-- list_rest: what comes behind, in the same form: from p_from on, below the next_uid that
-- open_maildrop() said. Less than listed_at_once(): there is no more.
-- Errors: PN423.
create function postern.list_rest(p_mailbox bigint, p_from bigint, p_below bigint, p_ticket bytea,
    out uids bigint[], out octets bigint[], out uidls text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not postern.reads(p_mailbox, p_ticket) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    select array_agg(s.uid), array_agg(s.octets), case when count(s.uidl) > 0 then array_agg(s.uidl) end
      into uids, octets, uidls
      from (select m.uid, m.octets, m.uidl
              from postern.message m
             where m.mailbox = p_mailbox and m.uid >= p_from and m.uid < p_below
             order by m.uid limit postern.listed_at_once()) s;
end
$$;

-- open_maildrops: the same for several sessions of this connection, a row for each; n
-- counts from 1, and of what is not listed there is the outcome alone. What needs an
-- error of its own (no valid ticket) or would keep the others waiting (a long listing)
-- has no row and no lock: it is to be asked for alone. If this fails no lock was taken; if
-- the statement fails behind it (its time ran out while the rows were sent, say) the caller unlocks.
create function postern.open_maildrops(p_mailboxes bigint[], p_uidvalidities bigint[], p_next_uids bigint[], p_expunges bigint[],
    p_proofs bigint[], p_versions bigint[], p_tickets bytea[])
returns table (n integer, outcome integer, uidvalidity bigint, next_uid bigint, expunges bigint,
               whole boolean, uids bigint[], octets bigint[], uidls text[])
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    c_long constant integer := 500;
    v_locked boolean[];     -- null: not asked for
    v_version bigint;
    v_same integer;
begin
    -- One statement, as the next ones need a later snapshot; twice: see owns().
    select array_agg(l.locked order by l.n) into v_locked
      from (select m.n, case when postern.ticket_opens(m.ticket, m.proof, m.version)
                              and substr(m.ticket, 1, 9) = '\x01'::bytea || int8send(m.mailbox)
                              and exists (select from postern.ticket_key k
                                           where postern.signed(k, substr(m.ticket, 1, 37)) = substr(m.ticket, 38))
                             then pg_try_advisory_lock(postern.lock_key(m.mailbox))
                              and pg_try_advisory_lock(postern.lock_key(m.mailbox)) end as locked
              from unnest(p_mailboxes, p_proofs, p_versions, p_tickets) with ordinality m(mailbox, proof, version, ticket, n)) l;
    select max(v.version) into v_version from postern.policy_version v;
    -- Where all that is known is still true there is nothing to list, and a statement that
    -- could list takes several times as long to start as this one.
    if array_position(p_next_uids, null) is null then
        select count(*) into v_same
          from unnest(p_mailboxes, p_uidvalidities, p_next_uids, p_expunges, p_proofs, p_versions, v_locked)
               m(mailbox, uidvalidity, next_uid, expunges, proof, version, locked)
          join postern.mailbox b on b.mailbox = m.mailbox
          join postern.domain d on d.domain = b.domain
          join postern.tenant t on t.tenant = d.tenant
         where m.locked and b.enabled and d.enabled and t.enabled and (m.proof is null or (b.proof = m.proof and m.version = v_version))
           and b.uidvalidity = m.uidvalidity and b.next_uid = m.next_uid and b.expunges = m.expunges;
        if v_same = cardinality(p_mailboxes) then
            outcome := 0;
            whole := false;
            for i in 1 .. v_same loop
                n := i;
                uidvalidity := p_uidvalidities[i];
                next_uid := p_next_uids[i];
                expunges := p_expunges[i];
                return next;
            end loop;
            return;
        end if;
    end if;
    return query
        select m.n::integer, case when not m.locked then 1 when s.holds then 0 else 2 end,
               case when s.holds then s.uidvalidity end, case when s.holds then s.next_uid end,
               case when s.holds then s.expunges end, case when s.holds then s.whole end, l.uids, l.octets, l.uidls
          from unnest(p_mailboxes, p_uidvalidities, p_next_uids, p_expunges, p_proofs, p_versions, v_locked)
               with ordinality m(mailbox, uidvalidity, next_uid, expunges, proof, version, locked, n)
          left join (select b.*, b.enabled and d.enabled and t.enabled as active
                       from postern.mailbox b
                       join postern.domain d on d.domain = b.domain
                       join postern.tenant t on t.tenant = d.tenant) b on b.mailbox = m.mailbox
         -- Evaluated once for each: it gives locks back.
         cross join lateral (
            select x.holds and not x.long as listed, x.holds, x.long, x.whole,
                   b.uidvalidity, b.next_uid, b.expunges,
                   case when m.locked and not (x.holds and not x.long)
                        then pg_advisory_unlock(postern.lock_key(m.mailbox)) and pg_advisory_unlock(postern.lock_key(m.mailbox)) end as freed
              from (select h.holds, h.whole, h.holds and case when h.whole then b.messages else b.next_uid - m.next_uid end > c_long as long
                      from (select m.locked and coalesce(b.active and (m.proof is null or (b.proof = m.proof and m.version = v_version)), false)
                                   as holds,
                                   (b.uidvalidity, b.expunges) is distinct from (m.uidvalidity, m.expunges) or m.next_uid is null as whole) h) x
            offset 0) s
          left join lateral (
            select array_agg(g.uid) as uids, array_agg(g.octets) as octets, case when count(g.uidl) > 0 then array_agg(g.uidl) end as uidls
              from (select g.uid, g.octets, g.uidl from postern.message g
                     where g.mailbox = m.mailbox and g.uid >= case when s.whole then 0 else m.next_uid end and g.uid < s.next_uid
                     order by g.uid) g) l on s.listed and (s.whole or s.next_uid > m.next_uid)
         where m.locked is not null and not s.long
         order by m.n;
exception when others or query_canceled then
    -- Such locks survive a rollback. What was not taken is a warning.
    perform pg_advisory_unlock(postern.lock_key(m.mailbox)) from unnest(p_mailboxes) m(mailbox), generate_series(1, 2);
    raise;
end
$$;

-- close_maildrop: give the lock back. False if this connection did not hold it. It
-- takes no ticket: nobody can give back but what their own connection holds, and who
-- ends that connection gives it back as well.
create function postern.close_maildrop(p_mailbox bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_key constant bigint := postern.lock_key(p_mailbox);
begin
    -- Twice: see owns().
    return pg_advisory_unlock(v_key) and pg_advisory_unlock(v_key);
end
$$;

-- close_maildrops: the same for several, a row for each; n counts from 1.
create function postern.close_maildrops(p_mailboxes bigint[]) returns table (n integer, was_held boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select m.n::integer, pg_advisory_unlock(postern.lock_key(m.mailbox)) and pg_advisory_unlock(postern.lock_key(m.mailbox))
          from unnest(p_mailboxes) with ordinality m(mailbox, n);
end
$$;

-- move_locks: one step in moving the locks of sessions from one
-- connection to another (storage/maildrop/move.c). Between two steps each maildrop is
-- locked by at least one of the two connections, in one mode or the other, and
-- whoever wants to open it asks for the exclusive one: they are refused all the time.
--
--   1  share  here the exclusive lock becomes a shared one
--   2  join   the other connection takes a shared one: all of them, or none
--   3  leave  here it is released; that it was still here proves that the other
--             connection has held it without a gap
--   4  own    there (or here, if step 2 failed) the shared becomes exclusive
--
-- Each lock is taken twice: see owns(). A connection can turn only what it has. What it
-- can join it is told by the one that has it: the pass that step 1 returns is made for
-- these mailboxes in this order and for the connection whose process is p_pid, and
-- holds until p_until (milliseconds since 1970); step 2 takes p_until and p_pass.
--
-- failed: for how many it could not be done. Session-level locks survive an
-- error, so step 2, which takes new slots of the lock table and may find none,
-- gives back what it took.
-- Errors: PN401.
create function postern.move_locks(p_step integer, p_mailboxes bigint[], p_pid integer, p_until bigint, p_pass bytea,
    out failed integer, out until bigint, out pass bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_pass_ms constant bigint := 60000;
    v_key bigint;
    v_done integer := 0;
begin
    if p_step = 1 then
        foreach v_key in array postern.lock_keys(p_mailboxes) loop
            if pg_advisory_unlock(v_key) and pg_try_advisory_lock_shared(v_key) and pg_try_advisory_lock_shared(v_key)
               and pg_advisory_unlock(v_key) then
                v_done := v_done + 1;
            end if;
        end loop;
        if v_done = cardinality(p_mailboxes) then
            until := postern.now_ms() + c_pass_ms;
            select postern.signed(k, postern.pass_text(p_mailboxes, p_pid, until)) into pass
              from postern.ticket_key k order by k.key desc limit 1;
        end if;
    elsif p_step = 2 then
        if p_until < postern.now_ms()
           or not exists (select from postern.ticket_key k
                           where postern.signed(k, postern.pass_text(p_mailboxes, pg_backend_pid(), p_until)) = p_pass) then
            raise exception 'no valid pass for these locks' using errcode = 'PN401';
        end if;
        begin
            foreach v_key in array postern.lock_keys(p_mailboxes) loop
                exit when not pg_try_advisory_lock_shared(v_key);
                v_done := v_done + 1;
                perform pg_try_advisory_lock_shared(v_key);
            end loop;
        exception when others or query_canceled then
            null;
        end;
        if v_done < cardinality(p_mailboxes) then
            foreach v_key in array postern.lock_keys(p_mailboxes[:v_done]) loop
                perform pg_advisory_unlock_shared(v_key), pg_advisory_unlock_shared(v_key);
            end loop;
            v_done := 0;
        end if;
    elsif p_step = 3 then
        foreach v_key in array postern.lock_keys(p_mailboxes) loop
            if pg_advisory_unlock_shared(v_key) and pg_advisory_unlock_shared(v_key) then
                v_done := v_done + 1;
            end if;
        end loop;
    elsif p_step = 4 then
        foreach v_key in array postern.lock_keys(p_mailboxes) loop
            if pg_advisory_unlock_shared(v_key) and pg_try_advisory_lock_shared(v_key)
               and pg_try_advisory_lock(v_key) and pg_try_advisory_lock(v_key)
               and pg_advisory_unlock_shared(v_key) and pg_advisory_unlock_shared(v_key) then
                v_done := v_done + 1;
            end if;
        end loop;
    end if;
    failed := cardinality(p_mailboxes) - v_done;
end
$$;

-- expunge: what QUIT does. All of these messages go, or none, in the
-- transaction of the caller. Who asks is told in the history.
--
-- The fence: the caller's connection must be the one that holds the lock (owns); it
-- holds it until the end of the transaction, as nobody else can take it away. (A
-- program that lost its connection does not even ask.) The program asks for the
-- unlocking in the same breath, so what gave way to another transaction (a deadlock)
-- is rolled back and tried again in here, under the lock.
-- Errors: PN423.
create function postern.expunge(p_mailbox bigint, p_uids bigint[], p_session text, p_peer text, p_ms bigint,
    p_retrieved bigint[], p_octets bigint, p_ticket bytea, out removed bigint, out expunges bigint, out deferred boolean)
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    c_tries constant integer := 3;
begin
    -- What is acknowledged is on disk, whatever the server's default, unless the operator's option says otherwise.
    if current_setting('synchronous_commit') = 'off' and current_setting('postern.synchronous_commit', true) is distinct from 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    if not postern.owns(p_mailbox, p_ticket) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    for v_try in 1..c_tries loop
        begin
            select r.removed, r.expunges, r.deferred into removed, expunges, deferred
              from postern.remove_messages(p_mailbox, p_uids, 'pop3', p_session, p_peer) r;
            -- Of a mailbox that was erased meanwhile there is to be nothing.
            if expunges is not null or exists (select from postern.removed r where r.mailbox = p_mailbox) then
                perform postern.note_session(p_mailbox, p_session, p_peer, p_ms, p_retrieved, p_octets);
            end if;
            return;
        exception when deadlock_detected or serialization_failure then
            if v_try = c_tries then
                raise;
            end if;
        end;
    end loop;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.lock_key(bigint) to postern_mail, postern_admin;
grant execute on function
    postern.open_maildrop(bigint, bigint, bigint, bigint, bigint, bigint, bytea),
    postern.list_rest(bigint, bigint, bigint, bytea), postern.close_maildrop(bigint),
    postern.open_maildrops(bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bytea[]), postern.close_maildrops(bigint[]),
    postern.move_locks(integer, bigint[], integer, bigint, bytea),
    postern.expunge(bigint, bigint[], text, text, bigint, bigint[], bigint, bytea)
    to postern_mail;
