-- Deliveries, and questions for recipients, of several sessions in one call: what
-- deliver() and resolve() (08_delivery) do for each of them alone.
--
-- Groups have arrays with an element for each member; what is an array of each
-- member comes as all elements, one after the other, with p_counts, which says how
-- many are whose. There are rows for each member, n counts from 1. A member without
-- any is to be asked for alone: nothing was done for it. If a group fails, nothing was done for
-- anybody.

-- members_of: whose each element is, counted from 1. Not granted.
create function postern.members_of(p_counts integer[]) returns integer[]
language plpgsql immutable
as $$
begin
    return array(select c.n::integer from unnest(p_counts) with ordinality as c(count, n), generate_series(1, c.count) order by c.n);
end
$$;

-- place_messages: these messages, each into mailboxes of its own, where nothing keeps it from
-- any of them: they are enabled, have room for all that comes to them here, and so
-- have their domains and tenants; and no message names one twice. Of such a message
-- the uids are returned, in the order of p_mailboxes; of the others null, and
-- nothing of them is stored. Locks the mailboxes, and what has a quota (sql/README).
-- Not granted.
--
--   p_octets, p_digests, p_data    of the messages; the data are runs
--   p_content                      null, or the number of the content of the only one, without p_data
--   p_mailboxes, p_delivered_to    of all of them, one after the other; p_counts says how many are whose
create function postern.place_messages(p_octets bigint[], p_digests bytea[], p_data bytea[], p_content bigint,
    p_mailboxes bigint[], p_counts integer[], p_delivered_to text[]) returns bigint[]
language plpgsql
as $$
declare
    v_of constant integer[] := postern.members_of(p_counts);
    -- By share: a message and one of its mailboxes.
    v_uids bigint[];
    v_domains bigint[];
    v_octets bigint[];
    v_fine boolean[];
    v_all boolean;                  -- of them are fine
    v_limited boolean;              -- there is a quota above one of the mailboxes
    v_contents bigint[];
    v_full bigint[];
    v_coded boolean;                -- one of them, or more
    u record;
begin
    select array_agg(x.uid), array_agg(x.domain), array_agg(x.octets), array_agg(x.fine), bool_and(x.fine), bool_or(x.limited)
      into v_uids, v_domains, v_octets, v_fine, v_all, v_limited
      from (select f.next_uid + s.before as uid, f.domain, s.octets, f.limited,
                   coalesce(f.active and not s.again and (f.quota is null or f.octets + s.sum <= f.quota)
                            and (f.allowed is null or f.messages + s.messages <= f.allowed), false) as fine
              from (select n.i, n.mailbox, n.octets, row_number() over w - 1 as before, lag(n.message) over w is not distinct from n.message as again,
                           sum(n.octets) over (partition by n.mailbox) as sum, count(*) over (partition by n.mailbox) as messages
                      from (select r.i, r.mailbox, r.message, postern.message_octets(p_octets[r.message], r.delivered_to) as octets
                              from unnest(p_mailboxes, p_delivered_to, v_of) with ordinality as r(mailbox, delivered_to, message, i)) n
                    window w as (partition by n.mailbox order by n.i)) s
              left join (select b.mailbox, b.domain, b.next_uid, b.octets, b.quota, b.enabled and o.enabled and t.enabled as active,
                                b.messages, coalesce(b.quota_messages, t.quota_messages_each) as allowed,
                                num_nonnulls(o.quota, t.quota, o.quota_messages, t.quota_messages) > 0 as limited
                           from postern.mailbox b
                           join postern.domain o on o.domain = b.domain
                           join postern.tenant t on t.tenant = o.tenant
                          where b.mailbox = any (p_mailboxes)
                          order by b.mailbox for no key update of b) f on f.mailbox = s.mailbox
             order by s.i) x;
    if v_limited then
        v_full := postern.full_domains(p_mailboxes, v_octets);
        if v_full && v_domains then
            v_all := false;
            v_fine := array(select x.fine and x.domain <> all (v_full)
                              from unnest(v_fine, v_domains) with ordinality as x(fine, domain, i) order by x.i);
        end if;
    end if;
    if not v_all then
        -- Without the others there is room for them all the more, and their uids are as if those were not there.
        return postern.place_some(p_octets, p_digests, p_data, p_mailboxes, p_counts, p_delivered_to,
            array(select x.message from unnest(v_of, v_fine) as x(message, fine) group by x.message having bool_and(x.fine)));
    end if;

    if p_content is null then
        v_contents := array(select nextval('postern.content_content_seq') from unnest(p_counts));
        v_coded := exists (select from unnest(p_octets, p_data) as c(octets, data) where length(c.data) < c.octets);
    else
        v_contents := array[postern.keep_content(p_content, p_counts[1], null, null, null)];
    end if;
    with taken as (
        update postern.mailbox b
           set next_uid = b.next_uid + n.messages, messages = b.messages + n.messages, octets = b.octets + n.octets
          from (select s.mailbox, count(*) as messages, sum(s.octets)::bigint as octets
                  from unnest(p_mailboxes, v_octets) as s(mailbox, octets) group by s.mailbox) n
         where b.mailbox = n.mailbox
    ), kept as (
        insert into postern.content (content, refs, octets, digest, stored)
            select c.content, p_counts[c.n], p_octets[c.n], p_digests[c.n],
                   case when v_coded then postern.run_stored(p_data[c.n], p_octets[c.n]) end
              from unnest(v_contents) with ordinality as c(content, n) where p_content is null
    ), cut as (
        insert into postern.content_part (content, part, data)
            select c.content, p.part, p.data
              from unnest(v_contents) with ordinality as c(content, n), postern.parts_of(p_data[c.n]) p
             where p_content is null and (not v_coded or length(p_data[c.n]) = p_octets[c.n])
    )
    insert into postern.message (mailbox, uid, content, octets, delivered_to)
        select s.mailbox, s.uid, v_contents[s.message], s.octets, s.delivered_to
          from unnest(p_mailboxes, v_uids, v_of, v_octets, p_delivered_to) as s(mailbox, uid, message, octets, delivered_to);
    if v_coded then
        insert into postern.content_part (content, part, data, codec)
            select c.content, p.part, p.data, p.codec
              from unnest(v_contents) with ordinality as c(content, n), postern.coded_parts(p_data[c.n], p_octets[c.n]) p
             where length(p_data[c.n]) < p_octets[c.n];
    end if;
    for u in select x.domain, count(*) as n, sum(x.octets)::bigint as octets
               from unnest(v_domains, v_octets) as x(domain, octets) group by x.domain
    loop
        perform postern.add_usage(u.domain, u.n, u.octets);
    end loop;
    return v_uids;
