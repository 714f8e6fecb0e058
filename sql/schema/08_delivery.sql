-- How mail is delivered: who is this recipient, and one transaction for a
-- message to all of them.
--
-- A large message is stored before it is delivered, in the same transaction:
--
--   begin
--   put_contents, put_octets    its octets (see 05_content)
--   deliver                     with the content's number instead of data
--   commit                      or rollback, where deliver stored nothing
--
-- Order of locks: mailboxes by number, then domains, then tenants, the last
-- two only where they have a quota. Nobody waits for the sums (add_usage).

-- What may keep an address, and a delivery, from a mailbox. Both functions
-- speak in these numbers:
--
--   0 fine      1 no such mailbox or address      2 no such domain
--   3 disabled  4 over quota, of octets (smaller may fit) or of messages
--   5 larger than the whole quota
--   6 a duplicate, which is there already (deliver only)

-- room: would a message of this many octets fit into the mailbox, which has p_used octets in
-- p_messages of p_allowed messages? A hint: deliver() decides. Not granted.
create function postern.room(p_octets bigint, p_used bigint, p_quota bigint, p_messages bigint, p_allowed bigint, p_domain bigint)
returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
begin
    if p_octets > p_quota then
        return 5;
    end if;
    -- What is left, as the sum of the two might be too large for a number.
    if p_octets > p_quota - p_used or p_messages >= p_allowed then
        return 4;
    end if;
    select d.quota as domain_quota, t.quota as tenant_quota, d.quota_messages as domain_messages, t.quota_messages as tenant_messages,
           d.tenant into r
      from postern.domain d join postern.tenant t on t.tenant = d.tenant
     where d.domain = p_domain and num_nonnulls(d.quota, t.quota, d.quota_messages, t.quota_messages) > 0;
    if not found then
        return 0;
    end if;
    if p_octets > r.domain_quota or p_octets > r.tenant_quota then
        return 5;
    end if;
    if p_octets > r.domain_quota - postern.domain_used(p_domain) or p_octets > r.tenant_quota - postern.tenant_used(r.tenant) then
        return 4;
    end if;
    if (r.domain_messages is not null and postern.domain_messages(p_domain) >= r.domain_messages)
       or (r.tenant_messages is not null and postern.tenant_messages(r.tenant) >= r.tenant_messages) then
        return 4;
    end if;
    return 0;
end
$$;

-- defers: mail for mailboxes that are at this old server is refused for now. Not granted.
create function postern.defers(p_server bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from postern.old_server s where s.server = p_server and s.mail = 'defer');
end
$$;

-- resolve: who are these recipients? Canonical addresses, `postmaster` alone
-- among them; p_bases are the same without their tag, null where there is none.
-- p_octets is what the sender announced, 0 if nothing. p_postmaster gets the
-- postmaster's mail of a domain that has no such address, and that of
-- `postmaster` alone; null: the oldest mailbox of the domain, and nobody.
--
-- An address is looked for as it is, then without its tag, then as the catch-all
-- of its domain, each as a mailbox and as an alias; in a domain that is another
-- name of one, there. An alias names mailboxes and a domain alias is one step, so
-- that nothing can loop.
--
-- One row for each mailbox of each address, in the order of the addresses (n
-- counts from 1), with 0 or what keeps mail from that mailbox now: 3, 4, 5 or 7; or
-- one row with the verdict of the address and mailbox null. Whether a list of
-- which some members have no room is served for the others is the caller's
-- decision. Whose place in an alias is disabled is no member.
--
-- A mailbox that is still at an old server gets its mail here, unless that one says
-- mail=defer; what is unknown in a domain that is elsewhere as a whole may exist there.
--
-- A provider with their own user tables replaces this function.
create function postern.resolve(p_addresses text[], p_bases text[], p_octets bigint, p_postmaster text)
returns table (n integer, verdict integer, mailbox bigint)
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    c_no_limit constant bigint := 9223372036854775807;
    v_octets constant bigint := greatest(p_octets, 1);
    v_address text;
    v_base text;
    v_try text;
    v_quick bigint[];           -- the mailboxes of those that need no further look
    v_found bigint[];
    v_rows bigint;
    d record;
    m record;
