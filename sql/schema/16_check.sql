-- Checks of the store: `posternctl check` finds inconsistencies and repairs them,
-- `posternctl verify` reads all mail; and the steps after restoring a backup.

-- owners: the messages that refer to this content, as text. Not granted.
create function postern.owners(p_content bigint) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select string_agg(m.address || ' uid ' || g.uid || g.state, ', ' order by m.address, g.uid)
                       from (select mailbox, uid, '' as state from postern.message where content = p_content
                             union all select mailbox, uid, ', deleted' from postern.deleted where content = p_content) g
                       join postern.mailbox m on m.mailbox = g.mailbox), 'nobody');
end
$$;

-- Each of the functions check_... finds inconsistencies of one kind, or of those that come
-- of the same reading, and sees one moment: counts and sums are kept by the transactions
-- that change what they count, so whatever differs within one snapshot is wrong, however
-- many deliveries and sessions are running. They are stable, so that all that they ask is
-- asked of that snapshot; and they read each table once, and look closer only where
-- something is wrong. None is granted.

-- check_contents: references of contents, contents that are missing or that nothing
-- refers to, and messages that do not have the octets of their content.
create function postern.check_contents() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r record;
    v_missing bigint[] := '{}';
    v_other bigint[] := '{}';
begin
    for r in
        with g as (
            -- octets: of the content, as its messages have them.
            select x.content, count(*) as n, min(x.octets) as fewest, max(x.octets) as most
              from (select m.content, m.octets - postern.message_octets(0, m.delivered_to) as octets from postern.message m
                    union all select d.content, null from postern.deleted d) x
             group by x.content
        )
        select c.content, c.refs, c.octets, g.content as referred, g.n,
               g.fewest <> c.octets or g.most <> c.octets as is_other
          from postern.content c full join g on g.content = c.content
         where c.refs is distinct from g.n or g.fewest <> c.octets or g.most <> c.octets
    loop
        if r.content is null then
            v_missing := v_missing || r.referred;
        elsif r.n is null then
            return query select 'orphan content', r.content, true,
                                format('content %s: %s octets that no message refers to', r.content, r.octets);
        else
            if r.is_other then
                v_other := v_other || r.content;
            end if;
            if r.refs <> r.n then
                return query select 'refs', r.content, true,
                                    format('content %s: counts %s references but has %s', r.content, r.refs, r.n);
            end if;
        end if;
    end loop;
    if v_missing <> '{}' then
        return query
            select 'missing content', g.content, false,
                   format('content %s: is missing, and with it the message of %s', g.content,
                          coalesce(string_agg(m.address || ' uid ' || g.uid || g.state, ', ' order by m.address, g.uid), 'nobody'))
              from (select mailbox, uid, content, '' as state from postern.message
                    union all select mailbox, uid, content, ', deleted' from postern.deleted) g
              join unnest(v_missing) x(content) on x.content = g.content
              left join postern.mailbox m on m.mailbox = g.mailbox
             group by g.content;
    end if;
    if v_other <> '{}' then
        return query
            select 'message octets', g.mailbox, true,
                   format('mailbox %s: %s message(s), the first with uid %s, do not have the octets of their content',
                          min(m.address), count(*), min(g.uid))
              from unnest(v_other) x(content)
              join postern.message g on g.content = x.content
              join postern.content c on c.content = g.content
              join postern.mailbox m on m.mailbox = g.mailbox
             where g.octets <> postern.message_octets(c.octets, g.delivered_to)
             group by g.mailbox;
    end if;
end
$$;

-- check_mailboxes: counts and sums of mailboxes, and messages of mailboxes that are not there.
create function postern.check_mailboxes() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select case when m.mailbox is null then 'missing mailbox' else 'mailbox' end, coalesce(m.mailbox, s.mailbox),
               m.mailbox is not null,
               case when m.mailbox is null
                    then format('mailbox %s: does not exist but has %s message(s), the first with uid %s', s.mailbox, s.n, s.first)
                    else format('mailbox %s: counts %s messages, %s octets, next uid %s; there are %s messages, %s octets, last uid %s',
                                m.address, m.messages, m.octets, m.next_uid, coalesce(s.n, 0), coalesce(s.octets, 0), coalesce(s.last, 0)) end
          from postern.mailbox m
          full join (select g.mailbox, count(*) as n, sum(g.octets) as octets, min(g.uid) as first, max(g.uid) as last
                       from postern.message g group by g.mailbox) s on s.mailbox = m.mailbox
         where m.mailbox is null
            or m.messages <> coalesce(s.n, 0) or m.octets <> coalesce(s.octets, 0) or m.next_uid <= coalesce(s.last, 0);
