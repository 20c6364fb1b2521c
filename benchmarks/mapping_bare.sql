-- What an engineer would write by hand for the file of benchmarks/mapping.py: the same columns, the same values.
WITH sent AS (
    SELECT row_number() OVER () AS n,
        nullif(trim("LASID"), '') AS lasid, nullif(trim("SASID"), '') AS sasid, nullif(trim("LastName"), '') AS surname,
        nullif(trim("FirstName"), '') AS given, nullif(trim("MiddleName"), '') AS middle,
        nullif(trim("DateOfBirth"), '') AS dob, nullif(trim("Gender"), '') AS gender,
        nullif(trim("RaceWhite"), '') AS white, nullif(trim("Hispanic"), '') AS hisp,
        nullif(trim("SchoolCode"), '') AS school, nullif(trim("Grade"), '') AS grade,
        nullif(trim("EntryDate"), '') AS entry, nullif(trim("EntryCode"), '') AS entry_code,
        nullif(trim("ExitDate"), '') AS exit, nullif(trim("Street"), '') AS street, nullif(trim("City"), '') AS city,
        nullif(trim("Zip"), '') AS zip, nullif(trim("HomePhone"), '') AS phone, nullif(trim("SSN"), '') AS ssn,
        nullif(trim("Days"), '') AS days
    FROM read_csv('{source}', all_varchar = true, header = true)
), read AS (
    SELECT *,
        coalesce(CAST(try_strptime(dob, '%m/%d/%Y') AS DATE),
                 CASE WHEN regexp_full_match(dob, '[2-6][0-9]{4}(\.0)?') AND substr(dob, 1, 5) <= '60000'
                      THEN DATE '1899-12-30' + CAST(substr(dob, 1, 5) AS INTEGER) END) AS born,
        CAST(try_strptime(entry, '%m/%d/%Y') AS DATE) AS entered,
        CAST(try_strptime(exit, '%m/%d/%Y') AS DATE) AS exited,
        CASE WHEN regexp_full_match(phone, '[0-9]{10}') THEN phone
             WHEN regexp_full_match(phone, '\([0-9]{3}\) [0-9]{3}-[0-9]{4}')
             THEN substr(phone, 2, 3) || substr(phone, 7, 3) || substr(phone, 11, 4)
             ELSE nullif(regexp_extract(regexp_replace(regexp_replace(phone, '(?i)\s*(x|ext\.?)\s*[0-9]+$', ''),
                                                       '[^0-9]', '', 'g'), '^1?([0-9]{10})$', 1), '') END AS tel,
        CASE WHEN regexp_full_match(ssn, '[0-9]{9}') THEN ssn
             WHEN regexp_full_match(ssn, '[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}') THEN replace(replace(ssn, '-', ''), ' ', '')
             WHEN regexp_full_match(ssn, '[0-9]{7,8}(\.0)?') THEN lpad(regexp_replace(ssn, '\.0$', ''), 9, '0')
             WHEN regexp_full_match(ssn, '[0-9]{9}\.0') THEN substr(ssn, 1, 9) END AS nine,
        CASE WHEN regexp_full_match(days, '[+-]?[0-9]{1,12}(\.0*)?') THEN TRY_CAST(days AS INTEGER) END AS day_count
    FROM sent
), valued AS (
    SELECT *,
        CASE WHEN length(lasid) = 7 THEN lasid
             WHEN regexp_full_match(lasid, '[0-9]{1,6}(\.0)?') THEN lpad(replace(lasid, '.0', ''), 7, '0')
             WHEN regexp_full_match(lasid, '[0-9](\.[0-9]+)?E\+[0-9]+|#+') THEN NULL ELSE lasid END AS lasid_v,
        CASE WHEN regexp_full_match(sasid, '[0-9](\.[0-9]+)?E\+[0-9]+|#+') THEN NULL WHEN length(sasid) = 10 THEN sasid
             WHEN regexp_full_match(sasid, '[0-9]{1,9}(\.0)?') THEN lpad(replace(sasid, '.0', ''), 10, '0')
             ELSE sasid END AS sasid_v,
        CASE WHEN born < DATE '1900-01-02' OR born > DATE '2026-03-23' THEN NULL ELSE born END AS born_v,
        CASE WHEN entered >= DATE '1000-01-01' THEN entered END AS entered_v,
        CASE WHEN exited >= DATE '1000-01-01' THEN exited END AS exited_v,
        CASE gender WHEN 'F' THEN 'F' WHEN 'M' THEN 'M' WHEN 'X' THEN 'X' WHEN 'N' THEN 'U' END AS sex,
        CASE entry_code WHEN '01' THEN 'start_of_year' WHEN '02' THEN 'transfer_other_district' END AS entry_type,
        replace(tel, substr(tel, 1, 1), '') = '' OR tel IN ('1234567890', '0123456789') AS tel_placeholder,
        substr(tel, 1, 1) NOT IN ('0', '1') AND substr(tel, 4, 1) NOT IN ('0', '1') AS tel_possible,
        replace(nine, substr(nine, 1, 1), '') = ''
            OR nine IN ('123456789', '987654321', '012345678', '078051120', '219099999') AS nine_placeholder,
        substr(nine, 1, 3) NOT IN ('000', '666') AND substr(nine, 4, 2) <> '00' AND substr(nine, 6, 4) <> '0000'
            AS nine_possible
    FROM read
)
SELECT n AS _record, n + 1 AS _line, lasid_v AS _key,
    substr(md5(concat_ws(chr(31), coalesce(lasid, ''), coalesce(sasid, ''), coalesce(surname, ''), coalesce(given, ''),
        coalesce(middle, ''), coalesce(dob, ''), coalesce(gender, ''), coalesce(white, ''), coalesce(hisp, ''),
        coalesce(school, ''), coalesce(grade, ''), coalesce(entry, ''), coalesce(entry_code, ''), coalesce(exit, ''),
        coalesce(street, ''), coalesce(city, ''), coalesce(zip, ''), coalesce(phone, ''), coalesce(ssn, ''),
        coalesce(days, ''))), 1, 16) AS _hash,
    'upsert' AS _action, CAST(NULL AS VARCHAR) AS _version,
    nullif(concat_ws(' ',
        CASE WHEN lasid IS NULL THEN 'lasid:blank_required' WHEN lasid_v IS NULL THEN 'lasid:damaged_identifier'
             WHEN lasid_v <> lasid THEN 'lasid:repaired_identifier'
             WHEN length(lasid) <> 7 THEN 'lasid:bad_identifier' END,
        CASE WHEN sasid IS NULL THEN NULL WHEN sasid_v IS NULL THEN 'sasid:damaged_identifier'
             WHEN sasid_v <> sasid THEN 'sasid:repaired_identifier'
             WHEN length(sasid) <> 10 THEN 'sasid:bad_identifier' END,
        CASE WHEN dob IS NULL THEN NULL WHEN born = DATE '1900-01-01' THEN 'birth_date:sentinel_date'
             WHEN born IS NULL OR born < DATE '1000-01-01' THEN 'birth_date:unparsable_date'
             WHEN born > DATE '2026-03-23' THEN 'birth_date:future_date'
             WHEN born < DATE '1900-01-02' THEN 'birth_date:sentinel_date'
             WHEN dob NOT LIKE '%/%' THEN 'birth_date:repaired_excel_date' END,
        CASE WHEN gender IS NOT NULL AND sex IS NULL THEN 'sex:unmapped_code' END,
        CASE WHEN length(school) <> 8 THEN 'school_id:bad_identifier' END,
        CASE WHEN entry IS NULL THEN 'entry_date:blank_required' WHEN entered_v IS NULL THEN 'entry_date:unparsable_date' END,
        CASE WHEN entry_code IS NOT NULL AND entry_type IS NULL THEN 'entry_type:unmapped_code' END,
        CASE WHEN exit IS NOT NULL AND exited_v IS NULL THEN 'exit_date:unparsable_date' END,
        CASE WHEN length(zip) <> 5 THEN 'zip:bad_identifier' END,
        CASE WHEN phone IS NULL THEN NULL WHEN tel IS NULL THEN 'phone:bad_identifier'
             WHEN tel_placeholder THEN 'phone:placeholder_value' WHEN NOT tel_possible THEN 'phone:bad_identifier' END,
        CASE WHEN ssn IS NULL THEN NULL WHEN nine IS NULL THEN 'ssn:bad_identifier'
             WHEN nine_placeholder THEN 'ssn:placeholder_value' WHEN NOT nine_possible THEN 'ssn:bad_identifier'
             WHEN length(ssn) < 9 THEN 'ssn:repaired_identifier' END,
        CASE WHEN days IS NOT NULL AND day_count IS NULL THEN 'days:unparsable_number' END), '') AS _problems,
    nullif(concat_ws(' ',
        CASE WHEN lasid IS NULL THEN 'lasid:not_collected' WHEN lasid_v IS NULL THEN 'lasid:damaged' END,
        CASE WHEN sasid IS NULL THEN 'sasid:not_collected' WHEN sasid_v IS NULL THEN 'sasid:damaged' END,
        CASE WHEN surname IS NULL THEN 'surname:not_collected' END,
        CASE WHEN given IS NULL THEN 'given:not_collected' END,
        CASE WHEN middle IS NULL THEN 'middle:not_collected' END,
        CASE WHEN dob IS NULL THEN 'birth_date:not_collected' WHEN born_v IS NOT NULL THEN NULL
             WHEN born >= DATE '1000-01-01' THEN 'birth_date:placeholder' ELSE 'birth_date:unparsable' END,
        CASE WHEN sex IS NOT NULL THEN NULL WHEN gender IS NULL THEN 'sex:not_collected' ELSE 'sex:unknown' END,
        CASE WHEN white IS DISTINCT FROM 'Y' AND hisp IS DISTINCT FROM 'Y' THEN 'race:not_collected' END,
        CASE WHEN school IS NULL THEN 'school_id:not_collected' END,
        CASE WHEN grade IS NULL THEN 'grade:not_collected' END,
        CASE WHEN entry IS NULL THEN 'entry_date:not_collected' WHEN entered_v IS NULL THEN 'entry_date:unparsable' END,
        CASE WHEN entry_type IS NOT NULL THEN NULL WHEN entry_code IS NULL THEN 'entry_type:not_collected'
             ELSE 'entry_type:unknown' END,
        CASE WHEN exit IS NULL THEN 'exit_date:not_applicable' WHEN exited_v IS NULL THEN 'exit_date:unparsable' END,
        CASE WHEN street IS NULL THEN 'line1:not_collected' END,
        CASE WHEN city IS NULL THEN 'city:not_collected' END,
        CASE WHEN zip IS NULL THEN 'zip:not_collected' END,
        CASE WHEN phone IS NULL THEN 'phone:not_collected' WHEN tel_placeholder THEN 'phone:placeholder'
             WHEN tel IS NULL OR NOT tel_possible THEN 'phone:unparsable' END,
        CASE WHEN ssn IS NULL THEN 'ssn:not_collected' WHEN nine_placeholder THEN 'ssn:placeholder'
             WHEN nine IS NULL OR NOT nine_possible THEN 'ssn:unparsable' END,
        CASE WHEN days IS NULL THEN 'days:not_collected' WHEN day_count IS NULL THEN 'days:unparsable' END), '')
        AS _missing,
    lasid_v AS lasid, sasid_v AS sasid,
    CASE WHEN contains(surname, '  ') THEN regexp_replace(surname, '\s+', ' ', 'g') ELSE surname END AS surname,
    CASE WHEN contains(given, '  ') THEN regexp_replace(given, '\s+', ' ', 'g') ELSE given END AS given,
    CASE WHEN contains(middle, '  ') THEN regexp_replace(middle, '\s+', ' ', 'g') ELSE middle END AS middle,
    born_v AS birth_date,
    sex, gender AS sex_source,
    CASE WHEN gender = 'N' THEN 'broad' WHEN sex IS NOT NULL THEN 'exact' WHEN gender IS NOT NULL THEN 'unmapped' END
        AS sex_match,
    nullif(concat_ws(' ', CASE WHEN hisp = 'Y' THEN 'HISP' END, CASE WHEN white = 'Y' THEN 'WHITE' END), '') AS race,
    school AS school_id, grade, entered_v AS entry_date,
    entry_type, entry_code AS entry_type_source,
    CASE WHEN entry_type IS NOT NULL THEN 'exact' WHEN entry_code IS NOT NULL THEN 'unmapped' END AS entry_type_match,
    exited_v AS exit_date,
    CASE WHEN contains(street, '  ') THEN regexp_replace(street, '\s+', ' ', 'g') ELSE street END AS line1,
    city, zip,
    CASE WHEN tel_possible AND NOT tel_placeholder THEN tel END AS phone,
    CASE WHEN nine_possible AND NOT nine_placeholder THEN nine END AS ssn,
    day_count AS days
FROM valued
