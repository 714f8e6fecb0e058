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
    maintenance         text        check (length(maintenance) between 1 and 200 and maintenance !~ '[[:cntrl:]]'),
    sessions            integer     check (sessions > 0),
    login_delay         integer     check (login_delay between 0 and 86400),
    replace_nul         boolean,
    add_blank_line      boolean,
    trace_until         timestamptz,
    expire_delivered    integer     check (expire_delivered between 0 and 36500),
    expire_retrieved    integer     check (expire_retrieved between 0 and 36500),
    undelete            integer     check (undelete between 0 and 36500),
    check (num_nonnulls(tenant, domain, mailbox) <= 1),
    unique nulls not distinct (tenant, domain, mailbox)
);
create unique index policy_domain on postern.policy (domain) where domain is not null;
create unique index policy_mailbox on postern.policy (mailbox) where mailbox is not null;
comment on table  postern.policy is 'switches of everybody (all three null), a tenant, a domain or a mailbox; null says nothing, the next wider one decides';
comment on column postern.policy.maintenance is 'every login is answered with this text, as [SYS/TEMP]';
comment on column postern.policy.sessions is 'how many sessions the tenant, the domain or the mailbox may have at once';
comment on column postern.policy.login_delay is 'seconds between two logins of a mailbox';
comment on column postern.policy.replace_nul is 'send NUL octets as 0x80, for clients that stop at one';
comment on column postern.policy.add_blank_line is 'end a message that is all header with the blank line that it lacks';
comment on column postern.policy.trace_until is 'until when the dialogues of its sessions are logged';
comment on column postern.policy.expire_delivered is 'days after delivery that a message is kept';
comment on column postern.policy.expire_retrieved is 'days after it was retrieved that a message is kept';
comment on column postern.policy.undelete is 'days that what a session deleted can be brought back';

-- policy_of: what holds for a mailbox, column by column. Not granted.
create function postern.policy_of(p_mailbox bigint, p_domain bigint, p_tenant bigint,
    out pop3 boolean, out tls_only boolean, out maintenance text, out login_delay integer,
    out replace_nul boolean, out add_blank_line boolean, out trace_until timestamptz,
    out expire_delivered integer, out expire_retrieved integer, out undelete integer)
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
        add_blank_line := coalesce(r.add_blank_line, add_blank_line);
        trace_until := coalesce(r.trace_until, trace_until);
        expire_delivered := coalesce(r.expire_delivered, expire_delivered);
        expire_retrieved := coalesce(r.expire_retrieved, expire_retrieved);
        undelete := coalesce(r.undelete, undelete);
    end loop;
end
$$;

revoke all on all functions in schema postern from public;
