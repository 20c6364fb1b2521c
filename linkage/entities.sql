-- One row per person_ref from the views entity_*; `age` is the day and the row's id, so that equal days do not depend
-- on order.

CREATE OR REPLACE TEMP MACRO different(x) AS list_sort(list_distinct(x));
CREATE OR REPLACE TEMP MACRO newest(value, age) AS arg_max(value, age) FILTER (value IS NOT NULL);

CREATE OR REPLACE TEMP TABLE reference AS
SELECT person_ref, min(agency_id) AS source FROM (
    SELECT person_ref, agency_id FROM entity_person
    UNION ALL SELECT person_ref, agency_id FROM entity_person_name
    UNION ALL SELECT person_ref, agency_id FROM entity_person_identifier
    UNION ALL SELECT person_ref, agency_id FROM entity_person_demographic
) WHERE person_ref IS NOT NULL GROUP BY person_ref;

CREATE OR REPLACE TEMP TABLE stated_person AS
SELECT person_ref, newest(same_as, age) AS same_as, bool_or(adopted) AS adopted,
    newest(placeholder, age) AS placeholder
FROM entity_person GROUP BY person_ref;

-- The name an agency uses first: its legal one, then one without a use, then the others.
CREATE OR REPLACE TEMP TABLE ranked_name AS
SELECT person_ref, given, middle, surname, suffix, row_number() OVER (PARTITION BY person_ref ORDER BY
    CASE coalesce(use, '') WHEN 'legal' THEN 0 WHEN '' THEN 1 WHEN 'preferred' THEN 3 WHEN 'alias' THEN 3 ELSE 2 END,
    age DESC) AS n
FROM entity_person_name WHERE given IS NOT NULL OR surname IS NOT NULL;

CREATE OR REPLACE TEMP TABLE named AS
WITH main AS (SELECT * FROM ranked_name WHERE n = 1),
other AS (
    SELECT o.person_ref, list(DISTINCT {given: o.given, middle: o.middle, surname: o.surname}
        ORDER BY {given: o.given, middle: o.middle, surname: o.surname}) AS other_names
    FROM ranked_name o JOIN main m USING (person_ref)
    WHERE o.n > 1 AND (o.given, o.surname) IS DISTINCT FROM (m.given, m.surname)
    GROUP BY o.person_ref
)
SELECT m.person_ref, m.given, m.middle, m.surname, m.suffix, o.other_names FROM main m LEFT JOIN other o USING (person_ref);

-- Numbers given by the state mean the same at every agency; all others are an agency's own.
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT person_ref, newest(CASE WHEN type = 'ssn' THEN value END, age) AS ssn,
    newest(CASE WHEN type = 'state_student_id' THEN value END, age) AS student_id,
    different(list(CASE WHEN type = 'ncands_child_id' THEN type ELSE agency_id || '/' || type END || ':' || value)
        FILTER (type NOT IN ('ssn', 'state_student_id', 'other'))) AS identifiers
FROM entity_person_identifier WHERE value IS NOT NULL GROUP BY person_ref;

-- An age alone says about the year. It counts from the day of the event the same source row tells of; where it tells of
-- none, from the day of the extract.
CREATE OR REPLACE TEMP TABLE aged AS
SELECT d.person_ref, newest((coalesce(i.day, try_cast(left(d.as_of, 10) AS DATE)) - to_months(12 * d.age_at_event + 6))::DATE, d.age) AS about
FROM entity_person_demographic d LEFT JOIN (
    SELECT person_ref, agency_id, feed, source_key, min(opened_on) AS day FROM entity_involvement
    WHERE person_ref IN (SELECT person_ref FROM entity_person_demographic WHERE birth_date IS NULL AND age_at_event IS NOT NULL)
    GROUP BY ALL
) i USING (person_ref, agency_id, feed, source_key)
WHERE d.birth_date IS NULL AND d.age_at_event IS NOT NULL GROUP BY d.person_ref;

CREATE OR REPLACE TEMP TABLE described AS
SELECT person_ref, newest(birth_date, age) AS birth_date,
    newest(CASE WHEN birth_date IS NOT NULL THEN coalesce(birth_date_precision, 'day') END, age) AS precision,
    newest(sex, age) AS sex, newest(race, age) AS race
FROM entity_person_demographic GROUP BY person_ref;

CREATE OR REPLACE TEMP TABLE housed AS
WITH one AS (
    SELECT person_ref, line1, line2, city, zip, max(age) AS age
    FROM entity_address WHERE line1 IS NOT NULL OR zip IS NOT NULL GROUP BY ALL
), listed AS (
    SELECT person_ref, list({age: age, a: {line1: line1, line2: line2, city: city, zip: zip}}) AS aged FROM one GROUP BY person_ref
)
SELECT person_ref, list_transform(list_reverse_sort(aged), lambda x: x.a) AS addresses FROM listed;

CREATE OR REPLACE TEMP TABLE called_at AS
SELECT person_ref, different(list(phone)) AS phones FROM entity_address WHERE phone IS NOT NULL GROUP BY person_ref;

-- Both sides of a relationship know the other's name; an elder was born at least twelve years before the child, and a
-- mother or father has a sex though the agency does not write it down.
CREATE OR REPLACE TEMP TABLE kin AS
WITH side AS (
    SELECT r.person_ref, r.related_ref AS other, NULL::DATE AS born_before, NULL AS sex FROM entity_relationship r
    UNION ALL
    SELECT r.related_ref, r.person_ref, CASE WHEN d.precision = 'day' AND r.type IN ('parent', 'mother', 'father',
        'parent_step', 'grandparent', 'foster_parent', 'guardian') THEN d.birth_date - INTERVAL 12 YEAR END,
        CASE r.type WHEN 'mother' THEN 'F' WHEN 'father' THEN 'M' END
    FROM entity_relationship r LEFT JOIN described d ON d.person_ref = r.person_ref
)
SELECT s.person_ref, different(list(s.other)) AS related, min(s.born_before)::DATE AS born_before,
    CASE WHEN count(DISTINCT s.sex) = 1 THEN min(s.sex) END AS sex,
    different(list(concat_ws(' ', n.given, n.surname)) FILTER (n.person_ref IS NOT NULL)) AS relatives
FROM side s LEFT JOIN named n ON n.person_ref = s.other
WHERE s.person_ref IS NOT NULL AND s.other IS NOT NULL GROUP BY s.person_ref;

CREATE OR REPLACE TEMP VIEW people_of_entities AS
SELECT f.person_ref AS record_id, f.source, n.given, n.middle, n.surname, n.suffix, n.other_names,
    coalesce(d.birth_date, e.about) AS birth_date,
    CASE WHEN d.birth_date IS NOT NULL THEN d.precision WHEN e.about IS NOT NULL THEN 'estimated' END AS birth_precision,
    coalesce(d.sex, k.sex) AS sex, d.race, i.ssn, i.student_id, i.identifiers, a.addresses, c.phones, k.relatives, p.same_as, k.related,
    k.born_before, p.adopted, p.placeholder
FROM reference f
LEFT JOIN stated_person p USING (person_ref)
LEFT JOIN named n USING (person_ref)
LEFT JOIN numbered i USING (person_ref)
LEFT JOIN described d USING (person_ref)
LEFT JOIN aged e USING (person_ref)
LEFT JOIN housed a USING (person_ref)
LEFT JOIN called_at c USING (person_ref)
LEFT JOIN kin k USING (person_ref);