begin
    -- Mostly they are addresses of mailboxes in which there is room: these are found at once. (offset 0: each is
    -- looked for by the index, whatever the plan was made for.)
    if cardinality(p_addresses) > 1 then
        v_quick := array(
            select x.mailbox
              from unnest(p_addresses) with ordinality as r(address, i)
              left join lateral (select b.mailbox
                                   from postern.mailbox b
                                   join postern.domain o on o.domain = b.domain
                                   join postern.tenant t on t.tenant = o.tenant
                                  where b.address = r.address and b.enabled and o.enabled and t.enabled
                                    and (b.quota is null or v_octets <= b.quota - b.octets) and o.quota is null and t.quota is null
                                    and b.messages < coalesce(b.quota_messages, t.quota_messages_each, c_no_limit)
                                    and o.quota_messages is null and t.quota_messages is null
                                    and (b.moved or coalesce(b.old_server, o.old_server) is null)
                                 offset 0) x on true
             order by r.i);
    end if;

    for i in 1 .. coalesce(cardinality(p_addresses), 0) loop
        n := i;
        if v_quick[i] is not null then
            verdict := 0;
            mailbox := v_quick[i];
            return next;
            continue;
        end if;
        v_address := p_addresses[i];

        select b.mailbox, b.octets, b.quota, b.messages, coalesce(b.quota_messages, t.quota_messages_each) as allowed, b.domain,
               b.enabled and o.enabled and t.enabled as active,
               (b.quota is null or v_octets <= b.quota - b.octets) and o.quota is null and t.quota is null
                   and b.messages < coalesce(b.quota_messages, t.quota_messages_each, c_no_limit)
                   and o.quota_messages is null and t.quota_messages is null as fits,
               case when not b.moved then coalesce(b.old_server, o.old_server) end as server into m
          from postern.mailbox b
          join postern.domain o on o.domain = b.domain
          join postern.tenant t on t.tenant = o.tenant
         where b.address = v_address;
        if found then
            verdict := case when not m.active then 3
                            when m.server is not null and postern.defers(m.server) then 7
                            when m.fits then 0
                            else postern.room(v_octets, m.octets, m.quota, m.messages, m.allowed, m.domain) end;
            mailbox := case when verdict = 0 then m.mailbox end;
            return next;
            continue;
        end if;

        mailbox := null;
        if v_address = 'postmaster' then
            -- RFC 5321 section 4.5.1: without a domain, too, where the operator has said whose it is. No tenant
            -- gets the mail for the host's postmaster because it came first.
            if p_postmaster is null then
                verdict := 1;
                return next;
                continue;
            end if;
            v_address := p_postmaster;
        end if;
        select o.name, h.domain as home, h.name as home_name, h.old_server, o.enabled and h.enabled and t.enabled as active into d
          from postern.domain o
          join postern.domain h on h.domain = coalesce(o.alias_of, o.domain)
          join postern.tenant t on t.tenant = h.tenant
         where o.name = split_part(v_address, '@', -1);
        if not found or not d.active then
            verdict := case when d.home is null then 2 else 3 end;
            return next;
            continue;
        end if;
        v_address := left(v_address, -length(d.name)) || d.home_name;
        v_base := left(p_bases[i], -length(d.name)) || d.home_name;
        foreach v_try in array array[v_address, v_base, '@' || d.home_name] loop
            select array_agg(x.mailbox) filter (where x.enabled), count(*) into v_found, v_rows
              from (select b.mailbox, true as enabled from postern.mailbox b where b.address = v_try
                    union all
                    select a.mailbox, a.enabled from postern.alias a where a.address = v_try) x;
            exit when v_rows > 0;
        end loop;
        if v_rows = 0 and v_address = 'postmaster@' || d.home_name then
            v_found := coalesce((select array[b.mailbox] from postern.mailbox b where b.address = p_postmaster),
                                (select array[min(b.mailbox)] from postern.mailbox b where b.domain = d.home and b.enabled));
        elsif v_rows = 0 then
            verdict := case when d.old_server is null then 1 else 7 end;
            return next;
            continue;
        end if;

        return query select i, case when not (b.enabled and o.enabled and t.enabled) then 3
                                    when not b.moved and coalesce(b.old_server, o.old_server) is not null
                                         and postern.defers(coalesce(b.old_server, o.old_server)) then 7
                                    else postern.room(v_octets, b.octets, b.quota, b.messages,
                                                      coalesce(b.quota_messages, t.quota_messages_each), b.domain) end, b.mailbox
                       from postern.mailbox b
                       join postern.domain o on o.domain = b.domain
                       join postern.tenant t on t.tenant = o.tenant
                      where b.mailbox = any (v_found)
                      order by b.mailbox;
        if not found then
            verdict := 3;
            return next;
        end if;
    end loop;
