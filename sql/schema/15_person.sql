-- The data about a person, and its erasure.

-- traces: the data about this address: of its mailbox, and of removed mailboxes of the
-- same name; of the latter only, if p_removed, as the
-- name may be another person's now.
create function postern.traces(p_address text, p_removed boolean)
returns table (what text, rows bigint, octets bigint, oldest timestamptz, newest timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_mailbox constant bigint := (select m.mailbox from postern.mailbox m where m.address = p_address and not p_removed);
    v_account constant bigint := postern.guess_account(p_address);
begin
    return query
        select 'mailbox', count(*), null::bigint, min(m.created_at), max(m.created_at)
          from postern.mailbox m where m.mailbox = v_mailbox
        union all
        select 'messages', count(*), coalesce(sum(g.octets), 0)::bigint, min(g.received_at), max(g.received_at)
          from postern.message g where g.mailbox = v_mailbox
        union all
        select 'deleted messages', count(*), coalesce(sum(d.octets), 0)::bigint, min(d.received_at), max(d.received_at)
          from postern.deleted d where d.mailbox = v_mailbox
        union all
        select 'secrets', count(*), null, min(c.changed_at), max(c.changed_at) from postern.credential c where c.mailbox = v_mailbox
        union all
        select 'aliases that mean it', count(*), null, min(a.created_at), max(a.created_at)
          from postern.alias a where a.mailbox = v_mailbox
        union all
        select 'policies', count(*), null, null, null from postern.policy p where p.mailbox = v_mailbox
        union all
        select 'known networks', count(*), null, min(k.seen), max(k.seen) from postern.known_address k where k.mailbox = v_mailbox
        union all
        select 'digests of imported messages', coalesce(sum(octet_length(i.digests) / postern.digest_octets()), 0)::bigint, null, null, null
          from postern.imported i where i.mailbox = v_mailbox
        union all
        select 'history', count(*), null, min(h.at), max(h.at) from postern.history h where h.mailbox = v_mailbox
        union all
        select 'changes by operators', count(*), null, min(a.at), max(a.at) from postern.audit a where a.mailbox = v_mailbox
        union all
        select 'changes of removed mailboxes', count(*), null, min(a.at), max(a.at)
          from postern.audit a
         where a.mailbox in (select r.mailbox from postern.removed r where r.account = postern.account_digest(p_address))
        union all
        select 'removed mailboxes', count(*), null, min(r.removed_at), max(r.removed_at)
          from postern.removed r where r.account = postern.account_digest(p_address)
        union all
        select 'history of removed mailboxes', count(*), null, min(h.at), max(h.at)
          from postern.history h
         where h.mailbox in (select r.mailbox from postern.removed r where r.account = postern.account_digest(p_address))
        union all
        select 'failed logins', count(*), null, null, max(g.until)
          from postern.guess g
         where g.slot in ((v_account & 65535)::integer * 2, (v_account & 65535)::integer * 2 + 1) and g.account = v_account and not p_removed;
end
$$;

-- erase_history: what is left of mailboxes of this name that were removed, a day
-- of one of them at a time. Returns how many rows went; 0: there is none left,
-- and nothing tells any more that there were such mailboxes.
create function postern.erase_history(p_address text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_digest constant bytea := postern.account_digest(p_address);
    v_account constant bigint := postern.guess_account(p_address);
    v_mailboxes constant bigint[] := array(select r.mailbox from postern.removed r where r.account = v_digest);
    v_first timestamptz;
    v_end timestamptz;
    v_rows bigint;
begin
    select min(h.at) into v_first from postern.history h where h.mailbox = any (v_mailboxes);
    if v_first is not null then
        v_end := (date_trunc('day', v_first at time zone 'UTC') + interval '1 day') at time zone 'UTC';
        delete from postern.history h where h.mailbox = any (v_mailboxes) and h.at >= v_first and h.at < v_end;
        get diagnostics v_rows = row_count;
        return v_rows;
    end if;
    delete from postern.audit a where a.mailbox = any (v_mailboxes);
    delete from postern.removed r where r.mailbox = any (v_mailboxes);
    if not exists (select from postern.mailbox m where m.address = p_address) then
        delete from postern.guess g where g.slot in ((v_account & 65535)::integer * 2, (v_account & 65535)::integer * 2 + 1) and g.account = v_account;
    end if;
    return 0;
end
$$;

-- person: all that is known of this address, but mail and secrets, as JSON; of
-- what, see traces. Others in an alias or as recipients of the same mail are not
-- in it. There is nothing: null.
create function postern.person(p_address text, p_removed boolean) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    b record;
    v_removed json;
    v_person json;
begin
    select json_agg(json_build_object('removed_at', r.removed_at, 'history',
               (select coalesce(json_agg(json_build_object('at', h.at, 'what', h.what, 'since', h.since, 'uid', h.uid, 'uidl', h.uidl,
                           'octets', h.octets, 'messages', h.messages, 'means', h.means, 'session', h.session, 'peer', h.peer)
                           order by h.at, h.uid), '[]')
                  from postern.history h where h.mailbox = r.mailbox), 'changes',
               (select coalesce(json_agg(json_build_object('at', a.at, 'who', a.who, 'kind', a.kind, 'name', a.name, 'change', a.change,
                           'old', a.old, 'new', a.new) order by a.audit), '[]')
                  from postern.audit a where a.mailbox = r.mailbox)) order by r.removed_at)
      into v_removed from postern.removed r where r.account = postern.account_digest(p_address);
    select m.*, d.name as domain_name, t.name as tenant_name into b
      from postern.mailbox m join postern.domain d on d.domain = m.domain join postern.tenant t on t.tenant = d.tenant
     where m.address = p_address;
    if not found or p_removed then
        return case when v_removed is not null then json_build_object('address', p_address, 'at', now(), 'removed_mailboxes', v_removed) end;
    end if;
    -- A mailbox of the same name may have been somebody else's: those only where they are asked for.
    select json_build_object(
        'address', b.address, 'at', now(),
        'mailbox', json_build_object('domain', b.domain_name, 'tenant', b.tenant_name, 'enabled', b.enabled, 'quota', b.quota,
                       'old_server', (select s.name from postern.old_server s where s.server = b.old_server), 'name_there', b.old_name,
                       'messages', b.messages, 'octets', b.octets, 'created_at', b.created_at,
                       'uidvalidity', postern.uidvalidity_text(b.uidvalidity)),
        'secrets', (select coalesce(json_agg(json_build_object('kind', c.kind, 'name', nullif(c.label, ''), 'changed_at', c.changed_at,
                               'used_at', c.used_at) order by c.changed_at, c.credential), '[]')
                      from postern.credential c where c.mailbox = b.mailbox),
        'aliases', (select coalesce(json_agg(json_build_object('address', a.address, 'enabled', a.enabled, 'created_at', a.created_at)
                               order by a.alias), '[]')
                      from postern.alias a where a.mailbox = b.mailbox),
        'policy', (select to_jsonb(p) - array['policy', 'tenant', 'domain', 'mailbox'] from postern.policy p where p.mailbox = b.mailbox),
        'known_networks', (select coalesce(json_agg(json_build_object('network', k.network, 'seen', k.seen) order by k.seen, k.network), '[]')
                             from postern.known_address k where k.mailbox = b.mailbox),
        'imported_messages', (select coalesce(sum(octet_length(i.digests) / postern.digest_octets()), 0) from postern.imported i where i.mailbox = b.mailbox),
        'imported_from', (select coalesce(json_agg(distinct i.source), '[]') from postern.imported i
                           where i.mailbox = b.mailbox and i.source is not null),
        'changes', (select coalesce(json_agg(json_build_object('at', a.at, 'who', a.who, 'kind', a.kind, 'name', a.name, 'change', a.change,
                               'old', a.old, 'new', a.new) order by a.audit), '[]')
                      from postern.audit a where a.mailbox = b.mailbox),
        'failed_logins_until', postern.guessed_until(p_address),
        'messages', (select coalesce(json_agg(json_build_object('uid', g.uid, 'uidl', g.uidl, 'octets', g.octets,
                                'received_at', g.received_at, 'retrieved_at', g.retrieved_at, 'delivered_to', g.delivered_to)
                                order by g.uid), '[]')
                       from postern.message g where g.mailbox = b.mailbox),
        'deleted_messages', (select coalesce(json_agg(json_build_object('uid', d.uid, 'uidl', d.uidl, 'octets', d.octets,
                                        'received_at', d.received_at, 'deleted_at', d.deleted_at, 'until', d.until,
                                        'delivered_to', d.delivered_to, 'session', d.session) order by d.uid), '[]')
                               from postern.deleted d where d.mailbox = b.mailbox),
        'history', (select coalesce(json_agg(json_build_object('at', h.at, 'what', h.what, 'since', h.since, 'uid', h.uid,
                               'uidl', h.uidl, 'octets', h.octets, 'messages', h.messages, 'means', h.means, 'session', h.session,
                               'peer', h.peer) order by h.at, h.uid), '[]')
                      from postern.history h where h.mailbox = b.mailbox)) into v_person;
    return v_person;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.traces(text, boolean), postern.erase_history(text), postern.person(text, boolean)
    to postern_admin;
