-- Roles, the table of versions, the owners of mail, and the mail. Tables that only
-- one topic uses are in that topic's file.
--
-- `posternctl schema init` applies these files in their order, in one transaction,
-- as a role that may create roles and schemas. The number of hash partitions of
-- content and content_part is taken from the setting postern.partitions, which
-- `posternctl schema init --partitions N` makes for this transaction; 0 or
-- unset means plain tables (partition pruning costs a poll a third of its
-- speed on PostgreSQL 15, so it is an operator's choice).
--
-- A change to one of these files after a release also needs an upgrade: sql/README,
-- which also explains the errors of the functions (PN400 and so on) and who may call
-- each function.
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
-- No role may execute a function until a grant names the role: each file that creates
-- functions ends by revoking all of them from public.

create table postern.schema_version (
    version     integer     not null primary key,
    name        text collate "C" not null,
    applied_at  timestamptz not null default now()
);
comment on table postern.schema_version is 'a row for the schema as it was made, and one for each upgrade since';

-- ------------------------------------------------------------ owners of mail

create table postern.tenant (
    tenant      bigint      generated always as identity primary key,
    name        text collate "C" not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    enabled     boolean     not null default true,
    quota       bigint      check (quota >= 0),
    quota_messages bigint   check (quota_messages >= 0),
    -- So many can be listed, and deleted in one session, in some seconds.
    quota_messages_each bigint default 1000000 check (quota_messages_each >= 0),
    created_at  timestamptz not null default now(),
    max_domains integer     check (max_domains >= 0),
    max_mailboxes integer   check (max_mailboxes >= 0)
);
comment on table  postern.tenant is 'who pays: owns domains';
comment on column postern.tenant.max_domains is 'how many domains it may have, other names of domains included; null is no limit';
comment on column postern.tenant.max_mailboxes is 'how many mailboxes all its domains may have together; null is no limit';
comment on column postern.tenant.quota is 'octets that all its mailboxes may hold together; null is no limit';
comment on column postern.tenant.quota_messages is 'messages that all its mailboxes may hold together; null is no limit';
comment on column postern.tenant.quota_messages_each is 'messages that each of its mailboxes may hold that has no limit of its own; null is no limit';

-- Where mail still is that has not been moved here: 11_elsewhere.
create table postern.old_server (
    server      bigint      generated always as identity primary key,
    name        text collate "C" not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    host        text collate "C" not null check (host ~ '^[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}$'),
    port        integer     not null check (port between 1 and 65535),
    tls         text collate "C" not null default 'pops' check (tls in ('pops', 'stls', 'none')),
    cleartext   boolean     not null default false,
    tells       text collate "C" not null default 'nothing' check (tells in ('nothing', 'proxy1', 'proxy2', 'xclient')),
    names       text collate "C" not null default 'address' check (names in ('address', 'local')),
    learn       boolean     not null default false,
    mail        text collate "C" not null default 'here' check (mail in ('here', 'defer')),
    created_at  timestamptz not null default now(),
    check (tls <> 'none' or cleartext)
);
comment on table  postern.old_server is 'POP3 servers to which logins are relayed as long as a mailbox has not been moved here';
comment on column postern.old_server.tls is 'pops: TLS from the first octet; stls: after the greeting; none';
comment on column postern.old_server.cleartext is 'a password may be sent to it without TLS';
comment on column postern.old_server.tells is 'how it is told where the client is: a PROXY header of version 1 or 2, or XCLIENT';
comment on column postern.old_server.names is 'what it calls a mailbox that has no name of its own there: its address, or the local part of it';
comment on column postern.old_server.learn is 'passwords that it accepts are stored here';
comment on column postern.old_server.mail is 'here: mail that is delivered here to its mailboxes is stored; defer: it is refused for now';

create table postern.domain (
    domain      bigint      generated always as identity primary key,
    tenant      bigint      not null references postern.tenant,
    -- A-labels in lower case (name_fault).
    name        text collate "C" not null unique,
    alias_of    bigint      references postern.domain,
    enabled     boolean     not null default true,
    quota       bigint      check (quota >= 0),
    quota_messages bigint   check (quota_messages >= 0),
    created_at  timestamptz not null default now(),
    -- What is stored beside the hash where a password is set, for mechanisms that
    -- do not send it. Nothing, unless an operator says so.
    stores      text[] collate "C" not null default '{}'
                check (stores <@ array['scram-sha-256', 'scram-sha-1', 'shared-secret']),
    old_server  bigint      references postern.old_server,
    check (alias_of <> domain)
);
create index domain_tenant on postern.domain (tenant);
create index domain_alias_of on postern.domain (alias_of) where alias_of is not null;
comment on column postern.domain.alias_of is 'every address here means the same local part there; one step only';
comment on column postern.domain.quota is 'octets that all its mailboxes may hold together; null is no limit';
comment on column postern.domain.quota_messages is 'messages that all its mailboxes may hold together; null is no limit';
comment on column postern.domain.stores is 'kinds of secrets that are kept beside the hash of a password';
comment on column postern.domain.old_server is 'where its mailboxes still are, those that do not exist here too, but for those that are marked as moved';

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
    quota_messages bigint,
    proof       bigint      not null default (extract(epoch from clock_timestamp()) * 1000000)::bigint,
    created_at  timestamptz not null default now(),
    old_server  bigint      references postern.old_server,
    old_name    text collate "C",
    moved       boolean     not null default false
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);
create index mailbox_domain on postern.mailbox (domain);
comment on column postern.mailbox.next_uid is 'the uid of the next message; raised inside the delivering transaction, so uids commit in order and are never used again';
comment on column postern.mailbox.expunges is 'transactions that removed messages: with next_uid and uidvalidity it says whether a listing is still true';
comment on column postern.mailbox.messages is 'how many messages; kept by the transactions that change it';
comment on column postern.mailbox.octets is 'sum of message.octets; kept by the transactions that change it';
comment on column postern.mailbox.quota is 'octets that it may hold; null is no limit';
comment on column postern.mailbox.quota_messages is 'messages that it may hold; null is what the tenant says for each';
comment on column postern.mailbox.proof is 'another number whenever what was proven of its owner may not hold any more; of the clock, so that no restored backup brings one again';
comment on column postern.mailbox.old_server is 'where its mail still is; null is what the domain says';
comment on column postern.mailbox.old_name is 'its name there; null is what the server says';
comment on column postern.mailbox.moved is 'it is here, whatever the domain says';