end
$$;

-- check_usage: sums of domains.
create function postern.check_usage() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select 'usage', d.domain, true,
               format('domain %s: usage counts %s messages, %s octets; its mailboxes count %s messages, %s octets',
                      d.name, u.messages, u.octets, coalesce(s.n, 0), coalesce(s.octets, 0))
          from postern.domain d
          join postern.domain_usage u on u.domain = d.domain
          left join (select m.domain, sum(m.messages) as n, sum(m.octets) as octets
                       from postern.mailbox m group by m.domain) s on s.domain = d.domain
         where u.messages <> coalesce(s.n, 0) or u.octets <> coalesce(s.octets, 0)
         order by d.domain;
end
$$;

-- check_parts: parts of contents that are not there, and that nothing refers to.
create function postern.check_parts() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_contents constant bigint[] := array(select distinct p.content from postern.content_part p
                                           where not exists (select from postern.content c where c.content = p.content));
begin
    if v_contents <> '{}' then
        return query
            select 'orphan parts', x.content, true, format('content %s: %s part(s) without a content', x.content,
                       (select count(*) from postern.content_part p where p.content = x.content))
              from unnest(v_contents) x(content)
             where not exists (select from postern.reference r where r.content = x.content);
    end if;
end
$$;

-- check_uidls: UIDLs that were imported and that the mailbox assigns itself.
create function postern.check_uidls() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select 'uidl', m.mailbox, false,
               format('mailbox %s: the imported UIDL "%s" of uid %s is one that the mailbox assigns itself', m.address, g.uidl, g.uid)
          from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
         where g.uidl is not null and starts_with(g.uidl, postern.uidl_prefix(m.uidvalidity));
end
$$;

-- check_names: names made by hand, as nothing of ours makes them; and nothing of ours finds
-- them. Nearly all names are plain ones, which cost a fiftieth of a call of name_fault.
create function postern.check_names() returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select n.kind || ' names', 0::bigint, false,
               format('%s %s that neither clients nor mail can reach: %s', count(*),
                      case n.kind when 'domain' then 'domain(s)' when 'mailbox' then 'mailbox(es)' else 'alias(es)' end,
                      array_to_string((array_agg(format('"%s" (%s)', n.name, n.fault) order by n.name))[1:3], ', '))
          from (select 'domain' as kind, d.name, postern.name_fault('domain', d.name) as fault
                  from postern.domain d where postern.is_plain_name('x@' || d.name) is not true
                union all
                select 'mailbox', m.address, coalesce(postern.name_fault('mailbox', m.address),
                           case when split_part(m.address, '@', -1) <> d.name then 'it is stored in domain ' || d.name end)
                  from postern.mailbox m join postern.domain d on d.domain = m.domain
                 where postern.is_plain_name(m.address) is not true or split_part(m.address, '@', -1) <> d.name
                union all
                select distinct 'alias', a.address, coalesce(postern.name_fault('alias', a.address),
                           case when split_part(a.address, '@', -1) <> d.name then 'it is stored in domain ' || d.name end)
                  from postern.alias a join postern.domain d on d.domain = a.domain
                 where postern.is_plain_name(a.address) is not true or split_part(a.address, '@', -1) <> d.name) n
         where n.fault is not null
         group by n.kind;
end
$$;

