-- What an import reads and records, besides put_contents, put_parts (05_content) and
-- put_messages (07_messages).

-- What imports have stored in a mailbox: the digests of its messages one after the
-- other (digest_octets), a row for each batch. A message that its client deleted leaves
-- nothing that lasts, and an import that is resumed must not bring it back.
--
-- Where the messages came with UIDLs these are kept beside the digests, and so is where
-- they came from, if it was a server: a message that is known by its UIDL is not fetched
-- again, and one that is gone at its server may go here (list_absent).
create table postern.imported (
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    digests     bytea       not null,
    uidls       text[] collate "C",
    source      text collate "C",
    again       boolean     not null default false
);
create index imported_mailbox on postern.imported (mailbox);
-- Whether messages of a mailbox may be gone at their server: asked when a session ends.
create index imported_source on postern.imported (mailbox) where source is not null;
-- For logical replication, as there is no key.
alter table postern.imported replica identity full;
-- Digests cannot be compressed; and this way a piece of them is read alone.
alter table postern.imported alter column digests set storage external;
comment on table  postern.imported is 'digests of all that imports stored in a mailbox, for --resume: one for each message, kept as long as the mailbox';
comment on column postern.imported.uidls is 'what the messages came with, beside their digests; null where there was none';
comment on column postern.imported.source is 'the server and its mailbox that they came from; null: files';
comment on column postern.imported.again is 'messages that the mailbox had, or had had, when they were met: only their UIDLs are news';

