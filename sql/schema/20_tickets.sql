-- Tickets: who may open a maildrop, and what shows afterwards that they did.
--
-- A worker may open any maildrop that there is, so the right to do so is not the
-- worker's: whoever proves to an auth helper that a mailbox is theirs gets a ticket
-- for it from there, and open_maildrop() takes the lock for nothing else. The lock,
-- in turn, is what fetch, expunge and close ask for (owns), and nobody gets a lock
-- but here: PostgreSQL's own functions for advisory locks are revoked below.
--
-- A ticket is 69 octets: what it is for, and HMAC-SHA256 (RFC 2104) of that by a key
-- that only these functions and the auth helpers have. What it is for, with integers
-- in network order (auth/ticket.c has the same):
--
--      1  01
--      8  the mailbox
--      8  the proof that a cached login was verified under, or 0 (open_maildrop)
--      8  the version, or 0
--      4  the process number of the connection that will have the lock
--      8  until when the maildrop can be opened with it, in milliseconds since 1970
--
-- After that time it still shows that the owner of the mailbox logged in there: so it
-- goes along with the row of the history, too, and nobody makes up sessions of others.

create table postern.ticket_key (
    key         bigint      generated always as identity primary key,
    secret      bytea       not null check (octet_length(secret) = 32),
    inner_pad   bytea       not null check (octet_length(inner_pad) = 64),
    outer_pad   bytea       not null check (octet_length(outer_pad) = 64),
    made_at     timestamptz not null default now()
);
alter table postern.ticket_key enable row level security;
comment on table postern.ticket_key is 'keys of tickets: the newest makes them, all are taken; made by new_ticket_key()';

-- signed: HMAC-SHA256 of a text by this key, whose pads are ready. Not granted.
create function postern.signed(p_key postern.ticket_key, p_text bytea) returns bytea
language sql immutable parallel safe
return sha256(p_key.outer_pad || sha256(p_key.inner_pad || p_text));

-- new_ticket_key: from now on tickets are made with a new key. Those that were made
-- with the one before still hold, and those with older ones do not. Helpers ask for
-- the key once a minute.
create function postern.new_ticket_key() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- gen_random_uuid() has 122 bits of a strong generator.
    v_secret constant bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    v_inner bytea := decode(repeat('36', 64), 'hex');
    v_outer bytea := decode(repeat('5c', 64), 'hex');
