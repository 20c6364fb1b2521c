-- What the mapping language and the SQL of declarations may call. Text arguments are trimmed, NULL when blank.

-- Runs of blanks, tabs and line breaks become one blank.
CREATE MACRO fold_blanks(t) AS
    CASE WHEN contains(t, '  ') OR contains(t, chr(9)) OR contains(t, chr(10)) OR contains(t, chr(13))
              OR contains(t, chr(160))
         THEN nullif(trim(regexp_replace(t, '[\s\x{00A0}]+', ' ', 'g')), '') ELSE t END;

CREATE MACRO digits_of(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]*') THEN t ELSE regexp_replace(t, '[^0-9]', '', 'g') END;

-- #REF!: a formula of a spreadsheet could not be computed, and what it should show is lost.
CREATE MACRO is_spreadsheet_error(t) AS
    starts_with(t, '#') AND regexp_full_match(t, '#(REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!)');

-- 1.21E+09: a spreadsheet has thrown digits away; #####: it had no room to show any.
CREATE MACRO is_damaged_number(t) AS
    CASE WHEN contains(t, 'E+') THEN regexp_full_match(t, '[0-9](\.[0-9]+)?E\+[0-9]+')
         WHEN starts_with(t, '#')
         THEN regexp_full_match(t, '##+|#(REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!)') ELSE false END;

-- ="00123": a spreadsheet was told to leave the digits alone.
CREATE MACRO without_formula_quotes(t) AS
    CASE WHEN starts_with(t, '="') AND ends_with(t, '"') AND length(t) > 3
         THEN trim(substr(t, 3, length(t) - 3)) ELSE t END;

-- Digits that are too few, with or without the .0 of a spreadsheet's number.
CREATE MACRO lost_leading_zeros(t, width) AS
    (length(t) <> width OR ends_with(t, '.0'))
    AND regexp_full_match(t, '[0-9]+(\.0)?') AND length(regexp_replace(t, '\.0$', '')) <= width;
CREATE MACRO with_leading_zeros(t, width) AS lpad(regexp_replace(t, '\.0$', ''), width, '0');

CREATE MACRO is_all_one_digit(t) AS replace(t, substr(t, 1, 1), '') = '';

-- An SSN as nine digits (hyphens and blanks dropped, lost leading zeros put back), NULL where it is none.
CREATE MACRO ssn_digits(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]{9}') THEN t
         WHEN regexp_full_match(t, '[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}') THEN replace(replace(t, '-', ''), ' ', '')
         WHEN regexp_full_match(t, '[0-9]{7,8}(\.0)?') THEN lpad(regexp_replace(t, '\.0$', ''), 9, '0')
         WHEN regexp_full_match(t, '[0-9]{9}\.0') THEN substr(t, 1, 9) END;
CREATE MACRO is_placeholder_ssn(d) AS
    is_all_one_digit(d) OR d IN ('123456789', '987654321', '012345678', '078051120', '219099999');
CREATE MACRO is_possible_ssn(d) AS
    substr(d, 1, 3) NOT IN ('000', '666') AND substr(d, 4, 2) <> '00' AND substr(d, 6, 4) <> '0000';

-- A telephone of the North American plan as ten digits, NULL where it is none; an extension is dropped.
CREATE MACRO phone_digits(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]{10}') THEN t
         WHEN regexp_full_match(t, '\([0-9]{3}\) [0-9]{3}-[0-9]{4}')
         THEN substr(t, 2, 3) || substr(t, 7, 3) || substr(t, 11, 4)
         ELSE nullif(regexp_extract(digits_of(regexp_replace(t, '(?i)\s*(x|ext\.?)\s*[0-9]+$', '')),
                                    '^1?([0-9]{10})$', 1), '') END;
CREATE MACRO is_placeholder_phone(d) AS is_all_one_digit(d) OR d IN ('1234567890', '0123456789');
CREATE MACRO is_possible_phone(d) AS substr(d, 1, 1) NOT IN ('0', '1') AND substr(d, 4, 1) NOT IN ('0', '1');

-- What strptime takes for a date though it is none: a year of fewer than four digits; words like "infinity", which it
-- reads as 1900-01-01 in any format.
CREATE MACRO is_no_date(t, d) AS d < DATE '1000-01-01' OR (d = DATE '1900-01-01' AND NOT regexp_matches(t, '[0-9]'));

-- A number a spreadsheet keeps for a day (days since 1899-12-30), for the years 1954 to 2064.
CREATE MACRO excel_day(t) AS
    CASE WHEN regexp_full_match(t, '[2-6][0-9]{4}(\.0)?') AND substr(t, 1, 5) <= '60000'
         THEN DATE '1899-12-30' + CAST(substr(t, 1, 5) AS INTEGER) END;

-- Race and ethnicity as SPD-15 (2024) categories, sorted, separated by a blank; NULL where nothing was said.
CREATE MACRO race_set(aian := NULL, asian := NULL, black := NULL, hispanic := NULL, mena := NULL, nhpi := NULL,
                      white := NULL, unknown := NULL, declined := NULL, unable := NULL) AS
    coalesce(
        nullif(concat_ws(' ', CASE WHEN aian THEN 'AIAN' END, CASE WHEN asian THEN 'ASIAN' END,
                         CASE WHEN black THEN 'BLACK' END, CASE WHEN hispanic THEN 'HISP' END,
                         CASE WHEN mena THEN 'MENA' END, CASE WHEN nhpi THEN 'NHPI' END,
                         CASE WHEN white THEN 'WHITE' END), ''),
        CASE WHEN declined THEN 'DECLINED' WHEN unable THEN 'UNABLE' WHEN unknown THEN 'UNKNOWN' END);

-- A generation suffix at the end of a name, as JR, SR, II, III, IV or V; and the name without it.
CREATE MACRO suffix_of(t) AS
    nullif(upper(regexp_extract(t, '(?i)[\s,]+(jr|sr|ii|iii|iv|v)\.?$', 1)), '');
CREATE MACRO without_suffix(t) AS
    nullif(trim(regexp_replace(t, '(?i)[\s,]+(jr|sr|ii|iii|iv|v)\.?$', '')), '');

-- An address line "12 MAIN ST #4" apart: the unit, and the rest.
CREATE MACRO unit_of(t) AS
    nullif(trim(regexp_extract(t, '(?i)(?:#\s*|\b(?:apt|unit|ste|suite)\b\.?\s*#?\s*)(\w[\w-]*)\s*$', 1)), '');
CREATE MACRO without_unit(t) AS
    nullif(trim(regexp_replace(t, '(?i)[\s,]*(?:#\s*|\b(?:apt|unit|ste|suite)\b\.?\s*#?\s*)(\w[\w-]*)\s*$', '')), '');

-- The five digits of a ZIP code, with or without the four.
CREATE MACRO zip5(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]{5}(-?[0-9]{4})?') THEN substr(t, 1, 5)
         WHEN regexp_full_match(t, '[0-9]{3,4}') THEN lpad(t, 5, '0') END;
