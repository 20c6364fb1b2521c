-- From people as agencies send them (table people) to what can be compared (table mention), one row a record.
-- Tables skip_value, nickname, street_word, given_name and surname_name are the CSV files beside this one. Every column
-- of a mention follows from its own row and these files alone.

CREATE OR REPLACE TEMP MACRO plain(x) AS upper(strip_accents(x));
CREATE OR REPLACE TEMP MACRO letters(x) AS nullif(regexp_replace(plain(x), '[^A-Z]', '', 'g'), '');
CREATE OR REPLACE TEMP MACRO digits(x) AS nullif(regexp_replace(x, '[^0-9]', '', 'g'), '');
CREATE OR REPLACE TEMP MACRO suffix_of(x) AS nullif(regexp_extract(plain(x), '[\s,]+(JR|SR|II|III|IV)\.?$', 1), '');
CREATE OR REPLACE TEMP MACRO no_suffix(x) AS regexp_replace(plain(x), '[\s,]+(JR|SR|II|III|IV)\.?$', '');
CREATE OR REPLACE TEMP MACRO words(x) AS list_filter(regexp_split_to_array(plain(x), '[^A-Z'']+'), lambda w: len(w) > 0);
CREATE OR REPLACE TEMP MACRO skipped(e, x) AS x IN (SELECT letters(value) FROM skip_value WHERE element = e);
CREATE OR REPLACE TEMP MACRO one_digit(x) AS x = repeat(x[1], len(x));
-- Generations: SR is 1, JR and II are 2.
CREATE OR REPLACE TEMP MACRO generation(s) AS
    CASE letters(s) WHEN 'SR' THEN 1 WHEN 'JR' THEN 2 WHEN 'II' THEN 2 WHEN 'III' THEN 3 WHEN 'IV' THEN 4 END;

CREATE OR REPLACE TEMP TABLE mention_number AS
SELECT rowid AS place, row_number() OVER (ORDER BY record_id)::INTEGER AS id FROM people;
CREATE OR REPLACE TEMP VIEW numbered AS SELECT id, p.* FROM people p JOIN mention_number n ON n.place = p.rowid;

-- Every name of every record; main names first. A name that only says that there is none is no name.
CREATE OR REPLACE TEMP TABLE mention_name AS
WITH named AS (
    SELECT id, true AS main, given, middle, surname FROM numbered
    UNION ALL
    SELECT id, false, n.given, n.middle, n.surname
    FROM (SELECT id, unnest(other_names) AS n FROM numbered)
), cleaned AS (
    SELECT id, main, letters(no_suffix(given)) AS given, words(given) AS given_words, letters(split_part(trim(middle), ' ', 1)) AS middle,
        letters(no_suffix(surname)) AS surname, words(no_suffix(surname)) AS surname_words
    FROM named
)
SELECT id, main,
    CASE WHEN NOT skipped('given', given) AND NOT skipped('newborn', given) THEN given END AS given, given_words,
    CASE WHEN NOT skipped('given', middle) THEN middle END AS middle,
    CASE WHEN NOT skipped('surname', surname) AND len(surname) > 1 THEN surname END AS surname, surname_words,
    coalesce(skipped('newborn', given) OR skipped('name', given || surname), false)
        OR (coalesce(skipped('given', given), given IS NULL) AND coalesce(skipped('surname', surname), false)) AS nobody
FROM cleaned;

-- Short forms: a given name and the full names it may stand for.
CREATE OR REPLACE TEMP TABLE given_form AS
SELECT given, list_sort(list_distinct(list_concat([given], coalesce(list(name) FILTER (name IS NOT NULL), [])))) AS forms
FROM (SELECT DISTINCT given FROM mention_name WHERE given IS NOT NULL) g
LEFT JOIN (SELECT name, unnest(string_split(short, ' ')) AS short FROM nickname) n ON n.short = g.given
GROUP BY given;

