-- What an import reads and records, besides put_contents, put_parts (05_content) and
-- put_messages (07_messages).

-- What imports have stored in a mailbox: the digests of its messages one after the
-- other (digest_octets), a row for each batch. A message that its client deleted leaves
-- nothing that lasts, and an import that is resumed must not bring it back.
create table postern.imported (
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    digests     bytea       not null
);
create index imported_mailbox on postern.imported (mailbox);
-- For logical replication, as there is no key.
alter table postern.imported replica identity full;
-- Digests cannot be compressed; and this way a piece of them is read alone.
alter table postern.imported alter column digests set storage external;
comment on table postern.imported is 'digests of all that imports stored in a mailbox, for --resume: one for each message, kept as long as the mailbox';

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

-- note_imported: a digest for each message, in the transaction that stores them.
-- Errors: PN400.
create function postern.note_imported(p_mailbox bigint, p_digests bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(octet_length(p_digests), 0) = 0 or octet_length(p_digests) % postern.digest_octets() <> 0 then
        raise exception 'note_imported: a digest must have % octets', postern.digest_octets() using errcode = 'PN400';
    end if;
    insert into postern.imported (mailbox, digests) values (p_mailbox, p_digests);
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
             where i.mailbox = p_mailbox group by 1
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

revoke all on all functions in schema postern from public;
grant execute on function
    postern.begin_import(text), postern.end_import(bigint), postern.note_imported(bigint, bytea), postern.list_digests(bigint),
    postern.uidls_in_use(bigint, text[])
    to postern_admin;
