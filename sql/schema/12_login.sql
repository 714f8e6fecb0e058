-- What a login reads: the credentials, the policy of the mailbox, and failed logins.
-- One call that writes nothing.
--
-- postern_auth calls login(), which calls credentials(): that one remains the
-- function that a provider replaces. If an auth helper already knows the policy, it
-- calls credentials() itself, which is a third of the work.

-- Keys that strangers must not know, the same for all hosts and after each restart:
-- auth helpers derive the salts of names that do not exist from decoy, and guess is
-- the key for the hash of a name that was tried. gen_random_uuid() uses the strong
-- random numbers of the system, 122 bits each.
create table postern.login_key (
    one         boolean     not null primary key default true check (one),
    decoy       bytea       not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    guess       bytea       not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
);
insert into postern.login_key default values;
comment on table  postern.login_key is 'one row: keys that only functions read';
comment on column postern.login_key.decoy is 'key of the salts that are shown for names that do not exist';
comment on column postern.login_key.guess is 'key of the hash of a name in postern.guess';

-- decoy_key: the first of them.
create function postern.decoy_key() returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select k.decoy from postern.login_key k);
end
$$;

-- guess_hash: the hash itself, with its key. Not granted. Neither a definer nor with
-- settings, so that it becomes part of the statement that calls it.
create function postern.guess_hash(p_key bytea, p_address text) returns bigint
language sql immutable
as $$ select ('x' || encode(substring(sha256(p_key || convert_to(p_address, 'UTF8')) for 8), 'hex'))::bit(64)::bigint $$;

-- guess_account: the keyed hash that stands for this name in postern.guess. Without the
-- key nobody can find two names that share a place there. Not granted.
create function postern.guess_account(p_address text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select postern.guess_hash(k.guess, p_address) from postern.login_key k);
end
$$;

-- Failed logins of accounts, shared by all hosts. The account is a keyed hash of the
-- name that was tried, whether it exists or not, so that nothing here reveals which
-- names exist. Each name belongs to one of 65,536 sets of two slots, 2n and 2n + 1; a
-- crash loses them, which is acceptable for counts that decay.
create unlogged table postern.guess (
    slot        integer     not null primary key,
    account     bigint      not null,
    until       timestamptz not null
) with (fillfactor = 50);
comment on table  postern.guess is 'accounts whose passwords are being guessed';
comment on column postern.guess.account is 'keyed hash of the address that was tried: guess_account()';
comment on column postern.guess.until is 'when the last of the failures will be forgotten: each adds one interval';

-- Networks of successful logins to a mailbox: its owner can still log in from there
-- while others guess.
create table postern.known_address (
    mailbox     bigint      not null references postern.mailbox on delete cascade,
    network     inet        not null,
    seen        date        not null,
    primary key (mailbox, network)
) with (fillfactor = 80);
comment on table postern.known_address is 'networks that a mailbox was logged in from; at most 16 for each, at most one write a day';

-- credentials(address): the secrets that logins to this address are verified against.
-- One row for each stored secret; no row means no such mailbox;
-- a mailbox without any secret gives one row with kind and secret null.
--
-- This is the function to replace by a provider with their own user tables:
-- keep the columns, and keep it to one index lookup for an exact address.
create function postern.credentials(p_address text)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select m.mailbox, m.address, m.enabled and d.enabled and t.enabled, c.kind, c.label, c.secret
          from postern.mailbox m
          join postern.domain d on d.domain = m.domain
          join postern.tenant t on t.tenant = d.tenant
          left join postern.credential c on c.mailbox = m.mailbox
         where m.address = p_address;
    if found then
        return;
    end if;
    -- A domain that is another name of one: the same local part there.
    return query
        select m.mailbox, m.address, m.enabled and d.enabled and a.enabled and t.enabled, c.kind, c.label, c.secret
          from postern.domain a
          join postern.domain d on d.domain = a.alias_of
          join postern.tenant t on t.tenant = d.tenant
          join postern.mailbox m on m.address = left(p_address, -length(a.name)) || d.name
          left join postern.credential c on c.mailbox = m.mailbox
         where a.name = split_part(p_address, '@', -1) and a.alias_of is not null;
end
$$;

-- guessed_until: when the last of the failures of this name will be forgotten. In the
-- past or null if there are none. Not granted.
create function postern.guessed_until(p_address text) returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account constant bigint := postern.guess_account(p_address);
    v_slot constant integer := (v_account & 65535)::integer * 2;
begin
    return (select max(g.until) from postern.guess g where g.slot in (v_slot, v_slot + 1) and g.account = v_account);
end
$$;

