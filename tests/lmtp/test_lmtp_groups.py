"""Deliveries of several sessions in one call: deliver_group() does what deliver() does for each of them (LD, LE)."""
import random
import threading
import unittest

from lmtpkit import DOMAIN, Case, kit

# Two ways to store the same messages, each undone; what they said and what there was must be the same.
SAME = """
create schema same;
create function same.state() returns jsonb language sql as $$
    select jsonb_build_object(
        'mailboxes', (select jsonb_agg(jsonb_build_array(b.mailbox, b.next_uid, b.messages, b.octets, b.expunges) order by b.mailbox)
                        from postern.mailbox b),
        'messages', (select jsonb_agg(jsonb_build_array(m.mailbox, m.uid, m.octets, m.delivered_to, c.refs, c.octets, c.digest,
                                      (select md5(string_agg(p.data, '' order by p.part)) || '/' || count(*)
                                         from postern.content_part p where p.content = c.content)) order by m.mailbox, m.uid)
                       from postern.message m join postern.content c using (content)),
        'contents', (select count(*) from postern.content),
        'usage', (select jsonb_agg(jsonb_build_array(u.domain, u.messages, u.octets) order by u.domain) from postern.domain_usage u),
        'history', (select jsonb_agg(jsonb_build_array(h.mailbox, h.what, h.octets, h.means) order by h.mailbox, h.octets, h.means)
                      from postern.history h))
$$;
-- Some messages, by deliver_group() and then by deliver() for those that had no row; or all of them by deliver(), in the same order.
create function same.deliver(p_grouped boolean, p_order integer[], p_data bytea[], p_mailboxes bigint[], p_counts integer[], p_to text[],
    out told jsonb, out state jsonb, out done integer[]) language plpgsql as $$
declare
    g record; v_first integer; v_boxes bigint[]; v_to text[]; r record;
begin
    done := '{}'; told := '{}';
    begin
        if p_grouped then
            for g in select * from postern.deliver_group(array(select length(d)::bigint from unnest(p_data) d),
                         array(select sha256(d) from unnest(p_data) d), p_data, p_mailboxes, p_counts, p_to) loop
                done := done || g.n;
                told := told || jsonb_build_object(g.n, jsonb_build_array(g.stored, g.verdicts, g.uids, null, null));
            end loop;
        end if;
        for i in 1 .. cardinality(p_order) loop
            continue when p_order[i] = any (done) and p_grouped;
            v_first := (select coalesce(sum(c), 0) from unnest(p_counts[:p_order[i] - 1]) c);
            v_boxes := p_mailboxes[v_first + 1 : v_first + p_counts[p_order[i]]];
            v_to := p_to[v_first + 1 : v_first + p_counts[p_order[i]]];
            select * into r from postern.deliver(length(p_data[p_order[i]]), sha256(p_data[p_order[i]]), p_data[p_order[i]], null,
                v_boxes, array(select generate_series(1::bigint, cardinality(v_boxes))), v_to, null, null, false, 's');
            told := told || jsonb_build_object(p_order[i], jsonb_build_array(r.stored, r.verdicts, r.uids, r.lost, r.lost_why));
        end loop;
        state := same.state();
        raise exception 'undone' using errcode = 'ZZ001';
    exception when sqlstate 'ZZ001' then
        null;
    end;
end
$$;
create function same.try(p_rounds integer, p_seed float8) returns text language plpgsql as $$
declare
    v_boxes bigint[] := array(select mailbox from postern.mailbox where address like '%.same') || 99999999;
    v_data bytea[]; v_mailboxes bigint[]; v_counts integer[]; v_to text[]; a record; b record; n integer; k integer;
    v_grouped integer := 0; v_alone integer := 0;
begin
    perform setseed(p_seed);
    for r in 1 .. p_rounds loop
        v_data := '{}'; v_mailboxes := '{}'; v_counts := '{}'; v_to := '{}';
        n := 1 + (random() * 6)::integer;
        for i in 1 .. n loop
            v_data := v_data || convert_to(repeat(chr(64 + i), case when random() < 0.2 then 0 when random() < 0.5 then random() * 300
                                                                    else random() * 17000 end::integer), 'UTF8');
            k := case when random() < 0.5 then 1 else 1 + (random() * 4)::integer end;
            v_counts := v_counts || k;
            for j in 1 .. k loop
                v_mailboxes := v_mailboxes
                               || v_boxes[1 + floor(random() * case when random() < 0.6 then 6 else cardinality(v_boxes) end)::integer];
                v_to := v_to || case when random() < 0.9 then 'to' || j || '@' || r end;
            end loop;
        end loop;
        a := same.deliver(true, array(select generate_series(1, n)), v_data, v_mailboxes, v_counts, v_to);
        b := same.deliver(false, a.done || array(select i from generate_series(1, n) i where i <> all (a.done)), v_data,
                          v_mailboxes, v_counts, v_to);
        v_grouped := v_grouped + cardinality(a.done); v_alone := v_alone + n - cardinality(a.done);
        if a.told <> b.told or a.state <> b.state then
            return format('seed %s, round %s: %s / %s, %s, %s, %s', p_seed, r, a, b, v_mailboxes, v_counts,
                          array(select length(d) from unnest(v_data) d));
        end if;
    end loop;
    return format('%s %s', v_grouped, v_alone);
end
$$;
insert into postern.tenant (name, quota) values ('plain.same', null), ('quota.same', 60000), ('off.same', null);
update postern.tenant set enabled = false where name = 'off.same';
insert into postern.domain (tenant, name, quota, enabled)
    select t.tenant, x.name, x.quota, x.enabled from (values ('plain', 'a.same', null, true), ('plain', 'b.same', 40000, true),
        ('quota', 'c.same', 50000, true), ('quota', 'd.same', null, true), ('plain', 'e.same', null, false),
        ('off', 'f.same', null, true)) x(tenant, name, quota, enabled)
      join postern.tenant t on t.name = x.tenant || '.same';
insert into postern.mailbox (domain, address, quota, enabled)
    select d.domain, x.local || '@' || d.name, x.quota, x.local <> 'off'
      from postern.domain d, (values (1, 'one', null), (2, 'two', 20000), (3, 'tiny', 300), (4, 'more', 1000000), (5, 'off', null),
                              (6, 'null', 0)) x(i, local, quota)
     where d.name like '%.same' order by d.name, x.i;
"""


