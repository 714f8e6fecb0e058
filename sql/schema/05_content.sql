-- The stored form of mail: a content is cut into parts and counts who refers to
-- it. Only what is in this file knows how. A message is a reference to a content,
-- and is put into its mailbox by put_messages (07_messages) or deliver (08_delivery).
--
-- One transaction of the caller holds one delivery or one batch of an import:
--
--   begin
--   put_contents   ids for contents whose octets and digest are known already
--   put_parts      their octets in runs, in as many calls as it takes, which are cut into
--   or put_octets  parts here
--   put_messages   once for each mailbox
--   commit
--
-- put_messages comes last, because it takes the row of the mailbox and holds it
-- until the commit: a caller that fills a large content first keeps nobody waiting.
-- A caller that serves several mailboxes in one transaction calls it in their
-- order; if it is still chosen as the victim of a deadlock (a domain
-- or a tenant with a quota is locked before its mailbox), it starts again.
--
-- What the programs know of this form is in storage/content.

-- digest_octets: of the digest of a content: BLAKE2b-256 of its octets, without the
-- Delivered-To line that a message may put in front of them. Not granted.
create function postern.digest_octets() returns integer
language sql immutable parallel safe
return 32;

-- part_octets: the octets of a part of a content; only its last one is shorter. A row of
-- that size fills a page without being toasted (sql/README). Not granted.
create function postern.part_octets() returns integer
language sql immutable parallel safe
return 8000;

-- segment_parts: so many parts of a content are coded together, where they are coded, and
-- are fewer then: those behind them have the numbers that they would have otherwise. So where a
-- segment begins does not depend on how it is stored. Not granted.
create function postern.segment_parts() returns integer
language sql immutable parallel safe
return 8;

-- segment_octets: what is in a segment, but for the last one of a content. Not granted.
create function postern.segment_octets() returns integer
language sql immutable parallel safe
return postern.segment_parts() * postern.part_octets();

-- parts_of: octets as they are, cut into parts that are counted from 0; none of no octets.
-- One query, so that it becomes part of the statement that calls it. Not granted.
create function postern.parts_of(p_data bytea) returns table (part integer, data bytea)
language sql immutable parallel safe
begin atomic
    select i, substring(p_data from i * postern.part_octets() + 1 for postern.part_octets())
      from generate_series(0, (length(p_data) - 1) / postern.part_octets()) i
     where length(p_data) > 0;
end;

-- coded_parts: a run that is shorter than its p_octets, and so is coded (storage/content/run.h),
-- cut into parts that are counted from 0. Whether it can be decoded only the programs know. Not granted.
-- Errors: PN400.
create function postern.coded_parts(p_data bytea, p_octets bigint) returns table (part integer, data bytea, codec integer)
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_at bigint := 0;
    v_left bigint := p_octets;
    v_segment integer := 0;
    v_len integer;
begin
    while v_left > 0 loop
        if v_at + 4 > length(p_data) then
            raise exception 'a coded run ends within a segment' using errcode = 'PN400';
        end if;
        codec := nullif(get_byte(p_data, v_at::integer), 0);
        v_len := (get_byte(p_data, v_at::integer + 1) << 16) | (get_byte(p_data, v_at::integer + 2) << 8) | get_byte(p_data, v_at::integer + 3);
        v_at := v_at + 4;
        if v_at + v_len > length(p_data) or v_len < 1
           or (codec is null) <> (v_len = least(v_left, postern.segment_octets())) or v_len > least(v_left, postern.segment_octets()) then
            raise exception 'a segment of a coded run cannot have % octets', v_len using errcode = 'PN400';
        end if;
        for i in 0 .. (v_len - 1) / postern.part_octets() loop
            part := v_segment * postern.segment_parts() + i;
            data := substring(p_data from v_at::integer + i * postern.part_octets() + 1
                                      for least(postern.part_octets(), v_len - i * postern.part_octets()));
            return next;
        end loop;
        v_at := v_at + v_len;
        v_left := v_left - postern.segment_octets();
        v_segment := v_segment + 1;
    end loop;
    if v_at <> length(p_data) then
        raise exception 'a coded run has octets behind its last segment' using errcode = 'PN400';
    end if;
end
$$;

-- run_stored: what the parts of a run take: null where it is as long as its octets, and so plain. Not granted.
create function postern.run_stored(p_data bytea, p_octets bigint) returns bigint
language sql immutable parallel safe
return case when length(p_data) < p_octets then length(p_data) - 4 * ((p_octets + postern.segment_octets() - 1) / postern.segment_octets()) end;

