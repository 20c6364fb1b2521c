-- The reference lists as standardise.sql reads them, made once a connection from the CSV files beside this one: tables
-- skip_value, nickname, street_word, given_name and surname_name.

CREATE OR REPLACE TEMP MACRO plain(x) AS upper(strip_accents(x));
CREATE OR REPLACE TEMP MACRO letters(x) AS nullif(regexp_replace(replace(plain(x), ' ', ''), '[^A-Z]', '', 'g'), '');
CREATE OR REPLACE TEMP MACRO digits(x) AS nullif(regexp_replace(x, '[^0-9]', '', 'g'), '');
CREATE OR REPLACE TEMP MACRO suffix_of(x) AS nullif(regexp_extract(plain(x), '[\s,]+(JR|SR|II|III|IV)\.?$', 1), '');
CREATE OR REPLACE TEMP MACRO no_suffix(x) AS regexp_replace(plain(x), '[\s,]+(JR|SR|II|III|IV)\.?$', '');
CREATE OR REPLACE TEMP MACRO words(x) AS list_filter(regexp_split_to_array(plain(x), '[^A-Z'']+'), lambda w: len(w) > 0);
CREATE OR REPLACE TEMP MACRO different(x) AS list_sort(list_distinct(x));
CREATE OR REPLACE TEMP MACRO all_of(x, others) AS
    CASE WHEN others IS NOT NULL THEN nullif(different(list_concat([x], others)), []) WHEN x IS NOT NULL THEN [x] END;
CREATE OR REPLACE TEMP MACRO one_digit(x) AS x = repeat(x[1], len(x));
-- Generations: SR is 1, JR and II are 2.
CREATE OR REPLACE TEMP MACRO generation(s) AS
    CASE letters(s) WHEN 'SR' THEN 1 WHEN 'JR' THEN 2 WHEN 'II' THEN 2 WHEN 'III' THEN 3 WHEN 'IV' THEN 4 END;

CREATE OR REPLACE TEMP TABLE skip_name AS SELECT element, letters(value) AS name FROM skip_value;
CREATE OR REPLACE TEMP MACRO skipped(e, x) AS x IN (SELECT name FROM skip_name WHERE element = e);

-- Short forms: the full names that a given name may stand for.
CREATE OR REPLACE TEMP TABLE short_name AS
SELECT short, list(name) AS names FROM (SELECT name, unnest(string_split(short, ' ')) AS short FROM nickname) GROUP BY short;

-- How common a name is in the reference lists, never in a table of people, so that a pair weighs the same whoever else is
-- in it. A given name that stands here is one (its share may be unknown): a spelling that stands in no list may be a
-- typing error of one that does.
CREATE OR REPLACE TEMP TABLE given_reference AS
SELECT name, max(share) AS share FROM (
    SELECT name, per_million::DOUBLE / 1e6 AS share FROM given_name
    UNION ALL SELECT name, 0 FROM surname_name
    UNION ALL SELECT name, 0 FROM nickname UNION ALL SELECT unnest(string_split(short, ' ')), 0 FROM nickname
) GROUP BY name;
CREATE OR REPLACE TEMP TABLE surname_reference AS SELECT name, per_million::DOUBLE / 1e6 AS share FROM surname_name;

CREATE OR REPLACE TEMP TABLE short_street AS SELECT map(list(word), list(short)) AS word FROM street_word;