end
$$;

-- place_some: place_messages() for these of the messages alone. Not granted.
create function postern.place_some(p_octets bigint[], p_digests bytea[], p_data bytea[],
    p_mailboxes bigint[], p_counts integer[], p_delivered_to text[], p_messages integer[]) returns bigint[]
language plpgsql
as $$
declare
    v_of constant integer[] := postern.members_of(p_counts);
    v_uids bigint[];
begin
    if p_messages <> '{}' then
        v_uids := postern.place_messages(
            array(select p_octets[m] from unnest(p_messages) as m order by m),
            array(select p_digests[m] from unnest(p_messages) as m order by m),
            array(select p_data[m] from unnest(p_messages) as m order by m), null,
            array(select p_mailboxes[i] from generate_subscripts(v_of, 1) as i where v_of[i] = any (p_messages) order by i),
            array(select p_counts[m] from unnest(p_messages) as m order by m),
            array(select p_delivered_to[i] from generate_subscripts(v_of, 1) as i where v_of[i] = any (p_messages) order by i));
    end if;
    return array(select case when x.placed then v_uids[count(*) filter (where x.placed) over (order by x.i)] end
                   from (select o.i, o.message = any (p_messages) as placed from unnest(v_of) with ordinality as o(message, i)) x
                  order by x.i);
end
$$;

-- deliver_group: several messages, each to recipients who have one mailbox each, without
-- keys. The arguments and columns are those of deliver(); nobody misses anything.
-- Whose message may not be stored in one of its mailboxes, or names one twice, has no row.
--
-- A mailbox that another transaction holds for long keeps only its own messages: they
-- have a row in which all but n is null, and are to be asked for where nobody else waits.
-- Errors: PN400.
create function postern.deliver_group(p_octets bigint[], p_digests bytea[], p_data bytea[],
    p_mailboxes bigint[], p_counts integer[], p_delivered_to text[])
returns table (n integer, stored bigint, verdicts bigint[], uids bigint[])
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '50ms'
as $$
declare
    v_messages constant integer := coalesce(cardinality(p_counts), 0);
    v_shares constant integer := coalesce(cardinality(p_mailboxes), 0);
    v_uids bigint[];
    v_free integer[];               -- messages whose mailboxes nobody holds; null: it was not asked
    v_sum bigint := 0;
