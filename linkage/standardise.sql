-- From people as agencies send them (view people_row; `place` numbers its rows) to what can be compared (table mention),
-- one row a record. Every column of a mention follows from its own row and the reference lists (reference_lists.sql)
-- alone. What many rows write alike is made comparable once.

-- `given` is what can be compared; `name` also that which says there is none. No name counts as rarer than the least
-- share: families keep rare surnames together in one county, and the lists of given names are older than today's children.
CREATE OR REPLACE TEMP TABLE given_spelling AS
WITH spelt AS (
    SELECT written, letters(no_suffix(written)) AS name, words(written) AS words, suffix_of(written) AS suffix FROM (
        SELECT given AS written FROM people_row
        UNION SELECT n.given FROM (SELECT unnest(other_names) AS n FROM people_row))
    WHERE written IS NOT NULL
), meant AS (
    SELECT *, CASE WHEN NOT is_none AND NOT is_newborn THEN name END AS given
    FROM (SELECT *, skipped('given', name) AS is_none, skipped('newborn', name) AS is_newborn FROM spelt)
)
SELECT written, m.name, is_none, is_newborn, suffix, given, different(list_concat([given], s.names,
        CASE WHEN len(words) > 1 THEN list_filter(words, lambda w: len(w) > 2) END)) AS forms,
    r.name IS NOT NULL AS known, greatest(coalesce(r.share, 0), 2e-4) AS tf
FROM meant m LEFT JOIN short_name s ON s.short = given LEFT JOIN given_reference r ON r.name = given;

CREATE OR REPLACE TEMP TABLE surname_spelling AS
WITH spelt AS (
    SELECT written, letters(no_suffix(written)) AS name, words(no_suffix(written)) AS words, suffix_of(written) AS suffix
    FROM (
        SELECT surname AS written FROM people_row
        UNION SELECT n.surname FROM (SELECT unnest(other_names) AS n FROM people_row))
    WHERE written IS NOT NULL
), meant AS (
    SELECT *, CASE WHEN NOT is_none AND len(name) > 1 THEN name END AS surname
    FROM (SELECT *, skipped('surname', name) AS is_none FROM spelt)
)
SELECT written, m.name, is_none, suffix, surname,
    different(list_concat([surname], list_filter(words, lambda w: len(w) > 3))) AS forms,
    greatest(coalesce(r.share, 0), 5e-5) AS tf
FROM meant m LEFT JOIN surname_reference r ON r.name = surname;

-- Every name of every record by its place. A name may say that there is nobody; its surname counts
-- for nothing but itself.
CREATE OR REPLACE TEMP VIEW mention_name AS
SELECT place, main, nobody, given_suffix, surname_suffix, surname,
    CASE WHEN surname IS NOT NULL THEN tf_surname END AS tf_surname,
    CASE WHEN NOT nobody AND surname IS NOT NULL THEN surname_forms END AS surname_forms,
    CASE WHEN NOT nobody THEN given END AS given,
    CASE WHEN NOT nobody AND given IS NOT NULL THEN given_forms END AS given_forms,
    CASE WHEN NOT nobody AND given IS NOT NULL THEN given_known END AS given_known,
    CASE WHEN NOT nobody AND given IS NOT NULL THEN tf_given END AS tf_given
FROM (
    SELECT place, main, coalesce(g.is_newborn OR skipped('name', g.name || s.name), false)
            OR (coalesce(g.is_none, true) AND coalesce(s.is_none, false)) AS nobody,
        g.suffix AS given_suffix, g.given, g.forms AS given_forms, g.known AS given_known, g.tf AS tf_given,
        s.suffix AS surname_suffix, s.surname, s.forms AS surname_forms, s.tf AS tf_surname
    FROM (
        SELECT place, true AS main, given, surname FROM people_row
        UNION ALL
        SELECT place, false, n.given, n.surname FROM (SELECT place, unnest(other_names) AS n FROM people_row)
    ) w LEFT JOIN given_spelling g ON g.written = w.given LEFT JOIN surname_spelling s ON s.written = w.surname
);

CREATE OR REPLACE TEMP TABLE other_name AS
SELECT place, flatten(list(given_forms) FILTER (given_forms IS NOT NULL)) AS given_forms,
    flatten(list(surname_forms) FILTER (surname_forms IS NOT NULL)) AS surname_forms
FROM mention_name WHERE NOT main GROUP BY place;

-- Streets: number and street without the unit, words in their short form; nobody is at home where many stay.
CREATE OR REPLACE TEMP TABLE street_spelling AS
WITH cleaned AS (
    SELECT line1, regexp_replace(trim(regexp_replace(regexp_replace(plain(line1), '[^A-Z0-9# ]', ' ', 'g'), '\s+', ' ', 'g')),
        ' ?(#|\b(APT|UNIT|STE|SUITE|LOT|TRLR|ROOM|RM|FLOOR|FL|BLDG)\b) ?[A-Z0-9]+( [A-Z0-9])?$', '') AS street
    FROM (SELECT DISTINCT a.line1 FROM (SELECT unnest(addresses) AS a FROM people_row)) WHERE line1 IS NOT NULL
)
SELECT line1, street IN (SELECT value FROM skip_value WHERE element = 'address')
        OR regexp_matches(street, '\b(SHELTER|JAIL|PRISON|DETENTION|COURTHOUSE|HOSPITAL|HOMELESS|TRANSIENT|GENERAL DELIVERY)\b')
        AS no_home,
    array_to_string(list_transform(string_split(street, ' '), lambda w: coalesce(m.word[w], w)), ' ') AS short,
    CASE WHEN len(short) > 3 THEN short END AS street
