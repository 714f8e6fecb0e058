-- Room: what is there and what it costs, what expires, what is removed with its
-- mailbox, what is read back; and `check`, which knows of deleted messages now.

-- ------------------------------------------------------------------- check

create view postern.reference as
    select m.mailbox, m.uid, m.content from postern.message m
    union all select d.mailbox, d.uid, d.content from postern.deleted d;
comment on view postern.reference is 'what content.refs counts';

-- As before, but for what deleted messages refer to.
create or replace function postern.owners(p_content bigint) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select string_agg(m.address || ' uid ' || g.uid || g.state, ', ' order by m.address, g.uid)
                       from (select mailbox, uid, '' as state from postern.message where content = p_content
                             union all select mailbox, uid, ', deleted' from postern.deleted where content = p_content) g
                       join postern.mailbox m on m.mailbox = g.mailbox), 'nobody');
end
$$;

create or replace function postern.find_problems()
returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select 'message octets', g.mailbox, true,
               format('mailbox %s: %s message(s), first of them uid %s, do not have the octets of their content',
                      min(m.address), count(*), min(g.uid))
          from postern.message g join postern.content c on c.content = g.content join postern.mailbox m on m.mailbox = g.mailbox
         where g.octets <> c.octets + coalesce(octet_length(g.delivered_to) + 16, 0)
         group by g.mailbox order by g.mailbox;
    return query
        select 'mailbox', m.mailbox, true,
               format('mailbox %s: counts %s messages, %s octets, next uid %s; there are %s messages, %s octets, last uid %s',
                      m.address, m.messages, m.octets, m.next_uid, coalesce(s.n, 0), coalesce(s.octets, 0), coalesce(s.last, 0))
          from postern.mailbox m
          left join (select g.mailbox, count(*) as n, sum(g.octets) as octets, max(g.uid) as last
                       from postern.message g group by g.mailbox) s on s.mailbox = m.mailbox
         where m.messages <> coalesce(s.n, 0) or m.octets <> coalesce(s.octets, 0) or m.next_uid <= coalesce(s.last, 0)
         order by m.mailbox;
    return query
        select 'missing mailbox', g.mailbox, false,
               format('mailbox %s: is gone, %s message(s) are there, first of them uid %s', g.mailbox, count(*), min(g.uid))
          from postern.message g
         where not exists (select from postern.mailbox m where m.mailbox = g.mailbox)
         group by g.mailbox order by g.mailbox;
    return query
        select 'usage', d.domain, true,
               format('domain %s: usage counts %s messages, %s octets; its mailboxes count %s messages, %s octets',
                      d.name, coalesce(u.n, 0), coalesce(u.octets, 0), coalesce(s.n, 0), coalesce(s.octets, 0))
          from postern.domain d
          left join (select x.domain, sum(x.messages) as n, sum(x.octets) as octets
                       from postern.usage x group by x.domain) u on u.domain = d.domain
          left join (select m.domain, sum(m.messages) as n, sum(m.octets) as octets
                       from postern.mailbox m group by m.domain) s on s.domain = d.domain
         where coalesce(u.n, 0) <> coalesce(s.n, 0) or coalesce(u.octets, 0) <> coalesce(s.octets, 0)
         order by d.domain;
    return query
        select case when g.n is null then 'orphan content' else 'refs' end, c.content, true,
               case when g.n is null then format('content %s: %s octets that no message refers to', c.content, c.octets)
                    else format('content %s: counts %s references, there are %s', c.content, c.refs, g.n) end
          from postern.content c
          left join (select r.content, count(*) as n from postern.reference r group by r.content) g on g.content = c.content
         where c.refs is distinct from g.n
         order by c.content;
    return query
        select 'orphan parts', p.content, true, format('content %s: %s part(s) without a content', p.content, count(*))
          from postern.content_part p
         where not exists (select from postern.content c where c.content = p.content)
           and not exists (select from postern.reference r where r.content = p.content)
         group by p.content order by p.content;
    return query
        select 'missing content', g.content, false,
               format('content %s: is gone, and with it the message of %s', g.content, postern.owners(g.content))
          from (select distinct g.content from postern.reference g
                 where not exists (select from postern.content c where c.content = g.content)) g
         order by g.content;
    return query
        select 'uidl', m.mailbox, false,
               format('mailbox %s: the own UIDL "%s" of uid %s is one that the mailbox gives by itself', m.address, g.uidl, g.uid)
          from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
         where starts_with(g.uidl, lpad(to_hex(m.uidvalidity), 12, '0') || '.')
         order by m.mailbox, g.uid;
    -- By hand, as nothing of ours makes them; and nothing of ours finds them.
    return query
        select n.kind || ' names', 0::bigint, false,
               format('%s %s that no client and no mail can reach: %s', count(*),
                      case n.kind when 'domain' then 'domain(s)' when 'mailbox' then 'mailbox(es)' else 'alias(es)' end,
                      array_to_string((array_agg(format('"%s" (%s)', n.name, n.fault) order by n.name))[1:3], ', '))
          from (select 'domain' as kind, d.name, postern.name_fault('domain', d.name) as fault from postern.domain d
                union all
                select 'mailbox', m.address, coalesce(postern.name_fault('mailbox', m.address),
                           case when split_part(m.address, '@', -1) <> d.name then 'it is kept in domain ' || d.name end)
                  from postern.mailbox m join postern.domain d on d.domain = m.domain
                union all
                select distinct 'alias', a.address, coalesce(postern.name_fault('alias', a.address),
                           case when split_part(a.address, '@', -1) <> d.name then 'it is kept in domain ' || d.name end)
                  from postern.alias a join postern.domain d on d.domain = a.domain) n
         where n.fault is not null
         group by n.kind order by n.kind;
    return query select 'partitions', 0::bigint, false, p.problem from postern.partition_problems() p(problem);
