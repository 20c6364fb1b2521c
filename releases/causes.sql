-- What lies between two releases (of the index of each, releases/index.py): whose mentions moved, which feeds went on.
-- Given: old_extract, new_extract (extract_id, agency, feed, as_of), remapped (agency), old_mention, new_mention (mention, person),
-- old_withheld, new_withheld (row, reason), old_reason, new_reason (table, kind, column, reason).

CREATE OR REPLACE TEMP MACRO cause_of(reason) AS CASE
    WHEN reason IN ('R06', 'R07', 'R08') THEN 'consent' WHEN reason = 'R11' THEN 'sealed' WHEN reason = 'R15' THEN 're-linked'
    ELSE 'terms' END;

CREATE OR REPLACE TEMP MACRO cause_withheld(reason) AS CASE WHEN reason = 'consent' THEN 'consent' ELSE 'sealed' END;

-- Of several reasons for which a row stays, the one that says most of it counts.
CREATE OR REPLACE TEMP TABLE why AS
SELECT side, "table", kind,
    arg_min(reason, CASE cause_of(reason) WHEN 'sealed' THEN 1 WHEN 'consent' THEN 2 WHEN 're-linked' THEN 3 ELSE 4 END) AS reason
FROM (SELECT 'old' AS side, * FROM old_reason UNION ALL SELECT 'new', * FROM new_reason) GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE moved AS
SELECT o.person AS before, n.person AS after FROM old_mention o JOIN new_mention n USING (mention)
WHERE o.person <> n.person;

CREATE OR REPLACE TEMP TABLE moved_person AS SELECT before AS person FROM moved UNION SELECT after FROM moved;

CREATE OR REPLACE TEMP TABLE withheld_person AS
SELECT m.person, min(w.reason) AS reason FROM old_mention m JOIN new_withheld w ON w."row" = m.mention GROUP BY m.person;

CREATE OR REPLACE TEMP TABLE shown_person AS
SELECT m.person, min(w.reason) AS reason FROM new_mention m JOIN old_withheld w ON w."row" = m.mention GROUP BY m.person;

CREATE OR REPLACE TEMP TABLE feed_before AS
SELECT agency, feed, max(as_of) AS newest FROM old_extract GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE went_on AS
SELECT DISTINCT n.agency, n.feed FROM new_extract n ANTI JOIN old_extract o USING (extract_id);

-- How a row that an extract brought came to be in the new release and not in the old one.
CREATE OR REPLACE TEMP TABLE came AS
SELECT n.extract_id, CASE
    WHEN o.extract_id IS NOT NULL AND n.agency IN (FROM remapped) THEN 're-mapped'
    WHEN o.extract_id IS NOT NULL OR n.as_of <= b.newest THEN 'late'
    ELSE 'new' END AS cause
FROM new_extract n LEFT JOIN old_extract o USING (extract_id) LEFT JOIN feed_before b ON b.agency = n.agency AND b.feed = n.feed;

-- How a row that an extract had brought came to be gone.
CREATE OR REPLACE TEMP TABLE went AS
SELECT o.extract_id, CASE
    WHEN o.agency IN (FROM remapped) AND (o.agency, o.feed) NOT IN (SELECT (agency, feed) FROM went_on) THEN 're-mapped'
    ELSE 'deleted' END AS cause
FROM old_extract o;
