-- Stored secrets: what a login leaves to write, what posternctl asks, and seals.
-- Their table is credential (01_tables); credentials() and login() read it (12_login).

-- ------------------------------------------------- what the auth helper writes

-- upgrade_secret: a better form of the same secret, at a login that proved it.
-- Only if it is still the one that was proven. True if it was replaced.
create function postern.upgrade_secret(p_mailbox bigint, p_kind text, p_label text, p_old text, p_new text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set secret = p_new
     where c.mailbox = p_mailbox and c.kind = p_kind and c.label = p_label and c.secret = p_old;
    return found;
end
$$;

-- missing_secrets: kinds that the domain of this mailbox wants stored and that
-- are not there.
create function postern.missing_secrets(p_mailbox bigint) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select k.kind
          from postern.mailbox m join postern.domain d on d.domain = m.domain, unnest(d.stores) as k(kind)
         where m.mailbox = p_mailbox
           and not exists (select from postern.credential c where c.mailbox = m.mailbox and c.kind = k.kind);
end
$$;

-- add_secret: one of these, made from the password that p_proof (the stored
-- secret, as it was read) has just verified. False if that is no longer the
-- password, if the kind is not stored, or if another login has added it.
create function postern.add_secret(p_mailbox bigint, p_proof text, p_kind text, p_secret text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.credential (mailbox, kind, secret)
        select m.mailbox, p_kind, p_secret
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.credential c on c.mailbox = m.mailbox and c.kind = 'password' and c.label = '' and c.secret = p_proof
         where m.mailbox = p_mailbox and p_kind = any (d.stores)
           for update of c
        on conflict (mailbox, kind, label) do nothing;
    return found;
end
$$;

-- use_app_password: it was used just now. Writes at most once an hour.
create function postern.use_app_password(p_mailbox bigint, p_label text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set used_at = date_trunc('hour', now())
     where c.mailbox = p_mailbox and c.kind = 'app-password' and c.label = p_label
       and (c.used_at is null or c.used_at < date_trunc('hour', now()));
end
$$;

-- ------------------------------------------------------ what posternctl asks

-- secret_plan: the mailbox, and what to store where its password is set.
-- Errors: PN404.
create function postern.secret_plan(p_address text, out mailbox bigint, out stores text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    mailbox := postern.find_mailbox(p_address);
    select d.stores into stores
      from postern.mailbox m join postern.domain d on d.domain = m.domain where m.mailbox = secret_plan.mailbox;
end
$$;

-- set_secrets_of: new passwords of several mailboxes, in all their forms: a row for each
-- form of each; those of the old passwords go. App passwords stay, and so does certificate.
-- Errors: PN400.
create function postern.set_secrets_of(p_mailboxes bigint[], p_kinds text[], p_secrets text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_there bigint;
    v_put bigint;
begin
    if cardinality(p_kinds) <> cardinality(p_secrets) or cardinality(p_kinds) <> cardinality(p_mailboxes)
       or not p_kinds <@ array['password', 'scram-sha-256', 'scram-sha-1', 'shared-secret'] then
        raise exception 'invalid kinds of secrets for a password' using errcode = 'PN400';
    end if;
    -- In the order of sql/README: a trigger changes these rows.
    perform from postern.mailbox m where m.mailbox = any (p_mailboxes) order by m.mailbox for no key update;
    delete from postern.credential c
     using (select n.mailbox, array_agg(n.kind) as kinds from unnest(p_mailboxes, p_kinds) as n(mailbox, kind) group by 1) k
     where c.mailbox = k.mailbox and c.kind not in ('app-password', 'certificate') and c.kind <> all (k.kinds);
    -- `on conflict do update` would want the right to read the secrets that are there. A login may add
    -- one meanwhile (add_secret), so what was not put there is looked for again.
    loop
        update postern.credential c set secret = n.secret, changed_at = now()
          from unnest(p_mailboxes, p_kinds, p_secrets) as n(mailbox, kind, secret)
         where c.mailbox = n.mailbox and c.kind = n.kind and c.label = '';
        get diagnostics v_there = row_count;
        exit when v_there = cardinality(p_mailboxes);
        insert into postern.credential as c (mailbox, kind, secret)
            select n.mailbox, n.kind, n.secret from unnest(p_mailboxes, p_kinds, p_secrets) as n(mailbox, kind, secret)
             order by n.mailbox
            on conflict (mailbox, kind, label) do nothing;
        get diagnostics v_put = row_count;
        exit when v_there + v_put = cardinality(p_mailboxes);
    end loop;
end
$$;

-- set_secrets: the same for one mailbox. With empty arrays there is no password any more.
-- Errors: PN400.
create function postern.set_secrets(p_mailbox bigint, p_kinds text[], p_secrets text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform postern.set_secrets_of(array_fill(p_mailbox, array[cardinality(p_kinds)]), p_kinds, p_secrets);
    if cardinality(p_kinds) = 0 then
        delete from postern.credential c where c.mailbox = p_mailbox and c.kind not in ('app-password', 'certificate');
    end if;
end
$$;

-- add_app_password: one more, of at most 16. p_label is its name, p_secret its hash.
-- Errors: PN400, PN409.
create function postern.add_app_password(p_mailbox bigint, p_label text, p_secret text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Each wrong password is compared with all of them. Two at once wait here for each other.
    perform from postern.mailbox m where m.mailbox = p_mailbox for no key update;
    if (select count(*) from postern.credential c where c.mailbox = p_mailbox and c.kind = 'app-password') >= 16 then
        raise exception 'the mailbox already has 16 app passwords: remove one' using errcode = 'PN409';
    end if;
    insert into postern.credential (mailbox, kind, label, secret) values (p_mailbox, 'app-password', p_label, p_secret);
exception when unique_violation then
    raise exception 'app password % already exists', p_label using errcode = 'PN409';
when check_violation then
    raise exception 'the name of an app password must have 1 to 64 octets and no control characters' using errcode = 'PN400';
end
$$;

-- list_app_passwords: their names, and when each was last used, to the hour.
-- Errors: PN404.
create function postern.list_app_passwords(p_address text)
returns table (name text, created_at timestamptz, used_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select c.label, c.changed_at, c.used_at from postern.credential c
         where c.mailbox = postern.find_mailbox(p_address) and c.kind = 'app-password' order by c.label;
end
$$;

-- remove_app_password: it is no password of the mailbox any more.
-- Errors: PN404.
create function postern.remove_app_password(p_address text, p_label text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from postern.credential c
     where c.mailbox = postern.find_mailbox(p_address) and c.kind = 'app-password' and c.label = p_label;
    if not found then
        raise exception 'app password % of % does not exist', p_label, p_address using errcode = 'PN404';
    end if;
end
$$;

-- set_certificate: from now on the mailbox accepts a certificate with its address that a
-- listener has verified (SASL EXTERNAL); with p_secret null it does not. The text of
-- p_secret does not matter; it exists to be sealed.
-- Errors: PN404.
create function postern.set_certificate(p_mailbox bigint, p_secret text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_secret is not null then
        insert into postern.credential as c (mailbox, kind, secret) values (p_mailbox, 'certificate', p_secret)
            on conflict (mailbox, kind, label) do update set secret = p_secret, changed_at = now();
        return;
    end if;
    delete from postern.credential c where c.mailbox = p_mailbox and c.kind = 'certificate';
    if not found then
        raise exception 'the mailbox does not accept certificates' using errcode = 'PN404';
    end if;
end
$$;

-- set_domain_stores: from the next password on; what is not wanted any more goes at once.
-- Errors: PN400, PN404.
create function postern.set_domain_stores(p_name text, p_stores text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_name);
begin
    update postern.domain d set stores = p_stores where d.domain = v_domain;
    delete from postern.credential c using postern.mailbox m
     where m.domain = v_domain and c.mailbox = m.mailbox and c.kind not in ('password', 'app-password', 'certificate') and c.kind <> all (p_stores);
exception when check_violation then
    raise exception 'a domain may store scram-sha-256, scram-sha-1 and shared-secret' using errcode = 'PN400';
end
$$;

-- ---------------------------------------------------------- seals, by the owner

-- scan_secrets: stored secrets after p_after, at most p_most of them. For `posternctl
-- secrets`, which runs as the owner of the schema: no role of a process may read
-- them all. Not granted.
create function postern.scan_secrets(p_after bigint, p_most integer)
returns table (credential bigint, mailbox bigint, kind text, label text, secret text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select c.credential, c.mailbox, c.kind, c.label, c.secret from postern.credential c
         where c.credential > p_after order by c.credential limit p_most;
end
$$;

-- scan_logins: mailboxes of a tenant or of a domain, or all where both are null, by address
-- after p_after, at most p_most of them, each with its password, or else its SCRAM verifier (with
-- SHA-256, or else SHA-1); kind and secret are null where it has neither, secret also
-- where nobody may log in. app_passwords is how many it has. For `posternctl secrets export`,
-- which runs as the owner of the schema. Not granted.
-- Errors: PN404.
create function postern.scan_logins(p_tenant text, p_domain text, p_after text, p_most integer)
returns table (address text, mailbox bigint, active boolean, kind text, secret text, app_passwords bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_tenant constant bigint := case when p_tenant is not null then postern.find_tenant(p_tenant) end;
    v_domain constant bigint := case when p_domain is not null then postern.find_domain(p_domain) end;
begin
    return query
        select m.address, m.mailbox, m.enabled and d.enabled and t.enabled, s.kind, s.secret,
               (select count(*) from postern.credential c where c.mailbox = m.mailbox and c.kind = 'app-password')
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
          left join lateral (select c.kind, c.secret from postern.credential c
                              where c.mailbox = m.mailbox and c.kind in ('password', 'scram-sha-256', 'scram-sha-1')
                              order by array_position(array['password', 'scram-sha-256', 'scram-sha-1'], c.kind) limit 1) s on true
         where m.address > p_after and (v_tenant is null or d.tenant = v_tenant) and (v_domain is null or m.domain = v_domain)
         order by m.address limit p_most;
end
$$;

-- replace_secret: the same secret in another form. False if it is not the one that was
-- read any more. Not granted.
create function postern.replace_secret(p_credential bigint, p_old text, p_new text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update postern.credential c set secret = p_new where c.credential = p_credential and c.secret = p_old;
    return found;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.upgrade_secret(bigint, text, text, text, text), postern.missing_secrets(bigint),
    postern.add_secret(bigint, text, text, text), postern.use_app_password(bigint, text)
    to postern_auth;
grant execute on function
    postern.secret_plan(text), postern.set_secrets(bigint, text[], text[]),
    postern.set_secrets_of(bigint[], text[], text[]),
    postern.add_app_password(bigint, text, text), postern.list_app_passwords(text),
    postern.remove_app_password(text, text), postern.set_certificate(bigint, text), postern.set_domain_stores(text, text[])
    to postern_admin;
