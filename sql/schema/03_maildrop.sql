-- What a session asks of the database: who is it, open, fetch, expunge, close.
--
-- Every function is `security definer` and is granted to exactly the role that
-- needs it. All are PL/pgSQL: a call is one statement for the client, each
-- statement inside has its own snapshot and a plan that is kept.
--
-- Some that are not granted are called by these for each message: they have no
-- settings of their own, as to set and to reset them costs more than some of
-- their statements. They run with the search_path of who calls them.

-- The version that this database is at; the programs refuse what they do not know.
create function postern.schema_version() returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select max(version) from postern.schema_version $$;

-- The advisory lock of a maildrop. 'PO' in the upper 16 bits keeps it apart
-- from locks of other programs in the same database; a mailbox has 48 bits.
create function postern.lock_key(p_mailbox bigint) returns bigint
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select (x'504F'::bigint << 48) | p_mailbox $$;

-- credentials(address): what is stored to prove that somebody is the owner of
-- this address. One row for each stored secret; no row means no such mailbox;
-- a mailbox without any secret gives one row with kind and secret null.
--
-- This is the function to replace where a provider has his own user tables:
-- keep the columns, and keep it to one index lookup for an exact address.
create function postern.credentials(p_address text)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.mailbox, m.address, m.enabled and d.enabled and t.enabled, c.kind, c.label, c.secret
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
          left join postern.credential c on c.mailbox = m.mailbox
         where m.address = p_address;
    if found then
        return;
    end if;
    -- A domain that is another name of one: the same local part there.
    return query
        select m.mailbox, m.address, m.enabled and d.enabled and a.enabled and t.enabled, c.kind, c.label, c.secret
          from postern.domain a
          join postern.domain d on d.domain = a.alias_of
          join postern.tenant t on t.tenant = d.tenant
          join postern.mailbox m on m.address = left(p_address, -length(a.name)) || d.name
          left join postern.credential c on c.mailbox = m.mailbox
         where a.name = split_part(p_address, '@', -1) and a.alias_of is not null;
end
$$;