-- How common a name is in the reference lists, never in this table, so that a pair weighs the same whoever else is in
-- it. No name counts as rarer than the least share: families keep rare surnames together in one county, and the lists of
-- given names are older than today's children. `known` says that a given name is one: a spelling that stands in no list
-- may be a typing error of one that does.
CREATE OR REPLACE TEMP VIEW listed_name AS
SELECT name FROM given_name UNION ALL SELECT name FROM surname_name
UNION ALL SELECT name FROM nickname UNION ALL SELECT unnest(string_split(short, ' ')) FROM nickname;
CREATE OR REPLACE TEMP TABLE given_reference AS
SELECT given, greatest(coalesce(max(r.per_million), '0')::DOUBLE / 1e6, 2e-4) AS tf_given,
    bool_or(given IN (SELECT name FROM listed_name)) AS known
FROM (SELECT DISTINCT given FROM mention_name WHERE given IS NOT NULL) LEFT JOIN given_name r ON r.name = given
GROUP BY given;
CREATE OR REPLACE TEMP TABLE surname_reference AS
SELECT surname, greatest(coalesce(max(r.per_million), '0')::DOUBLE / 1e6, 5e-5) AS tf_surname
FROM (SELECT DISTINCT surname FROM mention_name WHERE surname IS NOT NULL) LEFT JOIN surname_name r ON r.name = surname
GROUP BY surname;

CREATE OR REPLACE TEMP TABLE mention_names AS
SELECT id,
    any_value(n.given) FILTER (main AND NOT nobody) AS given,
    any_value(n.given_words) FILTER (main AND NOT nobody) AS given_words,
    any_value(n.middle) FILTER (main) AS middle,
    any_value(n.surname) FILTER (main) AS surname,
    bool_or(nobody) FILTER (main) AS nobody,
    list_sort(list_distinct(flatten(list(
        list_concat(f.forms, CASE WHEN len(n.given_words) > 1 THEN list_filter(n.given_words, lambda w: len(w) > 2) ELSE [] END))
        FILTER (f.forms IS NOT NULL AND NOT nobody)))) AS given_forms,
    list_sort(list_distinct(flatten(list(
        list_concat([n.surname], list_filter(n.surname_words, lambda w: len(w) > 3)))
        FILTER (n.surname IS NOT NULL AND NOT nobody)))) AS surname_forms,
    any_value(g.known) FILTER (main AND NOT nobody) AS given_known,
    any_value(g.tf_given) FILTER (main AND NOT nobody) AS tf_given,
    any_value(s.tf_surname) FILTER (main) AS tf_surname
FROM mention_name n
LEFT JOIN given_form f ON f.given = n.given
LEFT JOIN given_reference g ON g.given = n.given
LEFT JOIN surname_reference s ON s.surname = n.surname
GROUP BY id;

-- Addresses: number and street without the unit, words in their short form.
CREATE OR REPLACE TEMP TABLE mention_address AS
WITH one AS (
    SELECT id, unnest(addresses) AS a, generate_subscripts(addresses, 1) AS n FROM numbered
), cleaned AS (
    SELECT id, n, digits(a.zip)[1:5] AS zip, letters(a.city) AS town,
        regexp_replace(trim(regexp_replace(regexp_replace(plain(a.line1), '[^A-Z0-9# ]', ' ', 'g'), '\s+', ' ', 'g')),
            ' ?(#|\b(APT|UNIT|STE|SUITE|LOT|TRLR|ROOM|RM|FLOOR|FL|BLDG)\b) ?[A-Z0-9]+( [A-Z0-9])?$', '') AS street
    FROM one
), short AS (
    SELECT id, n, zip, town,
        array_to_string(list_transform(string_split(street, ' '), lambda w: coalesce(m.word[w], w)), ' ') AS street
    FROM cleaned, (SELECT map(list(word), list(short)) AS word FROM street_word) m
    WHERE street IS NULL OR street NOT IN (SELECT value FROM skip_value WHERE element = 'address')
        AND NOT regexp_matches(street, '\b(SHELTER|JAIL|PRISON|DETENTION|COURTHOUSE|HOSPITAL|HOMELESS|TRANSIENT|GENERAL DELIVERY)\b')
)
SELECT id, n, zip, town, CASE WHEN len(street) > 3 THEN street END AS street,
    CASE WHEN len(street) > 3 THEN replace(street, ' ', '') END AS key