create table postern.credential (
    credential  bigint      generated always as identity primary key,
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    kind        text collate "C" not null
                check (kind in ('password', 'app-password', 'scram-sha-256', 'scram-sha-1', 'shared-secret', 'certificate')),
    label       text collate "C" not null default '',
    secret      text collate "C" not null,
    changed_at  timestamptz not null default now(),
    used_at     timestamptz,
    constraint credential_label_check
        check (octet_length(label) <= 64 and label !~ '[[:cntrl:]]' and (kind = 'app-password') = (label <> '')),
    unique (mailbox, kind, label)
);
comment on table postern.credential is 'stored secrets: only postern.credentials() shows them, and only to postern_auth';
comment on column postern.credential.kind is 'what it verifies: password and app-password a password in the clear, certificate that client certificates with the address are accepted, the others SASL mechanisms and APOP that do not send it';
comment on column postern.credential.label is 'name of an app password; else empty';
comment on column postern.credential.secret is 'a hash, a verifier or, as shared-secret, the password itself; for certificate any text, which is no secret; sealed where there is a key: {SEALED}ID:...';
comment on column postern.credential.used_at is 'when an app password was last used, to the hour';

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
create index alias_domain on postern.alias (domain);
create index alias_mailbox on postern.alias (mailbox);
comment on table postern.alias is 'an address that means one or many mailboxes; it names mailboxes, not addresses, so it cannot loop';