end
$$;

create or replace function postern.mend(p_kind text, p_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_refs integer;
    v_messages bigint;
    v_octets bigint;
begin
    case p_kind
    when 'message octets' then
        perform from postern.mailbox m where m.mailbox = p_id for no key update;
        update postern.message g set octets = c.octets + coalesce(octet_length(g.delivered_to) + 16, 0)
          from postern.content c
         where g.mailbox = p_id and c.content = g.content
           and g.octets <> c.octets + coalesce(octet_length(g.delivered_to) + 16, 0);
        -- A listing that a worker remembers is not true any more.
        update postern.mailbox m set expunges = m.expunges + 1 where m.mailbox = p_id;
        perform postern.mend('mailbox', p_id);
    when 'mailbox' then
        -- Who changes a mailbox holds its row: what is counted then is final.
        perform from postern.mailbox m where m.mailbox = p_id for no key update;
        update postern.mailbox m
           set messages = s.n, octets = s.octets, next_uid = greatest(m.next_uid, s.last + 1), expunges = m.expunges + 1
          from (select count(*) as n, coalesce(sum(g.octets), 0) as octets, coalesce(max(g.uid), 0) as last
                  from postern.message g where g.mailbox = p_id) s
         where m.mailbox = p_id;
        perform postern.mend('usage', m.domain) from postern.mailbox m where m.mailbox = p_id;
    when 'usage' then
        -- One snapshot sees a transaction in both tables or in neither; of two
        -- menders the second one sees what the first one has done.
        perform from postern.domain d where d.domain = p_id for no key update;
        select s.n - u.n, s.octets - u.octets into v_messages, v_octets
          from (select coalesce(sum(m.messages), 0) as n, coalesce(sum(m.octets), 0) as octets
                  from postern.mailbox m where m.domain = p_id) s,
               (select coalesce(sum(x.messages), 0) as n, coalesce(sum(x.octets), 0) as octets
                  from postern.usage x where x.domain = p_id) u;
        perform postern.add_usage(p_id, v_messages, v_octets);
    when 'refs', 'orphan content' then
        -- Who drops a reference removes his message first and then waits here;
        -- nobody ever adds one to a content that was committed.
        perform from postern.content c where c.content = p_id for update;
        select count(*) into v_refs from postern.reference r where r.content = p_id;
        if v_refs > 0 then
            update postern.content c set refs = v_refs where c.content = p_id;
        else
            delete from postern.content_part p where p.content = p_id;
            delete from postern.content c where c.content = p_id;
        end if;
    when 'orphan parts' then
        delete from postern.content_part p where p.content = p_id
           and not exists (select from postern.content c where c.content = p_id)
           and not exists (select from postern.reference r where r.content = p_id);
    end case;
end
$$;

-- ------------------------------------------------------------------ expiry

-- expires: from when on messages of a mailbox have outlived its policy; null
-- where there is none. Not granted.
create function postern.expires(p_mailbox bigint, out delivered_before timestamptz, out retrieved_before timestamptz)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select now() - p.expire_delivered * interval '1 day', now() - p.expire_retrieved * interval '1 day'
      from postern.mailbox m
      join postern.domain d on d.domain = m.domain,
           postern.policy_of(m.mailbox, m.domain, d.tenant) p
     where m.mailbox = p_mailbox
$$;

-- list_expired: the next p_limit mailboxes behind p_after, and what has expired
-- in each. Less rows than asked for: there are no more.
create function postern.list_expired(p_after bigint, p_limit integer)
returns table (mailbox bigint, address text, messages bigint, octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from postern.policy p where coalesce(p.expire_delivered, p.expire_retrieved) is not null) then
        return;
    end if;
    return query
        select m.mailbox, m.address, coalesce(s.messages, 0), coalesce(s.octets, 0)::bigint
          from (select * from postern.mailbox m where m.mailbox > p_after order by m.mailbox limit p_limit) m
          cross join lateral postern.expires(m.mailbox) x
          left join lateral (select count(*) as messages, sum(g.octets) as octets from postern.message g
                              where coalesce(x.delivered_before, x.retrieved_before) is not null and g.mailbox = m.mailbox
                                and (g.received_at < x.delivered_before or g.retrieved_at < x.retrieved_before)) s on true
         order by m.mailbox;
end
$$;

-- expire_mail: at most p_limit of them are removed. A maildrop that a session
-- holds is left alone (held), and none can open it meanwhile.
create function postern.expire_mail(p_mailbox bigint, p_limit integer, out removed bigint, out octets bigint, out held boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    x record;
    v_uids bigint[];
begin
    removed := 0;
    octets := 0;
    held := not pg_try_advisory_xact_lock(postern.lock_key(p_mailbox));
    if held then
        return;
    end if;
    select * into x from postern.expires(p_mailbox);
    select array_agg(s.uid), coalesce(sum(s.octets), 0) into v_uids, octets
      from (select g.uid, g.octets from postern.message g
             where g.mailbox = p_mailbox and (g.received_at < x.delivered_before or g.retrieved_at < x.retrieved_before)
             order by g.uid limit p_limit) s;
    if v_uids is not null then
        select r.removed into removed from postern.remove_messages(p_mailbox, v_uids, 'expire') r;
    end if;
end
$$;

-- ----------------------------------------------------------------- removal

-- remove_mailbox: at most p_limit messages of it, no more than 16 MB of them but
-- one; when none is left, the mailbox (gone). It is disabled with the first
-- call, so that no mail comes in between two of them. What goes this way leaves
-- no history and cannot be brought back, and what could be goes too.
--
-- Unless forced, not while a session holds it: the lock of the maildrop is taken
-- for this transaction, so that none can begin meanwhile either.
drop function postern.remove_mailbox(text, boolean);
create function postern.remove_mailbox(p_address text, p_force boolean, p_limit integer,
    out messages bigint, out octets bigint, out gone boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_octets constant bigint := 16 << 20;
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_uids bigint[];
    v_contents bigint[];
begin
    if not p_force and not pg_try_advisory_xact_lock(postern.lock_key(v_mailbox)) then
        raise exception 'a session holds the maildrop of %', p_address using errcode = 'PN423';
    end if;
    perform from postern.mailbox m where m.mailbox = v_mailbox for update;
    update postern.mailbox m set enabled = false where m.mailbox = v_mailbox and m.enabled;
    gone := false;
    select array_agg(s.uid), count(*), coalesce(sum(s.octets), 0) into v_uids, messages, octets
      from (select g.uid, g.octets, sum(g.octets) over (order by g.uid) - g.octets as before
              from (select * from postern.message g where g.mailbox = v_mailbox order by g.uid limit p_limit) g) s
     where s.before < c_octets;
    if messages > 0 then
        perform postern.remove_messages(v_mailbox, v_uids, null);
        return;
    end if;
    select array_agg(s.uid), count(*), coalesce(sum(s.octets), 0), array_agg(s.content) into v_uids, messages, octets, v_contents
      from (select d.uid, d.content, d.octets, sum(d.octets) over (order by d.uid) - d.octets as before
              from (select * from postern.deleted d where d.mailbox = v_mailbox order by d.uid limit p_limit) d) s
     where s.before < c_octets;
    if messages > 0 then
        -- reclaim() may have come to some of them.
        with mine as (
            delete from postern.deleted d where d.mailbox = v_mailbox and d.uid = any (v_uids) returning d.content
        )
        select array_agg(mine.content) into v_contents from mine;
        perform postern.forget_contents(coalesce(v_contents, '{}'));
        return;
    end if;
    delete from postern.mailbox m where m.mailbox = v_mailbox;
    gone := true;
end
$$;

-- ------------------------------------------------------------------- space

-- space: what mail takes, in rows and in sum: a row for each tenant, for each
-- domain of a tenant, for each mailbox of a domain, or for one mailbox; and one
-- with the name null for all of it. stored_octets is what they refer to, each
-- content once; shared_octets is what is saved by that.
create function postern.space(p_kind text, p_name text)
returns table (name text, mailboxes bigint, messages bigint, octets bigint, stored_octets bigint, shared_octets bigint,
               undeletable bigint, undeletable_octets bigint, reclaimable_octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    case p_kind
    when 'tenant' then perform postern.find_tenant(p_name);
    when 'domain' then perform postern.find_domain(p_name);
    when 'mailbox' then perform postern.find_mailbox(p_name);
    when 'all' then null;
    end case;
    return query
        with m as materialized (
            select b.mailbox, b.messages, b.octets,
                   case p_kind when 'all' then t.name when 'tenant' then d.name else b.address end as label
              from postern.mailbox b
              join postern.domain d on d.domain = b.domain
              join postern.tenant t on t.tenant = d.tenant
             where p_kind = 'all' or (p_kind = 'tenant' and t.name = p_name) or (p_kind = 'domain' and d.name = p_name)
                or (p_kind = 'mailbox' and b.address = p_name)
        ), refs as materialized (
            select m.label, g.content, count(*) as n from m join postern.message g on g.mailbox = m.mailbox group by m.label, g.content
        ), stored as (
            select r.label, sum(c.octets) as once, sum(c.octets * (r.n - 1)) as saved
              from refs r join postern.content c on c.content = r.content group by r.label
            union all
            select null, sum(c.octets), sum(c.octets * (r.n - 1))
              from (select content, sum(n) as n from refs group by content) r join postern.content c on c.content = r.content
        ), gone as (
            select m.label, count(*) filter (where d.until > now()) as n, sum(d.octets) filter (where d.until > now()) as octets,
                   sum(d.octets) filter (where d.until <= now()) as due
              from m join postern.deleted d on d.mailbox = m.mailbox group by grouping sets ((m.label), ())
        )
        select s.label, s.n, s.messages, s.octets, coalesce(stored.once, 0)::bigint, coalesce(stored.saved, 0)::bigint,
               coalesce(gone.n, 0), coalesce(gone.octets, 0)::bigint, coalesce(gone.due, 0)::bigint
          from (select m.label, count(*) as n, coalesce(sum(m.messages), 0)::bigint as messages,
                       coalesce(sum(m.octets), 0)::bigint as octets
                  from m group by grouping sets ((m.label), ())) s
          left join stored on stored.label is not distinct from s.label
          left join gone on gone.label is not distinct from s.label
         order by s.label nulls last;
end
$$;

-- vacuum_hindrance: where to look when vacuum does not do its work. Not granted.
create function postern.vacuum_hindrance() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
begin
    if current_setting('autovacuum') = 'off' then
        return 'autovacuum, which is switched off';
    end if;
    select a.pid, a.application_name, a.xact_start into r from pg_stat_activity a
     where a.backend_xmin is not null and a.xact_start < now() - interval '1 hour' and a.pid <> pg_backend_pid()
     order by age(a.backend_xmin) desc limit 1;
    if found then
        return format('the transaction of %s (process %s), open since %s: what was deleted since then has to stay',
                      coalesce(nullif(r.application_name, ''), 'a client'), r.pid, date_trunc('second', r.xact_start));
    end if;
    select s.slot_name into r from pg_replication_slots s where s.xmin is not null order by age(s.xmin) desc limit 1;
    if found then
        return format('the replication slot %s: is its standby there?', r.slot_name);
    end if;
    select p.gid, p.prepared into r from pg_prepared_xacts p order by p.prepared limit 1;
    if found then
        return format('the prepared transaction %s of %s, which nobody has ended', r.gid, date_trunc('second', r.prepared));
    end if;
    return 'autovacuum: its lines in the log of PostgreSQL, autovacuum_max_workers and autovacuum_vacuum_cost_limit';
end
$$;

-- space_of_tables: a row for each table, partitions taken together. free_percent
-- is an estimate from the widths that ANALYZE has seen; null where it has not.
create function postern.space_of_tables()
returns table (name text, rows bigint, octets bigint, index_octets bigint, dead bigint, dead_percent integer, free_percent integer,
               last_vacuum timestamptz, advice text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_hindrance constant text := postern.vacuum_hindrance();
begin
    return query
        select t.name, t.live, t.octets, t.index_octets, t.dead, t.dead_percent, t.free_percent, t.last_vacuum,
               case when t.dead > 1000 and t.dead_percent >= 20 then
                        format('vacuum has %s although %s %% is dead: look at %s',
                               case when t.last_vacuum is null then 'never run'
                                    when t.last_vacuum < now() - interval '1 day'
                                    then format('not run for %s day(s)', extract(day from now() - t.last_vacuum))
                                    else format('run at %s and left it,', date_trunc('second', t.last_vacuum)) end,
                               t.dead_percent, v_hindrance)
                    when t.free_percent >= 50 and t.octets > 100 << 20 then
                        format('%s %% is free room, which new mail fills; VACUUM FULL would give it back, with the table locked meanwhile',
                               t.free_percent) end
          from (
            select s.name, s.live, s.octets, s.index_octets, s.dead, s.last_vacuum,
                   (100 * s.dead / greatest(s.live + s.dead, 1))::integer as dead_percent,
                   case when s.octets > 1 << 20 then greatest(0, 100 - 100 * s.wanted / s.octets)::integer end as free_percent
              from (
                select r.name, sum(r.live)::bigint as live, sum(r.dead)::bigint as dead, sum(r.octets)::bigint as octets,
                       sum(r.index_octets)::bigint as index_octets, max(r.last_vacuum) as last_vacuum,
                       -- 24 octets of header, 4 of the page's pointer; of a page 24 are its own.
                       sum((r.live + r.dead) * (28 + r.width) * 8192 / 8168 * 100 / r.fillfactor) as wanted
                  from (
                    select coalesce(p.relname, c.relname)::text as name,
                           pg_stat_get_live_tuples(c.oid) as live, pg_stat_get_dead_tuples(c.oid) as dead,
                           pg_table_size(c.oid) as octets, pg_indexes_size(c.oid) as index_octets,
                           greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) as last_vacuum,
                           (select sum(w.avg_width * (1 - w.null_frac)) from pg_stats w
                             where w.schemaname = 'postern' and w.tablename = c.relname)::numeric as width,
                           coalesce(substring(array_to_string(c.reloptions, ' ') collate "C" from 'fillfactor=([0-9]+)')::integer, 100) as fillfactor
                      from pg_class c
                      left join pg_inherits i on i.inhrelid = c.oid
                      left join pg_class p on p.oid = i.inhparent
                     where c.relnamespace = 'postern'::regnamespace and c.relkind = 'r'
                    ) r
                 group by r.name
                ) s
            ) t
         order by t.octets + t.index_octets desc, t.name;
end
$$;

create function postern.database_octets() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select pg_database_size(current_database()) $$;

-- ------------------------------------------------------------------ verify

-- How far the last reading of everything got.
create table postern.verification (
    one         boolean     not null default true primary key check (one),
    started_at  timestamptz not null default now(),
    finished_at timestamptz,
    content     bigint      not null default 0,
    contents    bigint      not null default 0,
    octets      bigint      not null default 0,
    damaged     bigint      not null default 0
);
comment on table postern.verification is 'how far `posternctl verify` got: all contents up to `content` were read';

-- verify_start: where to begin: behind the content returned. From the start,
-- unless p_resume and the last one was not finished.
create function postern.verify_start(p_resume boolean, out content bigint, out contents bigint, out octets bigint,
    out damaged bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into postern.verification as v (one) values (true)
        on conflict (one) do update
           set started_at = now(), finished_at = null, content = 0, contents = 0, octets = 0, damaged = 0
         where not p_resume or v.finished_at is not null;
    select v.content, v.contents, v.octets, v.damaged into content, contents, octets, damaged from postern.verification v;
end
$$;

create function postern.verify_note(p_content bigint, p_contents bigint, p_octets bigint, p_damaged bigint, p_finished boolean)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.verification v
       set content = p_content, contents = p_contents, octets = p_octets, damaged = p_damaged,
           finished_at = case when p_finished then now() end;
end
$$;

-- skip_uids: after a back-up was restored that is older than what clients have
-- seen. The uids that were given since then, nobody knows which, are passed
-- over, or new mail would get UIDLs that clients take for messages they have.
create function postern.skip_uids(p_by bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailboxes bigint;
begin
    if p_by not between 1 and 1000000000000 then
        raise exception 'skip_uids: % is not between 1 and 1000000000000', p_by using errcode = 'PN400';
    end if;
    update postern.mailbox m set next_uid = m.next_uid + p_by;
    get diagnostics v_mailboxes = row_count;
    return v_mailboxes;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.list_expired(bigint, integer), postern.expire_mail(bigint, integer), postern.remove_mailbox(text, boolean, integer),
    postern.space(text, text), postern.space_of_tables(), postern.database_octets(),
    postern.verify_start(boolean), postern.verify_note(bigint, bigint, bigint, bigint, boolean), postern.skip_uids(bigint)
    to postern_admin;
