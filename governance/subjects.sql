-- Makes the table `subject`: one row a person of the record with all that a decision asks about the person.
-- Given: the record's tables; the tables recorded_consent, override_in_force, seal (ref), consent_word (word, class) and
-- consent_class (class, minor_consents); the parameters in `terms_asked` (one row: day, purpose, recipient, consent_as, agencies).
-- A consent is coded 0 given, 1 overridden, 2 missing, 3 expired, 4 refused: of several the greatest permits least.

-- Born on 29 February, a person is surely adult on 1 March; the word of a parent ends on 28 February.
CREATE OR REPLACE TEMP MACRO surely_adult(born, today) AS
    (year(today) - year(born)) * 10000 + (month(today) - month(born)) * 100 + day(today) - day(born) >= 180000;

CREATE OR REPLACE TEMP TABLE person_age AS
SELECT person_id, min(birth_date) AS earliest, max(birth_date) AS latest FROM person_demographic
WHERE person_id IS NOT NULL GROUP BY person_id;

-- Whose word counts for a person: parents and guardians, as any agency says.
CREATE OR REPLACE TEMP TABLE may_consent AS
SELECT DISTINCT person_id, related_id AS grantor_id FROM relationship
WHERE (legal_guardian OR type IN ('parent', 'mother', 'father', 'guardian'))
    AND person_id IS NOT NULL AND related_id IS NOT NULL;

-- Consents from the agencies' feeds, one row a consent and class it may be about.
CREATE OR REPLACE TEMP TABLE sent_consent AS
WITH told AS (
    SELECT c.person_id, c.grantor_id, c.decision, c.recipient, coalesce(c.override_complete, false) AS whole,
        coalesce(c.purpose, '') AS purpose, c.effective_on, c.expires_on, c.withdrawn_on,
        list_filter(regexp_split_to_array(upper(coalesce(c.scope, '')), '[^A-Z0-9]+'), lambda w: w <> '') AS words,
        t.day, t.purpose AS asked, t.consent_as
    FROM consent c, terms_asked t
    WHERE c.person_id IS NOT NULL AND coalesce(c.effective_on <= t.day, true)),
classed AS (
    SELECT told.*, k.class, k.minor_consents,
        list_has_any(words, (SELECT list(word) FROM consent_word w WHERE w.class = k.class)) AS named,
        len(words) = 0 OR NOT list_has_all((SELECT list(DISTINCT word) FROM consent_word), words) AS unclear
    FROM told, consent_class k),
judged AS (
    SELECT *, coalesce(decision IN ('granted', 'overridden'), false) AND coalesce(withdrawn_on > day, true) AS permits,
        coalesce(recipient = 'all' OR list_contains(consent_as, recipient), false) AS to_recipient,
        coalesce(expires_on < day, false) AS over, grantor_id IS NOT DISTINCT FROM person_id AS own
    FROM classed)
SELECT j.person_id, j.class,
    CASE WHEN NOT permits THEN 4 WHEN decision = 'overridden' THEN 1 ELSE 0 END AS state,
    CASE WHEN permits THEN coalesce(effective_on, DATE '0001-01-01')
         WHEN withdrawn_on <= day THEN withdrawn_on ELSE coalesce(effective_on, day) END AS since,
    CASE WHEN over THEN true
         WHEN permits AND decision = 'granted' AND NOT own THEN a.earliest + INTERVAL 18 YEAR <= day
         ELSE false END AS lapsed
FROM judged j LEFT JOIN person_age a ON a.person_id = j.person_id
    LEFT JOIN may_consent m ON m.person_id = j.person_id AND m.grantor_id = j.grantor_id
WHERE CASE
    -- What permits is taken narrowly: all it needs must be told, and the grantor may decide.
    WHEN permits THEN named AND to_recipient AND purpose = asked AND CASE
        WHEN decision = 'overridden' THEN whole
        WHEN own THEN minor_consents OR coalesce(surely_adult(a.latest, day), false)
        ELSE NOT minor_consents AND m.grantor_id IS NOT NULL AND a.earliest IS NOT NULL END
    -- A withdrawal that is still ahead says nothing yet; what refuses is taken widely.
    ELSE NOT (coalesce(decision = 'withdrawn', false) AND coalesce(withdrawn_on > day, false)) AND NOT over
        AND (named OR unclear) AND (to_recipient OR recipient IS NULL) AND (purpose IN (asked, '')) END;

