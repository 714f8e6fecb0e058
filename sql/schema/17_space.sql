-- Space: expiry, removal with a mailbox, and the space that everything takes.

-- ------------------------------------------------------------------ expiry

-- expires: the times before which messages of a mailbox have expired by its policy;
-- null without a policy. Not granted.
create function postern.expires(p_mailbox bigint, out delivered_before timestamptz, out retrieved_before timestamptz)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select now() - p.expire_delivered * interval '1 day', now() - p.expire_retrieved * interval '1 day'
      from postern.mailbox m
      join postern.domain d on d.domain = m.domain,
           postern.policy_of(m.mailbox, m.domain, d.tenant) p
     where m.mailbox = p_mailbox
$$;

-- list_expired: the next p_limit mailboxes after p_after for which a policy lets mail expire,
-- and what has expired in each; of p_kind and p_name as in space(). Fewer rows than
-- requested: there are no more. The times are those of expires(), for all of them at
-- once: each switch is that of the narrowest policy that sets it.
-- Errors: PN404.
create function postern.list_expired(p_after bigint, p_limit integer, p_kind text default 'all', p_name text default null)
returns table (mailbox bigint, address text, messages bigint, octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    v_of constant bigint := case p_kind when 'tenant' then postern.find_tenant(p_name) when 'domain' then postern.find_domain(p_name)
                                        when 'mailbox' then postern.find_mailbox(p_name) end;
    v_all constant boolean := exists (select from postern.policy p where num_nonnulls(p.tenant, p.domain, p.mailbox) = 0
                                         and coalesce(p.expire_delivered, p.expire_retrieved) is not null);
begin
    if not exists (select from postern.policy p where coalesce(p.expire_delivered, p.expire_retrieved) is not null) then
        return;
    end if;
    return query
        with b as materialized (
            select m.mailbox, m.address, m.domain, d.tenant
              from postern.mailbox m join postern.domain d on d.domain = m.domain
             where m.mailbox > p_after
               and (p_kind = 'all' or (p_kind = 'tenant' and d.tenant = v_of) or (p_kind = 'domain' and d.domain = v_of)
                    or (p_kind = 'mailbox' and m.mailbox = v_of))
               and (v_all
                    or exists (select from postern.policy p
                                where p.mailbox = m.mailbox and coalesce(p.expire_delivered, p.expire_retrieved) is not null)
                    or exists (select from postern.policy p
                                where p.domain = m.domain and coalesce(p.expire_delivered, p.expire_retrieved) is not null)
                    or exists (select from postern.policy p
                                where p.tenant = d.tenant and coalesce(p.expire_delivered, p.expire_retrieved) is not null))
             order by m.mailbox limit p_limit
        ), x as (
            select b.mailbox, b.address,
                   now() - coalesce(pm.expire_delivered, pd.expire_delivered, pt.expire_delivered, pe.expire_delivered) * interval '1 day' as delivered_before,
                   now() - coalesce(pm.expire_retrieved, pd.expire_retrieved, pt.expire_retrieved, pe.expire_retrieved) * interval '1 day' as retrieved_before
              from b
              left join postern.policy pm on pm.mailbox = b.mailbox
              left join postern.policy pd on pd.domain = b.domain
              left join postern.policy pt on pt.tenant = b.tenant
              left join postern.policy pe on pe.tenant is null and pe.domain is null and pe.mailbox is null
        )
        select x.mailbox, x.address, coalesce(s.messages, 0), coalesce(s.octets, 0)::bigint
          from x
          left join lateral (select count(*) as messages, sum(g.octets) as octets from postern.message g
                              where g.mailbox = x.mailbox
                                and (g.received_at < x.delivered_before or g.retrieved_at < x.retrieved_before)) s on true
         order by x.mailbox;
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
-- Errors: PN404, PN423.
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
-- with the name null for all of it. stored_octets is what is stored of what they refer to,
-- each content once; shared_octets is what is saved by that, and saved_octets by coding it.
--
-- One reading of the messages, sorted once: the first message of a content, and the first
-- of a content for each row, are where it is counted. Rows go by number until the end.
-- Errors: PN404.
create function postern.space(p_kind text, p_name text)
returns table (name text, mailboxes bigint, messages bigint, octets bigint, stored_octets bigint, shared_octets bigint, saved_octets bigint,
               undeletable bigint, undeletable_octets bigint, reclaimable_octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_of bigint;
    v_coded constant boolean := exists (select from postern.content c where c.stored > 0);
begin
    case p_kind
    when 'tenant' then v_of := postern.find_tenant(p_name);
    when 'domain' then v_of := postern.find_domain(p_name);
    when 'mailbox' then v_of := postern.find_mailbox(p_name);
    when 'all' then null;
    end case;
    return query
        with m as not materialized (
            select b.mailbox, b.messages, b.octets,
                   case p_kind when 'all' then d.tenant when 'tenant' then d.domain else b.mailbox end as part
              from postern.mailbox b join postern.domain d on d.domain = b.domain
             where p_kind = 'all' or (p_kind = 'tenant' and d.tenant = v_of) or (p_kind = 'domain' and d.domain = v_of)
                or (p_kind = 'mailbox' and b.mailbox = v_of)
        ), referred as (
            -- The content's own octets, without looking it up.
            select m.part, g.octets - postern.message_octets(0, g.delivered_to) as octets,
                   -- Each looked up, where there are any: a join is a matter of statistics, which know of none on the first day.
                   coalesce(g.octets - postern.message_octets(0, g.delivered_to)
                            - case when v_coded then (select c.stored from postern.content c where c.content = g.content and c.stored > 0) end,
                            0) as saved,
                   row_number() over w = 1 as is_first, lag(m.part) over w is distinct from m.part as is_first_of_part
              from m join postern.message g on g.mailbox = m.mailbox
            window w as (partition by g.content order by m.part)
        -- Part 0, which no tenant, domain or mailbox has, is all of them.
        ), stored as (
            select coalesce(r.part, 0) as part, sum(r.octets) as octets,
                   case grouping(r.part) when 0 then sum(r.octets) filter (where r.is_first_of_part)
                                         else sum(r.octets) filter (where r.is_first) end as once,
                   case grouping(r.part) when 0 then sum(r.saved) filter (where r.is_first_of_part)
                                         else sum(r.saved) filter (where r.is_first) end as saved
              from referred r group by grouping sets ((r.part), ())
        ), gone as (
            select coalesce(m.part, 0) as part, count(*) filter (where d.until > now()) as n,
                   sum(d.octets) filter (where d.until > now()) as octets, sum(d.octets) filter (where d.until <= now()) as due
              from m join postern.deleted d on d.mailbox = m.mailbox group by grouping sets ((m.part), ())
        ), counted as (
            select coalesce(m.part, 0) as part, count(*) as n, coalesce(sum(m.messages), 0)::bigint as messages,
                   coalesce(sum(m.octets), 0)::bigint as octets
              from m group by grouping sets ((m.part), ())
        )
        select case p_kind when 'all' then (select t.name from postern.tenant t where t.tenant = s.part)
                           when 'tenant' then (select d.name from postern.domain d where d.domain = s.part)
                           else (select b.address from postern.mailbox b where b.mailbox = s.part) end,
               s.n, s.messages, s.octets, coalesce(stored.once - stored.saved, 0)::bigint, coalesce(stored.octets - stored.once, 0)::bigint,
               coalesce(stored.saved, 0)::bigint,
               coalesce(gone.n, 0), coalesce(gone.octets, 0)::bigint, coalesce(gone.due, 0)::bigint
          from counted s
          left join stored on stored.part = s.part
          left join gone on gone.part = s.part
         order by 1 nulls last;
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
        return format('the transaction of %s (process %s), open since %s: rows deleted since then must stay',
                      coalesce(nullif(r.application_name, ''), 'a client'), r.pid, date_trunc('second', r.xact_start));
    end if;
    select s.slot_name into r from pg_replication_slots s where s.xmin is not null order by age(s.xmin) desc limit 1;
    if found then
        return format('the replication slot %s: is its standby running?', r.slot_name);
    end if;
    select p.gid, p.prepared into r from pg_prepared_xacts p order by p.prepared limit 1;
    if found then
        return format('the prepared transaction %s of %s, which was never finished', r.gid, date_trunc('second', r.prepared));
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
               -- Rows of usage_change are gone when they are some seconds old.
               case when t.dead > case t.name when 'usage_change' then 200000 else 1000 end and t.dead_percent >= 20 then
                        format('vacuum has %s although %s %% is dead: look at %s',
                               case when t.last_vacuum is null then 'never run'
                                    when t.last_vacuum < now() - interval '1 day'
                                    then format('not run for %s day(s)', extract(day from now() - t.last_vacuum))
                                    else format('run at %s and left it,', date_trunc('second', t.last_vacuum)) end,
                               t.dead_percent, v_hindrance)
                    when t.free_percent >= 50 and t.octets > 100 << 20 then
                        format('%s %% is free space for new mail; VACUUM FULL would return it to the system, but locks the table meanwhile',
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

-- database_octets: what the whole database takes on disk.
create function postern.database_octets() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select pg_database_size(current_database()) $$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.list_expired(bigint, integer, text, text), postern.expire_mail(bigint, integer),
    postern.remove_mailbox(text, boolean, integer), postern.space(text, text), postern.space_of_tables(),
    postern.database_octets()
    to postern_admin;
