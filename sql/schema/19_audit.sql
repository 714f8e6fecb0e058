-- Who changed what: a row for each change of a tenant, a domain, a mailbox, an alias, a
-- secret, a policy, an operator or an old server, whoever makes it and by whatever function: triggers
-- write it, so no function can forget to.
--
-- No secret is in it: of one it says that it was set, and of which kind.

create table postern.audit (
    audit       bigint      generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    who         text collate "C" not null default session_user,
    by_tenant   boolean     not null,
    peer        inet        default inet_client_addr(),
    program     text collate "C" default left(current_setting('application_name'), 64),
    tenant      bigint,
    mailbox     bigint,
    kind        text collate "C" not null,
    name        text collate "C" not null,
    change      text collate "C" not null,
    old         jsonb,
    new         jsonb,
    xact        xid8        not null default pg_current_xact_id()
);
create index audit_at on postern.audit (at);
create index audit_tenant on postern.audit (tenant, at);
create index audit_mailbox on postern.audit (mailbox, at) where mailbox is not null;
comment on table  postern.audit is 'changes of accounts, and who made them; kept as long as the history';
comment on column postern.audit.who is 'the role that was logged in, whatever role it had taken since';
comment on column postern.audit.by_tenant is 'it is the operator of a tenant';
comment on column postern.audit.peer is 'the address of the client; null where it came by a unix socket';
comment on column postern.audit.program is 'application_name: what the client says of itself';
comment on column postern.audit.tenant is 'whose it was; no foreign key, as the tenant may be gone';
comment on column postern.audit.kind is 'tenant, domain, mailbox, alias, secret, policy, operator or old-server; mail, where a tenant''s operator has to do with it';
comment on column postern.audit.change is 'added, changed or removed; of mail: opened';
comment on column postern.audit.xact is 'the transaction, whatever savepoint it was in';
comment on column postern.audit.old is 'what it was: all that can be set; of a change what differs';

-- audited: what of a row is noted: numbers of others as their names. Not granted: it is called with the
-- search_path of note_change.
create function postern.audited(p_kind text, p_row jsonb) returns jsonb
language plpgsql stable
as $$
begin
    return case p_kind
        when 'domain' then p_row || jsonb_build_object(
            'of', (select t.name from postern.tenant t where t.tenant = (p_row ->> 'tenant')::bigint),
            'alias_of', (select d.name from postern.domain d where d.domain = (p_row ->> 'alias_of')::bigint),
            'old_server', (select s.name from postern.old_server s where s.server = (p_row ->> 'old_server')::bigint))
        when 'mailbox' then p_row || jsonb_build_object(
            'old_server', (select s.name from postern.old_server s where s.server = (p_row ->> 'old_server')::bigint))
        when 'operator' then p_row || jsonb_build_object(
            'of', (select t.name from postern.tenant t where t.tenant = (p_row ->> 'tenant')::bigint))
        when 'alias' then p_row || jsonb_build_object(
            'to', (select m.address from postern.mailbox m where m.mailbox = (p_row ->> 'mailbox')::bigint))
        else p_row end;
end
$$;

-- note_change: a trigger; its argument is the kind. What goes with a mailbox, a domain or a
-- tenant that is removed has no row of its own.
create function postern.note_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- What changes with the mail, and what says nothing to people.
    c_left_out constant text[] := array['tenant', 'domain', 'mailbox', 'alias', 'policy', 'uidvalidity', 'next_uid', 'expunges',
                                        'messages', 'octets', 'proof', 'created_at', 'server'];
    v_row jsonb;
    v_old jsonb;
    v_new jsonb;
    v_domain bigint;
    v_mailbox bigint;
    v_tenant bigint;
    v_name text;
begin
    if tg_op <> 'INSERT' then
        v_row := to_jsonb(old);
        v_old := postern.audited(tg_argv[0], v_row) - c_left_out;
    end if;
    if tg_op <> 'DELETE' then
        v_row := to_jsonb(new);
        v_new := postern.audited(tg_argv[0], v_row) - c_left_out;
    end if;
    if tg_op <> 'UPDATE' then
        v_old := jsonb_strip_nulls(v_old);
        v_new := jsonb_strip_nulls(v_new);
    else
        select jsonb_object_agg(n.key, o.value), jsonb_object_agg(n.key, n.value) into v_old, v_new
          from jsonb_each(v_new) n join jsonb_each(v_old) o on o.key = n.key
         where n.value <> o.value;
        if v_new is null then
            return null;
        end if;
    end if;
    v_tenant := (v_row ->> 'tenant')::bigint;
    v_domain := (v_row ->> 'domain')::bigint;
    v_mailbox := (v_row ->> 'mailbox')::bigint;
    v_name := coalesce(v_row ->> 'role', v_row ->> 'name', v_row ->> 'address');
    if tg_argv[0] = 'policy' and v_mailbox is not null then
        select m.domain, m.address into v_domain, v_name from postern.mailbox m where m.mailbox = v_mailbox;
    end if;
    if v_domain is not null and tg_argv[0] <> 'domain' then
        select d.tenant, coalesce(v_name, d.name) into v_tenant, v_name from postern.domain d where d.domain = v_domain;
    elsif v_tenant is not null and v_name is null then
        select t.name into v_name from postern.tenant t where t.tenant = v_tenant;
    end if;
    if v_name is null and num_nonnulls(v_tenant, v_domain, v_mailbox) > 0 then
        return null;    -- it goes with what it belonged to
    end if;
    insert into postern.audit (by_tenant, tenant, mailbox, kind, name, change, old, new)
        values (exists (select from postern.tenant_operator o where o.role = session_user::text), v_tenant, v_mailbox, tg_argv[0], coalesce(v_name, 'everybody'),
                case tg_op when 'INSERT' then 'added' when 'UPDATE' then 'changed' else 'removed' end, v_old, v_new);
    return null;