begin
    for i in 0..31 loop
        v_inner := set_byte(v_inner, i, get_byte(v_secret, i) # x'36'::integer);
        v_outer := set_byte(v_outer, i, get_byte(v_secret, i) # x'5c'::integer);
    end loop;
    delete from postern.ticket_key k
     where k.key < (select max(n.key) from postern.ticket_key n);
    insert into postern.ticket_key (secret, inner_pad, outer_pad) values (v_secret, v_inner, v_outer);
end
$$;

-- now_ms: the clock, in milliseconds since 1970. Not granted.
create function postern.now_ms() returns bigint
language sql volatile
return (date_part('epoch', clock_timestamp()) * 1000)::bigint;

-- newest_ticket_key: what an auth helper makes tickets with, and the time by the
-- database's clock, in milliseconds since 1970, that their end is reckoned from.
create function postern.newest_ticket_key(out secret bytea, out now_ms bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    select k.secret into secret from postern.ticket_key k order by k.key desc limit 1;
    now_ms := postern.now_ms();
end
$$;

-- is_ticket: was it made with one of the keys, for this mailbox? Not granted.
create function postern.is_ticket(p_ticket bytea, p_mailbox bigint) returns boolean
language plpgsql
as $$
begin
    return substr(p_ticket, 1, 9) = '\x01'::bytea || int8send(p_mailbox)
       and exists (select from postern.ticket_key k where postern.signed(k, substr(p_ticket, 1, 37)) = substr(p_ticket, 38));
end
$$;

-- ticket_opens: can the connection that asks open a maildrop with it, whose login was
-- verified under that proof and version (0: by the secrets)? Not granted.
create function postern.ticket_opens(p_ticket bytea, p_proof bigint, p_version bigint) returns boolean
language sql volatile
begin atomic
    select substr(p_ticket, 10, 20) = int8send(coalesce(p_proof, 0)) || int8send(coalesce(p_version, 0)) || int4send(pg_backend_pid())
       and substr(p_ticket, 30, 8) >= int8send(postern.now_ms());
end;

-- ticket_made_at: helpers make them for two minutes (auth/ticket.h). Not granted.
create function postern.ticket_made_at(p_ticket bytea) returns timestamptz
language sql immutable parallel safe
return to_timestamp(('x' || encode(substr(p_ticket, 30, 8), 'hex'))::bit(64)::bigint / 1000.0) - interval '2 minutes';

-- pass_text: of locks that are to move to the connection of that process. Not granted.
create function postern.pass_text(p_mailboxes bigint[], p_pid integer, p_until bigint) returns bytea
language sql immutable parallel safe
begin atomic
    select '\x03'::bytea || int4send(p_pid) || int8send(p_until)
           || (select coalesce(string_agg(int8send(m.mailbox), '' order by m.n), '') from unnest(p_mailboxes) with ordinality m(mailbox, n));
end;

-- owns: may the connection that asks read this maildrop and delete from it? It may
-- if it holds the lock. Only open_maildrop() and move_locks() take that, twice, so
-- that one can be given back and taken again here, and nobody else ever finds it
-- free; in one expression, so that no cancellation comes in between. See protect()
-- for the ticket. Not granted.
create function postern.owns(p_mailbox bigint, p_ticket bytea) returns boolean
language sql volatile
return pg_advisory_unlock(postern.lock_key(p_mailbox)) and pg_try_advisory_lock(postern.lock_key(p_mailbox));

-- reads: the same for reading alone: between two steps of move_locks() the lock is a
-- shared one, and a session that wakes up meanwhile goes on reading. Not granted.
create function postern.reads(p_mailbox bigint, p_ticket bytea) returns boolean
language sql volatile
begin atomic
    select postern.owns(p_mailbox, p_ticket)
        or (postern.is_ticket(p_ticket, p_mailbox) and pg_advisory_unlock_shared(postern.lock_key(p_mailbox))
            and pg_try_advisory_lock_shared(postern.lock_key(p_mailbox)));
end;

-- locks_are_ours: can nobody take an advisory lock but by these functions?
create function postern.locks_are_ours() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return not exists (select from pg_proc p
                        where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^pg_(try_)?advisory_'
                          and has_function_privilege('public', p.oid, 'execute'));
end
$$;

-- protect: takes PostgreSQL's functions for advisory locks away from everybody but
-- superusers, in this database. Only a superuser can: where the owner of the schema
-- is none (a managed PostgreSQL), owns() asks for the ticket of the open maildrop,
-- too. For the owner; init and upgrade call it, and it may be called again. Not granted.
create function postern.protect() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_function regprocedure;
    v_ours boolean;
    v_body text;
begin
    -- Two upgrades at once would replace the same function.
    lock table postern.ticket_key in share row exclusive mode;
    for v_function in
        select p.oid::regprocedure from pg_proc p
         where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^pg_(try_)?advisory_'
           and has_function_privilege('public', p.oid, 'execute')
    loop
        if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
            execute format('revoke execute on function %s from public', v_function);
            -- Definer functions run as the owner of the schema.
            execute format('grant execute on function %s to %I', v_function,
                           (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'postern'));
        end if;
    end loop;
    v_ours := postern.locks_are_ours();
    v_body := 'pg_advisory_unlock(postern.lock_key(p_mailbox)) and pg_try_advisory_lock(postern.lock_key(p_mailbox))';
    if not v_ours then
        v_body := 'postern.is_ticket(p_ticket, p_mailbox) and ' || v_body;
    end if;
    execute 'create or replace function'
            ' postern.owns(p_mailbox bigint, p_ticket bytea) returns boolean language sql volatile return ' || v_body;
    return v_ours;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.newest_ticket_key() to postern_auth;
grant execute on function postern.locks_are_ours() to postern_admin;

select postern.new_ticket_key();
select postern.protect();