-- names_beyond_ascii: addresses of mailboxes and aliases that have other characters, in the
-- composed form: whether the programs would spell them so, only the programs know.
create function postern.names_beyond_ascii() returns table (kind text, address text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select n.kind, n.address
          from (select 'mailbox' as kind, m.address from postern.mailbox m
                union all select distinct 'alias', a.address from postern.alias a where not starts_with(a.address, '@')) n
         where octet_length(n.address) > length(n.address) and n.address is nfc normalized
         order by n.kind collate "C", n.address;
end
$$;

-- partition_problems: content and content_part are both plain, or both hashed
-- over the same number of partitions, and no part is ever toasted. Not granted.
create function postern.partition_problems() returns setof text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        with kid as (
            select i.inhparent, substring(pg_get_expr(c.relpartbound, c.oid) collate "C" from 'modulus ([0-9]+)')::integer as modulus
              from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent in ('postern.content'::regclass, 'postern.content_part'::regclass)
        )
        select format('table %s: has only %s of %s partitions', t.relname, count(kid.modulus), max(kid.modulus))
          from pg_class t left join kid on kid.inhparent = t.oid
         where t.oid in ('postern.content'::regclass, 'postern.content_part'::regclass) and t.relkind = 'p'
         group by t.relname
        having count(kid.modulus) is distinct from max(kid.modulus)::bigint or min(kid.modulus) <> max(kid.modulus);
    return query
        select format('content has %s partitions, content_part has %s', n.content, n.part)
          from (select (select count(*) from pg_inherits i where i.inhparent = 'postern.content'::regclass) as content,
                       (select count(*) from pg_inherits i where i.inhparent = 'postern.content_part'::regclass) as part) n
         where n.content <> n.part;
    return query
        select format('table %s: column data does not have storage plain', c.relname)
          from pg_class c join pg_attribute a on a.attrelid = c.oid
         where (c.oid = 'postern.content_part'::regclass
                or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = 'postern.content_part'::regclass))
           and a.attname = 'data' and a.attstorage <> 'p'
         order by c.relname;
end
$$;

