-- Who is logged in: what `posternctl sessions` asks.
--
-- PostgreSQL knows which connection holds which maildrop; only the worker
-- that owns the connection knows the session. So the operator's tool listens on
-- a channel of its own, asks all workers (ask_who), and each answers there for
-- the maildrops it holds (answer).
--
-- On the same two ways a login asks for a maildrop whose holder fell silent
-- (ask_release), and an operator orders its release (order_release). NOTIFY
-- cannot be forbidden to a role, so a notification alone is not trusted: a request
-- can at most end a session that has been silent for pop3_takeover_after, and the
-- sender of an order is checked (is_operator).

-- held_maildrops: one row for each maildrop lock. What the activity view hides
-- from the owner of this function (see the end of this file) is null.
create function postern.held_maildrops()
returns table (mailbox bigint, address text, pid integer, client_addr inet, client_port integer, application_name text,
               backend_start timestamptz, state text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- A bigint advisory lock shows its upper half in classid, its lower half in
    -- objid, and objsubid 1. An address is null where the mailbox was removed
    -- under the session.
    return query
        select k.mailbox, m.address, l.pid, a.client_addr, a.client_port, a.application_name, a.backend_start, a.state
          from pg_locks l
         cross join lateral (select (l.classid::bigint << 32 | l.objid::bigint) & x'FFFFFFFFFFFF'::bigint as mailbox) k
          left join postern.mailbox m on m.mailbox = k.mailbox
          left join pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'advisory' and l.granted and l.objsubid = 1
           and l.classid::bigint >> 16 = postern.lock_key(0) >> 48
           and l.database = (select d.oid from pg_database d where d.datname = current_database())
         order by m.address, k.mailbox, l.pid;
end
$$;

-- check_reply_channel: a reply channel is `postern_reply_` and 16 hexadecimal digits
-- that the asker made by chance. Not granted.
-- Errors: PN400.
create function postern.check_reply_channel(p_channel text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_channel is null or p_channel collate "C" !~ '^postern_reply_[0-9a-f]{16}$' then
        raise exception 'not a reply channel: %', coalesce(p_channel, 'null') using errcode = 'PN400';
    end if;
end
$$;

-- Answers to ask_who. Whoever may connect can listen on any channel, and the sessions of others are
-- none of their business: so the notification only says that there is an answer. Nothing
-- here has to survive a crash.
create unlogged table postern.answer (
    channel     text collate "C" not null,
    at          timestamptz not null default clock_timestamp(),
    answer      text collate "C" not null
);
create index answer_channel on postern.answer (channel);
comment on table postern.answer is 'what workers have answered to `posternctl sessions`, a minute at least';

-- ask_who: every worker answers on p_channel, which the caller listens on.
-- Errors: PN400.
create function postern.ask_who(p_channel text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    delete from postern.answer a where a.at < clock_timestamp() - interval '1 minute';
    perform pg_notify('postern_ask', 'who ' || p_channel);
end
$$;

-- answer: of one worker. To ask_who a JSON array of at most 7,000 octets; a
-- worker that holds many maildrops sends many. To the others a word and a mailbox.
-- Errors: PN400.
create function postern.answer(p_channel text, p_answer text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    -- Nothing that has to survive anything.
    perform set_config('synchronous_commit', 'off', true);
    if p_answer like '[%' then
        insert into postern.answer (channel, answer) values (p_channel, p_answer);
        perform pg_notify(p_channel, 'answered');
        return;
    end if;
    perform pg_notify(p_channel, p_answer);
end
$$;

-- answers: those that have come on this channel. What is no array of objects is passed over.
-- Errors: PN400.
create function postern.answers(p_channel text)
returns table (mailbox bigint, lane_pid integer, since bigint, session text, peer text, protocol text, host text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_answer text;
begin
    perform postern.check_reply_channel(p_channel);
    for v_answer in select a.answer from postern.answer a where a.channel = p_channel loop
        begin
            return query
                select r.* from jsonb_to_recordset(v_answer::jsonb)
                    as r(mailbox bigint, lane_pid integer, since bigint, session text, peer text, protocol text, host text);
        exception when data_exception then
        end;
    end loop;
end
$$;

-- ask_release: whoever holds this maildrop and is silent shall give it up, and
-- answers on p_channel: `free`, or `busy`. p_session is for the holder's log. Only
-- whoever could open it may ask.
-- Errors: PN400, PN401.
create function postern.ask_release(p_mailbox bigint, p_channel text, p_session text, p_ticket bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    if p_session is null or p_session collate "C" !~ '^[0-9A-Za-z]{1,32}$' then
        raise exception 'not a session' using errcode = 'PN400';
    end if;
    if not postern.is_ticket(p_ticket, p_mailbox) or substr(p_ticket, 30, 8) < int8send(postern.now_ms()) then
        raise exception 'no valid ticket for mailbox %', p_mailbox using errcode = 'PN401';
    end if;
    perform set_config('synchronous_commit', 'off', true);
    perform pg_notify('postern_ask', format('release %s %s %s', p_mailbox, p_channel, p_session));
end
$$;

-- order_release: the same, for an operator, and even if the holder is not silent. A
-- deletion in progress is completed.
-- Errors: PN400.
create function postern.order_release(p_mailbox bigint, p_channel text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    perform pg_notify('postern_ask', format('order %s %s', p_mailbox, p_channel));
end
$$;

-- is_operator: may this backend order the release of this maildrop? A notification carries the number of the
-- backend that sent it, set by the server; the sender stays until the answer has arrived. The
-- operator of a tenant may where the mailbox is that tenant's.
create function postern.is_operator(p_pid integer, p_mailbox bigint) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from pg_stat_activity a
                    where a.pid = p_pid and a.datname = current_database() and a.usesysid is not null
                      and (pg_has_role(a.usesysid, 'postern_admin', 'member')
                           or exists (select from postern.tenant_operator o
                                        join postern.domain d on d.tenant = o.tenant
                                        join postern.mailbox m on m.domain = d.domain
                                       where o.role = a.usename::text and 'sessions' = any (o.rights) and m.mailbox = p_mailbox)));
end
$$;

-- end_backend: for a holder that does not answer. Terminates its connection to the
-- database, and with it the locks of all maildrops that it holds: a worker keeps
-- many sessions on one. They delete nothing. Returns the number of locks released;
-- null if no session holds this one.
-- Errors: PN409.
create function postern.end_backend(p_mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_pid integer;
    v_locks bigint;
begin
    select h.pid into v_pid from postern.held_maildrops() h where h.mailbox = p_mailbox limit 1;
    if not found then
        return null;
    end if;
    select count(*) into v_locks from postern.held_maildrops() h where h.pid = v_pid;
    if not pg_terminate_backend(v_pid, 2000) then
        raise exception 'the connection that holds the maildrop did not terminate' using errcode = 'PN409';
    end if;
    return v_locks;
end
$$;

-- The owner of these functions reads other roles' activity and ends their
-- backends. A superuser does anyway; another owner needs these memberships,
-- which that role may not be allowed to grant: everything else works without them.
do $$
begin
    if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
        execute format('grant pg_read_all_stats to %I', current_user);
    end if;
exception when insufficient_privilege then
    raise warning 'grant pg_read_all_stats to %, or `posternctl sessions` cannot show hosts', current_user;
end
$$;
do $$
begin
    if not pg_has_role(current_user, 'pg_signal_backend', 'usage') then
        execute format('grant pg_signal_backend to %I', current_user);
    end if;
exception when insufficient_privilege then
    raise warning 'grant pg_signal_backend to %, or `posternctl break --force` cannot end connections', current_user;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.held_maildrops(), postern.ask_who(text), postern.answers(text), postern.order_release(bigint, text), postern.end_backend(bigint)
    to postern_admin;
grant execute on function
    postern.answer(text, text), postern.ask_release(bigint, text, text, bytea), postern.is_operator(integer, bigint)
    to postern_mail;
