-- What happened to the mail of a mailbox: deletions and their sessions, and deletions
-- that can be undone.
--
-- A session that only looked (a poll) leaves no row: it must not write. One that
-- retrieved or deleted something leaves one row for itself, and one for each
-- message that it deleted; deliveries are known from the messages, and of those
-- that are gone from the row of their deletion.

-- A partition is a day (UTC): it is dropped when it is too old, never vacuumed.
-- Rows of a day without a partition go to history_rest, so that no QUIT ever fails
-- for want of one.
create table postern.history (
    at          timestamptz not null default now(),
    mailbox     bigint      not null,
    uid         bigint,
    octets      bigint      not null,
    since       timestamptz not null,
    messages    integer,
    what        text collate "C" not null,
    uidl        text collate "C",
    means       text collate "C",
    session     text collate "C",
    peer        text collate "C"
) partition by range (at);
create index history_mailbox on postern.history (mailbox);
create table postern.history_rest partition of postern.history default;
-- It has no key, and logical replication carries a deletion only where the row is told by something.
alter table postern.history replica identity full;
alter table postern.history_rest replica identity full;
comment on table  postern.history is 'sessions that did something, deletions, and deletions undone; a partition for each day';
comment on column postern.history.what is 'session, deletion, undelete or refusal (of a list''s message, for this member); no CHECK, as in mailbox: a row for each message that is removed';
comment on column postern.history.octets is 'of the message; of a session, what it retrieved';
comment on column postern.history.since is 'when the message was received, or refused; when the session began';
comment on column postern.history.messages is 'that the session retrieved';
comment on column postern.history.uidl is 'the own UIDL of an imported message; others are uidvalidity.uid';
comment on column postern.history.means is 'pop3, operator, expire or sync; of a refusal its reason';

