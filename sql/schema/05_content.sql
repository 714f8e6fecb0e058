-- How messages get in: contents, their parts, then the messages of a mailbox.
--
-- One transaction of the caller holds one delivery or one batch of an import:
--
--   begin
--   put_contents   ids for contents whose octets and digest are known already
--   put_parts      their octets in parts of 8,000, in as many calls as it takes;
--   or put_octets
--   put_messages   once for each mailbox
--   commit
--
-- put_messages comes last, because it takes the row of the mailbox and holds it
-- until the commit: who fills a large content before it keeps nobody waiting.
-- A caller that serves several mailboxes in one transaction calls it in their
-- order; should it be chosen as the victim of a deadlock all the same (a domain
-- or a tenant with a quota is locked before its mailbox), it starts again.
--
-- The digest is BLAKE2b-256 of the octets of the content, without the
-- Delivered-To line that a message may put in front of it.

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

-- put_contents: an id for each, in their order. p_refs says how many messages
-- will refer to it; the caller keeps that promise in this transaction.
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
                where n.octets < 0 or length(n.digest) <> 32 or n.refs < 1) then
        raise exception 'put_contents: octets below 0, a digest not of 32 octets, or no reference' using errcode = 'PN400';
    end if;
    select array_agg(nextval('postern.content_content_seq')) into v_contents from generate_series(1, v_n);
    insert into postern.content (content, refs, octets, digest)
        select n.content, n.refs, n.octets, n.digest
          from unnest(v_contents, p_refs, p_octets, p_digests) as n(content, refs, octets, digest);
    return v_contents;
end
$$;

