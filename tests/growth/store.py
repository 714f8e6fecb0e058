"""A store that is made by SQL, and statements of it that tell what they cost: for run, and for tests/system/test_growth.py."""

TOOLS = r"""
create schema growth;
-- How many blocks a statement looks at, found in memory or not.
create function growth.looked_at(p_text text, out hit bigint, out read bigint) language plpgsql as $$
declare
    v_plan json;
begin
    execute 'explain (analyze, buffers, format json) ' || p_text into v_plan;
    hit := v_plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks';
    read := v_plan -> 0 -> 'Plan' ->> 'Shared Read Blocks';
end
$$;
create function growth.blocks(p_text text) returns bigint language sql as $$
    select b.hit + b.read from growth.looked_at(p_text) b
$$;
create function growth.ticket(p_mailbox bigint, p_proof bigint default null) returns bytea language sql as $$
    select t.text || postern.signed(k, t.text)
      from (select '\x01'::bytea || int8send(p_mailbox) || int8send(coalesce(p_proof, 0)) || int8send(coalesce(p_proof, 0)) || int4send(pg_backend_pid())
                   || int8send(postern.now_ms() + 3600000) as text) t, postern.ticket_key k
$$;
create function growth.deliver(p_mailbox bigint) returns bigint language sql as $$
    select stored from postern.deliver(5, decode(repeat('00', 32), 'hex'), 'hello', null, array[p_mailbox], '{1}', array[null], null, null)
$$;
-- A session that lists all and reads nothing; its login was proven by p_proof, and the policies as they are.
create function growth.poll(p_mailbox bigint, p_proof bigint default null) returns bigint language plpgsql as $$
declare
    v_listed bigint;
begin
    select coalesce(cardinality(o.uids), 0) into v_listed
      from postern.open_maildrop(p_mailbox, null, null, null, p_proof, p_proof, growth.ticket(p_mailbox, p_proof)) o;
    perform postern.close_maildrop(p_mailbox);
    return v_listed;
end
$$;

-- Mailboxes that are asked about, in any order, with what a worker knows of them.
create table growth.sample (n bigint primary key, mailbox bigint, address text, uidvalidity bigint, next_uid bigint, expunges bigint, ticket bytea);
-- choose: tickets are for the process that asks.
create function growth.choose(p_count integer) returns bigint language sql as $$
    delete from growth.sample;
    insert into growth.sample
        select row_number() over (), m.mailbox, m.address, m.uidvalidity, m.next_uid, m.expunges, growth.ticket(m.mailbox)
          from (select * from postern.mailbox order by random() limit p_count) m;
    select count(*) from growth.sample;
$$;
-- statement: what a session asks of the n-th of them.
create function growth.statement(p_kind text, p_n bigint) returns text language sql as $$
    select case p_kind
           when 'cold' then format('select * from postern.open_maildrop(%s, null, null, null, null, null, %L)', s.mailbox, s.ticket)
           when 'warm' then format('select * from postern.open_maildrop(%s, %s, %s, %s, null, null, %L)',
                                   s.mailbox, s.uidvalidity, s.next_uid, s.expunges, s.ticket)
           when 'login' then format('select * from postern.login(%L, ''192.0.2.0/24'', true)', s.address)
           when 'deliver' then format('select growth.deliver(%s)', s.mailbox) end
      from growth.sample s where s.n = p_n
$$;
create function growth.cost(p_kind text, p_n bigint, out hit bigint, out read bigint) language plpgsql as $$
begin
    select * into hit, read from growth.looked_at(growth.statement(p_kind, p_n));
    if p_kind in ('cold', 'warm') then
        perform postern.close_maildrop((select s.mailbox from growth.sample s where s.n = p_n));
    end if;
end
$$;
-- play: the same many times over, each in a transaction of its own, so that a clock can be held beside it.
create procedure growth.play(p_kind text, p_from bigint, p_count bigint) language plpgsql as $$
declare
    v_all constant bigint := (select count(*) from growth.sample);
    s growth.sample;
    r record;
begin
    for s in select m.* from generate_series(p_from, p_from + p_count - 1) i join growth.sample m on m.n = 1 + i % v_all order by i loop
        case p_kind
        when 'cold' then
            select * into r from postern.open_maildrop(s.mailbox, null, null, null, null, null, s.ticket);
            perform postern.close_maildrop(s.mailbox);
        when 'warm' then
            select * into r from postern.open_maildrop(s.mailbox, s.uidvalidity, s.next_uid, s.expunges, null, null, s.ticket);
            perform postern.close_maildrop(s.mailbox);
        when 'login' then
            select * into r from postern.login(s.address, '192.0.2.0/24', true);
        when 'deliver' then
            perform growth.deliver(s.mailbox);
        end case;
        commit;
    end loop;
end
$$;
"""

