-- While half have moved: who is still at another server. Auth helpers are told so by
-- login(), and workers relay these logins (daemon/pop3/relay.c).
--
-- A mailbox is elsewhere if it says so, or if its domain does and it is not marked as
-- moved. In a domain that is elsewhere as a whole a name that is unknown here is
-- relayed, too: the old server knows whether it exists.
--
-- Whatever changes here changes policy_version (10_proofs): no helper goes by what it was
-- told before.

create trigger policy_changed after update on postern.old_server
    for each statement execute function postern.policy_changed();

-- elsewhere_text: an old server as auth helpers read it, in words with one space in
-- between, the last of which, the name there, may have spaces in it: the number of the
-- server, host, port, tls, how the client is told, switches, name. Not granted.
create function postern.elsewhere_text(p_server bigint, p_address text, p_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select concat_ws(' ', s.server, s.host, s.port, s.tls, s.tells,
                             case when s.cleartext then 'cleartext' else 'tls' end || case when s.learn then ',learn' else '' end,
                             coalesce(p_name, case s.names when 'local' then left(p_address, -length(split_part(p_address, '@', -1)) - 1)
                                                           else p_address end))
              from postern.old_server s where s.server = p_server);
end
$$;

-- elsewhere_unknown: what is known of an address that has no mailbox here: a row if its
-- domain is elsewhere as a whole. Not granted.
create function postern.elsewhere_unknown(p_address text,
    out address text, out active boolean, out domain bigint, out tenant bigint, out elsewhere text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    d record;
begin
    select h.domain, h.tenant, h.name, h.old_server, o.enabled and h.enabled and t.enabled as active, length(o.name) as typed into d
      from postern.domain o
      join postern.domain h on h.domain = coalesce(o.alias_of, o.domain)
      join postern.tenant t on t.tenant = h.tenant
     where o.name = split_part(p_address, '@', -1);
    if d.old_server is null or not d.active then
        return;
    end if;
    address := left(p_address, -d.typed) || d.name;
    active := true;
    domain := d.domain;
    tenant := d.tenant;
    elsewhere := postern.elsewhere_text(d.old_server, address, null);
end
$$;

-- learn_secret: an old server has accepted this password for a mailbox, and that is
-- stored from now on, if the mailbox is at a server of which passwords are learned;
-- p_old is what was stored when that was asked, null for nothing. False if any of that is not so.
create function postern.learn_secret(p_mailbox bigint, p_old text, p_secret text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from postern.mailbox m
            join postern.domain d on d.domain = m.domain
            join postern.old_server s on s.server = case when not m.moved then coalesce(m.old_server, d.old_server) end
           where m.mailbox = p_mailbox and s.learn
             for no key update of m;
    if not found then
        return false;
    end if;
    if p_old is not null then
        update postern.credential c set secret = p_secret, changed_at = now()
         where c.mailbox = p_mailbox and c.kind = 'password' and c.label = '' and c.secret = p_old collate "C";
        if not found then
            return false;
        end if;
        -- What else was made of the password before.
        delete from postern.credential c
         where c.mailbox = p_mailbox and c.kind in ('scram-sha-256', 'scram-sha-1', 'shared-secret');
        return true;
    end if;
    insert into postern.credential (mailbox, kind, secret) values (p_mailbox, 'password', p_secret) on conflict do nothing;
    return found;
end
$$;

-- ------------------------------------------------------------- the operator

-- find_old_server: the number of the server with this name. Not granted.
-- Errors: PN404.
create function postern.find_old_server(p_name text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v bigint;
begin
    select s.server into v from postern.old_server s where s.name = p_name;
    if v is null then
        raise exception 'old server % does not exist', p_name using errcode = 'PN404';
    end if;
    return v;
end
$$;

-- set_old_server: settings of a server, which is made if p_new, else has to be there.
-- Names and values run side by side: host, port, tls, cleartext, tells, names, learn, mail.
-- Errors: PN400, PN404, PN409.
create function postern.set_old_server(p_name text, p_new boolean, p_names text[], p_values text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    r postern.old_server;
begin
    select s.* into r from postern.old_server s where s.name = p_name for update;
    if p_new and found then
        raise exception 'old server % already exists', p_name using errcode = 'PN409';
    elsif not p_new and not found then
        raise exception 'old server % does not exist', p_name using errcode = 'PN404';
    elsif p_new then
        r.tls := 'pops';
        r.cleartext := false;
        r.tells := 'nothing';
        r.names := 'address';
        r.learn := false;
        r.mail := 'here';
    end if;
    for i in 1 .. cardinality(p_names) loop
        begin
            case p_names[i]
                when 'host' then r.host := p_values[i];
                when 'port' then r.port := p_values[i];
                when 'tls' then r.tls := p_values[i];
                when 'cleartext' then r.cleartext := p_values[i];
                when 'tells' then r.tells := p_values[i];
                when 'names' then r.names := p_values[i];
                when 'learn' then r.learn := p_values[i];
                when 'mail' then r.mail := p_values[i];
                else
                    raise exception 'unknown setting "%": use tls, cleartext, tells, names, learn or mail', p_names[i] using errcode = 'PN400';
            end case;
        exception when data_exception then
            raise exception '% cannot be set to "%"', p_names[i], p_values[i] using errcode = 'PN400';
        end;
    end loop;
    if r.tls = 'none' collate "C" and not r.cleartext then
        raise exception 'with tls=none passwords are sent in the clear: add cleartext=yes if that is acceptable' using errcode = 'PN400';
    end if;
    if p_new then
        insert into postern.old_server (name, host, port, tls, cleartext, tells, names, learn, mail)
            values (p_name, r.host, r.port, r.tls, r.cleartext, r.tells, r.names, r.learn, r.mail);
    else
        update postern.old_server s
           set (host, port, tls, cleartext, tells, names, learn, mail)
             = (r.host, r.port, r.tls, r.cleartext, r.tells, r.names, r.learn, r.mail)
         where s.server = r.server;
    end if;
exception
    when check_violation then
        raise exception 'invalid name, host or setting: tls is pops, stls or none, tells is nothing, proxy1, proxy2 or xclient, names is address or local, mail is here or defer'
            using errcode = 'PN400';
end
$$;

-- list_old_servers: one, or all where p_name is null, with how many mailboxes are there:
-- domains, those that are there as a whole; mailboxes, those that exist here.
-- Errors: PN404.
create function postern.list_old_servers(p_name text)
returns table (name text, host text, port integer, tls text, cleartext boolean, tells text, names text, learn boolean, mail text,
               domains bigint, mailboxes bigint, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if p_name is not null then
        perform postern.find_old_server(p_name);
    end if;
    return query
        select s.name, s.host, s.port, s.tls, s.cleartext, s.tells, s.names, s.learn, s.mail,
               (select count(*) from postern.domain d where d.old_server = s.server),
               (select count(*) from postern.mailbox m join postern.domain d on d.domain = m.domain
                 where not m.moved and coalesce(m.old_server, d.old_server) = s.server), s.created_at
          from postern.old_server s
         where p_name is null or s.name = p_name collate "C"
         order by s.name;
end
$$;

-- remove_old_server: nobody may be there any more. What moved mailboxes remember of it goes.
-- Errors: PN404, PN409.
create function postern.remove_old_server(p_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_server constant bigint := postern.find_old_server(p_name);
    v_left bigint;
begin
    select (select count(*) from postern.domain d where d.old_server = v_server)
         + (select count(*) from postern.mailbox m where m.old_server = v_server and not m.moved) into v_left;
    if v_left > 0 then
        raise exception '% domains or mailboxes are still at old server %: see posternctl elsewhere', v_left, p_name
            using errcode = 'PN409';
    end if;
    update postern.mailbox m set old_server = null, old_name = null where m.old_server = v_server;
    delete from postern.old_server s where s.server = v_server;
end
$$;

-- set_elsewhere: these mailboxes are at this server, with these names there (null or empty:
-- what the server says; p_names itself may be null, too); where p_server is null they are here.
-- How many were changed. All of them, or none.
-- Errors: PN400, PN404.
create function postern.set_elsewhere(p_server text, p_addresses text[], p_names text[] default null) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_server constant bigint := case when p_server is not null then postern.find_old_server(p_server) end;
    v_missing text;
    v_count bigint;
begin
    select a.address into v_missing
      from unnest(p_addresses) a(address)
     where not exists (select from postern.mailbox m where m.address = a.address collate "C") limit 1;
    if found then
        raise exception 'mailbox % does not exist', v_missing using errcode = 'PN404';
    end if;
    select n.name into v_missing from unnest(p_names) n(name)
     where n.name !~ '^[^[:cntrl:]]*$' collate "C" or octet_length(n.name) > 200 limit 1;
    if found then
        raise exception 'a name at another server has 1 to 200 octets and no control characters' using errcode = 'PN400';
    end if;
    with named as (
        select distinct on (a.address) a.address, case when v_server is not null then nullif(a.name, '') end as name
          from unnest(p_addresses, coalesce(p_names, '{}')) with ordinality a(address, name, n) order by a.address, a.n desc)
    update postern.mailbox m
       set old_server = v_server, old_name = n.name, moved = v_server is null
      from named n
     where m.address = n.address collate "C"
       and (m.old_server is distinct from v_server or m.old_name is distinct from n.name or m.moved <> (v_server is null));
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- set_domain_elsewhere: a domain as a whole is at this server, but for mailboxes that are
-- marked as moved; where p_server is null it is here, with all its mailboxes that
-- were not named one by one. How many mailboxes are still elsewhere.
-- Errors: PN400, PN404.
create function postern.set_domain_elsewhere(p_domain text, p_server text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_domain constant bigint := postern.find_domain(p_domain);
    v_server constant bigint := case when p_server is not null then postern.find_old_server(p_server) end;
begin
    update postern.domain d set old_server = v_server where d.domain = v_domain and d.alias_of is null;
    if not found then
        raise exception 'domain % is an alias of another: name that one', p_domain using errcode = 'PN400';
    end if;
    -- What was moved is here without a mark, from now on.
    if v_server is null then
        update postern.mailbox m set moved = false, old_server = null, old_name = null where m.domain = v_domain and m.moved;
    end if;
    return (select count(*) from postern.mailbox m
             where m.domain = v_domain and not m.moved and coalesce(m.old_server, v_server) is not null);
end
$$;

-- list_elsewhere: domains that are elsewhere as a whole, and mailboxes that are; of one
-- domain, or all where p_domain is null. password: one is stored here; seen: when a login to
-- it was last relayed from a network that is counted, to the day.
-- Errors: PN404.
create function postern.list_elsewhere(p_domain text)
returns table (kind text, name text, server text, name_there text, password boolean, seen date)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_domain constant bigint := case when p_domain is not null then postern.find_domain(p_domain) end;
begin
    return query
        select 'domain', d.name, s.name, null::text, null::boolean, null::date
          from postern.domain d join postern.old_server s on s.server = d.old_server
         where v_domain is null or d.domain = v_domain
         order by d.name;
    return query
        select 'mailbox', m.address, s.name, m.old_name,
               exists (select from postern.credential c where c.mailbox = m.mailbox and c.kind = 'password'),
               (select max(k.seen) from postern.known_address k where k.mailbox = m.mailbox)
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.old_server s on s.server = coalesce(m.old_server, d.old_server)
         where not m.moved and (v_domain is null or m.domain = v_domain)
         order by m.address;
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function postern.learn_secret(bigint, text, text) to postern_auth;
grant execute on function
    postern.set_old_server(text, boolean, text[], text[]), postern.list_old_servers(text), postern.remove_old_server(text),
    postern.set_elsewhere(text, text[], text[]), postern.set_domain_elsewhere(text, text), postern.list_elsewhere(text)
    to postern_admin;
