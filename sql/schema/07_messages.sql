-- The messages of a mailbox and their sums: functions that add and remove messages,
-- and that list them for an operator. open_maildrop (03_maildrop)
-- lists them for a session, deliver (08_delivery) adds to many mailboxes.
--
-- A transaction that adds to or removes from a mailbox locks its row first, then those
-- of its domain and tenant, but these only if they have a quota; the sums are last,
-- and nobody waits for it.

-- uidvalidity_text: a uidvalidity as it is shown: twelve hexadecimal digits. Not granted.
create function postern.uidvalidity_text(p_uidvalidity bigint) returns text
language sql immutable parallel safe
return lpad(to_hex(p_uidvalidity), 12, '0');

-- uidl_prefix: the beginning of the UIDLs that a mailbox assigns itself; the uid follows.
-- Not granted.
create function postern.uidl_prefix(p_uidvalidity bigint) returns text
language sql immutable parallel safe
return postern.uidvalidity_text(p_uidvalidity) || '.';

-- uidl_fault: why a client could not be sent this UIDL of another server; null if it can.
-- RFC 1939 section 7 has servers make shorter ones; what another has made is sent as it
-- was, as far as a response has room for it (storage/maildrop/uidl.h). Not granted.
create function postern.uidl_fault(p_uidl text) returns text
language sql immutable parallel safe
begin atomic
    select case when p_uidl = '' then 'is empty'
                when octet_length(p_uidl) > 480 then 'is longer than 480 octets'
                when p_uidl collate "C" ~ '[\u0001-\u0020\u007f]' then 'has a space or a control character' end;
end;

-- --------------------------------------------------------------- the mailbox

-- refuse_removal: a trigger: refuses to remove a mailbox that has messages. message has
-- no foreign key to mailbox: a function that adds a message has changed the row of its
-- mailbox in the same transaction, to get the uid, and a key would look for that row
-- again for each message. This trigger refuses what the key would refuse on removal.
-- Errors: foreign_key_violation.
create function postern.refuse_removal() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from postern.message g where g.mailbox = old.mailbox) then
        raise exception 'mailbox % has messages', old.mailbox using errcode = 'foreign_key_violation';
    end if;
    return old;
end
$$;

create trigger mailbox_is_empty before delete on postern.mailbox for each row execute function postern.refuse_removal();

-- ------------------------------------------------------------------- the sums

-- Of whoever asks, so that policies of rows hold in it.
create view postern.domain_usage with (security_invoker = true) as
    select d.domain, d.tenant, coalesce(u.messages, 0) + coalesce(c.messages, 0) as messages,
           coalesce(u.octets, 0) + coalesce(c.octets, 0) as octets
      from postern.domain d
      left join lateral (select s.messages, s.octets, case when s.xmin = s.made_by then s.below else '0' end as below,
                                case when s.xmin = s.made_by then s.running end as running
                           from postern.usage s where s.domain = d.domain order by s.folded_by desc limit 1) u on true
      left join lateral (select sum(x.messages)::bigint as messages, sum(x.octets)::bigint as octets
                           from (select n.messages, n.octets
                                   from postern.usage_change n where n.domain = d.domain and n.xact >= coalesce(u.below, '0')
                                 union all
                                 -- One by one: any other plan passes all those that are gone.
                                 select o.messages, o.octets
                                   from unnest(u.running) r (xact)
                                  cross join lateral (select y.messages, y.octets from postern.usage_change y
                                                       where y.domain = d.domain and y.xact = r.xact limit 1) o) x) c on true;
comment on view postern.domain_usage is 'messages and octets of all mailboxes of a domain';

