-- Roles, tables and the version table of Postern.
--
-- Applied by `posternctl schema init`, in one transaction, by a role that may
-- create roles and schemas. The number of hash partitions of content and
-- content_part is taken from the setting postern.partitions, which
-- `posternctl schema init --partitions N` makes for this transaction; 0 or
-- unset means plain tables (partition pruning costs a poll a third of its
-- speed on PostgreSQL 15, so it is an operator's choice).
--
-- Forward only: a migration that was released is never edited.
--
-- Every column of text is collate "C", and so is each pattern, sort and lower()
-- of what is no column of ours: what they do must not change when the system's
-- library, or the database's locale, does. An index made by other rules finds
-- no more what is in it.

create schema postern;
comment on schema postern is 'Postern: POP3 maildrops. Use the functions, not the tables: see sql/README';

-- Roles belong to the cluster, so another database may have made them.
do $$
declare
    r text;
begin
    foreach r in array array['postern_auth', 'postern_mail', 'postern_lmtp', 'postern_admin'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = r) then
            execute format('create role %I login', r);
        end if;
    end loop;
end
$$;

revoke all on schema postern from public;
grant usage on schema postern to postern_auth, postern_mail, postern_lmtp, postern_admin;
-- A function of ours is nobody's until a grant names him: each migration that
-- makes functions ends by revoking them from public.

create table postern.schema_version (
    version     integer     not null primary key,
    name        text collate "C" not null,
    applied_at  timestamptz not null default now()
);
comment on table postern.schema_version is 'one row for each migration that was applied';

-- ------------------------------------------------------------ who has mail

-- name_fault: why this cannot be the name of a domain, the address of a mailbox,
-- or that of an alias ('domain', 'mailbox', 'alias'); null if it can. It refuses
-- what the programs never make of what somebody typed (auth/name.c), so that
-- nobody could log in to it and nothing be delivered. Never more than that.
create function postern.name_fault(p_kind text, p_name text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    -- All before the last @, and all behind it.
    v_domain constant text := case when p_kind = 'domain' then p_name else split_part(p_name, '@', -1) end;
    v_local constant text := case when p_kind <> 'domain' then left(p_name, -length(v_domain) - 1) end;
    -- RFC 5322 section 3.2.3, without the dot.
    v_special constant text := '[] "(),:;<>@[\\]';
begin
    if p_name is null then
        return 'it is null';
    elsif p_kind <> 'domain' and position('@' in p_name) = 0 then
        return 'it has no domain';
    elsif octet_length(v_domain) > 253 then
        return 'its domain is longer than 253 octets';
    elsif v_domain collate "C" ~ '[A-Z]' then
        return 'its domain is not in lower case';
    elsif octet_length(v_domain) > length(v_domain) then
        return 'its domain is not in A-labels (xn--...)';
    elsif v_domain collate "C" !~ '^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$' then
        return 'its domain is not made of labels of 1 to 63 of a-z 0-9 - _ with no hyphen at either end';
    elsif p_kind = 'domain' or (p_kind = 'alias' and v_local = '') then
        return null;
    elsif v_local = '' then
        return 'it has nothing before the @';
    elsif octet_length(v_local) > 64 then
        return 'it has more than 64 octets before the @';
    elsif v_local collate "C" ~ '[\u0001-\u001F\u007F-\u009F]' then
        return 'it has a control character';
    elsif v_local collate "C" ~ '[A-Z]' then
        return 'it is not in lower case';
    elsif v_local collate "C" !~ '^"' and v_local collate "C" ~ ' ' then
        return 'it has a space before the @';
    elsif v_local collate "C" !~ '^"' and v_local collate "C" ~ v_special then
        return 'it has a character before the @ that is allowed in quotes only';
    elsif v_local collate "C" ~ '^"' and v_local collate "C" !~ '^"([^"\\]|\\["\\])+"$' then
        return 'what is before the @ is not in quotes as RFC 5321 has them, or with needless backslashes';
    elsif v_local collate "C" ~ '^"' and substr(v_local, 2, length(v_local) - 2) collate "C" !~ v_special then
        return 'it has quotes that it does not need';
    elsif octet_length(v_local) > length(v_local) and v_local is not nfc normalized then
        return 'it is not in the composed form of Unicode (NFC)';
    end if;
    return null;
end
$$;
revoke all on function postern.name_fault(text, text) from public;

-- Triggers and not CHECKs, so that a dump can always be read back: a later
-- PostgreSQL knows more of Unicode. `posternctl check` says what is wrong then.
create function postern.refuse_name() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_name constant text := to_jsonb(new) ->> tg_argv[1];
    v_fault constant text := postern.name_fault(tg_argv[0], v_name);
begin
    if v_fault is not null then
        raise exception '% "%" cannot be: %', tg_argv[0], v_name, v_fault using errcode = 'check_violation';
    end if;
    return null;
end
$$;
revoke all on function postern.refuse_name() from public;

create table postern.tenant (
    tenant      bigint      generated always as identity primary key,
    name        text collate "C" not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    enabled     boolean     not null default true,
    quota       bigint      check (quota >= 0),
    created_at  timestamptz not null default now()
);
comment on table  postern.tenant is 'who pays: owns domains';
comment on column postern.tenant.quota is 'octets that all its mailboxes may hold together; null is no limit';

create table postern.domain (
    domain      bigint      generated always as identity primary key,
    tenant      bigint      not null references postern.tenant,
    -- A-labels in lower case (name_fault).
    name        text collate "C" not null unique,
    alias_of    bigint      references postern.domain,
    enabled     boolean     not null default true,
    quota       bigint      check (quota >= 0),
    created_at  timestamptz not null default now(),
    check (alias_of <> domain)
);
create trigger domain_proper after insert or update of name on postern.domain for each row
    execute function postern.refuse_name('domain', 'name');
create index domain_tenant on postern.domain (tenant);
create index domain_alias_of on postern.domain (alias_of) where alias_of is not null;
comment on column postern.domain.alias_of is 'every address here means the same local part there; one step only';
comment on column postern.domain.quota is 'octets that all its mailboxes may hold together; null is no limit';

create table postern.mailbox (
    mailbox     bigint      generated always as identity (maxvalue 281474976710655) primary key,
    domain      bigint      not null references postern.domain,
    address     text collate "C" not null unique,
    enabled     boolean     not null default true,
    -- 48 random bits: a mailbox that is dropped and made again never repeats a
    -- UIDL, and the number tells nobody how many mailboxes there are.
    uidvalidity bigint      not null default (('x' || left(replace(gen_random_uuid()::text, '-', ''), 12))::bit(48)::bigint),
    next_uid    bigint      not null default 1,
    expunges    bigint      not null default 0,
    messages    bigint      not null default 0,
    octets      bigint      not null default 0,
    quota       bigint,
    proof       bigint      not null default (extract(epoch from clock_timestamp()) * 1000000)::bigint,
    created_at  timestamptz not null default now()
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);
create index mailbox_domain on postern.mailbox (domain);

-- What a CHECK would say of address and quota. A CHECK is parsed anew by every
-- statement that writes a row of its table, whatever it writes: those of mailbox,
-- message, content and content_part were a tenth of what a delivery costs the
-- database. A trigger for these columns costs a delivery nothing; what the other
-- columns must be is kept by the functions that write them, and sums and
-- references are recounted by `posternctl check`.
create function postern.refuse_mailbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_fault constant text := postern.name_fault('mailbox', new.address);
begin
    if v_fault is not null then
        raise exception 'mailbox "%" cannot be: %', new.address, v_fault using errcode = 'check_violation';
    end if;
    if new.quota < 0 then
        raise exception 'the quota of mailbox % cannot be %', new.address, new.quota using errcode = 'check_violation';
    end if;
    return null;
end
$$;
revoke all on function postern.refuse_mailbox() from public;
create trigger mailbox_proper after insert or update of address, quota on postern.mailbox for each row
    execute function postern.refuse_mailbox();
comment on column postern.mailbox.next_uid is 'the uid of the next message; raised inside the delivering transaction, so uids commit in order and are never used again';
comment on column postern.mailbox.expunges is 'transactions that removed messages: with next_uid and uidvalidity it says whether a listing is still true';
comment on column postern.mailbox.messages is 'how many messages; kept by the transactions that change it';
comment on column postern.mailbox.octets is 'sum of message.octets; kept by the transactions that change it';
comment on column postern.mailbox.proof is 'another number whenever what was proven of its owner may not hold any more; of the clock, so that no restored backup brings one again';

create table postern.credential (
    credential  bigint      generated always as identity primary key,
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    kind        text collate "C" not null check (kind in ('password', 'scram-sha-256', 'shared-secret')),
    label       text collate "C" not null default '',
    secret      text collate "C" not null,
    changed_at  timestamptz not null default now(),
    unique (mailbox, kind, label)
);
comment on table postern.credential is 'stored secrets: only postern.credentials() shows them, and only to postern_auth';

create table postern.alias (
    alias       bigint      generated always as identity primary key,
    domain      bigint      not null references postern.domain,
    -- 'local@domain', or '@domain' for the catch-all.
    address     text collate "C" not null,
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    enabled     boolean     not null default true,
    created_at  timestamptz not null default now(),
    unique (address, mailbox)
);
create trigger alias_named after insert or update of address on postern.alias for each row
    execute function postern.refuse_name('alias', 'address');
create index alias_domain on postern.alias (domain);
create index alias_mailbox on postern.alias (mailbox);
comment on table postern.alias is 'an address that means one or many mailboxes; it names mailboxes, not addresses, so it cannot loop';

-- Sums by domain, kept by the transactions that change mailboxes. With one row,
-- every delivery to a domain would wait for the commit of the one before it: so
-- each takes a row that nobody else holds (add_usage), and there are as many as
-- ever were needed at once. Only their sums mean something.
create table postern.usage (
    domain      bigint      not null references postern.domain on delete cascade,
    slot        integer     not null,
    messages    bigint      not null default 0,
    octets      bigint      not null default 0,
    primary key (domain, slot)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
comment on table postern.usage is 'messages and octets of a domain, as the sum of its rows; a tenant''s are the sum over its domains';

-- ---------------------------------------------------------------- the mail
--
-- No CHECKs here, see mailbox: put_contents, put_parts, put_octets, put_messages
-- and deliver refuse what must not be, and nobody else adds rows.

create table postern.message (
    mailbox     bigint      not null,
    uid         bigint      not null,
    content     bigint      not null,
    octets      bigint      not null,
    received_at timestamptz not null default now(),
    delivered_to text collate "C",
    -- Only where a message brought one along: others are uidvalidity.uid.
    uidl        text collate "C",
    primary key (mailbox, uid)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
create unique index message_uidl on postern.message (mailbox, uidl) where uidl is not null;

-- No foreign key to mailbox: whoever adds a message has changed the row of its
-- mailbox in the same transaction, as that gives the uid, and a key would look
-- for that row once more, at each message. What the key would refuse on the
-- other side, this does.
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
revoke all on function postern.refuse_removal() from public;
create trigger mailbox_is_empty before delete on postern.mailbox for each row execute function postern.refuse_removal();
comment on table  postern.message is 'narrow, so that a listing reads few pages';
comment on column postern.message.octets is 'what LIST says and RETR sends: the content and the Delivered-To line, where there is one';
comment on column postern.message.delivered_to is 'sent as one Delivered-To: line in front of the content; has no CR or LF';
comment on column postern.message.uidl is 'the UIDL of an imported message, as the old server had it: 1 to 70 octets of printable ASCII';

-- message.content has no foreign key: every reference is counted in
-- content.refs by the function that makes or drops it, `posternctl check`
-- recounts, and a key would look the content up a second time at each delivery.
-- Nor is there an index on it: only `check` asks who refers to a content, and only
-- for those that it found wrong.
do $$
declare
    parts   integer := coalesce(nullif(current_setting('postern.partitions', true), ''), '0')::integer;
    churn   text := 'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, '
                    'autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05';
    t       text;
begin
    if parts < 0 or parts > 1024 then
        raise exception 'postern.partitions is %, it must be between 0 and 1024', parts;
    end if;
    execute 'create table postern.content (
        content     bigint      generated by default as identity primary key,
        refs        integer     not null,
        octets      bigint      not null,
        digest      bytea       not null
    )' || case when parts > 0 then ' partition by hash (content)'
               else ' with (fillfactor = 90, ' || churn || ')' end;
    execute 'create table postern.content_part (
        content     bigint      not null,
        part        integer     not null,
        data        bytea       not null,
        primary key (content, part)
    )' || case when parts > 0 then ' partition by hash (content)'
               else ' with (' || churn || ')' end;
    -- Before the partitions are made, which take it over.
    alter table postern.content_part alter column data set storage plain;
    for i in 0 .. parts - 1 loop
        foreach t in array array['content', 'content_part'] loop
            execute format('create table postern.%I partition of postern.%I for values with (modulus %s, remainder %s) with (%s)',
                           t || '_' || i, t, parts, i, churn);
        end loop;
    end loop;
end
$$;