class Same(Case):
    def test_a_group_is_what_its_members_are_alone(self):
        self.site.sql(SAME)
        for seed in (0.1, 0.2):
            said = self.site.sql(f"select same.try(8, {seed})")
            self.assertRegex(said, r"^[1-9]\d* [1-9]\d*$")     # members that had a row, and that had none


class Crowd(Case):
    """Many clients at once, two workers: sets of mailboxes that cross, and quotas that not all messages fit into."""

    cells = 2
    BOXES, CLIENTS, EACH = 12, 12, 12

    @classmethod
    def prepare(cls):
        cls.site.sql(f"""insert into postern.mailbox (domain, address, quota, quota_messages)
            select m.domain, 'c' || n || '@{DOMAIN}', case n when 0 then 30000 end, case n when 1 then 20 end
              from postern.mailbox m, generate_series(0, {cls.BOXES - 1}) n where m.address = 'u1@{DOMAIN}'""")

    def client(self, number, stored, faults):
        dice = random.Random(number)
        try:
            with_it = self.site.lmtp_connect()
            for n in range(self.EACH):
                to = [f"c{b}@{DOMAIN}" for b in dice.sample(range(self.BOXES), dice.choice((1, 1, 2, 5)))]
                size = dice.choice((300, 5000, 12000, 400000 if n == 3 else 300))
                with_it.ok("MAIL FROM:<s@sender.example>")
                told = {address: with_it.cmd(f"RCPT TO:<{address}>") for address in to}
                taken = [address for address in to if told[address].startswith(b"250")]
                if taken:
                    told.update(zip(taken, with_it.data(kit.letter(number * 1000 + n, size), len(taken))))
                    stored += [address for address in taken if told[address].startswith(b"250")]
                else:
                    with_it.ok("RSET")
                faults += [t for t in told.items() if not t[1].startswith((b"250", b"452 4.2.2", b"552 5.2.3"))]
            with_it.close()
        except (OSError, AssertionError) as e:
            faults.append(e)

    def test_what_is_acknowledged_is_there_once(self):
        stored, faults = [], []
        threads = [threading.Thread(target=self.client, args=(n, stored, faults)) for n in range(self.CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(faults, [])
        for n in range(self.BOXES):
            acknowledged = stored.count(f"c{n}@{DOMAIN}")
            self.assertEqual(self.site.count(f"c{n}"), acknowledged, n)
        self.assertLessEqual(int(self.site.sql(f"select octets from postern.mailbox where address = 'c0@{DOMAIN}'")), 30000)
        self.assertLessEqual(self.site.count("c1"), 20)
        # Groups of more than one there were: messages of one transaction that are several contents.
        self.assertGreater(int(self.site.sql("select count(*) from (select from postern.content group by xmin having count(*) > 1) x")), 0)
        self.site.checked()


if __name__ == "__main__":
    unittest.main()