-- login_of: a row for each stored secret, as credentials() returns them, with the policy
-- of the mailbox repeated in each row. There is always a row: for an unknown name it
-- has the failures only.
-- p_network is the network of the client, null if it is not counted; p_key is that of
-- guess_hash(), p_version the version of the policies, and p_policies whether there are
-- any. proof is null unless p_proof: where each login must be verified against the
-- secrets. elsewhere is null, or the old server that has the mail (elsewhere_text(), in
-- 11_elsewhere); in a domain that is elsewhere as a whole also of a name that is unknown
-- here, with its address in canonical form and mailbox null. Not granted.
--
-- Small statements, each made only where it is needed, and none that joins them:
-- a session of inetd has its connection to itself, and to plan that join took
-- half of what the database did for its login.
create function postern.login_of(p_address text, p_network inet, p_proof boolean, p_key bytea, p_version bigint, p_policies boolean)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text,
               domain bigint, tenant bigint, pop3 boolean, tls_only boolean, maintenance text, login_delay integer,
               replace_nul boolean, trace boolean, expire integer, domain_sessions integer, tenant_sessions integer,
               guessed_ms bigint, known boolean, known_today boolean, version bigint, proof bigint, elsewhere text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account bigint;
    v_slot integer;
    v_seen date;
    v_of bigint;
    v_server bigint;
    v_name text;
    c record;
    p record;
begin
    if p_network is not null then
        v_account := postern.guess_hash(p_key, p_address);
        v_slot := (v_account & 65535)::integer * 2;
        guessed_ms := (select (extract(epoch from max(g.until) - clock_timestamp()) * 1000)::bigint
                         from postern.guess g where g.slot in (v_slot, v_slot + 1) and g.account = v_account);
    end if;
    version := p_version;
    pop3 := true;
    tls_only := false;
    replace_nul := false;
    trace := false;
    known := false;
    known_today := false;
    for c in select * from postern.credentials(p_address) loop
        mailbox := c.mailbox;
        address := c.address;
        active := c.active;
        kind := c.kind;
        label := c.label;
        secret := c.secret;
        -- Of one mailbox, unless another credentials() is wrong, which the caller sees.
        if v_of is null then
            v_of := c.mailbox;
            select m.domain, d.tenant, m.proof, case when not m.moved then coalesce(m.old_server, d.old_server) end, m.old_name
              into domain, tenant, proof, v_server, v_name
              from postern.mailbox m join postern.domain d on d.domain = m.domain where m.mailbox = v_of;
            if v_server is not null then
                elsewhere := postern.elsewhere_text(v_server, address, v_name);
            end if;
            if not p_proof then
                proof := null;
            end if;
            if p_network is not null then
                select k.seen into v_seen from postern.known_address k where k.mailbox = v_of and k.network = p_network;
                known := v_seen is not null;
                known_today := coalesce(v_seen >= current_date, false);
            end if;
            if p_policies and exists (select from postern.policy y
                                       where y.mailbox = v_of or y.domain = login_of.domain or y.tenant = login_of.tenant
                                          or (y.mailbox is null and y.domain is null and y.tenant is null)) then
                select * into p from postern.policy_of(v_of, domain, tenant);
                pop3 := coalesce(p.pop3, true);
                tls_only := coalesce(p.tls_only, false);
                maintenance := p.maintenance;
                login_delay := p.login_delay;
                replace_nul := coalesce(p.replace_nul, false);
                trace := coalesce(p.trace_until > clock_timestamp(), false);
                expire := least(p.expire_delivered, p.expire_retrieved);
                domain_sessions := p.domain_sessions;
                tenant_sessions := p.tenant_sessions;
            end if;
        end if;
        return next;
    end loop;
    if v_of is null then
        select l.address, l.active, l.domain, l.tenant, l.elsewhere into address, active, domain, tenant, elsewhere
          from postern.elsewhere_unknown(p_address) l;
        if elsewhere is not null and p_policies then
            select * into p from postern.policy_of(null, domain, tenant);
            pop3 := coalesce(p.pop3, true);
            tls_only := coalesce(p.tls_only, false);
            maintenance := p.maintenance;
            login_delay := p.login_delay;
            trace := coalesce(p.trace_until > clock_timestamp(), false);
            domain_sessions := p.domain_sessions;
            tenant_sessions := p.tenant_sessions;
        end if;
        return next;
    end if;
end
$$;

-- may_be_cached: what a provider's own tables say may change without a word to us, so
-- then each login asks them. Not granted.
create function postern.may_be_cached() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return not exists (select from postern.list_replaced() r where r = 'credentials');
end
$$;

