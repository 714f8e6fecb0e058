-- Valid names of domains, mailboxes and aliases: triggers for direct writes to the
-- tables, and check_name for functions.

-- name_fault: why this cannot be the name of a domain, the address of a mailbox,
-- or that of an alias ('domain', 'mailbox', 'alias'); null if it can. It refuses
-- forms that the programs never produce from a typed name (auth/name.c), to which no
-- client could log in and no mail be delivered, and nothing else.
create function postern.name_fault(p_kind text, p_name text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    -- Everything before the last @, and everything after it.
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
        return 'the part before the @ is not quoted as in RFC 5321, or has needless backslashes';
    elsif v_local collate "C" ~ '^"' and substr(v_local, 2, length(v_local) - 2) collate "C" !~ v_special then
        return 'it has quotes that it does not need';
    elsif octet_length(v_local) > length(v_local) and v_local is not nfc normalized then
        return 'it is not in the composed form of Unicode (NFC)';
    end if;
    return null;
end
$$;

-- is_plain_name: an address of the plain kind that nearly all are, of which name_fault says
-- nothing; much cheaper. Of what is not plain name_fault must be asked. Not granted.
create function postern.is_plain_name(p_address text) returns boolean
language sql immutable parallel safe
return octet_length(p_address) <= 63 and p_address collate "C" ~ '^[a-z0-9._+=-]+@[a-z0-9]+(([.]|-+)[a-z0-9]+)*$';

-- check_name: refuses an invalid name; for the kinds see name_fault.
-- Not granted.
-- Errors: PN400.
create function postern.check_name(p_kind text, p_name text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_fault constant text := postern.name_fault(p_kind, p_name);
begin
    if v_fault is not null then
        raise exception '% "%" cannot be used: %', p_kind, p_name, v_fault using errcode = 'PN400';
    end if;
end
$$;

-- refuse_name: a trigger. Its arguments are the kind of name and the column that has it.
-- Triggers and not CHECKs, so that a dump can always be read back: a later
-- PostgreSQL knows more of Unicode. `posternctl check` then reports the problem.
-- Errors: check_violation.
create function postern.refuse_name() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_name constant text := to_jsonb(new) ->> tg_argv[1];
    v_fault constant text := postern.name_fault(tg_argv[0], v_name);
begin
    if v_fault is not null then
        raise exception '% "%" cannot be used: %', tg_argv[0], v_name, v_fault using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create trigger domain_proper after insert or update of name on postern.domain for each row
    execute function postern.refuse_name('domain', 'name');
create trigger alias_named after insert or update of address on postern.alias for each row
    execute function postern.refuse_name('alias', 'address');

-- refuse_mailbox: a trigger that replaces CHECKs of address and quota. A CHECK
-- is parsed again by every statement that writes a row of its table, whatever it
-- writes: those of mailbox, message, content and content_part were a tenth of what
-- a delivery costs the database. A trigger for these columns costs a delivery
-- nothing; what the other columns must be is kept by the functions that write them,
-- and sums and references are recounted by `posternctl check`.
-- Errors: check_violation.
create function postern.refuse_mailbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_fault constant text := postern.name_fault('mailbox', new.address);
begin
    if v_fault is not null then
        raise exception 'mailbox "%" cannot be used: %', new.address, v_fault using errcode = 'check_violation';
    end if;
    if least(new.quota, new.quota_messages) < 0 then
        raise exception 'the quota of mailbox % cannot be set to %', new.address, least(new.quota, new.quota_messages)
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create trigger mailbox_proper after insert or update of address, quota, quota_messages on postern.mailbox for each row
    execute function postern.refuse_mailbox();

revoke all on all functions in schema postern from public;