-- begin_import: the mailbox to import into, and the right to: one import at a time, held
-- by the connection. The last batch of an import that was killed may still be on
-- its way into the database; an import that resumes waits until that connection has
-- ended, and only then compares.
-- Errors: PN404.
create function postern.begin_import(p_address text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_mailbox constant bigint := postern.find_mailbox(p_address);
    v_key constant bigint := (x'5049'::bigint << 48) | v_mailbox;
begin
    if not pg_try_advisory_lock(v_key) then
        raise notice 'waiting for another import into %', p_address;
        perform pg_advisory_lock(v_key);
    end if;
    return v_mailbox;
end
$$;

-- end_import: gives that right back, where the connection goes on to another mailbox.
-- Nothing of the import may be on its way any more.
create function postern.end_import(p_mailbox bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_unlock((x'5049'::bigint << 48) | p_mailbox);
end
$$;

-- note_imported: a digest for each message, in the transaction that stores them, and what
-- is known of the UIDLs that they came with, and of where they came from.
-- Errors: PN400.
create function postern.note_imported(p_mailbox bigint, p_digests bytea, p_uidls text[] default null, p_source text default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(octet_length(p_digests), 0) = 0 or octet_length(p_digests) % postern.digest_octets() <> 0
       or cardinality(p_uidls) <> octet_length(p_digests) / postern.digest_octets() then
        raise exception 'note_imported: a digest must have % octets, and a UIDL beside it', postern.digest_octets() using errcode = 'PN400';
    end if;
    insert into postern.imported (mailbox, digests, uidls, source) values (p_mailbox, p_digests, p_uidls, p_source);
end
$$;

-- list_digests: what need not be stored again: digests in rising order, how many messages
-- with it the mailbox has, and how many more of them were imported and are gone.
create function postern.list_digests(p_mailbox bigint)
returns table (digest bytea, copies bigint, gone bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        with here as (
            select c.digest, count(*) as n from postern.message g join postern.content c on c.content = g.content
             where g.mailbox = p_mailbox group by c.digest
        ), noted as (
            select substr(i.digests, postern.digest_octets() * k + 1, postern.digest_octets()) as digest, count(*) as n
              from postern.imported i, generate_series(0, octet_length(i.digests) / postern.digest_octets() - 1) k
             where i.mailbox = p_mailbox and not i.again group by 1
        )
        select coalesce(here.digest, noted.digest), coalesce(here.n, 0), greatest(coalesce(noted.n, 0) - coalesce(here.n, 0), 0)
          from here full join noted on noted.digest = here.digest order by 1;
end
$$;

-- uidls_in_use: those of these UIDLs that a message of the mailbox has, or that the mailbox
-- may make itself (`ours`): put_messages refuses them.
-- Errors: PN404.
create function postern.uidls_in_use(p_mailbox bigint, p_uidls text[]) returns table (uidl text, ours boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_prefix text;
begin
    select postern.uidl_prefix(m.uidvalidity) into v_prefix from postern.mailbox m where m.mailbox = p_mailbox;
    if not found then
        raise exception 'mailbox % no longer exists', p_mailbox using errcode = 'PN404';
    end if;
    return query
        select n.uidl, starts_with(n.uidl, v_prefix) from unnest(p_uidls) as n(uidl)
         where starts_with(n.uidl, v_prefix)
            or exists (select from postern.message g where g.mailbox = p_mailbox and g.uidl = n.uidl);
end
$$;

-- noted_uidls: the UIDLs that messages came with, with their digests, and from where. Not granted.
create function postern.noted_uidls(p_mailbox bigint) returns table (uidl text, digest bytea, source text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select u.uidl, substr(i.digests, postern.digest_octets() * (u.n - 1)::integer + 1, postern.digest_octets()), i.source
      from postern.imported i, unnest(i.uidls) with ordinality u(uidl, n)
     where i.mailbox = p_mailbox and u.uidl is not null
$$;

-- list_known_uidls: UIDLs of another server that the mailbox knows, in rising order, with the
-- digests of their messages: one that is there has it (`here`, and when it was received), or an
-- import brought it.
create function postern.list_known_uidls(p_mailbox bigint)
returns table (uidl text, digest bytea, here boolean, received_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select distinct on (k.uidl collate "C") k.uidl collate "C", k.digest, k.here, k.received_at
          from (select g.uidl, c.digest, true as here, g.received_at from postern.message g join postern.content c on c.content = g.content
                 where g.mailbox = p_mailbox and g.uidl is not null
                union all
                select n.uidl, n.digest, false, null from postern.noted_uidls(p_mailbox) n) k
         order by k.uidl collate "C", k.here desc;
end
$$;

-- adopt_uidls: an import met messages that the mailbox has, or had, by their digests, side by
-- side with the UIDLs that they came with: these are noted, and messages that have none of their
-- own get them, copies in their order. Returns how many did.
-- Errors: PN400, PN404.
create function postern.adopt_uidls(p_mailbox bigint, p_digests bytea, p_uidls text[], p_source text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_octets constant integer := postern.digest_octets();
    v_prefix text;
    v_set bigint;
begin
    if octet_length(p_digests) is distinct from cardinality(p_uidls) * c_octets then
        raise exception 'adopt_uidls: a UIDL for each digest' using errcode = 'PN400';
    end if;
    update postern.mailbox m set expunges = m.expunges + 1 where m.mailbox = p_mailbox
        returning postern.uidl_prefix(m.uidvalidity) into v_prefix;
    if not found then
        raise exception 'mailbox % no longer exists', p_mailbox using errcode = 'PN404';
    end if;
    with met as materialized (
        select distinct on (u.uidl) u.uidl, u.n, substr(p_digests, c_octets * (u.n - 1)::integer + 1, c_octets) as digest
          from unnest(p_uidls) with ordinality u(uidl, n)
         where postern.uidl_fault(u.uidl) is null and not starts_with(u.uidl, v_prefix)
           and not exists (select from postern.message g where g.mailbox = p_mailbox and g.uidl = u.uidl)
         order by u.uidl, u.n
    ), wanting as (
        select g.uid, c.digest, row_number() over (partition by c.digest order by g.uid) as k
          from postern.message g join postern.content c on c.content = g.content
         where g.mailbox = p_mailbox and g.uidl is null and c.digest in (select met.digest from met)
    )
    update postern.message g set uidl = met.uidl
      from (select met.*, row_number() over (partition by met.digest order by met.n) as k from met) met
      join wanting on wanting.digest = met.digest and wanting.k = met.k
     where g.mailbox = p_mailbox and g.uid = wanting.uid;
    get diagnostics v_set = row_count;
    -- What no import brought was delivered here: that it is gone elsewhere means nothing.
    insert into postern.imported (mailbox, digests, uidls, source, again)
        select p_mailbox, string_agg(m.digest, ''::bytea order by m.n), array_agg(m.uidl order by m.n),
               case when m.brought then p_source end, true
          from (select u.uidl, u.n, d.digest, d.digest in (
                    select substr(i.digests, c_octets * k + 1, c_octets)
                      from postern.imported i, generate_series(0, octet_length(i.digests) / c_octets - 1) k
                     where i.mailbox = p_mailbox) as brought
                  from unnest(p_uidls) with ordinality u(uidl, n),
                       lateral (select substr(p_digests, c_octets * (u.n - 1)::integer + 1, c_octets) as digest) d) m
         group by m.brought;
    return v_set;
end
$$;

-- list_absent: messages that an import brought from this source (note_imported) whose UIDLs are not
-- among those that it has now; `unread`: no session has retrieved the message (note_retrieved).
-- A server that has given new UIDLs has the messages still: one is not absent while the source has a UIDL
-- that was noted with the same digest, and that no message here has.
-- `of` is the number of messages from there that the mailbox has, the same in each row.
create function postern.list_absent(p_mailbox bigint, p_source text, p_uidls text[])
returns table (uid bigint, uidl text, unread boolean, of bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        with noted as materialized (
            select n.uidl, n.digest, n.source from postern.noted_uidls(p_mailbox) n
        ), brought as materialized (
            select g.uid, g.uidl, c.digest, g.retrieved_at is null as unread
              from postern.message g join postern.content c on c.content = g.content
             where g.mailbox = p_mailbox and g.uidl in (select n.uidl from noted n where n.source = p_source)
        ), renamed as materialized (
            select n.digest from noted n join unnest(p_uidls) as u(uidl) on u.uidl = n.uidl
             where not exists (select from postern.message g where g.mailbox = p_mailbox and g.uidl = n.uidl)
        )
        select b.uid, b.uidl, b.unread, (select count(*) from brought) from brought b
         where not exists (select from unnest(p_uidls) as u(uidl) where u.uidl = b.uidl)
           and not exists (select from renamed r where r.digest = b.digest)
         order by b.uid;
end
$$;

-- remove_absent: these of them are removed, but for those that were retrieved by now; and their
-- imports are forgotten, so that what comes back at the source is imported again. Not while a
-- session holds the maildrop (held): it may be retrieving them.
create function postern.remove_absent(p_mailbox bigint, p_source text, p_uids bigint[], out removed bigint, out held boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_octets constant integer := postern.digest_octets();
    v_uids bigint[];
    v_uidls text[];
begin
    removed := 0;
    held := not pg_try_advisory_xact_lock(postern.lock_key(p_mailbox));
    if held then
        return;
    end if;
    perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    select array_agg(g.uid), array_agg(g.uidl) into v_uids, v_uidls from postern.message g
     where g.mailbox = p_mailbox and g.uid = any (p_uids) and g.retrieved_at is null
       and g.uidl in (select n.uidl from postern.noted_uidls(p_mailbox) n where n.source = p_source);
    if v_uids is null then
        return;
    end if;
    select r.removed into removed from postern.remove_messages(p_mailbox, v_uids, 'sync') r;
    update postern.imported i
       set digests = coalesce((select string_agg(substr(i.digests, c_octets * (u.n - 1)::integer + 1, c_octets), ''::bytea order by u.n)
                                 from unnest(i.uidls) with ordinality u(uidl, n)
                                where u.uidl is null or u.uidl <> all (v_uidls)), ''),
           uidls = array(select u.uidl from unnest(i.uidls) with ordinality u(uidl, n)
                          where u.uidl is null or u.uidl <> all (v_uidls) order by u.n)
     where i.mailbox = p_mailbox and i.uidls && v_uidls;
    delete from postern.imported i where i.mailbox = p_mailbox and i.digests = '';
end
$$;

-- list_left: the same for files (p_source is 'files'), whose messages need no UIDLs: p_digests are those of messages
-- that the mailbox has and the source has not, side by side with how many more of each. Of
-- several copies of a message those go first whose UIDLs the source has not; p_uidls are those
-- that it has. Only what imports from p_source brought, and no more copies than they brought.
create function postern.list_left(p_mailbox bigint, p_source text, p_digests bytea, p_copies bigint[], p_uidls text[])
returns table (uid bigint, unread boolean, of bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    c_octets constant integer := postern.digest_octets();
begin
    return query
        with noted as materialized (
            select substr(i.digests, c_octets * k + 1, c_octets) as digest, count(*) as n
              from postern.imported i, generate_series(0, octet_length(i.digests) / c_octets - 1) k
             where i.mailbox = p_mailbox and i.source = p_source and not i.again group by 1
        ), brought as materialized (
            select g.uid, c.digest, g.retrieved_at is null as unread, noted.n,
                   row_number() over (partition by c.digest
                                      order by coalesce(g.uidl = any (p_uidls), false), g.delivered_to is not null, g.uidl is null,
                                               g.uid desc) as r
              from postern.message g
              join postern.content c on c.content = g.content
              join noted on noted.digest = c.digest
             where g.mailbox = p_mailbox
        )
        select b.uid, b.unread, (select sum(least(s.n, s.here)) from (select max(x.n) as n, count(*) as here from brought x group by x.digest) s)::bigint
          from brought b
          join (select substr(p_digests, c_octets * (u.n - 1)::integer + 1, c_octets) as digest, u.copies
                  from unnest(p_copies) with ordinality u(copies, n)) l on l.digest = b.digest
         where b.r <= least(l.copies, b.n)
         order by b.uid;
end
$$;

-- remove_left: these of them are removed, in the same way as by remove_absent.
create function postern.remove_left(p_mailbox bigint, p_source text, p_uids bigint[], out removed bigint, out held boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    c_octets constant integer := postern.digest_octets();
    v_uids bigint[];
    v_digests bytea[];
begin
    removed := 0;
    held := not pg_try_advisory_xact_lock(postern.lock_key(p_mailbox));
    if held then
        return;
    end if;
    perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    select array_agg(g.uid), array_agg(c.digest) into v_uids, v_digests
      from postern.message g join postern.content c on c.content = g.content
     where g.mailbox = p_mailbox and g.uid = any (p_uids) and g.retrieved_at is null;
    if v_uids is null then
        return;
    end if;
    select r.removed into removed from postern.remove_messages(p_mailbox, v_uids, 'sync') r;
    -- One that was noted for each that was removed, whichever: they are the same.
    with noted as materialized (
        select i.ctid as at, k, substr(i.digests, c_octets * k + 1, c_octets) as digest, i.uidls[k + 1] as uidl
          from postern.imported i, generate_series(0, octet_length(i.digests) / c_octets - 1) k
         where i.mailbox = p_mailbox and i.source = p_source and not i.again
    ), gone as materialized (
        select n.at, n.k
          from (select n.*, row_number() over (partition by n.digest order by n.at, n.k) as r from noted n) n
          join (select d.digest, count(*) as n from unnest(v_digests) as d(digest) group by 1) d on d.digest = n.digest
         where n.r <= d.n
    ), rest as (
        select a.at, coalesce(string_agg(n.digest, ''::bytea order by n.k), '') as digests,
               coalesce(array_agg(n.uidl order by n.k) filter (where n.k is not null), '{}') as uidls
          from (select distinct g.at from gone g) a
          left join (select n.* from noted n where not exists (select from gone g where g.at = n.at and g.k = n.k)) n on n.at = a.at
         group by a.at
    )
    update postern.imported i set digests = rest.digests, uidls = case when i.uidls is null then null else rest.uidls end
      from rest where i.ctid = rest.at;
    delete from postern.imported i where i.mailbox = p_mailbox and i.digests = '';
end
$$;

-- end_sync: what imports have brought so far stays, whatever goes where it came from; and
-- what is retrieved of it need not be noted any more (note_retrieved).
create function postern.end_sync(p_mailbox bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.imported i set source = null where i.mailbox = p_mailbox and i.source is not null;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.begin_import(text), postern.end_import(bigint), postern.note_imported(bigint, bytea, text[], text),
    postern.list_digests(bigint),
    postern.uidls_in_use(bigint, text[])
    to postern_admin;
grant execute on function
    postern.list_known_uidls(bigint), postern.adopt_uidls(bigint, bytea, text[], text),
    postern.list_absent(bigint, text, text[]), postern.remove_absent(bigint, text, bigint[]),
    postern.list_left(bigint, text, bytea, bigint[], text[]), postern.remove_left(bigint, text, bigint[]),
    postern.end_sync(bigint)
    to postern_admin;