-- References to content that deleted messages still hold: until their time of
-- grace is over, and then, or where a deletion was a large one, until reclaim()
-- comes to them. content.refs counts these rows as it counts messages.
create table postern.deleted (
    mailbox     bigint      not null,
    uid         bigint      not null,
    content     bigint      not null,
    octets      bigint      not null,
    received_at timestamptz not null,
    deleted_at  timestamptz not null,
    until       timestamptz not null,
    delivered_to text collate "C",
    uidl        text collate "C",
    session     text collate "C",
    primary key (mailbox, uid)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index deleted_until on postern.deleted (until);
comment on table  postern.deleted is 'messages that were deleted and whose content is still there';
comment on column postern.deleted.until is 'till then it can be brought back; from then on its content may go';

create view postern.reference as
    select m.mailbox, m.uid, m.content from postern.message m
    union all select d.mailbox, d.uid, d.content from postern.deleted d;
comment on view postern.reference is 'what content.refs counts';

-- The owners of history rows whose mailbox was removed, for persons who request their
-- data or its erasure. Only a digest of the address: it can be found by the address,
-- but not read here. It is removed with the history.
create table postern.removed (
    mailbox     bigint      not null primary key,
    account     bytea       not null,
    removed_at  timestamptz not null default now()
);
create index removed_account on postern.removed (account);
comment on table  postern.removed is 'mailboxes that were removed, as long as the history may have rows of theirs';
comment on column postern.removed.account is 'account_digest of the address';

-- account_digest: what a removed mailbox is known by: SHA-256 of its address. Not granted.
create function postern.account_digest(p_address text) returns bytea
language sql stable parallel safe
return sha256(convert_to(p_address, 'UTF8'));

-- note_removed: a trigger: a mailbox was removed.
create function postern.note_removed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.removed (mailbox, account) values (old.mailbox, postern.account_digest(old.address));
    return null;
end
$$;

create trigger note_removed after delete on postern.mailbox for each row execute function postern.note_removed();

-- ------------------------------------------------------------------- the days

-- make_history: partitions for today and p_days more. They are attached, which
-- locks less than creating them in place, and with a lock_timeout, as sessions would
-- wait for this transaction. Returns the number of partitions created.
create function postern.make_history(p_days integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
    v_today constant date := (now() at time zone 'UTC')::date;
    v_made integer := 0;
    v_name text;
begin
    for v_day in 0 .. p_days loop
        v_name := 'history_' || to_char(v_today + v_day, 'YYYYMMDD');
        continue when to_regclass('postern.' || v_name) is not null;
        begin
            execute format('create table postern.%I (like postern.history including all)', v_name);
            execute format('alter table postern.%I replica identity full', v_name);
            execute format('alter table postern.%I enable row level security', v_name);
            execute format('alter table postern.history attach partition postern.%I for values from (%L) to (%L)', v_name,
                           (v_today + v_day)::timestamp at time zone 'UTC', (v_today + v_day + 1)::timestamp at time zone 'UTC');
            v_made := v_made + 1;
        exception when check_violation then
            null;       -- of a day that has rows in history_rest already: they stay there
        end;
    end loop;
    return v_made;
end
$$;

-- old_history: the partitions whose days are all before p_before, oldest first.
create function postern.old_history(p_before date)
returns table (partition text, octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select c.relname::text, pg_total_relation_size(c.oid)
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'postern.history'::regclass
           and c.relname collate "C" ~ '^history_[0-9]{8}$' and c.relname collate "C" < 'history_' || to_char(p_before, 'YYYYMMDD')
         order by c.relname;
end
$$;

-- drop_history: the oldest of them goes. Null: there is none left, and what is
-- as old in history_rest was deleted.
create function postern.drop_history(p_before date) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
    v_name text;
begin
    select o.partition into v_name from postern.old_history(p_before) o limit 1;
    if v_name is not null then
        execute format('drop table postern.%I', v_name);
    else
        delete from postern.history_rest r where r.at < p_before::timestamp at time zone 'UTC';
        -- Nothing is left of what these are for.
        delete from postern.removed d where d.removed_at < p_before::timestamp at time zone 'UTC';
        delete from postern.audit a where a.at < p_before::timestamp at time zone 'UTC';
    end if;
    return v_name;
end
$$;

-- --------------------------------------------------------------- the sessions

-- notes_retrieved: does a policy, or the import from a server (list_absent), want to know in any
-- mailbox what was retrieved? Not granted.
create function postern.notes_retrieved() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from postern.policy x where x.expire_retrieved is not null)
        or exists (select from postern.imported i where i.source is not null);
end
$$;

-- note_retrieved: these messages were retrieved whole at p_at, where the policy
-- of the mailbox wants to know; and those that an import brought, where one was from a server, which
-- have UIDLs, or from files (list_left). Not granted.
create function postern.note_retrieved(p_mailbox bigint, p_uids bigint[], p_at timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_all constant boolean := exists (
        select from postern.mailbox m join postern.domain d on d.domain = m.domain, postern.policy_of(m.mailbox, m.domain, d.tenant) p
         where m.mailbox = p_mailbox and p.expire_retrieved is not null)
        or exists (select from postern.imported i where i.mailbox = p_mailbox and i.source = 'files');
begin
    if v_all or exists (select from postern.imported i where i.mailbox = p_mailbox and i.source is not null) then
        -- Before the messages, as everywhere.
        perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
        update postern.message m set retrieved_at = p_at
         where m.mailbox = p_mailbox and m.uid = any (p_uids) and m.retrieved_at is null and (v_all or m.uidl is not null);
    end if;
end
$$;

-- note_session: a session that deletes something; it retrieved p_retrieved (whole
-- messages), and has the maildrop since p_ms milliseconds. Not granted.
create function postern.note_session(p_mailbox bigint, p_session text, p_peer text, p_ms bigint, p_retrieved bigint[],
    p_octets bigint) returns void
language plpgsql
as $$
begin
    if p_retrieved <> '{}' and postern.notes_retrieved() then
        perform postern.note_retrieved(p_mailbox, p_retrieved, now());
    end if;
    insert into postern.history (mailbox, what, octets, since, messages, means, session, peer)
        values (p_mailbox, 'session', p_octets, now() - p_ms * interval '1 millisecond', cardinality(p_retrieved), 'pop3', p_session, p_peer);
end
$$;

-- note_sessions: sessions that retrieved something, deleted nothing and have
-- ended: a row for each. A worker collects those of a second and writes them
-- afterwards. No reply depends on these rows, so nobody waits for the disk.
--
-- The arrays run side by side: p_opened and p_closed are milliseconds of the
-- worker's clock, which is at p_now; p_messages says how many elements of
-- p_retrieved, one after the other, are a session's. A session without the ticket that
-- opened its maildrop is passed over, and none was before its ticket or is to come.
create function postern.note_sessions(p_now bigint, p_mailboxes bigint[], p_sessions text[], p_peers text[], p_opened bigint[],
    p_closed bigint[], p_octets bigint[], p_messages bigint[], p_retrieved bigint[], p_tickets bytea[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_valid boolean[];
    v_since timestamptz[];
    v_at timestamptz[];
begin
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(postern.is_ticket(s.ticket, s.mailbox) order by s.n),
           array_agg(least(greatest(now() - (p_now - s.opened) * interval '1 millisecond', t.made_at), now()) order by s.n),
           array_agg(least(greatest(now() - (p_now - s.closed) * interval '1 millisecond', t.made_at), now()) order by s.n)
      into v_valid, v_since, v_at
      from unnest(p_tickets, p_mailboxes, p_opened, p_closed) with ordinality s(ticket, mailbox, opened, closed, n),
           lateral (select postern.ticket_made_at(s.ticket) as made_at) t;
    if postern.notes_retrieved() then
        -- Mailboxes by number, as everywhere.
        for r in
            select s.mailbox, s.at, s.messages, s.valid, sum(s.messages) over (order by s.n) - s.messages as before
              from unnest(p_mailboxes, v_at, p_messages, v_valid) with ordinality s(mailbox, at, messages, valid, n)
             order by s.mailbox, s.n
        loop
            if r.valid then
                perform postern.note_retrieved(r.mailbox, p_retrieved[r.before + 1 : r.before + r.messages], r.at);
            end if;
        end loop;
    end if;
    insert into postern.history (at, mailbox, what, octets, since, messages, means, session, peer)
        select s.at, s.mailbox, 'session', s.octets, s.since, s.messages, 'pop3', s.session, s.peer
          from unnest(p_mailboxes, p_sessions, p_peers, v_since, v_at, p_octets, p_messages, v_valid)
               s(mailbox, session, peer, since, at, octets, messages, valid)
         where s.valid
         -- Of one that was erased meanwhile there is to be nothing.
           and coalesce((select true from postern.mailbox m where m.mailbox = s.mailbox),
                        (select true from postern.removed d where d.mailbox = s.mailbox));
end
$$;

-- --------------------------------------------------------- what was deleted

-- How far reclaim() got: the highest `until` that it has removed, in microseconds since 1970.
-- A sequence is the one thing that is changed in place and has no versions.
create sequence postern.deleted_reclaimed minvalue 0 start 0;

-- reclaim: drop references whose time has come, of about p_octets of mail but of
-- at least one message. `more`: there are others. Concurrent calls take
-- different ones. Nobody waits for the result, and the references are found again
-- after a crash, so the commit need not wait for the disk.
--
-- It begins where it was left the last time: before that there are rows that are gone, which a
-- batch would pass again and again as long as somebody holds a snapshot. Only when
-- nothing is left behind that place it looks before it, for what came late, or was locked.
create function postern.reclaim(p_octets bigint, out messages bigint, out octets bigint, out more boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_left constant timestamptz := (select to_timestamp(r.last_value / 1000000.0) from postern.deleted_reclaimed r);
    v_from timestamptz;
    v_last timestamptz;
    v_contents bigint[];
begin
    perform set_config('synchronous_commit', 'off', true);
    foreach v_from in array array[v_left, '-infinity'] loop
        with due as materialized (
            select d.mailbox, d.uid, d.octets, d.until from postern.deleted d
             where d.until >= v_from and d.until <= now() order by d.until limit 500 for update skip locked
        ), chosen as (
            select s.mailbox, s.uid
              from (select due.*, sum(due.octets) over (order by due.until, due.mailbox, due.uid) - due.octets as before from due) s
             where s.before < p_octets
        ), gone as (
            delete from postern.deleted d using chosen
             where d.mailbox = chosen.mailbox and d.uid = chosen.uid
            returning d.content, d.octets, d.until
        )
        select count(*), coalesce(sum(gone.octets), 0), array_agg(gone.content), max(gone.until)
          into messages, octets, v_contents, v_last from gone;
        exit when messages > 0;
    end loop;
    if messages = 0 then
        more := false;
        return;
    end if;
    perform postern.forget_contents(v_contents);
    if v_last > v_left then
        perform setval('postern.deleted_reclaimed', floor(extract(epoch from v_last) * 1000000)::bigint);
    end if;
    more := exists (select from postern.deleted d where d.until >= v_last and d.until <= now())
         or exists (select from postern.deleted d where d.until <= now());
end
$$;

-- undelete: what can be brought back of this mailbox, as far as each of p_since
-- (deleted then or later), p_session and p_uid is not null; and unless p_dry_run
-- it is: as a new delivery, with a new uid and so a new UIDL (a client takes a
-- UIDL that it has seen for a message that it has), received now (what expires
-- is not to vanish again tonight), within the quotas.
-- Errors: PN404, PN507.
create function postern.undelete(p_address text, p_since timestamptz, p_session text, p_uid bigint, p_dry_run boolean)
returns table (uid bigint, uidl text, octets bigint, received_at timestamptz, deleted_at timestamptz, session text,
               until timestamptz, new_uid bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_uids bigint[];
    v_octets bigint;
    v_first bigint;
    b record;
begin
    select m.domain, m.messages, m.octets, m.quota, m.next_uid, m.uidvalidity into b
      from postern.mailbox m where m.mailbox = v_mailbox for no key update;
    select array_agg(d.uid order by d.uid), sum(d.octets) into v_uids, v_octets
      from (select d.uid, d.octets from postern.deleted d
             where d.mailbox = v_mailbox and d.until > now()
               and (p_since is null or d.deleted_at >= p_since) and (p_session is null or d.session = p_session)
               and (p_uid is null or d.uid = p_uid)
             order by d.uid for update) d;
    if v_uids is null then
        return;
    end if;
    v_first := case when not p_dry_run then b.next_uid end;
    return query
        select d.uid, coalesce(d.uidl, postern.uidl_prefix(b.uidvalidity) || d.uid), d.octets, d.received_at, d.deleted_at,
               d.session, d.until, v_first + u.n - 1
          from unnest(v_uids) with ordinality u(uid, n) join postern.deleted d on d.mailbox = v_mailbox and d.uid = u.uid
         order by u.n;
    if p_dry_run then
        return;
    end if;
    perform postern.check_quotas(b.domain, cardinality(v_uids), v_octets);
    perform postern.check_quota('mailbox', p_address, b.quota, b.octets, v_octets);
    perform postern.check_quota('mailbox', p_address, postern.messages_allowed(v_mailbox), b.messages, cardinality(v_uids), 'messages');
    update postern.mailbox m
       set next_uid = m.next_uid + cardinality(v_uids), messages = m.messages + cardinality(v_uids), octets = m.octets + v_octets
     where m.mailbox = v_mailbox;
    with back as (
        delete from postern.deleted d where d.mailbox = v_mailbox and d.uid = any (v_uids)
        returning d.uid, d.content, d.octets, d.delivered_to, d.uidl, d.session
    ), noted as (
        insert into postern.history (mailbox, what, uid, octets, since, uidl, means, session)
            select v_mailbox, 'undelete', back.uid, back.octets, now(), back.uidl, 'operator', back.session from back
    )
    insert into postern.message (mailbox, uid, content, octets, delivered_to)
        select v_mailbox, v_first + u.n - 1, back.content, back.octets, back.delivered_to
          from back join unnest(v_uids) with ordinality u(uid, n) on u.uid = back.uid;
    perform postern.add_usage(b.domain, cardinality(v_uids), v_octets);
end
$$;

-- show_history: deliveries, logins, deletions and refusals of a mailbox, in their order.
-- The message of a delivery may be there still, or gone; logins are those that
-- retrieved or deleted something.
-- Errors: PN404.
create function postern.show_history(p_address text, p_since timestamptz)
returns table (at timestamptz, event text, uid bigint, uidl text, octets bigint, messages integer, means text, session text,
               peer text, undelete_until timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_from constant timestamptz := coalesce(p_since, '-infinity');
    v_prefix text;
begin
    select postern.uidl_prefix(m.uidvalidity) into v_prefix from postern.mailbox m where m.mailbox = v_mailbox;
    return query
        with h as materialized (select * from postern.history h where h.mailbox = v_mailbox and h.at >= v_from)
        select * from (
            select g.received_at, 'delivery', g.uid, coalesce(g.uidl, v_prefix || g.uid), g.octets, null::integer, null::text,
                   null::text, null::text, null::timestamptz
              from postern.message g where g.mailbox = v_mailbox and g.received_at >= v_from
            union all
            select h.since, case h.what when 'session' then 'login' else 'delivery' end, h.uid,
                   case h.what when 'deletion' then coalesce(h.uidl, v_prefix || h.uid) end,
                   h.octets, h.messages, case h.what when 'session' then h.means end,
                   case h.what when 'session' then h.session end, case h.what when 'session' then h.peer end, null
              from h where h.what in ('deletion', 'session') and h.since >= v_from
            union all
            select h.at, h.what, h.uid, coalesce(h.uidl, v_prefix || h.uid), h.octets, null, h.means, h.session, h.peer,
                   case when d.until > now() then d.until end
              from h left join postern.deleted d on h.what = 'deletion' and d.mailbox = v_mailbox and d.uid = h.uid
             where h.what in ('deletion', 'undelete', 'refusal')
        ) e(at, event, uid, uidl, octets, messages, means, session, peer, undelete_until)
        order by e.at, array_position(array['login', 'deletion', 'undelete', 'refusal', 'delivery'], e.event), e.uid;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.make_history(integer), postern.old_history(date), postern.drop_history(date),
    postern.undelete(text, timestamptz, text, bigint, boolean), postern.show_history(text, timestamptz)
    to postern_admin;
grant execute on function
    postern.note_sessions(bigint, bigint[], text[], text[], bigint[], bigint[], bigint[], bigint[], bigint[],
                          bytea[])
    to postern_mail;
grant execute on function postern.reclaim(bigint) to postern_mail, postern_admin;

-- The history needs a partition for today, and for the days until `posternctl expire` runs.
select postern.make_history(7);