-- Sums by domain, kept by the transactions that change mailboxes. Each of them adds a row
-- and changes none: with one row, every delivery to a domain would wait for the commit
-- of the one before it, and as long as somebody holds a snapshot (a dump, a standby),
-- every version of that row stays, and whoever looks for it passes all of them. Now
-- and then one of them folds those that are there into the sum (fold_usage), which
-- is another row each time. domain_usage (07_messages) has the sums.
create table postern.usage (
    domain      bigint      not null,
    folded_by   xid8        not null default '0',
    made_by     xid         not null default '0',
    below       xid8        not null default '0',
    running     xid8[]      not null default '{}',
    messages    bigint      not null,
    octets      bigint      not null,
    primary key (domain, folded_by)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
comment on table  postern.usage is 'messages and octets of a domain, without what usage_change has; one row for each that had changes, and none before';
comment on column postern.usage.folded_by is 'the transaction that made this row; the newest one comes first in the index, so that nobody passes those that are gone';
comment on column postern.usage.made_by is 'what xmin is where this row was made; where a dump or a replication has brought it, it is another one, and `below` speaks of another server';
comment on column postern.usage.below is 'no change is there of a transaction before this one, but of those in running: who sums them begins here';
comment on column postern.usage.running is 'transactions that had begun long before, and may still add a change';

-- No foreign key: it would look the domain up for each row. usage_ends (07_messages) does what it would do.
create table postern.usage_change (
    domain      bigint      not null,
    xact        xid8        not null,
    messages    bigint      not null,
    octets      bigint      not null,
    primary key (domain, xact)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_insert_threshold = 10000);
comment on table  postern.usage_change is 'what transactions have added to a domain, or taken from it, since the row of usage';

-- ---------------------------------------------------------------- the mail
--
-- No CHECKs here, see refuse_mailbox: put_contents, put_parts, put_octets, put_messages
-- and deliver refuse invalid values, and nothing else adds rows.

create table postern.message (
    mailbox     bigint      not null,
    uid         bigint      not null,
    content     bigint      not null,
    octets      bigint      not null,
    received_at timestamptz not null default now(),
    delivered_to text collate "C",
    -- Only where a message brought one along: others are uidvalidity.uid.
    uidl        text collate "C",
    -- When it was first retrieved whole; only kept where a policy asks for it
    -- (expire_retrieved), or the import from a server (imported), as it is a write for each message.
    retrieved_at timestamptz,
    -- With all that a listing says: the messages of a mailbox lie in as many pages as there are of
    -- them, and here next to each other. (Pages that changed since the last vacuum are looked at.)
    primary key (mailbox, uid) include (octets, uidl)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.05);
create unique index message_uidl on postern.message (mailbox, uidl) where uidl is not null;
comment on table  postern.message is 'what is in a mailbox; a listing reads the primary key alone';
comment on column postern.message.octets is 'what LIST says and RETR sends: the content and the Delivered-To line, where there is one';
comment on column postern.message.delivered_to is 'sent as one Delivered-To: line in front of the content; has no CR or LF';
comment on column postern.message.uidl is 'the UIDL of an imported message, as the old server sent it (uidl_fault)';
comment on column postern.message.retrieved_at is 'when the session ended that first retrieved it; kept where expire_retrieved is set, and of what an import from a server brought';

-- content_part.codec says how its data is coded, null for the octets as they are: a
-- column that is null takes no room in a row. Only the programs code and decode
-- (storage/content/README). content.stored is null where nothing was coded or tried to be.
--
-- message.content has no foreign key: every reference is counted in
-- content.refs by the function that makes or drops it, `posternctl check`
-- recounts, and a key would look the content up a second time at each delivery.
-- Nor is there an index on it: only `check` looks for the references to a content,
-- and only for contents that it found wrong.
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
        digest      bytea       not null,
        stored      bigint
    )' || case when parts > 0 then ' partition by hash (content)'
               else ' with (fillfactor = 90, ' || churn || ')' end;
    execute 'create table postern.content_part (
        content     bigint      not null,
        part        integer     not null,
        data        bytea       not null,
        codec       integer,
        primary key (content, part)
    )' || case when parts > 0 then ' partition by hash (content)'
               else ' with (' || churn || ')' end;
    -- Before the partitions are made, which take it over.
    alter table postern.content_part alter column data set storage plain;
    create index content_stored on postern.content (content) include (stored) where stored is not null;
    comment on column postern.content.stored is 'how many octets its parts take; null: all of them are plain; 0: it is being recoded';
    for i in 0 .. parts - 1 loop
        foreach t in array array['content', 'content_part'] loop
            execute format('create table postern.%I partition of postern.%I for values with (modulus %s, remainder %s) with (%s)',
                           t || '_' || i, t, parts, i, churn);
        end loop;
    end loop;
end
$$;

-- ------------------------------------------------------------------ version

-- schema_version: the version that this database is at; the programs refuse what they
-- do not know. Null before the schema is complete.
create function postern.schema_version() returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select max(version) from postern.schema_version $$;

revoke all on all functions in schema postern from public;
grant execute on function postern.schema_version() to postern_auth, postern_mail, postern_lmtp, postern_admin;
