-- What changed between two sets of links of the same people, and why. Views person_before, person_after, edge_before and
-- edge_after are their files; shifted(a, b) names the comparison that speaks most more in edge a than in edge b.

CREATE TEMP TABLE placed AS
SELECT record_id, b.person_id AS was, a.person_id AS is_now FROM person_before b JOIN person_after a USING (record_id);

CREATE TEMP TABLE counted AS
SELECT (SELECT count(DISTINCT was) FROM placed) AS persons_before, (SELECT count(DISTINCT is_now) FROM placed) AS persons_after,
    (SELECT count(*) FROM (SELECT is_now FROM placed GROUP BY is_now HAVING count(DISTINCT was) > 1)) AS merges,
    (SELECT count(*) FROM (SELECT was FROM placed GROUP BY was HAVING count(DISTINCT is_now) > 1)) AS splits,
    (SELECT count(*) FROM placed WHERE was <> is_now) AS moved;

-- Pairs that are linked in one and whose persons differ in the other.
CREATE TEMP TABLE turned AS
SELECT 'merge' AS kind, a.record_l, a.record_r, l.is_now AS person_id,
    CASE WHEN b.record_l IS NULL THEN 'was too light, or not compared'
        WHEN b.veto IS NOT NULL THEN 'kept apart no longer: ' || b.veto
        WHEN b.doubt IS NOT NULL THEN 'doubted no longer: ' || b.doubt
        WHEN b.held IS NOT NULL THEN 'held no longer: ' || b.held
        WHEN b.decision = 'link' THEN 'linked before, to others'
        ELSE 'weighs more by ' || shifted(a, b) END AS reason
FROM edge_after a JOIN placed l ON l.record_id = a.record_l JOIN placed r ON r.record_id = a.record_r
LEFT JOIN edge_before b ON b.record_l = a.record_l AND b.record_r = a.record_r
WHERE a.decision = 'link' AND l.is_now = r.is_now AND l.was <> r.was
UNION ALL
SELECT 'split', b.record_l, b.record_r, l.was,
    CASE WHEN a.record_l IS NULL THEN 'is too light now, or not compared'
        WHEN a.veto IS NOT NULL THEN 'kept apart: ' || a.veto
        WHEN a.doubt IS NOT NULL THEN 'doubted: ' || a.doubt
        WHEN a.held IS NOT NULL THEN 'held: ' || a.held
        ELSE 'weighs less by ' || shifted(b, a) END
FROM edge_before b JOIN placed l ON l.record_id = b.record_l JOIN placed r ON r.record_id = b.record_r
LEFT JOIN edge_after a ON a.record_l = b.record_l AND a.record_r = b.record_r
WHERE b.decision = 'link' AND l.was = r.was AND l.is_now <> r.is_now;

CREATE TEMP TABLE reason AS
SELECT kind, reason, count(*) AS pairs, count(DISTINCT person_id) AS persons,
    arg_min(record_l, (record_l, record_r)) AS record_l, arg_min(record_r, (record_l, record_r)) AS record_r
FROM turned GROUP BY kind, reason;
