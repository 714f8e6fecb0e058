-- Who is logged in: what `posternctl sessions` asks.
--
-- PostgreSQL knows which connection holds which maildrop; only the worker
-- behind that connection knows the session. So the operator's tool listens on
-- a channel of its own, asks all workers (ask_who), and each answers there for
-- the maildrops it holds (answer_who).

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
           and l.classid::bigint >> 16 = x'504F'::bigint
           and l.database = (select d.oid from pg_database d where d.datname = current_database())
         order by m.address, k.mailbox, l.pid;
end
$$;

-- A reply channel is `postern_reply_` and 16 hexadecimal digits that the asker
-- made by chance. Not granted: the two functions below call it.
create function postern.check_reply_channel(p_channel text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_channel is null or p_channel !~ '^postern_reply_[0-9a-f]{16}$' then
        raise exception 'not a reply channel: %', coalesce(p_channel, 'null') using errcode = 'PN400';
    end if;
end
$$;

-- ask_who: every worker answers on p_channel, which the caller listens on.
create function postern.ask_who(p_channel text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    perform pg_notify('postern_who', p_channel);
end
$$;

-- answer_who: one worker's answer, a JSON array of at most 7,000 octets. A
-- worker that holds many maildrops sends many.
create function postern.answer_who(p_channel text, p_answer text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_reply_channel(p_channel);
    perform pg_notify(p_channel, p_answer);
end
$$;

-- The owner of held_maildrops() reads other roles' activity. A superuser does
-- anyway; another owner needs this membership, which he may not be allowed to
-- give himself: the lock, its backend and its mailbox are shown all the same.
do $$
begin
    if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
        execute format('grant pg_read_all_stats to %I', current_user);
    end if;
exception when insufficient_privilege then
    raise warning 'grant pg_read_all_stats to %, or `posternctl sessions` cannot show hosts', current_user;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.held_maildrops() to postern_admin;
grant execute on function postern.ask_who(text) to postern_admin;
grant execute on function postern.answer_who(text, text) to postern_mail;