-- find_problems: inconsistencies, without reading the mail itself: of one step, in order, or
-- of all. `mendable` ones can be given to mend() with their kind and id.
-- Errors: PN400.
create function postern.find_problems(p_step text default null)
returns table (kind text, id bigint, mendable boolean, problem text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_step text;
begin
    foreach v_step in array case when p_step is not null then array[p_step]
                                 else array['contents', 'mailboxes', 'usage', 'parts', 'uidls', 'names', 'partitions'] end
    loop
        case v_step
        when 'contents' then return query select c.* from postern.check_contents() c order by c.kind collate "C", c.id;
        when 'mailboxes' then return query select c.* from postern.check_mailboxes() c order by c.kind collate "C", c.id;
        when 'usage' then return query select c.* from postern.check_usage() c order by c.kind collate "C", c.id;
        when 'parts' then return query select c.* from postern.check_parts() c order by c.kind collate "C", c.id;
        when 'uidls' then return query select c.* from postern.check_uidls() c order by c.id, c.problem collate "C";
        when 'names' then return query select c.* from postern.check_names() c order by c.kind collate "C";
        when 'partitions' then return query select 'partitions', 0::bigint, false, p.problem from postern.partition_problems() p(problem);
        else raise exception 'there is no step % of the check', v_step using errcode = 'PN400';
        end case;
    end loop;
end
$$;

-- mend_contents: the references of these contents are counted anew, by one reading of all
-- references, as there is no index that would find them; a content that has none goes.
create function postern.mend_contents(p_contents bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- A transaction that drops a reference removes its message first and then waits here;
    -- nobody ever adds one to a content that was committed.
    perform from postern.content c where c.content = any (p_contents) order by c.content for update;
    with g as (
        select x.content, count(r.content) as n
          from unnest(p_contents) x(content) left join postern.reference r on r.content = x.content group by x.content
    ), counted as (
        update postern.content c set refs = g.n from g where c.content = g.content and g.n > 0
    )
    select array_agg(g.content) into p_contents from g where g.n = 0;
    delete from postern.content_part p where p.content = any (p_contents);
    delete from postern.content c where c.content = any (p_contents);
end
$$;

-- mend: repair one problem, under the locks that its writers take.
create function postern.mend(p_kind text, p_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_messages bigint;
    v_octets bigint;
begin
    case p_kind
    when 'message octets' then
        perform from postern.mailbox m where m.mailbox = p_id for no key update;
        update postern.message g set octets = postern.message_octets(c.octets, g.delivered_to)
          from postern.content c
         where g.mailbox = p_id and c.content = g.content
           and g.octets <> postern.message_octets(c.octets, g.delivered_to);
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
        -- One snapshot sees a transaction in all tables or in none; of two
        -- menders the second one sees what the first one has done.
        perform from postern.domain d where d.domain = p_id for no key update;
        select s.n - u.messages, s.octets - u.octets into v_messages, v_octets
          from (select coalesce(sum(m.messages), 0) as n, coalesce(sum(m.octets), 0) as octets
                  from postern.mailbox m where m.domain = p_id) s,
               postern.domain_usage u where u.domain = p_id;
        perform postern.add_usage(p_id, v_messages, v_octets);
    when 'refs', 'orphan content' then
        perform postern.mend_contents(array[p_id]);
    when 'orphan parts' then
        delete from postern.content_part p where p.content = p_id
           and not exists (select from postern.content c where c.content = p_id)
           and not exists (select from postern.reference r where r.content = p_id);
    end case;
end
$$;

-- ------------------------------------------------------------------ verify

-- scan_contents: contents and their parts in order, after
-- (p_content, p_part), at most p_limit rows. data is null for a content
-- without parts. p_only asks for the rest of that one content alone.
--
-- The settings: a page must come from the two primary keys, in their order,
-- whatever the statistics say; any other plan reads the whole store for each.
create function postern.scan_contents(p_content bigint, p_part integer, p_limit bigint, p_only boolean)
returns table (content bigint, octets bigint, digest bytea, part integer, data bytea, codec integer, stored bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
as $$
#variable_conflict use_column
declare
    v_rows bigint;
begin
    -- The rest of the one that was begun; when that is through, those that follow.
    return query
        select c.content, c.octets, c.digest, p.part, p.data, p.codec, c.stored
          from postern.content c left join postern.content_part p on p.content = c.content and p.part > p_part
         where c.content = p_content and (p.part is not null or p_part < 0)
         order by p.part limit p_limit;
    get diagnostics v_rows = row_count;
    if v_rows < p_limit and not p_only then
        return query
            select c.content, c.octets, c.digest, p.part, p.data, p.codec, c.stored
              from (select * from postern.content c where c.content > p_content order by c.content limit p_limit) c
              left join lateral (select q.part, q.data, q.codec from postern.content_part q
                                  where q.content = c.content and q.content > p_content) p on true
             order by c.content, p.part limit p_limit;
    end if;
end
$$;

-- content_owners: owners(), for the operator who was told of a damaged content.
create function postern.content_owners(p_content bigint) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return postern.owners(p_content);
end
$$;

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

-- verify_start: where to begin: after the content returned. From the start,
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

-- verify_note: all contents up to p_content were read; p_contents of them, p_octets, of
-- which p_damaged were not as they were stored.
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

-- ------------------------------------------------------------------ restored

-- For a restored backup that is older than the last sessions: all mailboxes skip the uids that
-- were assigned since, which are unknown. Otherwise new mail would get UIDLs that clients
-- take for messages they have. It goes by mailbox, a batch in a transaction.
create table postern.restoration (
    one         boolean     not null default true primary key check (one),
    started_at  timestamptz not null,
    finished_at timestamptz,
    skip        bigint      not null,
    mailbox     bigint      not null,
    mailboxes   bigint      not null,
    server      timestamptz not null,
    relation    oid         not null
);
comment on table  postern.restoration is 'how far `posternctl restored` got: all mailboxes up to `mailbox` have skipped uids';
comment on column postern.restoration.server is 'when the server was started; with relation, the mailboxes as a table of it, this tells that no other backup was restored meanwhile';

-- skip_start: where to begin. From the start and with p_by uids, which harms none that have
-- skipped already; or, where p_resume, where the last run was interrupted, with as many uids as
-- that one. mailboxes have skipped, of total.
-- Errors: PN400, PN404.
create function postern.skip_start(p_by bigint, p_resume boolean, out skip bigint, out mailboxes bigint, out total bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r postern.restoration;
begin
    if p_resume then
        select * into r from postern.restoration r where r.finished_at is null;
        if not found then
            raise exception 'there is no interrupted run to resume' using errcode = 'PN404';
        elsif (r.server, r.relation) is distinct from (pg_postmaster_start_time(), 'postern.mailbox'::regclass::oid) then
            raise exception 'the interrupted run may have been before the backup was restored: run it without --resume'
                using errcode = 'PN400';
        end if;
    else
        if p_by is null or p_by not between 1 and 1000000000000 then
            raise exception 'skip_start: % is not between 1 and 1000000000000', p_by using errcode = 'PN400';
        end if;
        insert into postern.restoration as x (started_at, skip, mailbox, mailboxes, server, relation)
            values (now(), p_by, 0, 0, pg_postmaster_start_time(), 'postern.mailbox'::regclass)
            on conflict (one) do update
               set (started_at, finished_at, skip, mailbox, mailboxes, server, relation)
                 = (excluded.started_at, null, excluded.skip, 0, 0, excluded.server, excluded.relation)
            returning * into r;
    end if;
    skip := r.skip;
    mailboxes := r.mailboxes;
    total := (select count(*) from postern.mailbox);
end
$$;

-- skip_uids: the next p_limit mailboxes. mailboxes have skipped in all; more: there may be others.
-- Errors: PN404.
create function postern.skip_uids(p_limit integer, out mailboxes bigint, out more boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r postern.restoration;
    v_mailboxes bigint[];
begin
    select * into r from postern.restoration for update;
    if not found then
        raise exception 'skip_start was not called' using errcode = 'PN404';
    end if;
    v_mailboxes := array(select m.mailbox from postern.mailbox m where m.mailbox > r.mailbox order by m.mailbox limit p_limit
                            for no key update);
    update postern.mailbox m set next_uid = m.next_uid + r.skip where m.mailbox = any (v_mailboxes);
    more := cardinality(v_mailboxes) = p_limit;
    update postern.restoration s
       set mailbox = greatest(s.mailbox, v_mailboxes[cardinality(v_mailboxes)]), mailboxes = s.mailboxes + cardinality(v_mailboxes),
           finished_at = case when not more then now() end
     returning s.mailboxes into mailboxes;
end
$$;

-- set_sequences: for a database that logical replication has filled, which copies rows and no
-- sequences: they would give numbers again that are taken. Each goes on behind the greatest
-- number that is in a column of its name, in whatever table: what is left of a removed mailbox
-- has its number, too. None goes back. Returns those that were behind, or, with p_dry_run, are.
create function postern.set_sequences(p_dry_run boolean)
returns table (sequence text, next_number bigint, will_be bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    s record;
    v_table regclass;
    v_max bigint;
    v_most bigint;
begin
    for s in
        select q.oid::regclass as name, a.attname as col
          from pg_class q
          join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = q.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
          join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
         where q.relkind = 'S' and q.relnamespace = 'postern'::regnamespace
         order by q.relname
    loop
        v_most := 0;
        for v_table in
            select r.oid from pg_class r join pg_attribute a on a.attrelid = r.oid
             where r.relnamespace = 'postern'::regnamespace and r.relkind in ('r', 'p') and not r.relispartition
               and a.attname = s.col and a.atttypid = 'bigint'::regtype and not a.attisdropped
        loop
            execute format('select max(t.%I) from %s t', s.col, v_table) into v_max;
            v_most := greatest(v_most, v_max);
        end loop;
        execute format('select case when is_called then last_value + 1 else last_value end from %s', s.name) into next_number;
        continue when next_number > v_most;
        if not p_dry_run then
            perform setval(s.name, v_most);
        end if;
        sequence := s.name;
        will_be := v_most + 1;
        return next;
    end loop;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.find_problems(text), postern.names_beyond_ascii(), postern.mend(text, bigint), postern.mend_contents(bigint[]), postern.scan_contents(bigint, integer, bigint, boolean),
    postern.content_owners(bigint), postern.verify_start(boolean),
    postern.verify_note(bigint, bigint, bigint, bigint, boolean), postern.skip_start(bigint, boolean), postern.skip_uids(integer),
    postern.set_sequences(boolean)
    to postern_admin;
