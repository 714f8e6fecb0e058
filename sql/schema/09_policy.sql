-- What an operator switches for everybody, a tenant, a domain or one mailbox.
--
-- A row says it for one of them; a null says nothing, and then the next wider
-- one decides: mailbox, domain, tenant, everybody (the row with neither), and
-- at last the configuration of posternd. It is read at each login, so that a
-- change needs no reload.

create table postern.policy (
    policy              bigint      generated always as identity primary key,
    tenant              bigint      references postern.tenant on delete cascade,
    domain              bigint      references postern.domain on delete cascade,
    mailbox             bigint      references postern.mailbox on delete cascade,
    pop3                boolean,
    tls_only            boolean,
    maintenance         text collate "C" check (length(maintenance) between 1 and 200 and maintenance ~ '^[ -~]+$'),
    sessions            integer     check (sessions > 0),
    login_delay         integer     check (login_delay between 0 and 86400),
    replace_nul         boolean,
    trace_until         timestamptz,
    expire_delivered    integer     check (expire_delivered between 0 and 36500),
    expire_retrieved    integer     check (expire_retrieved between 0 and 36500),
    undelete            integer     check (undelete between 0 and 36500),
    codec               text collate "C" check (codec in ('plain', 'zstd')),
    final               text[] collate "C" check (final <> '{}'),
    check (num_nonnulls(tenant, domain, mailbox) <= 1),
    -- A mailbox has one session by nature.
    check (sessions is null or tenant is not null or domain is not null),
    unique nulls not distinct (tenant, domain, mailbox)
);
create unique index policy_domain on postern.policy (domain) where domain is not null;
create unique index policy_mailbox on postern.policy (mailbox) where mailbox is not null;
comment on table  postern.policy is 'switches of everybody (all three null), a tenant, a domain or a mailbox; null says nothing, the next wider one decides';
comment on column postern.policy.pop3 is 'whether it may be logged in to by POP3';
comment on column postern.policy.tls_only is 'no login without TLS, wherever it comes from';
comment on column postern.policy.maintenance is 'every login is answered with this text, as [SYS/TEMP]';
comment on column postern.policy.sessions is 'how many sessions the tenant or the domain may have at once, on each host';
comment on column postern.policy.login_delay is 'seconds between two logins of a mailbox';
comment on column postern.policy.replace_nul is 'send NUL octets as 0x80, for clients that stop at one';
comment on column postern.policy.trace_until is 'until when the dialogues of its sessions are logged';
comment on column postern.policy.expire_delivered is 'days after delivery that a message is kept';
comment on column postern.policy.expire_retrieved is 'days after it was retrieved that a message is kept';
comment on column postern.policy.undelete is 'days that what a session deleted can be brought back';
comment on column postern.policy.final is 'switches that operators of tenants cannot set here, nor less strictly in a narrower policy';
comment on column postern.policy.codec is 'how new mail is stored: plain, or zstd, compressed';

-- policy_of: what holds for a mailbox, column by column. Not granted.
create function postern.policy_of(p_mailbox bigint, p_domain bigint, p_tenant bigint,
    out pop3 boolean, out tls_only boolean, out maintenance text, out login_delay integer,
    out replace_nul boolean, out trace_until timestamptz,
    out expire_delivered integer, out expire_retrieved integer, out undelete integer, out codec text,
    out domain_sessions integer, out tenant_sessions integer)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    r postern.policy;
begin
    -- From the widest to the narrowest.
    for r in
        select p.* from postern.policy p
         where (p.mailbox = p_mailbox) or (p.domain = p_domain) or (p.tenant = p_tenant)
            or (p.tenant is null and p.domain is null and p.mailbox is null)
         order by (p.mailbox is not null), (p.domain is not null), (p.tenant is not null)
    loop
        pop3 := coalesce(r.pop3, pop3);
        tls_only := coalesce(r.tls_only, tls_only);
        maintenance := coalesce(r.maintenance, maintenance);
        login_delay := coalesce(r.login_delay, login_delay);
        replace_nul := coalesce(r.replace_nul, replace_nul);
        trace_until := coalesce(r.trace_until, trace_until);
        expire_delivered := coalesce(r.expire_delivered, expire_delivered);
        expire_retrieved := coalesce(r.expire_retrieved, expire_retrieved);
        undelete := coalesce(r.undelete, undelete);
        codec := coalesce(r.codec, codec);
        -- These hold both, each for its own.
        if r.domain is not null then
            domain_sessions := r.sessions;
        elsif r.tenant is not null then
            tenant_sessions := r.sessions;
        end if;
    end loop;