begin
    -- What is acknowledged is on disk, whatever the server's default; stronger settings stay.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    if v_messages = 0 or cardinality(p_octets) is distinct from v_messages or cardinality(p_digests) is distinct from v_messages
       or cardinality(p_data) is distinct from v_messages or cardinality(p_delivered_to) is distinct from v_shares then
        raise exception 'deliver_group: arrays that differ in number' using errcode = 'PN400';
    end if;
    for i in 1 .. v_messages loop
        if p_counts[i] is null or p_counts[i] < 1 then
            raise exception 'deliver_group: a message without recipients' using errcode = 'PN400';
        end if;
        v_sum := v_sum + p_counts[i];
        if (length(p_data[i]) <= p_octets[i] and p_octets[i] >= 0 and length(p_digests[i]) = postern.digest_octets()) is not true then
            raise exception 'deliver_group: octets that differ in number, or a digest that does not have % octets', postern.digest_octets()
                using errcode = 'PN400';
        end if;
    end loop;
    if v_sum <> v_shares or array_to_string(p_delivered_to, '') collate "C" ~ '[\r\n]' then
        raise exception 'deliver_group: mailboxes that differ in number, or a line end within a Delivered-To line' using errcode = 'PN400';
    end if;

    begin
        v_uids := postern.place_messages(p_octets, p_digests, p_data, null, p_mailboxes, p_counts, p_delivered_to);
    exception when lock_not_available then
        v_free := array(
            select o.message
              from unnest(p_mailboxes, postern.members_of(p_counts)) as o(mailbox, message)
              left join (select b.mailbox from postern.mailbox b where b.mailbox = any (p_mailboxes) for no key update skip locked) f
                on f.mailbox = o.mailbox
             group by o.message having count(f.mailbox) = count(*));
        v_uids := postern.place_some(p_octets, p_digests, p_data, p_mailboxes, p_counts, p_delivered_to, v_free);
    end;
    v_sum := 0;
    for i in 1 .. v_messages loop
        n := i;
        stored := p_counts[i];
        uids := v_uids[v_sum + 1 : v_sum + stored];
        v_sum := v_sum + stored;
        verdicts := array_fill(0::bigint, array[p_counts[i]]);
        if uids[1] is not null then
            return next;
        elsif i <> all (v_free) then
            stored := null;
            verdicts := null;
            uids := null;
            return next;
        end if;
    end loop;
end
$$;

-- resolve_group: the recipients of several sessions, by one resolve(), which may be a
-- provider's. Whether there is room is asked for the largest message of all, so
-- a smaller one for which that made a difference has no row.
create function postern.resolve_group(p_addresses text[], p_bases text[], p_counts integer[], p_octets bigint[], p_postmasters text[])
returns table (n integer, recipient integer, verdict integer, mailbox bigint, codec integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_codecs constant boolean := exists (select from postern.policy x where x.codec is not null);
    v_of constant integer[] := postern.members_of(p_counts);
    v_octets constant bigint := (select max(o) from unnest(p_octets) as o);
    v_recipients integer[];
    v_verdicts integer[];
    v_mailboxes bigint[];
    v_left integer[];
begin
    select array_agg(r.n), array_agg(r.verdict), array_agg(r.mailbox),
           array_agg(v_of[r.n]) filter (where r.verdict in (4, 5) and p_octets[v_of[r.n]] is distinct from v_octets
                                           or p_postmasters[v_of[r.n]] is distinct from p_postmasters[1])
      into v_recipients, v_verdicts, v_mailboxes, v_left
      from postern.resolve(p_addresses, p_bases, v_octets, p_postmasters[1]) as r;
    return query
        select v_of[r.recipient], r.recipient - array_position(v_of, v_of[r.recipient]) + 1, r.verdict, r.mailbox,
               case when v_codecs then postern.mail_codec(r.mailbox) else 0 end
          from unnest(v_recipients, v_verdicts, v_mailboxes) as r(recipient, verdict, mailbox)
         where v_left is null or v_of[r.recipient] <> all (v_left);
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.deliver_group(bigint[], bytea[], bytea[], bigint[], integer[], text[]),
    postern.resolve_group(text[], text[], integer[], bigint[], text[])
    to postern_lmtp;
