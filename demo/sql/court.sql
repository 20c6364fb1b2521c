-- The tables of the court as they stand on a day; what lies ahead is not there yet.

-- query: party
SELECT party_no, upper(strip_accents(surname)) AS last_name, upper(strip_accents(given)) AS first_name,
    nullif(upper(strip_accents(middle)), '') AS middle_name, nullif(upper(suffix), '') AS suffix, nullif(birth,
        '') AS birth_date, sex,
    CASE WHEN race LIKE '%HISP%' THEN 'HISP' WHEN race LIKE '% %' THEN 'MULTI' ELSE race END AS race, nullif(ssn,
        '') AS ssn,
    upper(strip_accents(line1)) AS street, nullif(upper(unit), '') AS unit, upper(city) AS city, nullif(zip,
        '') AS zip, nullif(phone, '') AS phone,
    same_person_as, language, 0 AS deleted
FROM parties WHERE since <= {day}

-- query: court_case
SELECT case_no, CASE kind WHEN 'CR' THEN 'DISTRICT' ELSE 'JUVENILE' END AS court, kind AS case_kind,
    filed_on::DATE::VARCHAR AS filed_on,
    CASE WHEN closed_on <= {day} THEN 'CLOSED' WHEN decided_on <= {day} THEN 'DECIDED' ELSE 'OPEN' END AS status,
    CASE WHEN closed_on <= {day} THEN closed_on WHEN decided_on <= {day} THEN decided_on
        ELSE filed_on END::DATE::VARCHAR AS status_on,
    CASE WHEN closed_on <= {day} THEN closed_on::DATE::VARCHAR END AS closed_on,
    referred_by, nullif(referral_no, '') AS referral_no, 'J' || (10 + n % 5) AS judge,
    -- An order seals the case for good; the row says so from then on.
    (sealed_on <= {day})::INTEGER AS sealed, CASE WHEN sealed_on <= {day} THEN sealed_on::DATE::VARCHAR
        END AS sealed_on, 0 AS deleted
FROM cases WHERE filed_on <= {day}

-- query: case_party
SELECT case_no, party_no, role, filed_on::DATE::VARCHAR AS from_on, CASE
    WHEN closed_on <= {day} THEN closed_on::DATE::VARCHAR END AS to_on, 0 AS deleted
FROM parts JOIN cases USING (n) WHERE filed_on <= {day}

-- query: petition
SELECT 'PT' || n AS petition_no, case_no, CASE kind WHEN 'JD' THEN 'DELINQUENCY' WHEN 'ST' THEN 'ASSISTANCE'
    WHEN 'DP' THEN 'PROTECTION' END AS kind,
    CASE kind WHEN 'ST' THEN 'RUNAWAY' END AS ground, referred_by AS petitioner, filed_on::DATE::VARCHAR AS filed_on,
        'FIRST' AS stage, 0 AS deleted
FROM cases WHERE filed_on <= {day} AND kind <> 'CR'

-- query: charge
SELECT 'CH' || n AS charge_no, case_no, party_no, 1 AS seq, statute, nibrs, class,
    offence_on::DATE::VARCHAR AS offense_on,
    CASE WHEN filed_on + INTERVAL 15 DAY <= {day} THEN CASE WHEN n % 3 = 0 THEN 'ADMIT' ELSE 'DENY' END END AS plea,
    CASE WHEN decided_on <= {day} THEN CASE WHEN n % 4 = 0 THEN 'DISM' WHEN n % 7 = 0 THEN 'NRSP'
        WHEN kind = 'CR' THEN 'GUILTY' ELSE 'DELQ' END END AS finding,
    CASE WHEN decided_on <= {day} THEN decided_on::DATE::VARCHAR END AS finding_on, 0 AS deleted
FROM cases JOIN parts USING (n) WHERE filed_on <= {day} AND kind IN ('JD', 'CR') AND role IN ('YOUTH', 'DEFENDANT')

-- query: hearing
SELECT 'H' || n || '-' || step AS hearing_no, case_no, CASE step WHEN 1 THEN 'FIRST' WHEN 2 THEN 'PRETRIAL' ELSE 'ADJ'
    END AS kind,
    held::DATE::VARCHAR || ' 09:30:00' AS set_for, CASE WHEN held <= {day} THEN CASE WHEN step < 3 THEN 'CONT'
        ELSE 'HELD' END END AS outcome,
    'J' || (10 + n % 5) AS judge, CASE WHEN step < 3 AND held <= {day} THEN (held + INTERVAL 30 DAY)::DATE::VARCHAR
        END AS next_on, 0 AS deleted
FROM (SELECT *, filed_on + to_days(step * 20) AS held FROM cases CROSS JOIN (VALUES (1), (2), (3)) v(step))
WHERE filed_on + to_days((step - 1) * 20) <= {day}

-- query: disposition
SELECT 'D' || n AS disposition_no, case_no, CASE WHEN kind IN ('JD', 'CR') THEN 'CH' || n END AS charge_no,
    CASE kind WHEN 'JD' THEN CASE WHEN n % 5 = 0 THEN 'COMMIT' WHEN n % 5 = 1 THEN 'DIVERT' ELSE 'PROB' END
        WHEN 'CR' THEN CASE WHEN n % 5 = 0 THEN 'JAIL' ELSE 'FINE' END
        WHEN 'DP' THEN 'CUSTODY' ELSE 'WARN' END AS ordered,
    decided_on::DATE::VARCHAR AS ordered_on, CASE WHEN kind = 'JD' THEN 90 + 30 * (n % 4) END AS days,
    CASE WHEN kind = 'JD' AND n % 5 = 0 THEN 'SECURE' WHEN kind = 'DP' THEN 'DCW' END AS placement, 0 AS deleted
FROM cases WHERE decided_on <= {day} AND NOT (kind IN ('JD', 'CR') AND (n % 4 = 0 OR n % 7 = 0))