end
$$;

-- mail_codec: the codec (content_part.codec, 0 where it is plain) that the policy wants for new mail
-- of this mailbox. A content that several recipients share is coded if one of them wants it:
-- everybody can read it, and what it saves it saves once.
create function postern.mail_codec(p_mailbox bigint) returns integer
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_mailbox is null or not exists (select from postern.policy x where x.codec is not null) then
        return 0;
    end if;
    -- As policy_of(), which would cost each delivery twice as much.
    return coalesce((select case coalesce((select p.codec from postern.policy p where p.mailbox = m.mailbox),
                                          (select p.codec from postern.policy p where p.domain = m.domain),
                                          (select p.codec from postern.policy p where p.tenant = d.tenant and p.domain is null and p.mailbox is null),
                                          (select p.codec from postern.policy p where p.tenant is null and p.domain is null and p.mailbox is null))
                            when 'zstd' then 1 end
                       from postern.mailbox m join postern.domain d on d.domain = m.domain
                      where m.mailbox = p_mailbox), 0);
end
$$;

-- ------------------------------------------------------------- the operator

-- scope_of: the row that names mean; all null is everybody. Not granted.
-- Errors: PN400, PN404.
create function postern.scope_of(p_tenant text, p_domain text, p_mailbox text,
    out tenant bigint, out domain bigint, out mailbox bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if num_nonnulls(p_tenant, p_domain, p_mailbox) > 1 then
        raise exception 'a policy belongs to one tenant, domain or mailbox, or to everybody' using errcode = 'PN400';
    end if;
    if p_tenant is not null then
        tenant := postern.find_tenant(p_tenant);
    elsif p_domain is not null then
        domain := postern.find_domain(p_domain);
    elsif p_mailbox is not null then
        mailbox := postern.find_mailbox(p_mailbox);
    end if;
end
$$;

-- final_switches: the names in a list, as policy.final has them. Not granted.
-- Errors: PN400.
create function postern.final_switches(p_list text) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    c_all constant text[] := array['pop3', 'tls_only', 'maintenance', 'sessions', 'login_delay', 'replace_nul', 'expire_delivered', 'expire_retrieved'];
    v_names constant text[] := array(select distinct trim(n) from unnest(string_to_array(p_list, ',')) n order by 1);
begin
    if not v_names <@ c_all then
        raise exception 'final cannot be set to "%": it is a list of %', p_list, array_to_string(c_all, ', ') using errcode = 'PN400';
    end if;
    return nullif(v_names, '{}');
end
$$;

-- set_policy: names and values run side by side; a value that is null or
-- 'default' says nothing from now on. A row that says nothing at all goes.
-- Errors: PN400, PN404.
create function postern.set_policy(p_tenant text, p_domain text, p_mailbox text, p_names text[], p_values text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    s record;
    r postern.policy;
    v_name text;
    v_value text;
begin
    select * into s from postern.scope_of(p_tenant, p_domain, p_mailbox);
    insert into postern.policy (tenant, domain, mailbox) values (s.tenant, s.domain, s.mailbox) on conflict do nothing;
    select p.* into r from postern.policy p
     where (p.tenant, p.domain, p.mailbox) is not distinct from (s.tenant, s.domain, s.mailbox) for update;
    for i in 1 .. cardinality(p_names) loop
        v_name := p_names[i];
        v_value := nullif(p_values[i], 'default');
        begin
            case v_name
                when 'pop3' then r.pop3 := v_value;
                when 'tls_only' then r.tls_only := v_value;
                when 'maintenance' then r.maintenance := v_value;
                when 'sessions' then r.sessions := v_value;
                when 'login_delay' then r.login_delay := v_value;
                when 'replace_nul' then r.replace_nul := v_value;
                when 'trace' then r.trace_until := clock_timestamp() + v_value::interval;
                when 'expire_delivered' then r.expire_delivered := v_value;
                when 'expire_retrieved' then r.expire_retrieved := v_value;
                when 'undelete' then r.undelete := v_value;
                when 'codec' then
                    if v_value <> all (array['plain', 'zstd']) then
                        raise exception 'codec can be plain or zstd, not "%"', v_value using errcode = 'PN400';
                    end if;
                    r.codec := v_value;
                when 'final' then r.final := postern.final_switches(v_value);
                else
                    raise exception 'unknown switch "%"', v_name using errcode = 'PN400';
            end case;
        exception when data_exception then
            raise exception '% cannot be set to "%"', v_name, v_value using errcode = 'PN400';
        end;
    end loop;
    if num_nonnulls(r.pop3, r.tls_only, r.maintenance, r.sessions, r.login_delay, r.replace_nul, r.trace_until,
                    r.expire_delivered, r.expire_retrieved, r.undelete, r.codec, r.final) = 0 then
        delete from postern.policy p where p.policy = r.policy;
        return;
    end if;
    update postern.policy p
       set (pop3, tls_only, maintenance, sessions, login_delay, replace_nul, trace_until, expire_delivered, expire_retrieved, undelete, codec, final)
         = (r.pop3, r.tls_only, r.maintenance, r.sessions, r.login_delay, r.replace_nul, r.trace_until,
            r.expire_delivered, r.expire_retrieved, r.undelete, r.codec, r.final)
     where p.policy = r.policy;
exception when check_violation then
    raise exception 'this switch cannot be set here, or not to this value' using errcode = 'PN400';
end
$$;

-- clear_policy: nothing is set for this tenant, domain or mailbox, or for everybody, any
-- more.
-- Errors: PN400, PN404.
create function postern.clear_policy(p_tenant text, p_domain text, p_mailbox text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.policy p
     where (p.tenant, p.domain, p.mailbox) is not distinct from
           (select (s.tenant, s.domain, s.mailbox) from postern.scope_of(p_tenant, p_domain, p_mailbox) s);
end
$$;

-- list_policies: what was set for one of them; with all three null everything.
-- Errors: PN400, PN404.
create function postern.list_policies(p_tenant text, p_domain text, p_mailbox text)
returns table (scope text, name text, pop3 boolean, tls_only boolean, maintenance text, sessions integer, login_delay integer,
               replace_nul boolean, trace_until timestamptz, expire_delivered integer, expire_retrieved integer, undelete integer, codec text, final text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    s record;
begin
    select * into s from postern.scope_of(p_tenant, p_domain, p_mailbox);
    return query
        select case when p.tenant is not null then 'tenant' when p.domain is not null then 'domain'
                    when p.mailbox is not null then 'mailbox' else 'everybody' end,
               coalesce(t.name, d.name, m.address),
               p.pop3, p.tls_only, p.maintenance, p.sessions, p.login_delay, p.replace_nul, p.trace_until,
               p.expire_delivered, p.expire_retrieved, p.undelete, p.codec, array_to_string(p.final, ',')
          from postern.policy p
          left join postern.tenant t on t.tenant = p.tenant
          left join postern.domain d on d.domain = p.domain
          left join postern.mailbox m on m.mailbox = p.mailbox
         where num_nonnulls(s.tenant, s.domain, s.mailbox) = 0
            or p.tenant = s.tenant or p.domain = s.domain or p.mailbox = s.mailbox
         order by p.mailbox is not null, p.domain is not null, p.tenant is not null, 2;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.set_policy(text, text, text, text[], text[]), postern.clear_policy(text, text, text),
    postern.list_policies(text, text, text)
    to postern_admin;
grant execute on function postern.mail_codec(bigint) to postern_lmtp, postern_admin;