-- fold_usage: the changes of a domain, a thousand of them at most, become part of its
-- sum. One at a time: if somebody else does it, or holds the domain, nothing is done.
-- Nobody waits, and who reads the sums sees all of this or nothing. p_self is the xmin of
-- what the caller writes now, which is that of a subtransaction if there is one. Not granted.
--
-- Rows that are gone stay in the index while somebody holds a snapshot. So this does not
-- begin with the first change but with that of `below`: a transaction that has begun
-- to write later than all those of which the last one that did this saw the end. One that
-- goes on for long (an import, a large deletion) would keep it back: these are named in
-- `running`, some of them, and their changes looked for one by one. (A plan that was made
-- when there were two pages and is still kept must not read all of them.)
create function postern.fold_usage(p_domain bigint, p_self xid) returns void
language plpgsql set enable_seqscan = off
as $$
declare
    c_most constant integer := 1000;
    c_long constant bigint := 1000;     -- how many transactions have begun since one that goes on for long
    c_named constant integer := 8;
    s record;
    v_below xid8;
    v_last xid8;        -- null: all that there are
    v_snapshot pg_snapshot;
    v_running xid8[];
    v_messages bigint;
    v_octets bigint;
begin
    perform from postern.domain d where d.domain = p_domain for no key update skip locked;
    if not found then
        return;
    end if;
    select u.folded_by, u.messages, u.octets, case when u.xmin = u.made_by then u.below else '0' end as below,
           case when u.xmin = u.made_by then u.running end as running into s
      from postern.usage u where u.domain = p_domain order by u.folded_by desc limit 1;
    v_below := coalesce(s.below, '0');
    v_last := (select c.xact from postern.usage_change c where c.domain = p_domain and c.xact >= v_below
                order by c.xact offset c_most - 1 limit 1);
    with gone as (
        delete from postern.usage_change c
         where c.domain = p_domain and c.xact >= v_below and c.xact <= coalesce(v_last, '18446744073709551615')
        returning c.messages, c.octets
    ), late as (
        delete from postern.usage_change c where c.domain = p_domain and c.xact = any (s.running)
        returning c.messages, c.octets
    )
    -- Of all who have ended in this snapshot it sees the changes.
    select coalesce(sum(g.messages), 0), coalesce(sum(g.octets), 0), pg_current_snapshot()
      into v_messages, v_octets, v_snapshot
      from (select * from gone union all select * from late) g;
    v_running := array(select x.xact from (select pg_snapshot_xip(v_snapshot) union select pg_current_xact_id()) x (xact) order by x.xact);
    -- The first one that is not to be named: it has begun lately, or there are too many.
    v_below := least(v_last, pg_snapshot_xmax(v_snapshot),
                     (select min(x.xact) from unnest(v_running) with ordinality x (xact, n)
                       where x.n > c_named or x.xact::text::bigint > pg_snapshot_xmax(v_snapshot)::text::bigint - c_long));
    v_running := array(select x.xact from unnest(v_running) x (xact) where x.xact < v_below);
    delete from postern.usage u where u.domain = p_domain and u.folded_by = s.folded_by;
    insert into postern.usage (domain, folded_by, made_by, below, running, messages, octets)
        values (p_domain, pg_current_xact_id(), p_self, v_below, v_running,
                coalesce(s.messages, 0) + v_messages, coalesce(s.octets, 0) + v_octets);
end
$$;

-- add_usage: the sums of a mailbox and of its domain move together. Nobody ever waits
-- here. One in sixteen folds the changes of the domain: so a domain has some tens at
-- most, whatever its traffic is, and no process is needed for that. Not granted.
create function postern.add_usage(p_domain bigint, p_messages bigint, p_octets bigint) returns void
language plpgsql
as $$
declare
    v_self xid;
begin
    insert into postern.usage_change as c (domain, xact, messages, octets)
        values (p_domain, pg_current_xact_id(), p_messages, p_octets)
        on conflict (domain, xact) do update set messages = c.messages + excluded.messages, octets = c.octets + excluded.octets
        returning c.xmin into v_self;
    if random() < 1.0 / 16 then
        perform postern.fold_usage(p_domain, v_self);
    end if;
end
$$;

-- usage_ends: a trigger: a domain was removed, which had no mailboxes any more.
create function postern.usage_ends() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.usage_change c where c.domain = old.domain;
    delete from postern.usage u where u.domain = old.domain;
    return null;
end
$$;

create trigger usage_ends after delete on postern.domain for each row execute function postern.usage_ends();

-- check_quota: do p_more fit into a quota, of which p_used are used? A p_quota of null is
-- no limit; p_of is what they are. Not granted.
-- Errors: PN507.
create function postern.check_quota(p_kind text, p_name text, p_quota bigint, p_used bigint, p_more bigint,
    p_of text default 'octets') returns void
