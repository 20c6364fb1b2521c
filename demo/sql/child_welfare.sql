-- The child welfare case system and its federal file as they stand on a day; what lies ahead is not there yet.

-- query: client
SELECT client AS client_id, nullif(given, '') AS first_name, nullif(middle, '') AS middle_name, surname AS last_name,
    nullif(suffix, '') AS suffix, nullif(birth, '') AS birth_date, (hash(client) % 40 = 0)::INTEGER AS birth_estimated,
    CASE WHEN hash(client, 1) % 200 = 0 THEN NULL ELSE sex END AS sex,
    (race LIKE '%AIAN%')::INTEGER AS race_aian, (race LIKE '%ASIAN%')::INTEGER AS race_asian,
        (race LIKE '%BLACK%')::INTEGER AS race_black,
    (race LIKE '%NHPI%')::INTEGER AS race_nhpi, (race LIKE '%WHITE%')::INTEGER AS race_white,
        (race LIKE '%HISP%')::INTEGER AS hispanic,
    nullif(ssn, '') AS ssn, nullif(state_id, '') AS student_id, 'F' || (client::BIGINT * 3 + 17)::VARCHAR AS federal_id,
    nullif(phone, '') AS phone, language,
    (fate = 'adopted')::INTEGER AS adopted, placeholder,
    CASE WHEN fate = 'before_adoption' THEN 'STATE' ELSE 'NONE' END AS restricted,
    opened_on::DATE::VARCHAR AS opened_on
FROM clients WHERE opened_on <= {day}

-- query: client_name
SELECT client AS client_id, 1 AS seq, 'MAIDEN' AS kind, NULL AS first_name, former_surname AS last_name
FROM clients JOIN people USING (who) WHERE opened_on <= {day} AND fate <> 'before_adoption' AND former_surname <> ''
    AND surname <> former_surname
UNION ALL
SELECT client, 2, 'AKA', nickname, surname
FROM clients JOIN people USING (who) WHERE opened_on <= {day} AND fate = '' AND nickname <> '' AND hash(client) % 3 = 0

-- query: residence
SELECT client AS client_id, 1 AS seq, 'HOME' AS kind, line1 AS street, nullif(unit, '') AS unit, city, zip,
    opened_on::DATE::VARCHAR AS from_on,
    CASE WHEN moved_on > opened_on AND moved_on <= {day} THEN moved_on::DATE::VARCHAR END AS to_on,
        (hash(client) % 50 = 0)::INTEGER AS confidential
FROM clients JOIN people USING (who) WHERE opened_on <= {day} AND line1 <> ''
UNION ALL
SELECT client, 2, 'HOME', now_line1, nullif(now_unit, ''), now_city, now_zip, moved_on::DATE::VARCHAR, NULL,
    (hash(client) % 50 = 0)::INTEGER
FROM clients JOIN people USING (who)
WHERE opened_on <= {day} AND moved_on > opened_on AND moved_on <= {day} AND fate <> 'before_adoption'

-- query: relation
SELECT child.client AS client_id, adult.client AS related_id,
    CASE WHEN people.sex = 'F' THEN 'MOTHER' ELSE 'FATHER' END AS kind, 1 AS same_home
FROM clients child JOIN people family ON family.who = child.who JOIN people ON people.household = family.household
JOIN clients adult ON adult.who = people.who
WHERE people.adult AND NOT family.adult AND child.fate IN ('', 'adopted') AND adult.fate = ''
    AND greatest(child.opened_on, adult.opened_on) <= {day}

-- query: intake
SELECT report::VARCHAR AS intake_no, received_on::DATE::VARCHAR AS received_on, CASE
    WHEN hash(report) % 4 = 0 THEN 'NOW' ELSE '10D' END AS urgency,
    CASE WHEN screened_in THEN 'IN' ELSE 'OUT' END AS screening, CASE WHEN NOT screened_in THEN 'NOTREP'
        END AS screening_reason, source,
    -- The reporter's name stands in the table and is never read (never_read in intake.yaml).
    'REPORTER ' || report AS reporter_name, CASE WHEN source = 'POL' THEN 1 ELSE 0 END AS police_told,
    CASE WHEN received_on + INTERVAL 75 DAY <= {day} THEN (received_on + INTERVAL 75 DAY)::DATE::VARCHAR
        END AS closed_on
FROM (SELECT * REPLACE (report + 700000 AS report) FROM reports) WHERE received_on <= {day}

-- query: allegation
SELECT (report + 700000)::VARCHAR AS intake_no, victim.client AS victim_id, perpetrator.client AS perpetrator_id, kind,
    CASE WHEN finding = '' THEN NULL WHEN finding_on <= {day} THEN finding ELSE 'PEND' END AS finding,
    CASE WHEN finding <> '' AND finding_on <= {day} THEN finding_on::DATE::VARCHAR END AS finding_on
FROM victims JOIN reports USING (report) JOIN main victim ON victim.who = victims.who
    JOIN main perpetrator ON perpetrator.who = reports.who
WHERE victims.received_on <= {day}

-- query: service_case
SELECT 'S' || client AS case_no, client AS client_id, min(finding_on)::DATE::VARCHAR AS opened_on,
    CASE WHEN min(finding_on) + INTERVAL 300 DAY <= {day} THEN (min(finding_on) + INTERVAL 300 DAY)::DATE::VARCHAR
        END AS closed_on,
    CASE WHEN min(finding_on) + INTERVAL 300 DAY <= {day} THEN 'MET' END AS close_reason,
    CASE WHEN bool_or(removed_on <= {day}) THEN 'OUT' ELSE 'HOME' END AS component,
    CASE WHEN bool_or(removed_on <= {day}) THEN 'REUNIFY' ELSE 'STABLE' END AS goal
