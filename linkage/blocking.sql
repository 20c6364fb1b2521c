-- Keys under which two records are compared: a rule's name, the most records that may share one of its keys, the value
-- as a hash, the record. One SELECT a rule; it gives a record a key once, and looks at that record alone. A key that
-- more records share is left out and reported; the rules for what many share ask for less of them, so none is the only
-- way to a pair.

SELECT 'same_as' AS rule, 200 AS cap, hash(same_as) AS key, id FROM mention WHERE same_as IS NOT NULL
UNION ALL SELECT 'same_as', 200, hash(record_id), id FROM mention
    WHERE same_as IS DISTINCT FROM record_id
UNION ALL SELECT 'ssn', 100, hash('ssn', ssn), id FROM usable WHERE ssn IS NOT NULL
UNION ALL SELECT 'student_id', 100, hash('student_id', student_id), id FROM usable WHERE student_id IS NOT NULL
UNION ALL SELECT 'identifier', 100, hash('identifier', unnest(identifiers)), id FROM usable
UNION ALL SELECT 'ssn end, birth', 100, hash('last4', ssn[6:], birth), id FROM usable WHERE ssn IS NOT NULL AND birth IS NOT NULL
UNION ALL SELECT 'ssn end, given', 50, hash('last4', ssn[6:], form), id FROM with_form WHERE ssn IS NOT NULL
UNION ALL SELECT 'ssn start, name', 50, hash('first5', ssn[:5], form, surname[1]), id FROM with_form WHERE ssn IS NOT NULL
UNION ALL SELECT 'birth, given', 200, hash('birth', birth, form), id FROM with_form WHERE birth IS NOT NULL
UNION ALL SELECT 'birth, surname', 200, hash('birth', birth, unnest(surname_forms)), id FROM usable WHERE birth IS NOT NULL
UNION ALL SELECT 'birth, initials', 50, hash('birth', birth, least(given[1], surname[1]), greatest(given[1], surname[1])), id
    FROM usable WHERE birth IS NOT NULL AND given IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'birth, middle', 200, hash('birth, middle', birth, middle), id FROM usable WHERE birth IS NOT NULL AND len(middle) > 1
UNION ALL SELECT 'birth, zip', 25, hash('birth, zip', birth, zip), id FROM (SELECT id, birth, unnest(zips) AS zip FROM usable) WHERE birth IS NOT NULL
-- Names in either order: some clerks write the surname first.
UNION ALL SELECT 'names, birth year', 200, hash('names', least(form, surname), greatest(form, surname), birth_year), id
    FROM with_form WHERE surname IS NOT NULL AND birth_year IS NOT NULL
UNION ALL SELECT 'names, zip', 200, hash('names', least(form, surname), greatest(form, surname), zip), id
    FROM (SELECT id, form, surname, unnest(zips) AS zip FROM with_form) WHERE surname IS NOT NULL
UNION ALL SELECT 'names', 200, hash('names', least(form, surname), greatest(form, surname)), id
    FROM with_form WHERE surname IS NOT NULL
UNION ALL SELECT 'given, surname part', 200, hash('names', form, part), id
    FROM (SELECT id, form, unnest(surname_forms) AS part FROM with_form)
-- Who shares a home or a telephone with few others is compared with all of them, else with those of a like name.
UNION ALL SELECT 'home', 30, hash('home', unnest(homes)), id FROM usable
UNION ALL SELECT 'home, given', 200, hash('home, given', unnest(homes), given[1]), id FROM usable WHERE given IS NOT NULL
UNION ALL SELECT 'home, surname', 200, hash('home, surname', unnest(homes), surname[1:3]), id FROM usable WHERE surname IS NOT NULL
UNION ALL SELECT DISTINCT 'house number, given', 50, hash('number', regexp_extract(home, '^[0-9]+'), form), id
    FROM (SELECT id, form, unnest(homes) AS home FROM with_form) WHERE regexp_matches(home, '^[0-9]')
UNION ALL SELECT 'phone', 30, hash('phone', unnest(phones)), id FROM usable
UNION ALL SELECT 'phone, given', 200, hash('phone, given', unnest(phones), given[1]), id FROM usable WHERE given IS NOT NULL
UNION ALL SELECT 'relative, given', 200, hash('relative', unnest(relatives), form), id FROM with_form
UNION ALL SELECT 'relative, birth', 200, hash('relative', unnest(relatives), birth), id FROM usable WHERE birth IS NOT NULL
UNION ALL SELECT 'zip, start of names', 100, hash('zip', zip, given[:3], surname[:3]), id
    FROM (SELECT id, given, surname, unnest(zips) AS zip FROM usable) WHERE given IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'given, middle, start of surname', 100, hash('gms', form, middle[1], surname[:3]), id
    FROM with_form WHERE middle IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'start of given, middle, surname', 100, hash('gms', given[:3], middle[1], surname), id
    FROM usable WHERE given IS NOT NULL AND middle IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'start of given, surname', 25, hash('sg', given[:3], surname), id FROM usable WHERE given IS NOT NULL AND surname IS NOT NULL
