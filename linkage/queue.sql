-- The open decisions. Views edges, persons, people are the files of a folder of links; `judged` holds what was said so far
-- (record_l, record_r, verdict, reason), `expected` the share of one person by kind before anybody judged (kind, share, counts).

CREATE TEMP TABLE placed AS
SELECT p.record_id, p.person_id, m.source FROM persons p JOIN people m USING (record_id);

CREATE TEMP TABLE person AS
SELECT person_id, count(*) AS records, list(DISTINCT source) AS sources FROM placed GROUP BY person_id;

CREATE TEMP TABLE pair AS
SELECT e.record_l, e.record_r, e.weight, e.probability, e.decision, l.person_id AS person_l, r.person_id AS person_r,
    coalesce(e.veto, e.held, e.doubt, 'the weight alone does not decide') AS reason,
    CASE WHEN e.veto IS NOT NULL THEN 'veto' WHEN e.held IS NOT NULL THEN 'held' WHEN e.doubt IS NOT NULL THEN 'doubt'
        ELSE 'weight' END AS kind
FROM edges e JOIN placed l ON l.record_id = e.record_l JOIN placed r ON r.record_id = e.record_r
WHERE l.person_id <> r.person_id AND e.judged IS NULL;

-- How often pairs held for a reason were judged to be one person.
CREATE TEMP TABLE experience AS
SELECT reason, count(*) AS n, count(*) FILTER (verdict = 'same') AS same
FROM judged WHERE verdict IN ('same', 'different') GROUP BY reason;

CREATE TEMP TABLE settled AS
SELECT least(l.person_id, r.person_id) AS a, greatest(l.person_id, r.person_id) AS b, bool_and(j.verdict = 'unsure') AS unsure
FROM judged j JOIN placed l ON l.record_id = j.record_l JOIN placed r ON r.record_id = j.record_r GROUP BY ALL;

-- Two persons are one decision, valued by their likeliest pair of mentions. The fewer of all the pairs between them speak
-- for it, the smaller is the chance that they are one. A link that is held back by another pair is asked about by that
-- pair, for on it everything depends.
CREATE TEMP TABLE open_pair AS
WITH likely AS (
    SELECT p.*, least(person_l, person_r) AS a, greatest(person_l, person_r) AS b,
        least(p.probability, (coalesce(x.same, 0) + e.counts * e.share) / (coalesce(x.n, 0) + e.counts)) AS alone
    FROM pair p JOIN expected e USING (kind) LEFT JOIN experience x USING (reason)
), best AS (
    SELECT *, count(*) FILTER (kind <> 'veto' AND decision <> 'no') OVER between_them AS speaking_for FROM likely
    WINDOW between_them AS (PARTITION BY a, b)
    QUALIFY row_number() OVER (
        PARTITION BY a, b ORDER BY decision = 'review' DESC, alone DESC, weight DESC, record_l, record_r) = 1
), hindrance AS (
    SELECT * FROM likely WHERE kind = 'veto'
    QUALIFY row_number() OVER (PARTITION BY a, b ORDER BY weight DESC, record_l, record_r) = 1
), sized AS (
    SELECT b.*, l.records + r.records AS records, l.records * r.records AS pairs,
        alone * (1 + speaking_for) / (1 + l.records * r.records) AS chance,
        len(list_distinct(list_concat(l.sources, r.sources))) AS agencies
    FROM best b JOIN person l ON l.person_id = b.a JOIN person r ON r.person_id = b.b WHERE b.decision = 'review'
), asked AS (
    SELECT z.* REPLACE (coalesce(h.record_l, z.record_l) AS record_l, coalesce(h.record_r, z.record_r) AS record_r,
        coalesce(h.person_l, z.person_l) AS person_l, coalesce(h.person_r, z.person_r) AS person_r,
        coalesce(h.weight, z.weight) AS weight), h.reason AS rule
    FROM sized z LEFT JOIN hindrance h ON h.a = z.a AND h.b = z.b AND z.kind = 'held'
)
SELECT z.record_l, z.record_r, z.person_l, z.person_r, z.weight, z.reason, z.rule, z.kind, z.records, z.pairs, z.agencies,
    z.chance, z.pairs * z.chance AS settles, coalesce(s.unsure, false) AS unsure
FROM asked z LEFT JOIN settled s USING (a, b) WHERE coalesce(s.unsure, true);