language plpgsql immutable
as $$
begin
    if p_more > p_quota - p_used then
        raise exception 'the quota of % % is % %, % are used, % more do not fit: % too many',
            p_kind, p_name, p_quota, p_of, p_used, p_more, p_more - (p_quota - p_used) using errcode = 'PN507';
    end if;
end
$$;

-- domain_used: octets in all mailboxes of a domain. Exact after the lock on the row
-- of the domain. (PL/pgSQL keeps the plan; SQL would plan at each call.) Not granted.
create function postern.domain_used(p_domain bigint) returns bigint
language plpgsql stable set enable_seqscan = off
as $$
begin
    return (select u.octets from postern.domain_usage u where u.domain = p_domain);
end
$$;

-- tenant_used: octets in all mailboxes of a tenant. Exact after the lock on its row.
-- Not granted.
create function postern.tenant_used(p_tenant bigint) returns bigint
language plpgsql stable set enable_seqscan = off
as $$
begin
    return (select coalesce(sum(u.octets), 0) from postern.domain_usage u where u.tenant = p_tenant);
end
$$;

-- domain_messages: the same as domain_used, of messages. Not granted.
create function postern.domain_messages(p_domain bigint) returns bigint
language plpgsql stable set enable_seqscan = off
as $$
begin
    return (select u.messages from postern.domain_usage u where u.domain = p_domain);
end
$$;

-- tenant_messages: the same as tenant_used, of messages. Not granted.
create function postern.tenant_messages(p_tenant bigint) returns bigint
language plpgsql stable set enable_seqscan = off
as $$
begin
    return (select coalesce(sum(u.messages), 0) from postern.domain_usage u where u.tenant = p_tenant);
end
$$;