FROM short;

CREATE OR REPLACE TEMP TABLE mention_phone AS
SELECT id, right(digits(phone), 10) AS phone
FROM (SELECT id, unnest(phones) AS phone FROM numbered)
WHERE len(digits(phone)) >= 7 AND NOT one_digit(digits(phone));

CREATE OR REPLACE TEMP TABLE mention AS
WITH home AS (
    SELECT id, list(DISTINCT key ORDER BY key) FILTER (key IS NOT NULL) AS homes,
        list(DISTINCT zip ORDER BY zip) FILTER (zip IS NOT NULL) AS zips,
        list(DISTINCT town ORDER BY town) FILTER (town IS NOT NULL) AS towns,
        arg_min(street, n) FILTER (street IS NOT NULL) AS street
    FROM mention_address GROUP BY id
), called AS (
    SELECT id, list(DISTINCT phone ORDER BY phone) AS phones
    FROM mention_phone GROUP BY id
), dated AS (
    SELECT id, birth_date AS born, coalesce(birth_precision, 'day') AS precision FROM numbered
    WHERE birth_date BETWEEN DATE '1850-01-01' AND DATE '2100-01-01'
        AND birth_date::VARCHAR NOT IN (SELECT value FROM skip_value WHERE element = 'birth_date')
)
SELECT p.id, p.record_id, p.source,
    m.given, m.given_forms, m.given_known, m.tf_given, m.middle, m.surname, m.surname_forms, m.tf_surname,
    generation(coalesce(p.suffix, suffix_of(p.surname), suffix_of(p.given))) AS generation,
    CASE WHEN d.precision = 'day' THEN strftime(d.born, '%Y%m%d') WHEN d.born IS NULL THEN p.birth_damaged END AS birth,
    CASE WHEN d.precision = 'day' THEN strftime(d.born, '%Y%d%m') END AS birth_swapped,
    coalesce(year(d.born)::INTEGER, try_cast(p.birth_damaged[:4] AS INTEGER)) AS birth_year,
    CASE WHEN letters(p.sex) = 'F' OR damerau_levenshtein(letters(p.sex), 'FEMALE') <= 1 THEN 'F'
        WHEN letters(p.sex) = 'M' OR damerau_levenshtein(letters(p.sex), 'MALE') <= 1 THEN 'M' END AS sex,
    CASE WHEN len(digits(p.ssn)) = 9 AND NOT one_digit(digits(p.ssn))
        AND NOT regexp_full_match(digits(p.ssn), '000.*|...00.*|.*0000')
        AND digits(p.ssn) NOT IN (SELECT value FROM skip_value WHERE element = 'ssn') THEN digits(p.ssn) END AS ssn,
    nullif(regexp_replace(plain(p.student_id), '[^A-Z0-9]', '', 'g'), '') AS student_id,
    p.identifiers, h.homes, h.zips, h.towns, h.street, c.phones,
    list_sort(list_distinct(list_filter(list_transform(p.relatives, lambda x: letters(no_suffix(x))), lambda x: len(x) > 3)))
        AS relatives,
    p.same_as, p.related, year(p.born_before)::INTEGER AS born_before,
    coalesce(p.adopted, false) AS adopted,
    coalesce(p.placeholder, false) OR coalesce(m.nobody, false) AS placeholder
FROM numbered p
LEFT JOIN mention_names m USING (id)
LEFT JOIN home h USING (id)
LEFT JOIN called c USING (id)
LEFT JOIN dated d USING (id);

DROP TABLE mention_names; DROP TABLE mention_name; DROP TABLE mention_address;
DROP TABLE mention_phone; DROP TABLE given_form; DROP TABLE given_reference; DROP VIEW listed_name; DROP TABLE surname_reference;
DROP VIEW numbered; DROP TABLE mention_number;
