-- What the operator of a tenant sees and changes: rows of that tenant. PostgreSQL itself keeps
-- to it (row-level security), whatever a function asks for.
--
-- The owner of the schema, and with it every function of the schema postern, is not bound:
-- logins, deliveries and sessions cost what they did. Bound is postern_tenant_owner, who
-- owns the functions of the schema postern_tenant, has no other way to the tables than the grants
-- below, and may execute only those functions of ours that are named below. They are made from
-- those of the same name in the schema postern, in one of two forms:
--
--   rows    the same text word for word; what it calls is what is of that name here. The
--           policies decide which rows there are for it.
--   guard   what needs more than rows of the tenant (contents are shared by those who received the
--           same mail): the policies decide whether the mailbox is there, then the
--           function of the schema postern does its work.
--
-- make_tenant_functions() makes them; an upgrade that replaces one of these functions, or adds one,
-- calls it again.

-- ----------------------------------------------------------------- the policies

-- Nobody but the owner sees a row of a table without a policy, whatever was granted.
do $$
declare
    v_table regclass;
begin
    for v_table in select c.oid from pg_catalog.pg_class c where c.relnamespace = 'postern'::regnamespace and c.relkind in ('r', 'p') loop
        execute format('alter table %s enable row level security', v_table);
    end loop;
end
$$;

create policy tenant on postern.tenant for select to postern_tenant_owner
    using (tenant = (select postern.my_tenant()));
create policy tenant on postern.domain for select to postern_tenant_owner
    using (tenant = (select postern.my_tenant()));
-- What belongs to a domain or a mailbox is there where that is.
create policy tenant on postern.mailbox to postern_tenant_owner
    using (domain in (select d.domain from postern.domain d));
create policy tenant on postern.credential to postern_tenant_owner
    using (exists (select from postern.mailbox m where m.mailbox = credential.mailbox));
-- The operator of the host may have made one that leads to another tenant: it can be removed.
create policy tenant on postern.alias to postern_tenant_owner
    using (domain in (select d.domain from postern.domain d))
    with check (domain in (select d.domain from postern.domain d)
                and exists (select from postern.mailbox m where m.mailbox = alias.mailbox));
create policy tenant on postern.policy to postern_tenant_owner
    using (tenant = (select postern.my_tenant()) or domain in (select d.domain from postern.domain d)
           or exists (select from postern.mailbox m where m.mailbox = policy.mailbox));
create policy tenant on postern.usage for select to postern_tenant_owner
    using (domain in (select d.domain from postern.domain d));
create policy tenant on postern.usage_change for select to postern_tenant_owner
    using (domain in (select d.domain from postern.domain d));
create policy tenant on postern.message for select to postern_tenant_owner
    using (exists (select from postern.mailbox m where m.mailbox = message.mailbox));
create policy tenant on postern.deleted for select to postern_tenant_owner
    using (exists (select from postern.mailbox m where m.mailbox = deleted.mailbox));
create policy tenant on postern.history for select to postern_tenant_owner
    using (exists (select from postern.mailbox m where m.mailbox = history.mailbox));
create policy tenant on postern.audit for select to postern_tenant_owner
    using (tenant = (select postern.my_tenant()));
-- Of an old server, which is the host's, its name, where a domain or a mailbox is still there.
create policy tenant on postern.old_server for select to postern_tenant_owner
    using (exists (select from postern.domain d where d.old_server = old_server.server)
           or exists (select from postern.mailbox m where m.old_server = old_server.server));
create policy tenant on postern.known_address for select to postern_tenant_owner
    using (exists (select from postern.mailbox m where m.mailbox = known_address.mailbox));

grant usage on schema postern to postern_tenant_owner;
grant select on postern.tenant, postern.domain, postern.mailbox, postern.alias, postern.policy, postern.usage, postern.usage_change,
    postern.domain_usage, postern.message, postern.deleted, postern.history, postern.audit to postern_tenant_owner;