end
$$;

-- note_secrets: a trigger, once for each statement, as there may be ten thousand of them. Whoever may
-- read the audit learns no secret, nor its hash. Of a mailbox that is removed there is no row.
create function postern.note_secrets() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if session_user = 'postern_auth' then
        return null;
    end if;
    insert into postern.audit (by_tenant, tenant, mailbox, kind, name, change, old, new)
        select exists (select from postern.tenant_operator o where o.role = session_user::text), d.tenant, m.mailbox, 'secret', m.address,
               case tg_op when 'INSERT' then 'added' when 'UPDATE' then 'changed' else 'removed' end,
               case when tg_op <> 'INSERT' then w.what end, case when tg_op <> 'DELETE' then w.what end
          from changed c
          join postern.mailbox m on m.mailbox = c.mailbox
          join postern.domain d on d.domain = m.domain
         cross join lateral (select jsonb_strip_nulls(jsonb_build_object('of', c.kind, 'label', nullif(c.label, ''))) as what) w
         -- The same secret in another form, sealed or made anew at a login, is no change.
         where tg_op <> 'UPDATE' or c.changed_at = now()
         order by c.credential;
    return null;
end
$$;

-- note_mailboxes: a trigger: the same, of mailboxes that are new.
create function postern.note_mailboxes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.audit (by_tenant, tenant, mailbox, kind, name, change, new)
        select exists (select from postern.tenant_operator o where o.role = session_user::text), d.tenant, c.mailbox, 'mailbox', c.address, 'added',
               jsonb_strip_nulls(jsonb_build_object('address', c.address, 'enabled', c.enabled, 'quota', c.quota, 'quota_messages', c.quota_messages))
          from changed c join postern.domain d on d.domain = c.domain
         order by c.mailbox;
    return null;
end
$$;

create trigger note_change after insert or update or delete on postern.tenant
    for each row execute function postern.note_change('tenant');
create trigger note_change after insert or update or delete on postern.domain
    for each row execute function postern.note_change('domain');
-- A delivery names none of these columns, so that it asks for nothing.
create trigger note_change after delete or update of domain, address, enabled, quota, quota_messages, old_server, old_name, moved on postern.mailbox
    for each row execute function postern.note_change('mailbox');
-- Where passwords are sent to.
create trigger note_change after insert or update or delete on postern.old_server
    for each row execute function postern.note_change('old-server');
create trigger note_added after insert on postern.mailbox referencing new table as changed
    for each statement execute function postern.note_mailboxes();
create trigger note_change after insert or update or delete on postern.alias
    for each row execute function postern.note_change('alias');
create trigger note_added after insert on postern.credential referencing new table as changed
    for each statement execute function postern.note_secrets();
create trigger note_changed after update on postern.credential referencing new table as changed
    for each statement execute function postern.note_secrets();
create trigger note_removed after delete on postern.credential referencing old table as changed
    for each statement execute function postern.note_secrets();
create trigger note_change after insert or update or delete on postern.policy
    for each row execute function postern.note_change('policy');
create trigger note_change after insert or update or delete on postern.tenant_operator
    for each row execute function postern.note_change('operator');

-- note_opening: the operator of a tenant is going to read or change the mail of this mailbox: a
-- row, unless there is one of the last ten minutes. For postern_tenant_owner.
create function postern.note_opening(p_mailbox bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.audit (by_tenant, tenant, mailbox, kind, name, change)
        select true, d.tenant, m.mailbox, 'mail', m.address, 'opened'
          from postern.mailbox m join postern.domain d on d.domain = m.domain
         where m.mailbox = p_mailbox
           and not exists (select from postern.audit a
                            where a.mailbox = p_mailbox and a.at > clock_timestamp() - interval '10 minutes' and a.kind = 'mail' and a.who = session_user);
end
$$;

-- check_opening: has who is logged in such a row, of the last day? One of this very transaction
-- could be taken back when all was read. For postern_tenant_owner.
-- Errors: PN403.
create function postern.check_opening(p_mailbox bigint) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from postern.audit a
                    where a.mailbox = p_mailbox and a.at > clock_timestamp() - interval '1 day' and a.kind = 'mail' and a.who = session_user
                      and a.xact is distinct from pg_current_xact_id_if_assigned()) then
        raise exception 'mail is opened by open_mail() first, in a transaction of its own, which is noted' using errcode = 'PN403';
    end if;
end
$$;

-- list_audit: the changes since p_since (null: all that there are), those of one tenant where
-- p_tenant is not null, or of what has this name where p_name is not null. The operator of
-- a tenant is not told where the host's operators sit.
-- Errors: PN404.
create function postern.list_audit(p_since timestamptz, p_tenant text, p_name text)
returns table (at timestamptz, who text, "from" inet, program text, tenant text, kind text, name text, change text, old text, new text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_tenant constant bigint := case when p_tenant is not null then postern.find_tenant(p_tenant) end;
    v_all constant boolean := postern.my_tenant() is null;
begin
    return query
        select a.at, a.who, case when v_all or a.by_tenant then a.peer end, case when v_all or a.by_tenant then a.program end,
               coalesce(t.name, a.tenant::text), a.kind, a.name, a.change, a.old::text, a.new::text
          from postern.audit a left join postern.tenant t on t.tenant = a.tenant
         where (p_since is null or a.at >= p_since) and (v_tenant is null or a.tenant = v_tenant) and (p_name is null or a.name = p_name)
         order by a.audit;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.list_audit(timestamptz, text, text) to postern_admin;