-- check_quotas: do that many more messages and octets fit into the quotas of the domain and
-- its tenant? Their rows are locked only if a quota is set: then deliveries
-- to it are serialized, and the sum is exact. Not granted; called
-- after the lock on the mailbox, as everywhere (sql/README: order of locks).
-- Errors: PN507.
create function postern.check_quotas(p_domain bigint, p_messages bigint, p_octets bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant bigint;
    v record;
begin
    select d.tenant into v_tenant from postern.domain d where d.domain = p_domain;
    select d.name, d.quota, d.quota_messages into v
      from postern.domain d where d.domain = p_domain and num_nonnulls(d.quota, d.quota_messages) > 0 for no key update;
    if found then
        perform postern.check_quota('domain', v.name, v.quota, postern.domain_used(p_domain), p_octets);
        perform postern.check_quota('domain', v.name, v.quota_messages, postern.domain_messages(p_domain), p_messages, 'messages');
    end if;
    select t.name, t.quota, t.quota_messages into v
      from postern.tenant t where t.tenant = v_tenant and num_nonnulls(t.quota, t.quota_messages) > 0 for no key update;
    if found then
        perform postern.check_quota('tenant', v.name, v.quota, postern.tenant_used(v_tenant), p_octets);
        perform postern.check_quota('tenant', v.name, v.quota_messages, postern.tenant_messages(v_tenant), p_messages, 'messages');
    end if;
end
$$;

-- messages_allowed: how many messages a mailbox may hold, by its own quota or that of its
-- tenant for each; null is no limit. Not granted.
create function postern.messages_allowed(p_mailbox bigint) returns bigint
language plpgsql stable
as $$
begin
    return (select coalesce(m.quota_messages, t.quota_messages_each)
              from postern.mailbox m
              join postern.domain d on d.domain = m.domain
              join postern.tenant t on t.tenant = d.tenant
             where m.mailbox = p_mailbox);
end
$$;

-- ------------------------------------------------------- adding and removing

-- add_messages: one message for each of these contents, in their order. Returns
-- the uid of the first one; the others follow without a gap. Not granted.
--
-- p_received_at, p_delivered_to and p_uidls run beside p_contents; each may be
-- null as a whole, or in an element: now, no Delivered-To line, no own UIDL.
-- An own UIDL is refused if the mailbox has it already, or if it looks like one
-- that the mailbox makes itself (uidvalidity.uid). With p_over_quota no quota is looked at.
-- Errors: PN400, PN404, PN409, PN507.
create function postern.add_messages(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[], p_over_quota boolean) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_n constant bigint := coalesce(cardinality(p_contents), 0);
    v_octets bigint[];
    v_sum bigint;
    v_first bigint;
    v_domain bigint;
    v_address text;
    v_used bigint;
    v_messages bigint;
    v_quota bigint;
    v_uidvalidity bigint;
    v_bad text;
begin
    if v_n = 0 or coalesce(cardinality(p_received_at), v_n) <> v_n
       or coalesce(cardinality(p_delivered_to), v_n) <> v_n or coalesce(cardinality(p_uidls), v_n) <> v_n then
        raise exception 'add_messages: no contents, or arrays that differ in number' using errcode = 'PN400';
    end if;

    if array_to_string(p_delivered_to, '') collate "C" ~ '[\r\n]' then
        raise exception 'add_messages: a line end within a Delivered-To line' using errcode = 'PN400';
    end if;

    perform postern.check_stored(p_contents);
    select array_agg(postern.message_octets(c.octets, n.delivered_to) order by n.i),
           sum(postern.message_octets(c.octets, n.delivered_to))
      into v_octets, v_sum
      from unnest(p_contents, p_delivered_to) with ordinality as n(content, delivered_to, i)
      join postern.content c on c.content = n.content and c.xmin = pg_current_xact_id()::xid;
    if cardinality(v_octets) is distinct from v_n then
        raise exception 'add_messages: a content that this transaction did not create' using errcode = 'PN400';
    end if;

    -- From here to the commit this mailbox is ours, so uids commit in order.
    select m.domain into v_domain from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if found and not p_over_quota then
        perform postern.check_quotas(v_domain, v_n, v_sum);
    end if;
    update postern.mailbox m
       set next_uid = m.next_uid + v_n, messages = m.messages + v_n, octets = m.octets + v_sum
     where m.mailbox = p_mailbox
     returning m.next_uid - v_n, m.domain, m.address, m.octets - v_sum, m.messages - v_n, m.quota, m.uidvalidity
      into v_first, v_domain, v_address, v_used, v_messages, v_quota, v_uidvalidity;
    if not found then
        raise exception 'mailbox % no longer exists', p_mailbox using errcode = 'PN404';
    end if;
    if not p_over_quota then
        perform postern.check_quota('mailbox', v_address, v_quota, v_used, v_sum);
        perform postern.check_quota('mailbox', v_address, postern.messages_allowed(p_mailbox), v_messages, v_n, 'messages');
    end if;
    if p_uidls is not null then
        select min(n.uidl collate "C") into v_bad from unnest(p_uidls) as n(uidl) where postern.uidl_fault(n.uidl) is not null;
        if v_bad is not null then
            raise exception 'UIDL "%" %', v_bad, postern.uidl_fault(v_bad) using errcode = 'PN400';
        end if;
        select min(n.uidl collate "C") into v_bad from unnest(p_uidls) as n(uidl)
         where starts_with(n.uidl, postern.uidl_prefix(v_uidvalidity))
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

-- put_messages: add_messages, within the quotas.
create function postern.put_messages(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return postern.add_messages(p_mailbox, p_contents, p_received_at, p_delivered_to, p_uidls, false);
end
$$;

-- put_over_quota: add_messages, whatever the quotas are: mail that its owner had elsewhere moves in.
create function postern.put_over_quota(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return postern.add_messages(p_mailbox, p_contents, p_received_at, p_delivered_to, p_uidls, true);
end
$$;

-- remove_messages: removes messages, updates their sums, and removes contents without
-- references. Not granted: expunge() and the operator's functions call it. Messages
-- that no longer exist are skipped. Returns the number of messages removed.
--
-- p_means is for the history; null leaves no trace and no way back. The content
-- goes at once, or later where the policy gives a time of grace, or where it is
-- so much that who waits for this statement would feel it: then `deferred` is
-- true, and reclaim() has work.
create function postern.remove_messages(p_mailbox bigint, p_uids bigint[], p_means text default 'operator',
    p_session text default null, p_peer text default null, out removed bigint, out expunges bigint, out deferred boolean)
language plpgsql
as $$
declare
    -- Below it, removing at once costs less than a second transaction.
    c_large constant bigint := 4 << 20;
    v_days integer := 0;
    v_domain bigint;
    v_octets bigint;
    v_contents bigint[];
begin
    deferred := false;
    -- First the mailbox: deliveries and removals of one mailbox come one after the other.
    select m.domain, m.expunges into v_domain, expunges
      from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if not found then
        removed := 0;
        return;
    end if;
    if p_means is null then
        with gone as (
            delete from postern.message m where m.mailbox = p_mailbox and m.uid = any (p_uids)
            returning m.content, m.octets
        )
        select count(*), coalesce(sum(g.octets), 0), array_agg(g.content) into removed, v_octets, v_contents from gone g;
    else
        if exists (select from postern.policy x where x.undelete > 0) then
            select coalesce(p.undelete, 0) into v_days
              from postern.domain d, postern.policy_of(p_mailbox, d.domain, d.tenant) p where d.domain = v_domain;
        end if;
        with gone as (
            delete from postern.message m where m.mailbox = p_mailbox and m.uid = any (p_uids)
            returning m.uid, m.content, m.octets, m.received_at, m.delivered_to, m.uidl
        ), noted as (
            insert into postern.history (mailbox, what, uid, octets, since, uidl, means, session, peer)
                select p_mailbox, 'deletion', g.uid, g.octets, g.received_at, g.uidl, p_means, p_session, p_peer from gone g
        ), kept as (
            insert into postern.deleted (mailbox, uid, content, octets, received_at, deleted_at, until, delivered_to, uidl, session)
                select p_mailbox, g.uid, g.content, g.octets, g.received_at, now(), now() + v_days * interval '1 day',
                       g.delivered_to, g.uidl, p_session
                  from gone g
                 where v_days > 0 or (select sum(s.octets) from gone s) >= c_large
        )
        select count(*), coalesce(sum(g.octets), 0), array_agg(g.content) into removed, v_octets, v_contents from gone g;
        deferred := v_days = 0 and v_octets >= c_large;
    end if;
    if removed = 0 then
        return;
    end if;
    update postern.mailbox m
       set messages = m.messages - removed, octets = m.octets - v_octets, expunges = m.expunges + 1
     where m.mailbox = p_mailbox
     returning m.expunges into expunges;
    if v_days = 0 and not deferred then
        perform postern.forget_contents(v_contents);
    end if;
    perform postern.add_usage(v_domain, -removed, -v_octets);
end
$$;

-- -------------------------------------------------------------- the operator

-- list_messages: the messages of a mailbox after uid p_after, at most p_limit of them,
-- with the UIDL that a client sees. fetch_parts() gives their octets.
create function postern.list_messages(p_mailbox bigint, p_after bigint, p_limit bigint)
returns table (uid bigint, uidl text, octets bigint, received_at timestamptz, delivered_to text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select g.uid, coalesce(g.uidl, postern.uidl_prefix(m.uidvalidity) || g.uid), g.octets, g.received_at, g.delivered_to
          from postern.message g join postern.mailbox m on m.mailbox = g.mailbox
         where g.mailbox = p_mailbox and g.uid > p_after
         order by g.uid limit p_limit;
end
$$;

-- show_message: one message, its number as LIST counts, and its content.
-- Errors: PN404.
create function postern.show_message(p_address text, p_uid bigint)
returns table (address text, number bigint, uid bigint, uidl text, octets bigint, received_at timestamptz, delivered_to text,
               content bigint, content_octets bigint, content_refs integer, parts bigint, stored_octets bigint, digest text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.address, (select count(*) from postern.message n where n.mailbox = m.mailbox and n.uid <= g.uid),
               g.uid, coalesce(g.uidl, postern.uidl_prefix(m.uidvalidity) || g.uid), g.octets, g.received_at,
               g.delivered_to, g.content, c.octets, c.refs,
               (select count(*) from postern.content_part p where p.content = g.content),
               (select coalesce(sum(length(p.data)), 0)::bigint from postern.content_part p where p.content = g.content),
               encode(c.digest, 'hex')
          from postern.mailbox m
          join postern.message g on g.mailbox = m.mailbox
          left join postern.content c on c.content = g.content
         where m.mailbox = postern.find_mailbox(p_address) and g.uid = p_uid;
    if not found then
        raise exception 'mailbox % has no message with uid %', p_address, p_uid using errcode = 'PN404';
    end if;
end
$$;

-- list_uidls: the own UIDLs of the messages of a mailbox, null where the mailbox makes them;
-- by digest, then uid.
create function postern.list_uidls(p_mailbox bigint) returns table (digest bytea, uid bigint, uidl text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select c.digest, g.uid, g.uidl from postern.message g join postern.content c on c.content = g.content
         where g.mailbox = p_mailbox order by 1, 2;
end
$$;

-- set_uidls: gives these messages these UIDLs, side by side, all or none; null is the one
-- that the mailbox makes. They may change places. Clients fetch a message once more whose
-- UIDL they do not know. Sessions that are open go on with what they listed. Returns how
-- many messages there were.
-- Errors: PN400, PN404, PN409.
create function postern.set_uidls(p_mailbox bigint, p_uids bigint[], p_uidls text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_n constant bigint := coalesce(cardinality(p_uids), 0);
    v_prefix text;
    v_bad text;
    v_found bigint;
begin
    if v_n = 0 or cardinality(p_uidls) is distinct from v_n or (select count(distinct u) from unnest(p_uids) u) <> v_n then
        raise exception 'set_uidls: no messages, one twice, or arrays that differ in number' using errcode = 'PN400';
    end if;
    select min(n.uidl collate "C") into v_bad from unnest(p_uidls) as n(uidl) where postern.uidl_fault(n.uidl) is not null;
    if v_bad is not null then
        raise exception 'UIDL "%" %', v_bad, postern.uidl_fault(v_bad) using errcode = 'PN400';
    end if;
    update postern.mailbox m set expunges = m.expunges + 1 where m.mailbox = p_mailbox
        returning postern.uidl_prefix(m.uidvalidity) into v_prefix;
    if not found then
        raise exception 'mailbox % no longer exists', p_mailbox using errcode = 'PN404';
    end if;
    update postern.message g set uidl = null where g.mailbox = p_mailbox and g.uid = any (p_uids);
    get diagnostics v_found = row_count;
    if v_found <> v_n then
        raise exception '% of % messages no longer exist', v_n - v_found, v_n using errcode = 'PN404';
    end if;
    select min(n.uidl collate "C") into v_bad
      from (select u.uidl, count(*) as times from unnest(p_uidls) as u(uidl) group by u.uidl) n
     where n.times > 1 and n.uidl is not null or starts_with(n.uidl, v_prefix)
        or exists (select from postern.message g where g.mailbox = p_mailbox and g.uidl = n.uidl);
    if v_bad is not null then
        raise exception 'UIDL "%" is taken', v_bad using errcode = 'PN409';
    end if;
    update postern.message g set uidl = n.uidl from unnest(p_uids, p_uidls) as n(uid, uidl)
     where g.mailbox = p_mailbox and g.uid = n.uid and n.uidl is not null;
    return v_n;
end
$$;

-- remove_mail: all of these messages go, or none; p_uids null is all that there are.
-- Returns how many.
-- Errors: PN404.
create function postern.remove_mail(p_address text, p_uids bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_missing bigint;
begin
    perform from postern.mailbox m where m.mailbox = v_mailbox for no key update;
    select min(u.uid) into v_missing from unnest(p_uids) as u(uid)
     where not exists (select from postern.message g where g.mailbox = v_mailbox and g.uid = u.uid);
    if v_missing is not null then
        raise exception 'mailbox % has no message with uid %', p_address, v_missing using errcode = 'PN404';
    end if;
    return r.removed from postern.remove_messages(v_mailbox,
        coalesce(p_uids, array(select g.uid from postern.message g where g.mailbox = v_mailbox))) r;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.put_messages(bigint, bigint[], timestamptz[], text[], text[])
    to postern_lmtp, postern_admin;
grant execute on function
    postern.list_messages(bigint, bigint, bigint), postern.show_message(text, bigint),
    postern.remove_mail(text, bigint[]), postern.list_uidls(bigint), postern.set_uidls(bigint, bigint[], text[]),
    postern.put_over_quota(bigint, bigint[], timestamptz[], text[], text[])
    to postern_admin;