grant select (server, name) on postern.old_server to postern_tenant_owner;
grant select (mailbox, seen) on postern.known_address to postern_tenant_owner;
grant insert (domain, address, quota, quota_messages), update (address, enabled, quota, quota_messages) on postern.mailbox to postern_tenant_owner;
grant insert, update, delete on postern.alias, postern.policy to postern_tenant_owner;
-- A secret can be set, and not be read.
grant select (credential, mailbox, kind, label, changed_at, used_at), insert (mailbox, kind, label, secret), update (secret, changed_at), delete
    on postern.credential to postern_tenant_owner;

-- ---------------------------------------------------------- what they are made from

-- tenant_functions: the functions of the schema postern_tenant that are made from ours: in which
-- form, and which right they need: `look` is that of every operator; null: only functions
-- of that schema call it.
--
-- What is not in it is the host's alone: of accounts, what makes domains (add_domain, move_in), old
-- servers and who is there (passwords are sent to them), the hashes of passwords
-- (scan_logins), mail beyond all quotas (put_over_quota), and what `posternctl move` does besides
-- (list_left, remove_left, end_sync). Not granted.
create function postern.tenant_functions() returns table (name text, form text, needs text)
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    values ('find_mailbox', 'rows', 'look'), ('list_tenants', 'rows', 'look'), ('list_domains', 'rows', 'look'),
           ('list_mailboxes', 'rows', 'look'), ('show_mailbox', 'rows', 'look'), ('list_aliases', 'rows', 'look'),
           ('holdings', 'rows', 'look'), ('list_policies', 'rows', 'look'), ('list_audit', 'rows', 'look'),
           ('list_elsewhere', 'rows', 'look'),
           ('space', 'guard', 'look'),
           ('put_alias', 'rows', null), ('scope_of', 'rows', null),
           ('add_mailbox', 'rows', 'accounts'), ('set_mailbox', 'rows', 'accounts'), ('remove_mailbox', 'guard', 'accounts'),
           ('add_alias', 'rows', 'accounts'), ('set_alias', 'rows', 'accounts'), ('remove_alias', 'rows', 'accounts'),
           ('secret_plan', 'rows', 'passwords'), ('set_secrets', 'rows', 'passwords'), ('set_secrets_of', 'rows', 'passwords'),
           ('add_app_password', 'rows', 'passwords'), ('list_app_passwords', 'rows', 'passwords'),
           ('remove_app_password', 'rows', 'passwords'), ('set_certificate', 'rows', 'passwords'),
           ('find_accounts', 'rows', 'passwords'), ('proves', 'guard', 'passwords'),
           ('set_policy', 'rows', 'policies'), ('clear_policy', 'rows', 'policies'),
           ('order_release', 'guard', 'sessions'),
           ('show_history', 'rows', 'history'), ('undelete', 'guard', 'history'),
           ('list_messages', 'guard', 'mail'), ('read_parts', 'guard', 'mail'), ('remove_mail', 'guard', 'mail'),
           ('list_uidls', 'guard', 'mail'), ('set_uidls', 'guard', 'mail'), ('begin_import', 'guard', 'mail'),
           ('end_import', 'guard', 'mail'), ('list_digests', 'guard', 'mail'), ('uidls_in_use', 'guard', 'mail'),
           ('mail_codec', 'guard', 'mail'), ('list_known_uidls', 'guard', 'mail'),
           ('list_absent', 'guard', 'mail'), ('remove_absent', 'guard', 'mail')
$$;

-- Of ours those that postern_tenant_owner executes: helpers that run with its rights, and so
-- see what it sees, and these that do not: my_tenant and who_am_i, which say who asks;
-- schema_version; note_opening and check_opening; held_maildrops, ask_who and answers, of which the
-- functions below show what is the tenant's; and what is behind a guard.
grant execute on function
    postern.find_tenant(text), postern.find_domain(text), postern.find_home(text), postern.check_crossing(bigint),
    postern.name_fault(text, text), postern.check_name(text, text), postern.uidvalidity_text(bigint), postern.uidl_prefix(bigint),
    postern.final_switches(text), postern.next_proof(bigint), postern.check_reply_channel(text),
    postern.my_tenant(), postern.who_am_i(), postern.schema_version(), postern.note_opening(bigint), postern.check_opening(bigint),
    postern.held_maildrops(), postern.ask_who(text), postern.answers(text), postern.show_message(text, bigint)
    to postern_tenant_owner;