FROM cleaned, short_street m;

CREATE OR REPLACE TEMP VIEW mention_home AS
SELECT place, n, CASE WHEN NOT no_home THEN digits(a.zip)[1:5] END AS zip, CASE WHEN NOT no_home THEN letters(a.city) END AS town,
    CASE WHEN NOT no_home THEN street END AS street, CASE WHEN NOT no_home THEN replace(street, ' ', '') END AS home
FROM (
    SELECT place, n, a, coalesce(s.no_home, false) AS no_home, s.street
    FROM (
        SELECT place, 1 AS n, addresses[1] AS a FROM people_row
        UNION ALL
        SELECT place, n, a FROM (
            SELECT place, unnest(addresses) AS a, generate_subscripts(addresses, 1) AS n FROM people_row
            WHERE len(addresses) > 1)
        WHERE n > 1
    ) w LEFT JOIN street_spelling s ON s.line1 = a.line1
);

CREATE OR REPLACE TEMP TABLE other_home AS
SELECT place, list(home) AS homes, list(zip) AS zips, list(town) AS towns, arg_min(street, n) FILTER (street IS NOT NULL) AS street
FROM mention_home WHERE n > 1 GROUP BY place;

CREATE OR REPLACE TEMP TABLE mention AS
WITH numbered AS (SELECT place, row_number() OVER (ORDER BY record_id)::INTEGER AS id FROM people_row),
read AS (
    SELECT * REPLACE (
        CASE WHEN birth_date BETWEEN DATE '1850-01-01' AND DATE '2100-01-01'
            AND birth_date::VARCHAR NOT IN (SELECT value FROM skip_value WHERE element = 'birth_date') THEN birth_date END
            AS birth_date,
        letters(split_part(trim(middle), ' ', 1)) AS middle, letters(sex) AS sex, digits(ssn) AS ssn),
        birth_date IS NOT NULL AND coalesce(birth_precision, 'day') = 'day' AS to_the_day
    FROM people_row
)
SELECT n.id, p.record_id, p.source,
    m.given,
    CASE WHEN o.given_forms IS NULL THEN m.given_forms ELSE different(list_concat(m.given_forms, o.given_forms)) END
        AS given_forms,
    m.given_known, m.tf_given,
    CASE WHEN NOT skipped('given', p.middle) THEN p.middle END AS middle,
    m.surname,
    CASE WHEN o.surname_forms IS NULL THEN m.surname_forms ELSE different(list_concat(m.surname_forms, o.surname_forms)) END
        AS surname_forms,
    m.tf_surname,
    generation(coalesce(p.suffix, m.surname_suffix, m.given_suffix)) AS generation,
    CASE WHEN p.to_the_day THEN strftime(p.birth_date, '%Y%m%d') WHEN p.birth_date IS NULL THEN p.birth_damaged END AS birth,
    CASE WHEN p.to_the_day THEN strftime(p.birth_date, '%Y%d%m') END AS birth_swapped,
    coalesce(year(p.birth_date)::INTEGER, try_cast(p.birth_damaged[:4] AS INTEGER)) AS birth_year,
    CASE WHEN p.sex IN ('F', 'M') THEN p.sex WHEN damerau_levenshtein(p.sex, 'FEMALE') <= 1 THEN 'F'
        WHEN damerau_levenshtein(p.sex, 'MALE') <= 1 THEN 'M' END AS sex,
    CASE WHEN len(p.ssn) = 9 AND NOT one_digit(p.ssn) AND NOT regexp_full_match(p.ssn, '000.*|...00.*|.*0000')
        AND p.ssn NOT IN (SELECT value FROM skip_value WHERE element = 'ssn') THEN p.ssn END AS ssn,
    nullif(regexp_replace(plain(p.student_id), '[^A-Z0-9]', '', 'g'), '') AS student_id,
    p.identifiers, all_of(h.home, e.homes) AS homes, all_of(h.zip, e.zips) AS zips, all_of(h.town, e.towns) AS towns,
    coalesce(h.street, e.street) AS street,
    nullif(different(list_transform(
        list_filter(list_transform(p.phones, lambda x: digits(x)), lambda x: len(x) >= 7 AND NOT one_digit(x)),
        lambda x: right(x, 10))), []) AS phones,
    different(list_filter(list_transform(p.relatives, lambda x: letters(no_suffix(x))), lambda x: len(x) > 3)) AS relatives,
    p.same_as, p.related, year(p.born_before)::INTEGER AS born_before,
    coalesce(p.adopted, false) AS adopted,
    coalesce(p.placeholder, false) OR m.nobody AS placeholder,
    p._content
FROM read p
JOIN numbered n USING (place)
JOIN mention_name m ON m.place = p.place AND m.main
LEFT JOIN other_name o ON o.place = p.place
JOIN mention_home h ON h.place = p.place AND h.n = 1
LEFT JOIN other_home e ON e.place = p.place;

DROP VIEW mention_name; DROP TABLE other_name; DROP VIEW mention_home; DROP TABLE other_home;
DROP TABLE given_spelling; DROP TABLE surname_spelling; DROP TABLE street_spelling;
