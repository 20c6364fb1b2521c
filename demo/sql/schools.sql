-- The files of the school district as exported on a day; first is the day of the first export.

-- query: students
SELECT student_no, state_id AS state_no, surname AS last_name, given AS first_name, middle AS middle_name, suffix,
    goes_by,
    strftime(birth::DATE, '%d-%b-%Y') AS birth_date, CASE sex WHEN 'F' THEN 'Female' ELSE 'Male' END AS sex,
        replace(race, ' ', ';') AS race,
    language AS home_language, school, grade, strftime(entered::DATE, '%d-%b-%Y') AS entered, entry_reason,
    CASE WHEN "left" <= {day} THEN strftime("left"::DATE, '%d-%b-%Y') ELSE '' END AS "left",
    CASE WHEN "left" <= {day} THEN leave_reason ELSE '' END AS leave_reason,
    coalesce(now.line1, said.line1) AS street, coalesce(now.unit, said.unit) AS unit, coalesce(now.city,
        said.city) AS city, 'IA' AS state,
    coalesce(now.zip, said.zip) AS zip, regexp_replace(coalesce(now.phone, said.phone), '(\d{3})(\d{3})(\d{4})',
        '\1-\2-\3') AS phone,
    housing, special_ed, foster, '2025-2026' AS school_year
FROM spells said LEFT JOIN homes now ON now.household = said.household AND now.moved_on BETWEEN {first} AND {day}
    WHERE entered <= {day} ORDER BY student_no, said.entered

-- query: absences
SELECT student_no, school, strftime("on"::DATE, '%d-%b-%Y') AS day, CASE WHEN unseen AND {day} > {first} THEN 'REM'
    ELSE kind END AS kind,
    periods::VARCHAR AS periods
FROM absences WHERE "on" < {day} ORDER BY student_no, "on"

-- query: incidents
SELECT incident_no, student_no, school, strftime("on"::DATE, '%d-%b-%Y') AS day, what, detail, sanction, sanction_days,
    police_called
FROM incidents WHERE "on" < {day} ORDER BY incident_no

-- query: contacts
SELECT student_no, contact_no::VARCHAR AS contact_no, contact_id, surname || ', ' || given AS full_name, relation,
    'Y' AS legal_guardian, lives_with,
    coalesce(now.phone, said.phone) AS phone, coalesce(now.line1, said.line1) AS street, coalesce(now.unit,
        said.unit) AS unit, coalesce(now.city, said.city) AS city,
    'IA' AS state, coalesce(now.zip, said.zip) AS zip, note
FROM contacts said LEFT JOIN homes now ON now.household = said.household AND now.moved_on BETWEEN {first} AND {day}
    WHERE since <= {day} ORDER BY student_no, contact_no