OCTETS, SHARES = 200, 4         # of each message; recipients of each delivery
LARGE = "large.example"         # has half of the mailboxes; the others are in domains of SMALL mailboxes
SMALL = 100


def small(number):
    return f"d{number}.example"


def fill(ask, first, last, messages):
    """Mailboxes number first up to last, without last. In the order in which mail comes: of each round of deliveries
    every mailbox gets one, in any order, so that the messages of a mailbox lie far from each other. The digests of
    contents are not theirs, which nothing looks at that is measured here."""
    ask(f"""
        insert into postern.tenant (name) values ('growth') on conflict do nothing;
        insert into postern.domain (tenant, name)
            select t.tenant, n.name from postern.tenant t, (
                select '{LARGE}' as name union all select 'd' || d || '.example' from generate_series({first // (2 * SMALL)}, {(last - 1) // (2 * SMALL)}) d) n
             where t.name = 'growth' on conflict do nothing;
        create temporary table made as
            select nextval(pg_get_serial_sequence('postern.mailbox', 'mailbox')) as mailbox, n, d.domain, n || '@' || d.name as address
              from generate_series({first}, {last - 1}) n
              join postern.domain d on d.name = case when n % 2 = 0 then '{LARGE}' else 'd' || n / {2 * SMALL} || '.example' end;
        insert into postern.mailbox (mailbox, domain, address, messages, octets, next_uid) overriding system value
            select mailbox, domain, address, {messages}, {messages * OCTETS}, {messages + 1} from made order by n;
        insert into postern.credential (mailbox, kind, secret)
            select mailbox, 'password', '$argon2id$v=19$m=19456,t=2,p=1$' || rpad(mailbox::text, 66, 'x') from made order by n;
        insert into postern.known_address (mailbox, network, seen) select mailbox, '192.0.2.0/24', current_date from made order by random()""")
    ask(f"""
        create temporary table arrival as
            select s.*, b.base + (row_number() over () - 1) / {SHARES} as content
              from (select m.mailbox, g.uid from made m, generate_series(1, {messages}) g(uid) order by g.uid, random()) s,
                   (select coalesce(max(c.content), 0) + 1 as base from postern.content c) b;
        insert into postern.content (content, refs, octets, digest)
            select content, count(*), {OCTETS}, sha256(int8send(content)) from arrival group by 1 order by 1;
        insert into postern.content_part (content, part, data)
            select content, 0, convert_to(rpad(content::text, {OCTETS - 2}, 'x') || E'\\r\\n', 'UTF8') from arrival group by 1 order by 1;
        select setval('postern.content_content_seq', max(content)) from postern.content;
        insert into postern.message (mailbox, uid, content, octets, received_at)
            select mailbox, uid, content, {OCTETS}, now() - ({messages} - uid) * interval '1 day' from arrival order by content;
        select postern.mend('usage', domain) from (select distinct domain from made) d;
        drop table arrival, made""")
    ask("vacuum analyze")