-- put_parts: the octets, 8,000 in each part but the last of a content, parts
-- counted from 0. A row of that size fills a page without being toasted.
create function postern.put_parts(p_contents bigint[], p_parts integer[], p_data bytea[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_longest integer;
begin
    if cardinality(p_parts) is distinct from cardinality(p_contents)
       or cardinality(p_data) is distinct from cardinality(p_contents) then
        raise exception 'put_parts: contents, parts and data differ in number' using errcode = 'PN400';
    end if;
    if not postern.made_here(array(select distinct g.content from unnest(p_contents) as g(content))) then
        raise exception 'put_parts: a content that this transaction did not make' using errcode = 'PN400';
    end if;
    select max(length(n.data)) into v_longest from unnest(p_data) as n(data);
    if v_longest > 8000 then
        raise exception 'put_parts: a part of % octets, 8000 is the most', v_longest using errcode = 'PN400';
    end if;
    if 0 > any (p_parts) then
        raise exception 'put_parts: a part below 0' using errcode = 'PN400';
    end if;
    insert into postern.content_part (content, part, data)
        select n.content, n.part, n.data from unnest(p_contents, p_parts, p_data) as n(content, part, data);
end
$$;

-- put_octets: as put_parts, a run of octets of one content, from part p_first on:
-- whole parts, but for the last ones of the content. It copies them less often.
create function postern.put_octets(p_content bigint, p_first integer, p_data bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not postern.made_here(array[p_content]) then
        raise exception 'put_octets: a content that this transaction did not make' using errcode = 'PN400';
    end if;
    if p_first < 0 then
        raise exception 'put_octets: a part below 0' using errcode = 'PN400';
    end if;
    insert into postern.content_part (content, part, data)
        select p_content, p_first + i, substring(p_data from i * 8000 + 1 for 8000)
          from generate_series(0, (length(p_data) - 1) / 8000) i
         where length(p_data) > 0;
end
$$;

-- check_quotas: is there room for that many octets more in the domain and its
-- tenant? Their rows are locked only where a quota is set: then the deliveries
-- to it come one after the other, and the sum is exact. Not granted; called
-- behind the lock on the mailbox, as everywhere (sql/README: order of locks).
create function postern.check_quotas(p_domain bigint, p_octets bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant bigint;
    v_name text;
    v_quota bigint;
    v_used bigint;
begin
    select d.tenant into v_tenant from postern.domain d where d.domain = p_domain;
    select d.name, d.quota into v_name, v_quota
      from postern.domain d where d.domain = p_domain and d.quota is not null for no key update;
    if found then
        select coalesce(sum(u.octets), 0) into v_used from postern.usage u where u.domain = p_domain;
        if v_used + p_octets > v_quota then
            raise exception 'the quota of domain % is % octets, % are used, % more do not fit: % are missing',
                v_name, v_quota, v_used, p_octets, v_used + p_octets - v_quota using errcode = 'PN507';
        end if;
    end if;
    select t.name, t.quota into v_name, v_quota
      from postern.tenant t where t.tenant = v_tenant and t.quota is not null for no key update;
    if found then
        select coalesce(sum(u.octets), 0) into v_used
          from postern.domain d join postern.usage u using (domain) where d.tenant = v_tenant;
        if v_used + p_octets > v_quota then
            raise exception 'the quota of tenant % is % octets, % are used, % more do not fit: % are missing',
                v_name, v_quota, v_used, p_octets, v_used + p_octets - v_quota using errcode = 'PN507';
        end if;
    end if;
end
$$;

-- put_messages: one message for each of these contents, in their order. Returns
-- the uid of the first one; the others follow without a gap.
--
-- p_received_at, p_delivered_to and p_uidls run beside p_contents; each may be
-- null as a whole, or in an element: now, no Delivered-To line, no own UIDL.
-- An own UIDL is refused if the mailbox has it already, or if it looks like one
-- that the mailbox makes itself (uidvalidity.uid).
create function postern.put_messages(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_n constant bigint := coalesce(cardinality(p_contents), 0);
    v_octets bigint[];
    v_sum bigint;
    v_first bigint;
    v_domain bigint;
    v_address text;
    v_used bigint;
    v_quota bigint;
    v_uidvalidity bigint;
    v_bad text;
begin
    if v_n = 0 or coalesce(cardinality(p_received_at), v_n) <> v_n
       or coalesce(cardinality(p_delivered_to), v_n) <> v_n or coalesce(cardinality(p_uidls), v_n) <> v_n then
        raise exception 'put_messages: no contents, or arrays that differ in number' using errcode = 'PN400';
    end if;

    if array_to_string(p_delivered_to, '') collate "C" ~ '[\r\n]' then
        raise exception 'put_messages: a line end in a Delivered-To line' using errcode = 'PN400';
    end if;

    -- What LIST will say: "Delivered-To: " and CRLF are 16 octets.
    select array_agg(c.octets + coalesce(octet_length(n.delivered_to) + 16, 0) order by n.i),
           sum(c.octets + coalesce(octet_length(n.delivered_to) + 16, 0))
      into v_octets, v_sum
      from unnest(p_contents, p_delivered_to) with ordinality as n(content, delivered_to, i)
      join postern.content c on c.content = n.content and c.xmin = pg_current_xact_id()::xid;
    if cardinality(v_octets) is distinct from v_n then
        raise exception 'put_messages: a content that this transaction did not make' using errcode = 'PN400';
    end if;

    -- From here to the commit this mailbox is ours, so uids commit in order.
    select m.domain into v_domain from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if found then
        perform postern.check_quotas(v_domain, v_sum);
    end if;
    update postern.mailbox m
       set next_uid = m.next_uid + v_n, messages = m.messages + v_n, octets = m.octets + v_sum
     where m.mailbox = p_mailbox
     returning m.next_uid - v_n, m.domain, m.address, m.octets - v_sum, m.quota, m.uidvalidity
      into v_first, v_domain, v_address, v_used, v_quota, v_uidvalidity;
    if not found then
        raise exception 'mailbox % does not exist any more', p_mailbox using errcode = 'PN404';
    end if;
    if v_used + v_sum > v_quota then
        raise exception 'the quota of mailbox % is % octets, % are used, % more do not fit: % are missing',
            v_address, v_quota, v_used, v_sum, v_used + v_sum - v_quota using errcode = 'PN507';
    end if;
    if p_uidls is not null then
        select min(n.uidl collate "C") into v_bad from unnest(p_uidls) as n(uidl) where n.uidl collate "C" !~ '^[!-~]{1,70}$';
        if v_bad is not null then
            raise exception 'UIDL "%" is not 1 to 70 octets of printable ASCII without a space', v_bad using errcode = 'PN400';
        end if;
        select min(n.uidl collate "C") into v_bad from unnest(p_uidls) as n(uidl)
         where starts_with(n.uidl, lpad(to_hex(v_uidvalidity), 12, '0') || '.')
            or exists (select from postern.message m where m.mailbox = p_mailbox and m.uidl = n.uidl);
        if v_bad is null then
            select min(g.uidl collate "C") into v_bad
              from (select n.uidl from unnest(p_uidls) as n(uidl) group by n.uidl having count(*) > 1) g;
        end if;
        if v_bad is not null then
            raise exception 'UIDL "%" is taken in mailbox %', v_bad, v_address using errcode = 'PN409';
        end if;
    end if;

    insert into postern.message (mailbox, uid, content, octets, received_at, delivered_to, uidl)
        select p_mailbox, v_first + n.i - 1, n.content, n.octets, coalesce(n.received_at, now()), n.delivered_to, n.uidl
          from unnest(p_contents, v_octets, p_received_at, p_delivered_to, p_uidls)
               with ordinality as n(content, octets, received_at, delivered_to, uidl, i);
    perform postern.add_usage(v_domain, v_n, v_sum);
    return v_first;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.put_contents(bigint[], bytea[], integer[]) to postern_lmtp, postern_admin;
grant execute on function postern.put_parts(bigint[], integer[], bytea[]) to postern_admin;
grant execute on function postern.put_octets(bigint, integer, bytea) to postern_lmtp;
grant execute on function postern.put_messages(bigint, bigint[], timestamptz[], text[], text[]) to postern_lmtp, postern_admin;
