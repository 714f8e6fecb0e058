-- Mail that is stored already, in another form: `posternctl recode`.
--
-- The programs read octets, code them (storage/content) and write them back, a batch in a
-- transaction, while mail flows. The parts of a content are replaced in place, segment by
-- segment. Nobody who reads notices: a statement sees what one snapshot has, and where a
-- segment begins, and with which octet, does not depend on how it is stored, so a reader
-- between two statements goes on in the other form. What the content is, its octets and its
-- digest, stays what it was.

-- begin_recode: the right to recode, held by the connection: one at a time, as each writes back
-- what it has read before. The connection of one that has just ended is waited for.
-- Errors: PN409.
create function postern.begin_recode() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
begin
    perform pg_advisory_lock(x'5052'::bigint << 48);
exception when lock_not_available then
    raise exception 'another recode is running' using errcode = 'PN409';
end
$$;

-- recode_mailboxes: the next p_limit mailboxes after p_after; of p_kind and p_name as in space().
-- Errors: PN404.
create function postern.recode_mailboxes(p_kind text, p_name text, p_after bigint, p_limit integer) returns table (mailbox bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    v_of constant bigint := case p_kind when 'tenant' then postern.find_tenant(p_name) when 'domain' then postern.find_domain(p_name)
                                        when 'mailbox' then postern.find_mailbox(p_name) end;
begin
    return query
        select m.mailbox from postern.mailbox m join postern.domain d on d.domain = m.domain
         where m.mailbox > p_after
           and case p_kind when 'tenant' then d.tenant = v_of when 'domain' then d.domain = v_of
                           when 'mailbox' then m.mailbox = v_of else true end
         order by m.mailbox limit p_limit;
end
$$;

-- recode_contents: the next p_limit contents that are not in the form of this codec (0: plain)
-- yet: all, place being their number; after p_after. Or the next p_limit messages of a mailbox,
-- deleted ones included, place being the uid, and content null where it is in that form
-- already. Fewer than p_limit: there are no more.
create function postern.recode_contents(p_codec integer, p_mailbox bigint, p_after bigint, p_limit integer)
returns table (place bigint, content bigint, octets bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    if p_mailbox is not null then
        return query
            select g.uid, c.content, c.octets
              from ((select m.uid, m.content from postern.message m where m.mailbox = p_mailbox and m.uid > p_after
                      order by m.uid limit p_limit)
                    union all
                    (select d.uid, d.content from postern.deleted d where d.mailbox = p_mailbox and d.uid > p_after
                      order by d.uid limit p_limit)
                    order by uid limit p_limit) g
              left join postern.content c on c.content = g.content and c.octets > 0
                   and case when p_codec = 0 then c.stored is not null else coalesce(c.stored, 0) = 0 end
             order by g.uid;
    elsif p_codec = 0 then
        return query
            select c.content, c.content, c.octets from postern.content c
             where c.content > p_after and c.stored is not null and c.octets > 0 order by c.content limit p_limit;
    else
        return query
            select c.content, c.content, c.octets from postern.content c
             where c.content > p_after and coalesce(c.stored, 0) = 0 and c.octets > 0 order by c.content limit p_limit;
    end if;
end
$$;

-- recode_parts: parts p_first .. p_first + p_parts - 1 of these contents, p_contents rising, in that
-- order. The columns are those of read_parts(); uid is the content.
create function postern.recode_parts(p_contents bigint[], p_first integer, p_parts integer)
returns table (uid bigint, part integer, delivered_to text, data bytea, codec integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    return query
        select c.content, coalesce(p.part, p_first), null::text, p.data, p.codec
          from (select c.content from postern.content c where c.content = any (p_contents) order by c.content) c
          left join lateral (select p.part, p.data, p.codec
                  from postern.content_part p
                 where p.content = c.content and p.part between p_first and p_first + p_parts - 1
                 order by p.part) p on true;
end
$$;

-- recode: runs of contents in place of the parts that hold these octets: each from part p_firsts on, and
-- p_octets long. p_last: they end with their contents. A run that has not shrunk is stored as it
-- is, and is not tried again. Not one octet more or less than a content has is taken.
--
-- stored is what the parts of the run take now. Outcomes: 1 it is done; 0 the content is gone; 2 somebody else has a lock on it, mostly to remove it, or
-- one of its references. It waits for nobody, so whoever deletes waits for it at most, and no two
-- transactions can wait for each other.
-- Errors: PN400.
create function postern.recode(p_codec integer, p_contents bigint[], p_firsts integer[], p_octets integer[], p_data bytea[],
    p_last boolean) returns table (content bigint, outcome integer, stored bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_n constant integer := coalesce(cardinality(p_contents), 0);
    v_locked bigint[];
    v_content bigint;
    v_octets bigint;
    v_end bigint;
begin
    -- If the commit is lost, the form before is there, which is as good.
    perform set_config('synchronous_commit', 'off', true);
    if cardinality(p_firsts) is distinct from v_n or cardinality(p_octets) is distinct from v_n or cardinality(p_data) is distinct from v_n
       or (select count(distinct c) from unnest(p_contents) c) <> v_n then
        raise exception 'recode: a content twice, or contents, parts, octets and data that differ in number' using errcode = 'PN400';
    end if;
    v_locked := array(select c.content from postern.content c where c.content = any (p_contents) order by c.content
                         for no key update skip locked);
    for i in 1 .. v_n loop
        v_content := p_contents[i];
        if v_content <> all (v_locked) then
            content := v_content;
            outcome := case when exists (select from postern.content c where c.content = v_content) then 2 else 0 end;
            stored := 0;
            return next;
            continue;
        end if;
        v_octets := (select c.octets from postern.content c where c.content = v_content);
        v_end := p_firsts[i]::bigint * postern.part_octets() + p_octets[i];
        if (p_firsts[i] >= 0 and p_firsts[i] % postern.segment_parts() = 0 and p_octets[i] > 0 and length(p_data[i]) <= p_octets[i]
            and case when p_last then v_end = v_octets
                     else v_end < v_octets and p_octets[i] % postern.segment_octets() = 0 end) is not true then
            raise exception 'recode: content % has % octets, and % behind part % are no run of it', v_content, v_octets,
                p_octets[i], p_firsts[i] using errcode = 'PN400';
        end if;
        delete from postern.content_part p
         where p.content = v_content and p.part >= p_firsts[i]
           and p.part < p_firsts[i] + (p_octets[i] + postern.segment_octets() - 1) / postern.segment_octets() * postern.segment_parts();
        if length(p_data[i]) = p_octets[i] then
            insert into postern.content_part (content, part, data)
                select v_content, p_firsts[i] + p.part, p.data from postern.parts_of(p_data[i]) p;
        else
            insert into postern.content_part (content, part, data, codec)
                select v_content, p_firsts[i] + p.part, p.data, p.codec from postern.coded_parts(p_data[i], p_octets[i]) p;
        end if;
        update postern.content c
           set stored = case when not p_last then 0
                             when p_codec <> 0 then (select sum(length(p.data)) from postern.content_part p where p.content = v_content) end
         where c.content = v_content;
        content := v_content;
        outcome := 1;
        stored := coalesce(postern.run_stored(p_data[i], p_octets[i]), p_octets[i]);
        return next;
    end loop;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.begin_recode(), postern.recode_mailboxes(text, text, bigint, integer),
    postern.recode_contents(integer, bigint, bigint, integer), postern.recode_parts(bigint[], integer, integer),
    postern.recode(integer, bigint[], integer[], integer[], bytea[], boolean)
    to postern_admin;
