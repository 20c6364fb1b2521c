-- The rows of a night's file, due being what was entered that night.

-- query: night
SELECT action AS ACT, '{ori}' AS ORI, incident_no AS INC_NO, printf('%02d', pers_no) AS PERS_NO, name_no AS NAME_NO,
    involvement AS INVOLVEMENT, upper(strip_accents(surname)) AS LAST, upper(strip_accents(given)) AS FIRST,
    upper(strip_accents(middle)) AS MIDDLE, upper(suffix) AS SFX,
    CASE WHEN birth = '' THEN '' ELSE strftime(birth::DATE, '%m/%d/%Y') END AS DOB, age AS AGE, sex AS SEX,
    CASE WHEN race LIKE '%BLACK%' THEN 'B' WHEN race LIKE '%WHITE%' OR race LIKE '%HISP%' THEN 'W'
        WHEN race LIKE '%ASIAN%' THEN 'A' WHEN race LIKE '%AIAN%' THEN 'I' WHEN race LIKE '%NHPI%' THEN 'P'
        ELSE 'U' END AS RACE,
    CASE WHEN pers_no = 2 THEN '' WHEN race LIKE '%HISP%' THEN 'H' ELSE 'N' END AS ETHNIC, ssn AS SSN,
    trim(upper(strip_accents(line1)) || replace(upper(unit), 'APT ', ' #')) AS ADDR, upper(city) AS CITY, zip AS ZIP,
        phone AS PHONE,
    strftime(occurred, '%Y-%m-%d %H:%M') AS OCCURRED, nibrs AS NIBRS, statute AS STATUTE, class AS CLASS,
    CASE WHEN involvement <> 'ARR' THEN '' WHEN officer % 3 = 0 THEN 'SUM' WHEN officer % 3 = 1 THEN 'CUS' ELSE 'VIEW'
        END AS ARR_TYPE,
    CASE WHEN involvement <> 'ARR' OR age >= 18 THEN '' WHEN class = 'I' THEN 'H' ELSE 'R' END AS JUV_DISP,
    officer AS OFFICER, strftime(entered::TIMESTAMP + INTERVAL 23 HOUR, '%Y-%m-%d %H:%M:%S') AS MODIFIED
FROM (SELECT *, "on"::TIMESTAMP + to_minutes(minute) AS occurred FROM due)
ORDER BY entered, occurred, incident_no, pers_no, ACT