-- Whoever was proven to be the owner of a mailbox stays it as long as the
-- number in mailbox.proof is the same, and policy_version (0007), which changes
-- with whatever is common to several. So the next login need not ask for the
-- secrets: open_maildrop() sees whether these two numbers still hold.
create function postern.next_proof(p_proof bigint) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select greatest(p_proof + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
$$;

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
    v_key constant bigint := (x'504F'::bigint << 48) | p_mailbox;
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
    return pg_advisory_unlock((x'504F'::bigint << 48) | p_mailbox);
end
$$;

-- move_locks: one step in moving the locks of resting sessions from one
-- connection to another (storage/aside.c). Between two steps each maildrop is
-- locked by at least one of the two connections, in one mode or the other, and
-- who wants to open it asks for the exclusive one: he is refused all the time.
--
--   1  share  here the exclusive lock becomes a shared one
--   2  join   the other connection takes a shared one: all of them, or none
--   3  leave  here it is given up; that it still was here is what proves that
--             the other connection has held it without a gap
--   4  own    there (or here, if step 2 failed) the shared becomes exclusive
--
-- Returns for how many it could not be done. Session-level locks survive an
-- error, so step 2, which takes new slots of the lock table and may find none,
-- gives back what it took.
create function postern.move_locks(p_step integer, p_mailboxes bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_space constant bigint := x'504F'::bigint << 48;
    v_mailbox bigint;
    v_done integer := 0;
begin
    if p_step = 1 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_try_advisory_lock_shared(c_space | v_mailbox) and pg_advisory_unlock(c_space | v_mailbox) then
                v_done := v_done + 1;
            end if;
        end loop;
    elsif p_step = 2 then
        begin
            foreach v_mailbox in array p_mailboxes loop
                exit when not pg_try_advisory_lock_shared(c_space | v_mailbox);
                v_done := v_done + 1;
            end loop;
        exception when others or query_canceled then
            null;
        end;
        if v_done < cardinality(p_mailboxes) then
            foreach v_mailbox in array p_mailboxes[:v_done] loop
                perform pg_advisory_unlock_shared(c_space | v_mailbox);
            end loop;
            v_done := 0;
        end if;
    elsif p_step = 3 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_advisory_unlock_shared(c_space | v_mailbox) then
                v_done := v_done + 1;
            end if;
        end loop;
    elsif p_step = 4 then
        foreach v_mailbox in array p_mailboxes loop
            if pg_try_advisory_lock(c_space | v_mailbox) and pg_advisory_unlock_shared(c_space | v_mailbox) then
                v_done := v_done + 1;
            end if;
        end loop;
    end if;
    return cardinality(p_mailboxes) - v_done;
end
$$;

-- fetch_parts: pieces p_first .. p_first + p_parts - 1 of these messages of the
-- mailbox, p_uids rising, in that order and in the order of pieces. A message
-- without any octets gives one row with data null; one that is gone gives no row.
--
-- One statement for all of them, half the cost of one or two for each. Two
-- things make its plan the right one for any arguments: it is kept (to plan
-- costs four times what running it does), and the first and the last uid bound
-- what is read of the mailbox, which an array does not do for the planner. A
-- lateral join can only be a nested loop, so both orders come from the indexes.
create function postern.fetch_parts(p_mailbox bigint, p_uids bigint[], p_first integer, p_parts integer)
returns table (uid bigint, part integer, delivered_to text, data bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
        select m.uid, coalesce(p.part, p_first), m.delivered_to, p.data
          from (select m.uid, m.content, m.delivered_to
                  from postern.message m
                 where m.mailbox = p_mailbox and m.uid between p_uids[1] and p_uids[cardinality(p_uids)]
                   and m.uid = any (p_uids)
                 order by m.uid) m
          left join lateral (select p.part, p.data
                  from postern.content_part p
                 where p.content = m.content and p.part between p_first and p_first + p_parts - 1
                 order by p.part) p on true;
end
$$;

-- fetch_headers: the same columns for TOP n 0: one row for each message, whose
-- data ends with the blank line behind the header; or the first piece where that
-- has none. Half the cost of first pieces of 8,000 octets.
create function postern.fetch_headers(p_mailbox bigint, p_uids bigint[])
returns table (uid bigint, part integer, delivered_to text, data bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    c_end constant bytea := '\x0d0a0d0a';
begin
    return query
        select m.uid, 0, m.delivered_to, case when p.at > 0 then substr(p.data, 1, p.at + 3) else p.data end
          from (select m.uid, m.content, m.delivered_to
                  from postern.message m
                 where m.mailbox = p_mailbox and m.uid between p_uids[1] and p_uids[cardinality(p_uids)]
                   and m.uid = any (p_uids)
                 order by m.uid) m
          left join lateral (select p.data, position(c_end in p.data) as at
                  from postern.content_part p
                 where p.content = m.content and p.part = 0) p on true;
end
$$;

-- forget_contents: drop one reference for each element; what nobody refers to
-- any more goes, with its pieces. Where ours is the only reference, nobody else
-- comes to that row; shared ones are locked in order of content, so that two of
-- these cannot deadlock. Not granted: other functions call it.
create function postern.forget_contents(p_contents bigint[]) returns void
language plpgsql
as $$
declare
    v_dead bigint[];
    v_shared bigint[];
begin
    with gone as (
        delete from postern.content c where c.content = any (p_contents) and c.refs = 1 returning c.content
    )
    select array_agg(gone.content) into v_dead from gone;
    if v_dead is not null then
        delete from postern.content_part p where p.content = any (v_dead);
    end if;
    if cardinality(v_dead) = cardinality(p_contents) then
        return;
    end if;

    with gone as (
        select c.content as content, count(*) as n from unnest(p_contents) as c(content) group by c.content
    ), held as (
        select c.content, c.refs from postern.content c
         where c.content = any (p_contents) order by c.content for update
    )
    select array_agg(held.content) filter (where held.refs <= gone.n),
           array_agg(held.content) filter (where held.refs > gone.n)
      into v_dead, v_shared
      from held join gone using (content);
    if v_shared is not null then
        update postern.content c set refs = c.refs - g.n
          from (select s.content, count(*)::integer as n
                  from unnest(p_contents) as s(content) where s.content = any (v_shared) group by s.content) g
         where c.content = g.content;
    end if;
    if v_dead is not null then
        delete from postern.content_part p where p.content = any (v_dead);
        delete from postern.content c where c.content = any (v_dead);
    end if;
end
$$;

-- add_usage: the sums of a mailbox and of its domain move together. Not granted.
-- Any row of the domain will do that no other transaction holds until its commit,
-- so nobody ever waits here; where all are held, a new one.
create function postern.add_usage(p_domain bigint, p_messages bigint, p_octets bigint) returns void
language plpgsql
as $$
begin
    update postern.usage u set messages = u.messages + p_messages, octets = u.octets + p_octets
     where u.domain = p_domain
       and u.slot = (select f.slot from postern.usage f where f.domain = p_domain
                      order by f.slot limit 1 for no key update skip locked);
    if not found then
        insert into postern.usage as u (domain, slot, messages, octets)
            values (p_domain, pg_backend_pid(), p_messages, p_octets)
            on conflict (domain, slot) do update
               set messages = u.messages + excluded.messages, octets = u.octets + excluded.octets;
    end if;
end
$$;

-- remove_messages: the messages, their sums and what nobody refers to any more.
-- Not granted: expunge() and the operator's functions call it. Messages that
-- are not there any more are passed over. Returns how many went.
create function postern.remove_messages(p_mailbox bigint, p_uids bigint[], out removed bigint, out expunges bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain bigint;
    v_octets bigint;
    v_contents bigint[];
begin
    -- First the mailbox: deliveries and removals of one mailbox come one after the other.
    select m.domain, m.expunges into v_domain, expunges
      from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if not found then
        removed := 0;
        return;
    end if;
    with gone as (
        delete from postern.message m where m.mailbox = p_mailbox and m.uid = any (p_uids)
        returning m.content, m.octets
    )
    select count(*), coalesce(sum(g.octets), 0), array_agg(g.content)
      into removed, v_octets, v_contents from gone g;
    if removed = 0 then
        return;
    end if;
    update postern.mailbox m
       set messages = m.messages - removed, octets = m.octets - v_octets, expunges = m.expunges + 1
     where m.mailbox = p_mailbox
     returning m.expunges into expunges;
    perform postern.forget_contents(v_contents);
    perform postern.add_usage(v_domain, -removed, -v_octets);
end
$$;

-- expunge: what QUIT does. All of these messages go, or none, in the
-- transaction of the caller.
--
-- The fence: the caller's connection must be the one that holds the lock. The
-- lock is asked for once more, for this transaction: on the connection that
-- holds it that always succeeds, on any other one it fails while somebody else
-- holds the maildrop. (A program that lost its connection does not even ask.)
create function postern.expunge(p_mailbox bigint, p_uids bigint[], out removed bigint, out expunges bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_try_advisory_xact_lock((x'504F'::bigint << 48) | p_mailbox) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    select r.removed, r.expunges into removed, expunges from postern.remove_messages(p_mailbox, p_uids) r;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.schema_version() to postern_auth, postern_mail, postern_lmtp, postern_admin;
grant execute on function postern.lock_key(bigint) to postern_mail, postern_admin;
grant execute on function postern.credentials(text) to postern_auth;
grant execute on function postern.open_maildrop(bigint, bigint, bigint, bigint, bigint, bigint) to postern_mail;
grant execute on function postern.close_maildrop(bigint) to postern_mail;
grant execute on function postern.fetch_parts(bigint, bigint[], integer, integer) to postern_mail;
grant execute on function postern.fetch_headers(bigint, bigint[]) to postern_mail;
grant execute on function postern.move_locks(integer, bigint[]) to postern_mail;
grant execute on function postern.expunge(bigint, bigint[]) to postern_mail;