-- message_octets: what LIST says and RETR sends: the octets of the content, and those of
-- the line `Delivered-To: ADDRESS` with its CRLF, where there is an address. Not granted.
create function postern.message_octets(p_octets bigint, p_delivered_to text) returns bigint
language sql immutable parallel safe
return p_octets + coalesce(octet_length(p_delivered_to) + 16, 0);

-- ---------------------------------------------------------------- writing

-- made_here: do all of these contents come from this very transaction? So a
-- caller can neither lengthen nor read what others have stored. (That is why
-- put_contents must not be called after a savepoint.) Not granted.
create function postern.made_here(p_contents bigint[]) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return not exists (
        select from unnest(p_contents) as g(content)
         where not exists (select from postern.content c
                            where c.content = g.content and c.xmin = pg_current_xact_id()::xid));
end
$$;

-- check_stored: have these contents the octets that put_contents was told, in as many parts
-- as these take? What a message counts for is what is there of it. Of coded segments it can
-- only be told that they are there. Not granted; called where all parts were put.
-- Errors: PN400.
create function postern.check_stored(p_contents bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    r record;
begin
    for r in
        select c.content, c.octets, s.octets as stored, s.parts, s.coded
          from unnest(p_contents) as g(content)
          join postern.content c on c.content = g.content
         cross join lateral (select coalesce(sum(length(p.data)), 0)::bigint as octets, count(*) as parts,
                                    coalesce(bool_or(p.codec is not null), false) as coded
                               from postern.content_part p where p.content = c.content) s
         where s.octets <> c.octets or s.parts <> (s.octets + postern.part_octets() - 1) / postern.part_octets()
    loop
        if not r.coded then
            raise exception 'a content is said to have % octets, and % in % parts are stored', r.octets, r.stored, r.parts
                using errcode = 'PN400';
        elsif not postern.segments_are_there(r.content, r.octets) then
            raise exception 'a content is said to have % octets, and not all of its segments are stored', r.octets
                using errcode = 'PN400';
        end if;
        update postern.content c set stored = r.stored where c.content = r.content;
    end loop;
end
$$;

-- segments_are_there: has this content all the segments of so many octets and no others? Each is
-- plain, and then has its octets, or coded, from its first part on, and then takes less. Not granted.
create function postern.segments_are_there(p_content bigint, p_octets bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return (select coalesce(bool_and(s.first = s.segment * postern.segment_parts() and s.parts = s.last - s.first + 1
                                     and s.codecs = 1 and s.octets > 0
                                     and case when s.plain then s.octets = w.octets else s.octets < w.octets end), true)
                   and count(*) = (p_octets + postern.segment_octets() - 1) / postern.segment_octets()
              from (select p.part / postern.segment_parts() as segment, min(p.part) as first, max(p.part) as last, count(*) as parts,
                           sum(length(p.data)) as octets, count(distinct coalesce(p.codec, 0)) as codecs, bool_and(p.codec is null) as plain
                      from postern.content_part p where p.content = p_content group by 1) s
             cross join lateral (select least(p_octets - s.segment::bigint * postern.segment_octets(), postern.segment_octets()) as octets) w);
end
$$;

-- put_contents: an id for each, in their order. p_refs says how many messages
-- will refer to it; the caller keeps that promise in this transaction. That all p_octets
-- of it were put is checked where a message refers to it.
-- Errors: PN400.
create function postern.put_contents(p_octets bigint[], p_digests bytea[], p_refs integer[]) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_n constant integer := coalesce(cardinality(p_octets), 0);
    v_contents bigint[];
begin
    if cardinality(p_digests) is distinct from v_n or cardinality(p_refs) is distinct from v_n then
        raise exception 'put_contents: octets, digests and refs differ in number' using errcode = 'PN400';
    end if;
    if exists (select from unnest(p_octets, p_digests, p_refs) as n(octets, digest, refs)
                where n.octets < 0 or length(n.digest) <> postern.digest_octets() or n.refs < 1) then
        raise exception 'put_contents: negative octets, a digest that does not have % octets, or no reference', postern.digest_octets()
            using errcode = 'PN400';
    end if;
    select array_agg(nextval('postern.content_content_seq')) into v_contents from generate_series(1, v_n);
    insert into postern.content (content, refs, octets, digest)
        select n.content, n.refs, n.octets, n.digest
          from unnest(v_contents, p_refs, p_octets, p_digests) as n(content, refs, octets, digest);
    return v_contents;
end
$$;

-- put_parts: runs of octets, each of a content, from part p_parts on: whole segments, but
-- for the last one of the content. They are cut into parts here. p_octets says how many octets
-- each of them has where it is coded, and then is shorter; null as a whole: none is.
-- Errors: PN400.
create function postern.put_parts(p_contents bigint[], p_parts integer[], p_data bytea[], p_octets integer[] default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(p_parts) is distinct from cardinality(p_contents)
       or cardinality(p_data) is distinct from cardinality(p_contents)
       or coalesce(cardinality(p_octets), cardinality(p_contents)) is distinct from cardinality(p_contents) then
        raise exception 'put_parts: contents, parts and data differ in number' using errcode = 'PN400';
    end if;
    if not postern.made_here(array(select distinct g.content from unnest(p_contents) as g(content))) then
        raise exception 'put_parts: a content that this transaction did not create' using errcode = 'PN400';
    end if;
    if 0 > any (p_parts) then
        raise exception 'put_parts: a negative part number' using errcode = 'PN400';
    end if;
    insert into postern.content_part (content, part, data)
        select n.content, n.part + p.part, p.data
          from unnest(p_contents, p_parts, p_data, p_octets) as n(content, part, data, octets), postern.parts_of(n.data) p
         where n.octets is null or length(n.data) >= n.octets;
    if p_octets is not null then
        insert into postern.content_part (content, part, data, codec)
            select n.content, n.part + p.part, p.data, p.codec
              from unnest(p_contents, p_parts, p_data, p_octets) as n(content, part, data, octets),
                   postern.coded_parts(n.data, n.octets) p
             where length(n.data) < n.octets;
    end if;
end
$$;

-- put_octets: as put_parts, one run of one content, from part p_first on. Half a
-- megabyte that is no element of an array is copied less often.
-- Errors: PN400.
create function postern.put_octets(p_content bigint, p_first integer, p_data bytea, p_octets integer default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not postern.made_here(array[p_content]) then
        raise exception 'put_octets: a content that this transaction did not create' using errcode = 'PN400';
    end if;
    if p_first < 0 then
        raise exception 'put_octets: a negative part number' using errcode = 'PN400';
    end if;
    if length(p_data) < p_octets then
        insert into postern.content_part (content, part, data, codec)
            select p_content, p_first + p.part, p.data, p.codec from postern.coded_parts(p_data, p_octets) p;
    else
        insert into postern.content_part (content, part, data)
            select p_content, p_first + p.part, p.data from postern.parts_of(p_data) p;
    end if;
end
$$;

-- keep_content: the content of a delivery, for this many messages. p_data is all
-- of it, as one run, or null where p_content was made before. Returns its number.
-- Not granted.
create function postern.keep_content(p_content bigint, p_refs bigint, p_octets bigint, p_digest bytea, p_data bytea)
returns bigint
language plpgsql
as $$
declare
    v_content bigint := p_content;
begin
    if p_content is null then
        v_content := nextval('postern.content_content_seq');
        if length(p_data) = p_octets then
            insert into postern.content (content, refs, octets, digest) values (v_content, p_refs, p_octets, p_digest);
            insert into postern.content_part (content, part, data)
                select v_content, p.part, p.data from postern.parts_of(p_data) p;
        else
            insert into postern.content (content, refs, octets, digest, stored)
                values (v_content, p_refs, p_octets, p_digest, postern.run_stored(p_data, p_octets));
            insert into postern.content_part (content, part, data, codec)
                select v_content, p.part, p.data, p.codec from postern.coded_parts(p_data, p_octets) p;
        end if;
    elsif p_refs > 1 then
        update postern.content c set refs = p_refs where c.content = p_content;
    end if;
    return v_content;
end
$$;

-- ---------------------------------------------------------------- reading

-- message_parts: parts p_first .. p_first + p_parts - 1 of these messages of the
-- mailbox, p_uids rising, in that order and in the order of parts. A message
-- without any octets gives one row with data null; one that is gone gives no row.
-- It becomes part of the statement that calls it. Not granted.
--
-- One statement for all of them, half the cost of one or two for each. Two
-- things make its plan the right one for any arguments: it is kept (to plan
-- costs four times what running it does), and the first and the last uid bound
-- what is read of the mailbox, which an array does not do for the planner. A
-- lateral join can only be a nested loop, so both orders come from the indexes.
create function postern.message_parts(p_mailbox bigint, p_uids bigint[], p_first integer, p_parts integer)
returns table (uid bigint, part integer, delivered_to text, data bytea, codec integer)
language sql stable
begin atomic
    select m.uid, coalesce(p.part, p_first), m.delivered_to, p.data, p.codec
      from (select m.uid, m.content, m.delivered_to
              from postern.message m
             where m.mailbox = p_mailbox and m.uid between p_uids[1] and p_uids[cardinality(p_uids)]
               and m.uid = any (p_uids)
             order by m.uid) m
      left join lateral (select p.part, p.data, p.codec
              from postern.content_part p
             where p.content = m.content and p.part between p_first and p_first + p_parts - 1
             order by p.part) p on true;
end;

-- fetch_parts: what a session reads of the maildrop that it has open: message_parts().
-- Errors: PN423.
create function postern.fetch_parts(p_mailbox bigint, p_uids bigint[], p_first integer, p_parts integer, p_ticket bytea)
returns table (uid bigint, part integer, delivered_to text, data bytea, codec integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not postern.reads(p_mailbox, p_ticket) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    return query select p.uid, p.part, p.delivered_to, p.data, p.codec
                   from postern.message_parts(p_mailbox, p_uids, p_first, p_parts) p;
end
$$;

-- fetch_parts_group: the same for several sessions of this connection, each of whom reads
-- little: the uids of all, one after the other, and how many are whose; n counts from 1.
-- Who does not have the lock has no row, and is told so when they are asked for alone.
create function postern.fetch_parts_group(p_mailboxes bigint[], p_uids bigint[], p_counts integer[], p_firsts integer[], p_parts integer[],
    p_tickets bytea[])
returns table (n integer, uid bigint, part integer, delivered_to text, data bytea, codec integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    v_reads constant boolean[] := array(select postern.reads(m.mailbox, m.ticket)
                                          from unnest(p_mailboxes, p_tickets) with ordinality m(mailbox, ticket, n) order by m.n);
begin
    return query
        select m.n::integer, p.uid, p.part, p.delivered_to, p.data, p.codec
          from (select a.n, a.mailbox, a.first, a.parts, p_uids[a.behind - a.count + 1 : a.behind] as uids
                  from (select c.*, (sum(c.count) over (order by c.n))::integer as behind
                          from unnest(p_mailboxes, p_counts, p_firsts, p_parts) with ordinality c(mailbox, count, first, parts, n)) a
                 where v_reads[a.n]) m
         cross join lateral postern.message_parts(m.mailbox, m.uids, m.first, m.parts) p
         order by m.n, p.uid, p.part;
end
$$;

-- read_parts: the same for an operator, who needs no lock.
create function postern.read_parts(p_mailbox bigint, p_uids bigint[], p_first integer, p_parts integer)
returns table (uid bigint, part integer, delivered_to text, data bytea, codec integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    return query select p.uid, p.part, p.delivered_to, p.data, p.codec
                   from postern.message_parts(p_mailbox, p_uids, p_first, p_parts) p;
end
$$;

-- fetch_headers: the same columns for TOP n 0: one row for each message, whose
-- data ends with the blank line after the header; or the first part if that has
-- none, or is not plain. Half the cost of whole first parts.
-- Errors: PN423.
create function postern.fetch_headers(p_mailbox bigint, p_uids bigint[], p_ticket bytea)
returns table (uid bigint, part integer, delivered_to text, data bytea, codec integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    c_end constant bytea := '\x0d0a0d0a';
begin
    if not postern.reads(p_mailbox, p_ticket) then
        raise exception 'the maildrop lock of mailbox % was lost', p_mailbox using errcode = 'PN423';
    end if;
    return query
        select m.uid, 0, m.delivered_to, case when p.at > 0 then substr(p.data, 1, p.at + 3) else p.data end, p.codec
          from (select m.uid, m.content, m.delivered_to
                  from postern.message m
                 where m.mailbox = p_mailbox and m.uid between p_uids[1] and p_uids[cardinality(p_uids)]
                   and m.uid = any (p_uids)
                 order by m.uid) m
          left join lateral (select p.data, p.codec, case when p.codec is null then position(c_end in p.data) end as at
                  from postern.content_part p
                 where p.content = m.content and p.part = 0) p on true;
end
$$;

-- --------------------------------------------------------------- dropping

-- forget_contents: drop one reference for each element; contents without references
-- are removed, with their parts. If ours is the only reference, nobody else accesses
-- that row; shared ones are locked in order of content, so that two of
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

revoke all on all functions in schema postern from public;
grant execute on function postern.put_contents(bigint[], bytea[], integer[]) to postern_lmtp, postern_admin;
grant execute on function postern.put_parts(bigint[], integer[], bytea[], integer[]) to postern_admin;
grant execute on function postern.put_octets(bigint, integer, bytea, integer) to postern_lmtp;
grant execute on function
    postern.fetch_parts_group(bigint[], bigint[], integer[], integer[], integer[], bytea[]),
    postern.fetch_parts(bigint, bigint[], integer, integer, bytea), postern.fetch_headers(bigint, bigint[], bytea)
    to postern_mail;
grant execute on function postern.read_parts(bigint, bigint[], integer, integer) to postern_admin;