-- Consents that the exchange wrote down.
CREATE OR REPLACE TEMP TABLE own_consent AS
WITH told AS (
    SELECT s.person_id, r.*, t.day, t.purpose AS asked, t.recipient AS asking
    FROM recorded_consent r JOIN person_source s ON s.person_ref = r.subject, terms_asked t
    WHERE CAST(r.since AS DATE) <= t.day
        AND list_contains(string_split(r.recipients, ' '), t.recipient)
        AND list_contains(string_split(r.purposes, ' '), t.purpose)),
classed AS (
    SELECT told.*, k.class, k.minor_consents FROM told
    JOIN consent_class k ON list_contains(string_split(told.classes, ' '), k.class))
SELECT c.person_id, c.class, CASE WHEN decision = 'granted' THEN 0 ELSE 4 END AS state, CAST(since AS DATE) AS since,
    CASE WHEN CAST("until" AS DATE) < day THEN true
         WHEN decision = 'granted' AND grantor IN ('parent', 'guardian') THEN a.earliest + INTERVAL 18 YEAR <= day
         ELSE false END AS lapsed
FROM classed c LEFT JOIN person_age a USING (person_id)
WHERE CASE
    WHEN decision = 'granted' THEN trim(authority) <> '' AND CASE grantor
        WHEN 'subject' THEN minor_consents OR coalesce(surely_adult(a.latest, day), false)
        WHEN 'court' THEN true
        ELSE NOT minor_consents AND a.earliest IS NOT NULL END
    WHEN decision = 'withdrawn' THEN true
    ELSE CAST("until" AS DATE) >= day END;

-- The newest word counts; of the same day the one that permits least. An override in force outranks a refusal.
CREATE OR REPLACE TEMP TABLE consent_state AS
WITH said AS (SELECT * FROM sent_consent UNION ALL SELECT * FROM own_consent),
settled AS (
    SELECT person_id, class,
        coalesce(arg_max(state, (since, state)) FILTER (NOT lapsed OR state = 4), 3) AS state
    FROM said GROUP BY ALL),
overridden AS (
    SELECT DISTINCT s.person_id, k.class FROM override_in_force o JOIN person_source s ON s.person_ref = o.subject,
        terms_asked t, consent_class k
    WHERE list_contains(string_split(o.recipients, ' '), t.recipient)
        AND list_contains(string_split(o.purposes, ' '), t.purpose)
        AND list_contains(string_split(o.classes, ' '), k.class) AND CAST(o."until" AS DATE) >= t.day)
SELECT person_id, class, CASE WHEN o.class IS NOT NULL AND coalesce(s.state, 2) > 1 THEN 1 ELSE s.state END AS state
FROM settled s FULL JOIN overridden o USING (person_id, class);

-- Who has an open case with the recipient, and the last day of which that is known.
CREATE OR REPLACE TEMP TABLE with_open_case AS
SELECT person_id, max("until") AS "until" FROM (
SELECT i.person_id, coalesce(i.closed_on - 1, DATE '9999-12-31') AS "until" FROM involvement i, terms_asked t
WHERE list_contains(t.agencies, i.agency_id) AND i.status IN ('open', 'screened_in', 'suspended')
    AND coalesce(i.opened_on <= t.day, true) AND coalesce(i.closed_on > t.day, true)
UNION ALL
SELECT p.person_id, least(coalesce(p.to_date, DATE '9999-12-31'),
    CASE WHEN c.status = 'reopened' OR c.closed_on IS NULL THEN DATE '9999-12-31' ELSE c.closed_on - 1 END)
FROM case_participant p JOIN "case" c ON c.case_ref = p.case_ref, terms_asked t
WHERE list_contains(t.agencies, c.agency_id) AND coalesce(c.filed_on <= t.day, true)
    AND (c.status = 'reopened' OR (c.status = 'open' AND coalesce(c.closed_on > t.day, true)))
    AND coalesce(p.from_date <= t.day, true) AND coalesce(p.to_date >= t.day, true)) GROUP BY person_id;