end
$$;

-- Deliveries that are not to be repeated; written only where a program gives keys.
create table postern.delivery (
    key         bytea       not null primary key check (length(key) = 16),
    delivered_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
create index delivery_delivered_at on postern.delivery (delivered_at);
comment on table  postern.delivery is 'what was delivered a short time ago, where duplicates are suppressed';
comment on column postern.delivery.key is 'a hash over Message-ID, sender, recipient and octets';

-- How far forget_deliveries() got, in microseconds since 1970. A sequence is the one
-- thing that is changed in place and has no versions.
create sequence postern.delivery_forgotten minvalue 0 start 0;

-- forget_deliveries: what is too old to matter goes, from where it was left the last time: before that
-- there are only rows that are gone, and that everybody would pass who begins with the
-- first one, as long as somebody holds a snapshot. One in a thousand looks there
-- all the same, as somebody may have gone on past what others held. Not granted.
create function postern.forget_deliveries(p_since timestamptz, p_most bigint) returns void
language plpgsql
as $$
declare
    v_from constant timestamptz := case when random() < 0.001 then '-infinity'
                                        else (select to_timestamp(f.last_value / 1000000.0) from postern.delivery_forgotten f) end;
    v_keys constant bytea[] := array(select d.key from postern.delivery d
                                      where d.delivered_at >= v_from and d.delivered_at < p_since
                                      order by d.delivered_at limit p_most for update skip locked);
    v_last timestamptz;
begin
    if v_keys = '{}' then
        return;
    end if;
    with gone as (
        delete from postern.delivery d where d.key = any (v_keys) returning d.delivered_at
    )
    select max(gone.delivered_at) into v_last from gone;
    if v_last is not null then
        perform setval('postern.delivery_forgotten', floor(extract(epoch from v_last) * 1000000)::bigint);
    end if;
end
$$;

-- place_message: a content, as keep_content() has it, as one message in each of
-- these mailboxes, no two of them the same, with the sums. Returns their uids, in
-- their order. The caller has locked the mailboxes, in order of number. Not granted.
create function postern.place_message(p_mailboxes bigint[], p_delivered_to text[], p_content bigint, p_octets bigint,
    p_digest bytea, p_data bytea) returns bigint[]
language plpgsql
as $$
declare
    v_content constant bigint := postern.keep_content(p_content, cardinality(p_mailboxes), p_octets, p_digest, p_data);
    v_uids bigint[];
    v_domains bigint[];
    v_octets bigint[];
    u record;
begin
    with taken as (
        update postern.mailbox b
           set next_uid = b.next_uid + 1, messages = b.messages + 1, octets = b.octets + n.octets
          from (select r.mailbox, r.delivered_to, r.i, postern.message_octets(p_octets, r.delivered_to) as octets
                  from unnest(p_mailboxes, p_delivered_to) with ordinality as r(mailbox, delivered_to, i)) n
         where b.mailbox = n.mailbox
        returning b.mailbox, b.domain, b.next_uid - 1 as uid, n.octets, n.delivered_to, n.i
    ), put as (
        insert into postern.message (mailbox, uid, content, octets, delivered_to)
            select taken.mailbox, taken.uid, v_content, taken.octets, taken.delivered_to from taken
    )
    select array_agg(taken.uid order by taken.i), array_agg(taken.domain), array_agg(taken.octets)
      into v_uids, v_domains, v_octets from taken;
    for u in select x.domain, count(*) as n, sum(x.octets)::bigint as octets
               from unnest(v_domains, v_octets) as x(domain, octets) group by x.domain
    loop
        perform postern.add_usage(u.domain, u.n, u.octets);
    end loop;
    return v_uids;
end
$$;

-- full_domains: those of these mailboxes' domains whose quota, or whose tenant's, has
-- no room for the message in all of them, by octets or messages; none, mostly. Locks
-- domains and tenants that have a quota, by number, so that nobody else takes of them
-- until the commit. p_octets runs beside p_mailboxes. Not granted.
create function postern.full_domains(p_mailboxes bigint[], p_octets bigint[]) returns bigint[]
language plpgsql
as $$
declare
    v_domains constant bigint[] := array(select b.domain from postern.mailbox b where b.mailbox = any (p_mailboxes));
begin
    perform from postern.domain o where o.domain = any (v_domains) and num_nonnulls(o.quota, o.quota_messages) > 0
      order by o.domain for no key update;
    perform from postern.tenant t
      where t.tenant in (select o.tenant from postern.domain o where o.domain = any (v_domains))
        and num_nonnulls(t.quota, t.quota_messages) > 0
      order by t.tenant for no key update;
    return array(
        with wanted as (
            select o.tenant, o.domain, o.quota, o.quota_messages, sum(n.octets) as octets, count(*) as messages
              from unnest(p_mailboxes, p_octets) as n(mailbox, octets)
              join postern.mailbox b on b.mailbox = n.mailbox
              join postern.domain o on o.domain = b.domain
             group by o.tenant, o.domain, o.quota, o.quota_messages
        ), full_tenant as (
            select t.tenant from postern.tenant t
             where (t.quota is not null
                    and postern.tenant_used(t.tenant) + (select sum(w.octets) from wanted w where w.tenant = t.tenant) > t.quota)
                or (t.quota_messages is not null
                    and postern.tenant_messages(t.tenant) + (select sum(w.messages) from wanted w where w.tenant = t.tenant) > t.quota_messages)
        )
        select w.domain from wanted w
         where w.quota is not null and postern.domain_used(w.domain) + w.octets > w.quota
            or w.quota_messages is not null and postern.domain_messages(w.domain) + w.messages > w.quota_messages
            or w.tenant in (select f.tenant from full_tenant f));
end
$$;

-- octets_left: of the quotas above this domain, when these mailboxes have got a message each of
-- these octets, which are not counted yet. Null is no limit; -1: no message more, not even one
-- of no octets. Not granted.
create function postern.octets_left(p_domain bigint, p_mailboxes bigint[], p_octets bigint[]) returns bigint
language plpgsql stable
as $$
begin
    return (
        select case when (o.quota_messages is not null and postern.domain_messages(o.domain) + g.in_domain >= o.quota_messages)
                      or (t.quota_messages is not null and postern.tenant_messages(t.tenant) + g.in_tenant >= t.quota_messages) then -1
                    else least(o.quota - postern.domain_used(o.domain) - g.of_domain,
                               t.quota - postern.tenant_used(t.tenant) - g.of_tenant) end
          from postern.domain o
          join postern.tenant t on t.tenant = o.tenant
         cross join lateral (
            select coalesce(sum(n.octets) filter (where d.domain = o.domain), 0)::bigint as of_domain,
                   coalesce(sum(n.octets), 0)::bigint as of_tenant,
                   count(*) filter (where d.domain = o.domain) as in_domain, count(*) as in_tenant
              from unnest(p_mailboxes, p_octets) as n(mailbox, octets)
              join postern.mailbox b on b.mailbox = n.mailbox
              join postern.domain d on d.domain = b.domain
             where d.tenant = o.tenant) g
         where o.domain = p_domain);
end
$$;

-- deliver: a message into the mailboxes of its recipients, in the transaction
-- of the caller: the content once, a message row for each mailbox. A mailbox
-- that several recipients name gets one, with the first one's Delivered-To.
--
--   p_octets, p_digest  of the content; p_data is all of it, as one run, or null, and then
--   p_content           is its number, made by put_contents in this transaction
--   p_mailboxes         of all recipients, one after the other, and in parallel
--   p_recipients        whose each of them is: a number from 1, ascending
--   p_delivered_to      a line for each recipient
--   p_keys, p_window    null, or what a delivery is known by, for each recipient
--                       (null where unknown), and for how many milliseconds
--   p_all               a recipient with several mailboxes, one of which has no
--                       room, is refused as a whole
--   p_session           the id of this delivery in the caller's log
--
-- verdicts and uids (of the first mailbox that has it, null where another
-- recipient has named it or nothing was stored) are in the order of the
-- recipients; stored is the number of message rows.
--
-- A recipient gets 0 if one of its mailboxes has the message. Its other
-- mailboxes, which are full, disabled or removed by now, miss it. They are
-- listed, null where there are none: by recipient (counted from 1), mailbox,
-- address (null where it is gone) and reason (1, 3, 4 or 5); and all that are
-- still there have it in their history. A recipient that has no mailbox which
-- gets the message is refused: where some may have room later, as over quota.
--
-- The mailboxes are locked here, so that uids commit in order and the quotas are
-- exact. Three ways lead there. The first two, one mailbox and several that all
-- have room, are what nearly every delivery is. The last one goes through the
-- shares in their order, as each may depend on those before it: they may have taken
-- the room, or have the mailbox's copy, and what a refused recipient had taken is
-- free again.
-- Errors: PN400.
create function postern.deliver(p_octets bigint, p_digest bytea, p_data bytea, p_content bigint,
    p_mailboxes bigint[], p_recipients bigint[], p_delivered_to text[], p_keys bytea[], p_window bigint,
    p_all boolean default false, p_session text default null,
    out stored bigint, out verdicts bigint[], out uids bigint[],
    out lost_for bigint[], out lost bigint[], out lost_addresses text[], out lost_why bigint[])
-- Plans made for the arrays of each call would cost more than what they gain.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    c_no_limit constant bigint := 9223372036854775807;
    v_recipients constant integer := coalesce(cardinality(p_delivered_to), 0);
    v_since constant timestamptz := clock_timestamp() - make_interval(secs => coalesce(p_window, 0) / 1000.0);
    v_content bigint;
    v_domain bigint;
    v_uid bigint;
    v_size bigint;
    v_full bigint[];                -- domains in which there is not room for all; null until that is known
    s record;
    -- Mailboxes that get the message, and whose copy that is.
    v_placed bigint[] := '{}';
    v_for bigint[] := '{}';
    -- Of the recipient that it is at.
    v_before integer := 0;          -- of v_placed: what earlier recipients have
    v_got boolean := false;         -- one of its mailboxes has the message
    v_active boolean := false;      -- one of them is enabled
    v_lost bigint[] := '{}';
    v_whys bigint[] := '{}';
    v_why bigint;
    v_verdict bigint;
    v_key bytea;
    v_uids bigint[];
begin
    -- What is acknowledged is on disk, whatever the server's default; stronger settings stay.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    if v_recipients = 0 or cardinality(p_mailboxes) is distinct from cardinality(p_recipients)
       or cardinality(p_mailboxes) is null or 1 > any (p_recipients) or v_recipients < any (p_recipients)
       or coalesce(cardinality(p_keys), v_recipients) <> v_recipients
       or (p_data is null) = (p_content is null) or length(p_data) > p_octets then
        raise exception 'deliver: arrays or octets that differ in number' using errcode = 'PN400';
    end if;
    if p_octets < 0 or length(p_digest) <> postern.digest_octets() or array_to_string(p_delivered_to, '') collate "C" ~ '[\r\n]' then
        raise exception 'deliver: negative octets, a digest that does not have % octets, or a line end within a Delivered-To line',
            postern.digest_octets() using errcode = 'PN400';
    end if;
    if p_content is not null then
        if not postern.made_here(array[p_content]) then
            raise exception 'deliver: a content that this transaction did not create' using errcode = 'PN400';
        end if;
        perform postern.check_stored(array[p_content]);
        if p_octets <> (select c.octets from postern.content c where c.content = p_content) then
            raise exception 'deliver: % octets, but this content has others', p_octets using errcode = 'PN400';
        end if;
    end if;

    -- Mostly there is one mailbox, and room in it: one statement finds that out and takes the uid.
    if cardinality(p_mailboxes) = 1 and v_recipients = 1 and p_keys is null then
        v_size := postern.message_octets(p_octets, p_delivered_to[1]);
        update postern.mailbox b
           set next_uid = b.next_uid + 1, messages = b.messages + 1, octets = b.octets + v_size
          from postern.domain o, postern.tenant t
         where b.mailbox = p_mailboxes[1] and (b.quota is null or b.octets + v_size <= b.quota) and b.enabled
           and b.messages < coalesce(b.quota_messages, t.quota_messages_each, c_no_limit)
           and o.domain = b.domain and o.enabled and o.quota is null and o.quota_messages is null
           and t.tenant = o.tenant and t.enabled and t.quota is null and t.quota_messages is null
        returning b.next_uid - 1, b.domain into v_uid, v_domain;
        if found then
            v_content := postern.keep_content(p_content, 1, p_octets, p_digest, p_data);
            insert into postern.message (mailbox, uid, content, octets, delivered_to)
                values (p_mailboxes[1], v_uid, v_content, v_size, p_delivered_to[1]);
            perform postern.add_usage(v_domain, 1, v_size);
            stored := 1;
            verdicts := '{0}';
            uids := array[v_uid];
            return;
        end if;
    end if;

    -- Nor do several need a look at each, where every recipient is one mailbox of its own and all of them have room.
    if p_keys is null and v_recipients > 1 and p_recipients = array(select generate_series(1::bigint, v_recipients)) then
        uids := postern.place_messages(array[p_octets], array[p_digest], array[p_data], p_content, p_mailboxes, array[v_recipients], p_delivered_to);
        if uids[1] is not null then
            stored := v_recipients;
            verdicts := array_fill(0::bigint, array[v_recipients]);
            return;
        end if;
    end if;

    -- One row for each share, in their order: what keeps the message from this mailbox, whatever the others get.
    verdicts := array_fill(1::bigint, array[v_recipients]);
    for s in
        select n.recipient, n.mailbox, n.octets, b.domain, b.limited,
               case when b.mailbox is null then 1 when not b.active then 3
                    when n.octets > b.largest then 5 when b.used + n.octets > b.quota or b.messages >= b.allowed then 4 else 0 end as why,
               p_recipients[n.i + 1] is distinct from n.recipient as last
          from (select r.recipient, r.mailbox, r.i, postern.message_octets(p_octets, p_delivered_to[r.recipient]) as octets
                  from unnest(p_recipients, p_mailboxes) with ordinality as r(recipient, mailbox, i)) n
          left join (select m.mailbox, m.domain, m.octets as used, m.quota, m.enabled and o.enabled and t.enabled as active,
                            m.messages, coalesce(m.quota_messages, t.quota_messages_each) as allowed,
                            num_nonnulls(o.quota, t.quota, o.quota_messages, t.quota_messages) > 0 as limited, least(m.quota, o.quota, t.quota) as largest
                       from postern.mailbox m
                       join postern.domain o on o.domain = m.domain
                       join postern.tenant t on t.tenant = o.tenant
                      where m.mailbox = any (p_mailboxes)
                      order by m.mailbox for no key update of m) b on b.mailbox = n.mailbox
         order by n.i
    loop
        v_why := s.why;
        if s.mailbox = any (v_placed) then
            v_why := 0;
        elsif v_why = 0 then
            if s.limited and v_full is null then
                v_full := postern.full_domains(p_mailboxes,
                    array(select postern.message_octets(p_octets, p_delivered_to[r]) from unnest(p_recipients) as r));
            end if;
            if s.limited and s.domain = any (v_full) then
                v_why := case when s.octets > postern.octets_left(s.domain, v_placed,
                    array(select postern.message_octets(p_octets, p_delivered_to[r]) from unnest(v_for) as r)) then 4 else 0 end;
            end if;
            if v_why = 0 then
                v_placed := v_placed || s.mailbox;
                v_for := v_for || s.recipient;
            end if;
        end if;
        v_got := v_got or v_why = 0;
        v_active := v_active or v_why not in (1, 3);
        if v_why > 0 then
            v_lost := v_lost || s.mailbox;
            v_whys := v_whys || v_why;
        end if;
        continue when not s.last;

        -- The recipient's last share. Of several reasons, what may be different soon counts before what is for good.
        v_verdict := 0;
        if not v_got or (p_all and (4 = any (v_whys) or 5 = any (v_whys))) then
            v_verdict := (select case when v_active and not p_all then min(w) filter (where w > 3) else max(w) end
                            from unnest(v_whys) w);
        end if;
        -- The mailboxes are locked: nobody else delivers to this recipient now.
        v_key := p_keys[s.recipient];
        if v_active and v_key is not null then
            if exists (select from postern.delivery d where d.key = v_key and d.delivered_at > v_since) then
                v_verdict := 6;
            elsif v_verdict = 0 then
                insert into postern.delivery as d (key, delivered_at) values (v_key, clock_timestamp())
                    on conflict (key) do update set delivered_at = excluded.delivered_at;
            end if;
        end if;
        if v_verdict <> 0 then
            v_placed := v_placed[:v_before];
            v_for := v_for[:v_before];
        elsif v_lost <> '{}' then
            lost_for := lost_for || array_fill(s.recipient, array[cardinality(v_lost)]);
            lost := lost || v_lost;
            lost_why := lost_why || v_whys;
        end if;
        verdicts[s.recipient] := v_verdict;
        v_before := cardinality(v_placed);
        v_got := false;
        v_active := false;
        v_lost := '{}';
        v_whys := '{}';
    end loop;

    stored := cardinality(v_placed);
    uids := array_fill(null::bigint, array[v_recipients]);
    if stored = 0 then
        return;
    end if;
    v_uids := postern.place_message(v_placed, array(select p_delivered_to[f] from unnest(v_for) as f), p_content, p_octets, p_digest, p_data);
    for k in reverse stored .. 1 loop
        uids[v_for[k]] := v_uids[k];
    end loop;

    if lost is not null then
        select array_agg(b.address order by l.i) into lost_addresses
          from unnest(lost) with ordinality as l(mailbox, i) left join postern.mailbox b on b.mailbox = l.mailbox;
        insert into postern.history (mailbox, what, octets, since, means, session)
            select l.mailbox, 'refusal', postern.message_octets(p_octets, p_delivered_to[l.recipient]), now(),
                   case l.why when 3 then 'disabled' when 4 then 'over quota' else 'larger than quota' end, p_session
              from unnest(lost, lost_for, lost_why) as l(mailbox, recipient, why) where l.why > 1;
    end if;

    -- Some of what is too old to matter, so that the table stays as small as the window is short.
    if p_keys is not null and random() < 1.0 / 8 then
        perform postern.forget_deliveries(v_since, 16 * v_recipients);
    end if;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.resolve(text[], text[], bigint, text),
    postern.deliver(bigint, bytea, bytea, bigint, bigint[], bigint[], text[], bytea[], bigint, boolean, text)
    to postern_lmtp;
