-- Keys under which two records are compared: a rule's name, the value as a hash, the record. One SELECT a rule; it
-- gives a record a key once.

SELECT 'same_as' AS rule, hash(same_as) AS key, id FROM mention WHERE same_as IS NOT NULL
UNION ALL SELECT 'same_as', hash(record_id), id FROM mention
    WHERE record_id IN (SELECT same_as FROM mention) AND same_as IS DISTINCT FROM record_id
UNION ALL SELECT 'ssn', hash('ssn', ssn), id FROM usable WHERE ssn IS NOT NULL
UNION ALL SELECT 'student_id', hash('student_id', student_id), id FROM usable WHERE student_id IS NOT NULL
UNION ALL SELECT 'identifier', hash('identifier', unnest(identifiers)), id FROM usable
UNION ALL SELECT 'ssn end, birth', hash('last4', ssn[6:], birth), id FROM usable WHERE ssn IS NOT NULL AND birth IS NOT NULL
UNION ALL SELECT 'ssn end, given', hash('last4', ssn[6:], form), id FROM with_form WHERE ssn IS NOT NULL
UNION ALL SELECT 'ssn start, name', hash('first5', ssn[:5], form, surname[1]), id FROM with_form WHERE ssn IS NOT NULL
UNION ALL SELECT 'birth, given', hash('birth', birth, form), id FROM with_form WHERE birth IS NOT NULL
UNION ALL SELECT 'birth, surname', hash('birth', birth, unnest(surname_forms)), id FROM usable WHERE birth IS NOT NULL
UNION ALL SELECT 'birth, initials', hash('birth', birth, least(given[1], surname[1]), greatest(given[1], surname[1])), id
    FROM usable WHERE birth IS NOT NULL AND given IS NOT NULL AND surname IS NOT NULL
-- Names in either order: some clerks write the surname first.
UNION ALL SELECT 'names, birth year', hash('names', least(form, surname), greatest(form, surname), birth_year), id
    FROM with_form WHERE surname IS NOT NULL AND birth_year IS NOT NULL
UNION ALL SELECT 'names, zip', hash('names', least(form, surname), greatest(form, surname), zip), id
    FROM (SELECT id, form, surname, unnest(zips) AS zip FROM with_form) WHERE surname IS NOT NULL
UNION ALL SELECT 'names', hash('names', least(form, surname), greatest(form, surname)), id
    FROM with_form WHERE surname IS NOT NULL
UNION ALL SELECT 'given, surname part', hash('names', form, part), id
    FROM (SELECT id, form, unnest(surname_forms) AS part FROM with_form)
-- Who shares a home or a telephone with few others is compared with all of them, else with those of a like name.
UNION ALL SELECT 'home', hash('home', home), id FROM at_home WHERE others <= 30
UNION ALL SELECT 'home, given', hash('home', home, given[1]), id FROM at_home WHERE others > 30 AND given IS NOT NULL
UNION ALL SELECT 'home, surname', hash('home', home, surname[1:3]), id FROM at_home WHERE others > 30 AND surname IS NOT NULL
UNION ALL SELECT DISTINCT 'house number, given', hash('number', regexp_extract(home, '^[0-9]+'), form), id
    FROM (SELECT id, form, unnest(homes) AS home FROM with_form) WHERE regexp_matches(home, '^[0-9]')
UNION ALL SELECT 'phone', hash('phone', phone), id FROM at_phone WHERE others <= 30
UNION ALL SELECT 'phone, given', hash('phone', phone, given[1]), id FROM at_phone WHERE others > 30 AND given IS NOT NULL
UNION ALL SELECT 'relative, given', hash('relative', unnest(relatives), form), id FROM with_form
UNION ALL SELECT 'relative, birth', hash('relative', unnest(relatives), birth), id FROM usable WHERE birth IS NOT NULL
UNION ALL SELECT 'zip, start of names', hash('zip', zip, given[:3], surname[:3]), id
    FROM (SELECT id, given, surname, unnest(zips) AS zip FROM usable) WHERE given IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'given, middle, start of surname', hash('gms', form, middle[1], surname[:3]), id
    FROM with_form WHERE middle IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'start of given, middle, surname', hash('gms', given[:3], middle[1], surname), id
    FROM usable WHERE given IS NOT NULL AND middle IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'birth, middle', hash('birth, middle', birth, middle), id FROM usable WHERE birth IS NOT NULL AND len(middle) > 1