-- Contents that a tenant's operator has made in this transaction, and that no message refers to
-- yet; between transactions there are none. They would take room that counts for nobody.
create table postern.loose_content (
    content     bigint      not null primary key
);
alter table postern.loose_content enable row level security;
comment on table postern.loose_content is 'empty: contents that a transaction of a tenant''s operator has to refer to before it ends';

-- refuse_loose: a trigger, at the end of the transaction.
-- Errors: PN400.
create function postern.refuse_loose() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from postern.loose_content l where l.content = new.content) then
        raise exception 'a content to which no message refers' using errcode = 'PN400';
    end if;
    return null;
end
$$;
create constraint trigger refuse_loose after insert on postern.loose_content deferrable initially deferred
    for each row execute function postern.refuse_loose();

-- put_loose: put_contents for a tenant's operator: one message each has to refer to them. For
-- postern_tenant_owner.
-- Errors: PN400.
create function postern.put_loose(p_octets bigint[], p_digests bytea[], p_refs integer[]) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_contents constant bigint[] := postern.put_contents(p_octets, p_digests, p_refs);
begin
    if 1 <> any (p_refs) then
        raise exception 'one message refers to a content here' using errcode = 'PN400';
    end if;
    insert into postern.loose_content select unnest(v_contents);
    return v_contents;
end
$$;

