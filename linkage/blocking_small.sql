-- Keys beside those of blocking.sql for tables of up to linkage.blocking.SMALL people, in the same form. Each asks for little:
-- among many people nearly all who share one are strangers, and what such a pair has in common cannot outweigh that.

SELECT DISTINCT 'birth, initial' AS rule, 15 AS cap, hash('birth, initial', birth, initial) AS key, id
    FROM (SELECT id, birth, unnest([given[1], surname[1]]) AS initial FROM usable) WHERE birth IS NOT NULL AND initial IS NOT NULL
UNION ALL SELECT 'birth, town', 25, hash('birth, town', birth, town), id FROM (SELECT id, birth, unnest(towns) AS town FROM usable) WHERE birth IS NOT NULL
UNION ALL SELECT 'given, birth month', 10, hash('given, month', form, birth[:6]), id FROM with_form WHERE birth IS NOT NULL
UNION ALL SELECT 'given, birth day', 10, hash('given, day', form, birth[5:]), id FROM with_form WHERE birth IS NOT NULL
UNION ALL SELECT 'surname, birth month', 15, hash('surname, month', surname, birth[:6]), id FROM usable WHERE surname IS NOT NULL AND birth IS NOT NULL
UNION ALL SELECT 'surname, birth day', 15, hash('surname, day', surname, birth[5:]), id FROM usable WHERE surname IS NOT NULL AND birth IS NOT NULL
UNION ALL SELECT 'birth month, initials', 10, hash('month, initials', birth[:6], given[1], surname[1]), id
    FROM usable WHERE birth IS NOT NULL AND given IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT 'birth day, initials', 10, hash('day, initials', birth[5:], given[1], surname[1]), id
    FROM usable WHERE birth IS NOT NULL AND given IS NOT NULL AND surname IS NOT NULL
UNION ALL SELECT DISTINCT 'start of phone, initial', 15, hash('phone start', phone[:-4], given[1]), id
    FROM (SELECT id, given, unnest(phones) AS phone FROM usable) WHERE given IS NOT NULL
UNION ALL SELECT DISTINCT 'end of phone, initial', 15, hash('phone end', phone[-4:], given[1]), id
    FROM (SELECT id, given, unnest(phones) AS phone FROM usable) WHERE given IS NOT NULL
UNION ALL SELECT 'given, start of surname', 15, hash('gs', form, surname[:3]), id FROM with_form WHERE surname IS NOT NULL
UNION ALL SELECT 'town, start of names', 15, hash('town', town, given[:3], surname[:3]), id
    FROM (SELECT id, given, surname, unnest(towns) AS town FROM usable) WHERE given IS NOT NULL AND surname IS NOT NULL