-- login: what login_of() says of one address. p_proof: the caller caches logins.
create function postern.login(p_address text, p_network inet, p_proof boolean)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text,
               domain bigint, tenant bigint, pop3 boolean, tls_only boolean, maintenance text, login_delay integer,
               replace_nul boolean, trace boolean, expire integer, domain_sessions integer, tenant_sessions integer,
               guessed_ms bigint, known boolean, known_today boolean, version bigint, proof bigint, elsewhere text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        select l.* from postern.login_key k, (select max(v.version) as version from postern.policy_version v) v,
                        postern.login_of(p_address, p_network, p_proof and postern.may_be_cached(), k.guess, v.version, true) l;
end
$$;

-- login_group: the same for each of these addresses, in their order, each row with the
-- number of its question, from 1: one statement for the logins that an auth helper has
-- to look up at one time. An error is that of all of them, so the helper then calls
-- login() for each.
create function postern.login_group(p_addresses text[], p_networks inet[], p_proof boolean)
returns table (mailbox bigint, address text, active boolean, kind text, label text, secret text,
               domain bigint, tenant bigint, pop3 boolean, tls_only boolean, maintenance text, login_delay integer,
               replace_nul boolean, trace boolean, expire integer, domain_sessions integer, tenant_sessions integer,
               guessed_ms bigint, known boolean, known_today boolean, version bigint, proof bigint, elsewhere text,
               question integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_key constant bytea := (select k.guess from postern.login_key k);
    v_version constant bigint := (select max(v.version) from postern.policy_version v);
    v_proof constant boolean := p_proof and postern.may_be_cached();
    v_policies constant boolean := exists (select from postern.policy);
begin
    for i in 1 .. cardinality(p_addresses) loop
        return query
            select l.*, i from postern.login_of(p_addresses[i], p_networks[i], v_proof, v_key, v_version, v_policies) l;
    end loop;
end
$$;

-- count_failure: one more failure of this name, forgotten p_interval_ms later
-- than the one before it, up to p_most of them; who has as many is written once in an interval
-- only, however fast somebody guesses. If both slots of its set belong to other names, one with a
-- single failure left makes room; if there is none, this failure is not counted here.
-- So neither a flood of names nor a name in the same set reduces the count of an
-- account that is being guessed at.
create function postern.count_failure(p_address text, p_interval_ms integer, p_most integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account constant bigint := postern.guess_account(p_address);
    v_slot constant integer := (v_account & 65535)::integer * 2;
    v_interval constant interval := p_interval_ms * interval '1 millisecond';
    v_now constant timestamptz := clock_timestamp();
begin
    update postern.guess g
       set until = least(greatest(g.until, v_now) + v_interval, v_now + p_most * v_interval)
     where g.slot in (v_slot, v_slot + 1) and g.account = v_account and g.until <= v_now + (p_most - 1) * v_interval;
    if found or exists (select from postern.guess g where g.slot in (v_slot, v_slot + 1) and g.account = v_account) then
        return;
    end if;
    for i in 0 .. 1 loop
        insert into postern.guess (slot, account, until) values (v_slot + i, v_account, v_now + v_interval) on conflict do nothing;
        if found then
            return;
        end if;
    end loop;
    update postern.guess g set account = v_account, until = v_now + v_interval
     where g.slot = (select o.slot from postern.guess o where o.slot in (v_slot, v_slot + 1) order by o.until, o.slot limit 1)
       and g.until <= v_now + v_interval;
end
$$;

-- count_failures: the same for each of these names, which may be in it more than once;
-- in the order of their places, so that two hosts never wait for each other.
create function postern.count_failures(p_addresses text[], p_interval_ms integer, p_most integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_address text;
begin
    for v_address in select u.address from unnest(p_addresses) u (address)
                      order by postern.guess_account(u.address) & 65535, u.address loop
        perform postern.count_failure(v_address, p_interval_ms, p_most);
    end loop;
end
$$;

-- remember_address: this mailbox was logged in to from there.
create function postern.remember_address(p_mailbox bigint, p_network inet) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into postern.known_address as k (mailbox, network, seen)
        select m.mailbox, p_network, current_date from postern.mailbox m where m.mailbox = p_mailbox
        on conflict (mailbox, network) do update set seen = current_date where k.seen < current_date;
    delete from postern.known_address k
     where k.mailbox = p_mailbox
       and (k.seen < current_date - 60
            or k.network in (select o.network from postern.known_address o
                              where o.mailbox = p_mailbox order by o.seen desc, o.network offset 16));
end
$$;

revoke all on all functions in schema postern from public;
grant execute on function
    postern.credentials(text), postern.login(text, inet, boolean), postern.login_group(text[], inet[], boolean),
    postern.count_failures(text[], integer, integer),
    postern.remember_address(bigint, inet), postern.decoy_key()
    to postern_auth;