-- put_referred: put_messages for a tenant's operator, of such contents, each once. For postern_tenant_owner.
-- Errors: PN400.
create function postern.put_referred(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_taken bigint;
begin
    delete from postern.loose_content l where l.content = any (p_contents);
    get diagnostics v_taken = row_count;
    if v_taken is distinct from cardinality(p_contents) then
        raise exception 'a content that this transaction did not create, or to which a message refers already' using errcode = 'PN400';
    end if;
    return postern.put_messages(p_mailbox, p_contents, p_received_at, p_delivered_to, p_uidls);
end
$$;

-- check_noted: what a tenant's operator may have noted beside digests: these rows count for no
-- quota. Not granted.
-- Errors: PN400.
create function postern.check_noted(p_uidls text[], p_source text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from unnest(p_uidls) n(uidl) where postern.uidl_fault(n.uidl) is not null) then
        raise exception 'a UIDL that no client could be sent' using errcode = 'PN400';
    elsif octet_length(p_source) > 1000 then
        raise exception 'the name of a source has at most 1000 octets' using errcode = 'PN400';
    end if;
end
$$;

-- note_stored: note_imported for a tenant's operator: of no more messages than the mailbox was
-- ever given. For postern_tenant_owner.
-- Errors: PN400.
create function postern.note_stored(p_mailbox bigint, p_digests bytea, p_uidls text[], p_source text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.check_noted(p_uidls, p_source);
    perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    perform postern.note_imported(p_mailbox, p_digests, p_uidls, p_source);
    if (select sum(octet_length(i.digests)) / postern.digest_octets() from postern.imported i where i.mailbox = p_mailbox and not i.again)
       >= (select m.next_uid from postern.mailbox m where m.mailbox = p_mailbox) then
        raise exception 'more digests than messages' using errcode = 'PN400';
    end if;
end
$$;

-- adopt_stored: adopt_uidls for a tenant's operator: of messages that the mailbox has or had, and
-- not without end: ten for each that it was ever given. For postern_tenant_owner.
-- Errors: PN400, PN404.
create function postern.adopt_stored(p_mailbox bigint, p_digests bytea, p_uidls text[], p_source text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_set bigint;
begin
    perform postern.check_noted(p_uidls, p_source);
    v_set := postern.adopt_uidls(p_mailbox, p_digests, p_uidls, p_source);
    if (select sum(octet_length(i.digests)) / postern.digest_octets() from postern.imported i where i.mailbox = p_mailbox and i.again)
       >= 10 * (select m.next_uid from postern.mailbox m where m.mailbox = p_mailbox) then
        raise exception 'more UIDLs than ten for each message' using errcode = 'PN400';
    end if;
    return v_set;
end
$$;

create schema postern_tenant;
comment on schema postern_tenant is 'Postern: what operators of tenants may execute; see sql/schema/20_tenants.sql';
revoke all on schema postern_tenant from public;
grant usage on schema postern_tenant to postern_tenant, postern_tenant_owner;

-- make_tenant_functions: all of them anew. What a session can set, and the text of functions
-- depends on, is set in each. Not granted.
create function postern.make_tenant_functions() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    c_settings constant text := ' SET search_path TO ''pg_catalog'', ''pg_temp'' SET standard_conforming_strings TO on'
                                ' SET transform_null_equals TO off SET row_security TO on';
    v_names constant text := (select string_agg(f.name, '|') from postern.tenant_functions() f);
    f record;
    v_made regprocedure;
    v_text text;
    v_call text;
    v_guard text;
    v_need text;
begin
    execute format('grant create on schema postern_tenant to postern_tenant_owner');
    for f in
        select t.*, p.oid, p.proargnames, p.proargmodes, p.proretset, p.prorettype, p.pronargs, p.prosecdef, l.lanname,
               pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result
          from postern.tenant_functions() t
          left join pg_proc p on p.pronamespace = 'postern'::regnamespace and p.proname = t.name
          left join pg_language l on l.oid = p.prolang
    loop
        if f.lanname is distinct from 'plpgsql' then
            raise exception 'postern.% is no function in PL/pgSQL', f.name;
        end if;
        for v_made in select p.oid from pg_proc p where p.pronamespace = 'postern_tenant'::regnamespace and p.proname = f.name loop
            execute format('drop function %s', v_made);
        end loop;
        v_need := format(E'    perform postern_tenant.need(%L);\n', f.needs);
        if f.form = 'rows' then
            v_text := regexp_replace(pg_get_functiondef(f.oid), '\mpostern\.(' || v_names || ')\(', 'postern_tenant.\1(', 'g');
            v_text := regexp_replace(v_text, '^ SET search_path TO ''pg_catalog'', ''pg_temp''$', c_settings, 'n');
            if f.needs is not null then
                v_text := regexp_replace(v_text, '^begin\n', E'begin\n' || v_need, 'n');
            end if;
        else
            v_call := format('postern.%I(%s)', f.name, (select string_agg('$' || n, ', ' order by n) from generate_series(1, f.pronargs) n));
            v_guard := case when 'p_address' = any (f.proargnames) then 'postern_tenant.find_mailbox(p_address)'
                            when 'p_mailbox' = any (f.proargnames) then 'postern_tenant.check_mailbox(p_mailbox)'
                            when 'p_kind' = any (f.proargnames) then 'postern_tenant.check_scope(p_kind, p_name)' end;
            if v_guard is null then
                raise exception 'postern.% names nothing that a policy could be asked for', f.name;
            end if;
            if f.needs = 'mail' then
                v_need := v_need || case when 'p_address' = any (f.proargnames)
                    then E'    perform postern.check_opening(postern_tenant.find_mailbox(p_address));\n'
                    else E'    perform postern_tenant.check_mailbox(p_mailbox), postern.check_opening(p_mailbox);\n' end;
            end if;
            v_text := format(E'create function postern_tenant.%I(%s) returns %s language plpgsql security definer %s as $f$\nbegin\n%s    perform %s;\n    %s\nend\n$f$',
                f.name, f.arguments, f.result, c_settings, v_need, v_guard,
                case when f.proretset then 'return query select r.* from ' || v_call || ' r;'
                     when f.prorettype = 'void'::regtype then 'perform ' || v_call || ';'
                     when f.prorettype = 'record'::regtype
                     then format('select r.* into %s from %s r;',
                                 (select string_agg(quote_ident(n.name), ', ' order by n.i)
                                    from unnest(f.proargnames, f.proargmodes) with ordinality n(name, mode, i) where n.mode = 'o'), v_call)
                     else 'return ' || v_call || ';' end);
            execute format('grant execute on function %s to postern_tenant_owner', f.oid::regprocedure);
        end if;
        execute v_text;
        select p.oid into strict v_made from pg_proc p where p.pronamespace = 'postern_tenant'::regnamespace and p.proname = f.name;
        perform postern.give_to_tenants(v_made, f.needs is not null);
    end loop;
    execute format('revoke create on schema postern_tenant from postern_tenant_owner');
end
$$;

-- give_to_tenants: this function of the schema postern_tenant belongs to postern_tenant_owner now;
-- operators may execute it where p_granted is true. Not granted.
create function postern.give_to_tenants(p_function regprocedure, p_granted boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('revoke all on function %s from public', p_function);
    if p_granted then
        execute format('grant execute on function %s to postern_tenant', p_function);
    end if;
    execute format('alter function %s owner to postern_tenant_owner', p_function);
end
$$;

-- ------------------------------------------------------------ those of their own

-- need: refuses an operator who does not have this right; `look` everybody has who is one.
-- Errors: PN403.
create function postern_tenant.need(p_right text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
declare
    v_rights text[];
begin
    select w.rights into v_rights from postern.who_am_i() w;
    if not found then
        raise exception '% is no operator of a tenant in this database', session_user using errcode = 'PN403';
    elsif p_right <> 'look' and p_right <> all (v_rights) then
        raise exception 'operator % does not have the right "%": the operator of the host can give it', session_user, p_right using errcode = 'PN403';
    end if;
end
$$;

-- check_mailbox: is it the tenant's?
-- Errors: PN404.
create function postern_tenant.check_mailbox(p_mailbox bigint) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    if not exists (select from postern.mailbox m where m.mailbox = p_mailbox) then
        raise exception 'mailbox number % does not exist', p_mailbox using errcode = 'PN404';
    end if;
end
$$;

-- check_scope: is this tenant, domain or mailbox the tenant's? `all` is for the operator of the host.
-- Errors: PN403, PN404.
create function postern_tenant.check_scope(p_kind text, p_name text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    case p_kind
    when 'tenant' then perform postern.find_tenant(p_name);
    when 'domain' then perform postern.find_domain(p_name);
    when 'mailbox' then perform postern_tenant.find_mailbox(p_name);
    else
        raise exception 'all of it is for the operator of the host: name a tenant, a domain or a mailbox' using errcode = 'PN403';
    end case;
end
$$;

-- who_am_i: for posternctl. Of who is no operator of a tenant there is no row.
create function postern_tenant.who_am_i() returns table (operator text, tenant text, rights text[])
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    return query select w.operator, w.tenant, w.rights from postern.who_am_i() w;
end
$$;

create function postern_tenant.schema_version() returns integer
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    return postern.schema_version();
end
$$;

-- held_maildrops: those of the tenant. The hosts and connections that serve them are the host's affair.
-- Errors: PN403.
create function postern_tenant.held_maildrops()
returns table (mailbox bigint, address text, pid integer, client_addr inet, client_port integer, application_name text,
               backend_start timestamptz, state text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
#variable_conflict use_column
begin
    perform postern_tenant.need('sessions');
    return query
        select h.mailbox, h.address, h.pid, null::inet, null::integer, null::text, null::timestamptz, null::text
          from postern.held_maildrops() h join postern.mailbox m on m.mailbox = h.mailbox;
end
$$;

-- ask_who: as that of the host's operator; what is answered is another's to read.
-- Errors: PN400, PN403.
create function postern_tenant.ask_who(p_channel text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('sessions');
    perform postern.ask_who(p_channel);
end
$$;

-- answers: of what was answered on this channel what is of the tenant.
-- Errors: PN400, PN403.
create function postern_tenant.answers(p_channel text)
returns table (mailbox bigint, lane_pid integer, since bigint, session text, peer text, protocol text, host text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
#variable_conflict use_column
begin
    perform postern_tenant.need('sessions');
    return query select a.* from postern.answers(p_channel) a join postern.mailbox m on m.mailbox = a.mailbox;
end
$$;

-- open_mail: what has to do with the mail of a mailbox comes behind this, in another
-- transaction: it leaves a row in the audit.
-- Errors: PN403, PN404.
create function postern_tenant.open_mail(p_address text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    perform postern.note_opening(postern_tenant.find_mailbox(p_address));
end
$$;

-- show_message: as that of the host's operator, without what tells of others who received it.
-- Errors: PN403, PN404.
create function postern_tenant.show_message(p_address text, p_uid bigint)
returns table (address text, number bigint, uid bigint, uidl text, octets bigint, received_at timestamptz, delivered_to text,
               content bigint, content_octets bigint, content_refs integer, parts bigint, stored_octets bigint, digest text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
#variable_conflict use_column
begin
    perform postern_tenant.need('mail');
    perform postern.check_opening(postern_tenant.find_mailbox(p_address));
    return query
        select s.address, s.number, s.uid, s.uidl, s.octets, s.received_at, s.delivered_to,
               null::bigint, s.content_octets, null::integer, s.parts, s.stored_octets, s.digest
          from postern.show_message(p_address, p_uid) s;
end
$$;

-- put_contents, put_parts: as those of the host's operator: they reach nothing but what the same
-- transaction has made, and has to refer to.
-- Errors: PN400, PN403.
create function postern_tenant.put_contents(p_octets bigint[], p_digests bytea[], p_refs integer[]) returns bigint[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    return postern.put_loose(p_octets, p_digests, p_refs);
end
$$;
create function postern_tenant.put_parts(p_contents bigint[], p_parts integer[], p_data bytea[], p_octets integer[] default null)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    perform postern.put_parts(p_contents, p_parts, p_data, p_octets);
end
$$;

-- put_messages, note_imported, adopt_uidls: as those of the host's operator, into a mailbox of the tenant.
-- Errors: PN400, PN403, PN404, PN409, PN507.
create function postern_tenant.put_messages(p_mailbox bigint, p_contents bigint[], p_received_at timestamptz[],
    p_delivered_to text[], p_uidls text[]) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    perform postern_tenant.check_mailbox(p_mailbox), postern.check_opening(p_mailbox);
    return postern.put_referred(p_mailbox, p_contents, p_received_at, p_delivered_to, p_uidls);
end
$$;
create function postern_tenant.note_imported(p_mailbox bigint, p_digests bytea, p_uidls text[] default null, p_source text default null)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    perform postern_tenant.check_mailbox(p_mailbox), postern.check_opening(p_mailbox);
    perform postern.note_stored(p_mailbox, p_digests, p_uidls, p_source);
end
$$;
create function postern_tenant.adopt_uidls(p_mailbox bigint, p_digests bytea, p_uidls text[], p_source text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set transform_null_equals = off set row_security = on
as $$
begin
    perform postern_tenant.need('mail');
    perform postern_tenant.check_mailbox(p_mailbox), postern.check_opening(p_mailbox);
    return postern.adopt_stored(p_mailbox, p_digests, p_uidls, p_source);
end
$$;

revoke all on all functions in schema postern from public;
revoke all on all functions in schema postern_tenant from public;
grant execute on function postern.put_loose(bigint[], bytea[], integer[]), postern.put_parts(bigint[], integer[], bytea[], integer[]),
    postern.put_referred(bigint, bigint[], timestamptz[], text[], text[]), postern.note_stored(bigint, bytea, text[], text),
    postern.adopt_stored(bigint, bytea, text[], text)
    to postern_tenant_owner;

do $$
declare
    f regprocedure;
begin
    grant create on schema postern_tenant to postern_tenant_owner;
    for f in select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'postern_tenant'::regnamespace loop
        perform postern.give_to_tenants(f, f::text collate "C" !~ '[.](need|check_[a-z]+)[(]');
    end loop;
end
$$;
select postern.make_tenant_functions();