FROM victims JOIN main USING (who) LEFT JOIN removals USING (who)
WHERE finding = 'SUB' AND finding_on <= {day} GROUP BY client

-- query: removal
SELECT 'R' || removal AS removal_no, client AS client_id, CASE WHEN by_court THEN 'COURT' ELSE 'AGREED' END AS manner,
    reason,
    removed_on::DATE::VARCHAR AS removed_on, CASE WHEN ended_on <= {day} THEN ended_on::DATE::VARCHAR END AS ended_on,
    CASE WHEN ended_on <= {day} THEN "end" END AS end_reason
FROM removals JOIN main USING (who) WHERE removed_on <= {day}

-- query: placement
SELECT 'R' || removal AS removal_no, seq, client AS client_id, setting, started_on::DATE::VARCHAR AS started_on,
    CASE WHEN ended_on <= {day} THEN ended_on::DATE::VARCHAR END AS ended_on
FROM placements JOIN main USING (who) WHERE started_on <= {day}

-- query: safety_plan
SELECT 'P' || client AS plan_no, version, client AS client_id,
    CASE WHEN version = 1 AND started_on + INTERVAL 90 DAY <= {day} THEN 'OLD' ELSE 'NOW' END AS state,
    (started_on + to_days(90 * (version - 1)))::DATE::VARCHAR AS from_on,
    CASE WHEN version = 1 AND started_on + INTERVAL 90 DAY <= {day} THEN (started_on + INTERVAL 90 DAY)::DATE::VARCHAR
        END AS to_on, 'SCH' AS shared_with
FROM (SELECT client, min(finding_on) AS started_on FROM victims JOIN main USING (who) WHERE finding = 'SUB'
    GROUP BY client)
CROSS JOIN (VALUES (1), (2)) v(version) WHERE started_on + to_days(90 * (version - 1)) <= {day}

-- query: consent
SELECT 'C' || child AS consent_no, child AS client_id, adult AS grantor_id,
    CASE hash(child) % 10 WHEN 0 THEN 'NO' WHEN 1 THEN 'BACK' WHEN 2 THEN 'OVER' ELSE 'YES' END AS decision,
        'CASEPLAN' AS purpose,
    'attendance,placement' AS scope, CASE WHEN hash(child) % 10 = 1 THEN 'POL' ELSE 'SCH' END AS recipient,
        since::DATE::VARCHAR AS from_on,
    (since + INTERVAL 365 DAY)::DATE::VARCHAR AS to_on, CASE
        WHEN hash(child) % 10 = 1 THEN (since + INTERVAL 30 DAY)::DATE::VARCHAR END AS taken_back_on,
    CASE WHEN hash(child) % 10 = 2 THEN 'imminent danger' END AS override_reason, CASE
        WHEN hash(child) % 10 = 2 THEN 'policy 7' END AS override_basis,
    CASE WHEN hash(child) % 20 = 2 THEN 'W005' END AS approved_by
FROM (SELECT victim.client AS child, min(perpetrator.client) AS adult, min(finding_on) AS since
    FROM victims JOIN reports USING (report) JOIN main victim ON victim.who = victims.who
        JOIN main perpetrator ON perpetrator.who = reports.who
    WHERE finding = 'SUB' GROUP BY victim.client) WHERE since + INTERVAL 5 DAY <= {day}

-- query: worker
SELECT printf('W%03d', n) AS worker_id, CASE WHEN n % 6 = 0 THEN 'Supervisor' ELSE 'Caseworker' END AS title,
    CASE WHEN n % 3 = 0 THEN 'Intake' ELSE 'Ongoing' END AS unit
FROM range(1, 25) t(n)

-- query: federal_child
SELECT 'IA' AS STATE, year::VARCHAR AS YEAR, printf('%09d', report + 700000) AS REPORT,
    'F' || (client::BIGINT * 3 + 17)::VARCHAR AS CHILD,
    strftime(victims.received_on, '%m%d%Y') AS RECEIVED,
    CASE reports.source WHEN 'POL' THEN '04' WHEN 'SCH' THEN '05' WHEN 'MED' THEN '02' WHEN 'REL' THEN '09'
        WHEN 'NBR' THEN '11' ELSE '12' END AS SOURCE,
    CASE main.sex WHEN 'M' THEN '1' WHEN 'F' THEN '2' END AS SEX,
    CASE WHEN birth <> '' THEN strftime(birth::DATE, '%m%d%Y') END AS BIRTH,
    CASE kind WHEN 'PHY' THEN '1' WHEN 'NEG' THEN '2' WHEN 'MED' THEN '3' WHEN 'SEX' THEN '4' WHEN 'EMO' THEN '5'
        END AS TYPE,
    CASE finding WHEN 'SUB' THEN '1' WHEN 'ALT' THEN '4' ELSE '5' END AS LEVEL,
    strftime(finding_on, '%m%d%Y') AS DECIDED
FROM victims JOIN reports USING (report) JOIN main ON main.who = victims.who,
    (SELECT year({day}) + (month({day}) >= 10)::INTEGER AS year)
WHERE finding <> '' AND finding_on >= make_date(year - 1, 10, 1) AND finding_on < {day}
ORDER BY report, CHILD
